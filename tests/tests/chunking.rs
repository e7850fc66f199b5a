//! Documents of over a megabyte, cut into chunks for the real model: nothing is lost and nothing truncated. What can be said
//! without a model is tested in `crates/minilm/src/chunking/tests.rs`.

use std::sync::LazyLock;

use minilm::{
    Chunk, ChunkBy, ChunkOptions, DEFAULT_MODEL, EncodeOptions, Error, LoadOptions, SentenceTransformer,
    pool_chunks,
};
use minilm_tests::golden;

static MODEL: LazyLock<SentenceTransformer> = LazyLock::new(|| {
    SentenceTransformer::load_with(DEFAULT_MODEL, &LoadOptions::default()).expect("the model loads")
});

/// Prose of random words under headings, some of it in lines of eighty characters, and where it ends; then the project's
/// documents and texts of many scripts.
fn document() -> (String, usize) {
    let root = golden::fixtures().join("..");
    let files = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "fuzz/README.md", "kernels/README.md"];
    let files = files.map(|file| std::fs::read_to_string(root.join(file)).unwrap());
    let words: Vec<&str> = files[0].split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty()).collect();
    let mut random = 1_u64;
    let mut below = |n: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as usize % n
    };
    let (mut document, mut line) = (String::new(), 0);
    while document.len() < 1_000_000 {
        let word = words[below(words.len())];
        if below(200) == 0 {
            document.push_str(&format!("\n\n{} {word}\n\n", "#".repeat(1 + below(4))));
            line = document.len();
        }
        document.push_str(word);
        match below(60) {
            0 => document.push_str(".\n\n"),
            1..4 => document.push_str(". "),
            4 => document.push_str("? "),
            _ if document.len() > line + 80 => document.push('\n'),
            _ => document.push(' '),
        }
        if document.ends_with('\n') {
            line = document.len();
        }
    }
    let prose = document.len();
    let texts = golden::texts("texts").into_iter().map(|text| text.text);
    files.into_iter().chain(texts).for_each(|text| document.extend(["\n\n", &text]));
    (document, prose)
}

#[test]
fn over_a_megabyte_is_covered_and_nothing_truncated() {
    let (document, prose) = document();
    assert!(document.len() > 1 << 20);
    for by in [ChunkBy::Paragraphs, ChunkBy::Sentences, ChunkBy::Tokens] {
        for options in [
            ChunkOptions::default().by(by),
            ChunkOptions::markdown().by(by),
            ChunkOptions::markdown().by(by).max_tokens(96).overlap(24),
        ] {
            let limit = options.max_tokens.unwrap_or(MODEL.max_seq_length());
            let chunker = MODEL.chunker(&options).unwrap();
            let chunks: Vec<Chunk<'_>> = chunker.chunks(&document).collect::<Result<_, _>>().unwrap();
            let (mut covered, mut tokens, mut full) = (0, 0, 0);
            for chunk in &chunks {
                assert_eq!(chunk.text, &document[chunk.start..chunk.end]);
                assert!(chunk.end > covered && (options.overlap > 0 || chunk.start >= covered));
                assert_eq!(document[covered.min(chunk.start)..chunk.start].trim(), "");
                let (ids, count) = MODEL.tokenize(chunk.text).unwrap();
                assert_eq!((count.total, count.truncated()), (chunk.tokens, false), "{:?}", chunk.text);
                assert!(ids.len() <= limit);
                if options.markdown && chunk.end < prose {
                    let mut lines =
                        chunk.text.lines().skip_while(|line| line.is_empty() || line.starts_with('#'));
                    assert!(lines.all(|line| !line.starts_with('#')), "{:?}", chunk.text);
                }
                (covered, tokens) = (chunk.end, tokens + chunk.tokens - 2);
                full += usize::from(chunk.tokens > limit * 9 / 10);
            }
            assert_eq!(document[covered..].trim(), "");
            let all = MODEL.tokenize(&document).unwrap().1.total - 2;
            if options.overlap == 0 {
                assert_eq!(tokens, all, "{options:?}");
            } else {
                assert!(tokens > all, "{options:?}");
            }
            if options == ChunkOptions::default().by(ChunkBy::Tokens) {
                assert!(full * 10 > chunks.len() * 9, "{full} of {} are full", chunks.len());
            }
        }
    }
}

#[test]
fn vectors_of_chunks_are_those_of_their_texts() {
    let document = std::fs::read_to_string(golden::fixtures().join("README.md")).unwrap();
    let (options, encode) = (ChunkOptions::markdown().max_tokens(64), EncodeOptions::default());
    let (chunks, embeddings) = MODEL.encode_chunks(&document, &options, &encode).unwrap();
    assert!(chunks.len() > 10 && chunks.len() == embeddings.len());
    for ((chunk, vector), count) in chunks.iter().zip(embeddings.rows()).zip(embeddings.token_counts()) {
        assert_eq!((count.total, count.used), (chunk.tokens, chunk.tokens));
        assert_eq!(vector, MODEL.encode(chunk.text).unwrap());
    }

    // However the windows are.
    let pooled = MODEL.encode_pooled(&document, &options, &encode.clone().window_texts(3)).unwrap();
    assert_eq!(pooled, MODEL.encode_pooled(&document, &options, &encode).unwrap());
    let weights: Vec<usize> = chunks.iter().map(|chunk| chunk.tokens).collect();
    let mean = pool_chunks(&embeddings, &weights).unwrap();
    let length = mean.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
    let close = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b) / length).abs() < 1e-6;
    assert!(pooled.iter().zip(&mean).all(close));
}

#[test]
fn a_document_of_one_chunk_has_its_vector_and_one_of_none_that_of_the_empty_text() {
    let (options, encode) = (ChunkOptions::default(), EncodeOptions::default());
    let of = |document: &str| MODEL.encode_pooled(document, &options, &encode).unwrap();
    assert_eq!(of(" Two sentences.\n\nOne vector. "), MODEL.encode("Two sentences.\n\nOne vector.").unwrap());
    assert_eq!(of(" \n"), MODEL.encode("").unwrap());
}

#[test]
fn chunks_can_be_streamed() {
    let document = "A sentence of some words. ".repeat(500);
    let options = ChunkOptions::default().max_tokens(32);
    let chunker = MODEL.chunker(&options).unwrap();
    let encode = EncodeOptions::default().window_texts(7);
    let (mut windows, mut covered) = (0, 0);
    let chunks = MODEL
        .encode_stream(chunker.chunks(&document), &encode, |chunks, embeddings| {
            assert!(chunks.len() <= 7 && embeddings.len() == chunks.len());
            assert!(chunks[0].start >= covered);
            (windows, covered) = (windows + 1, chunks[chunks.len() - 1].end);
            Ok::<(), Error>(())
        })
        .unwrap();
    assert_eq!((windows, covered), (chunks.div_ceil(7), document.trim_end().len()));
}
