//! Documents of over a megabyte, cut into chunks for the real model: nothing is lost and nothing truncated. What can be said
//! without a model is tested in `crates/minilm/src/chunking/tests.rs`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use minilm::chunking::{Chunk, ChunkBy, ChunkError, ChunkOptions, pool_chunks};
use minilm::{DEFAULT_MODEL, EncodeOptions, Error, LoadOptions, SentenceTransformer};
use minilm_tests::golden;
use minilm_tests::model_folder::Folder;

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

/// 10 words each, which are 10 tokens of the tiny model.
const WORDS: &str = "a b c d e f g h i j ";

#[test]
fn chunks_leave_room_for_a_prompt() {
    let folder = Folder::new();
    let prompts = r#"{"prompts": {"title": "a b c d e "}, "default_prompt_name": "title"}"#;
    std::fs::write(folder.path("config_sentence_transformers.json"), prompts).unwrap();
    let (with_default, without) = (folder.load(), Folder::new().load());
    let document = WORDS.repeat(12);
    let default = EncodeOptions::default();
    let prompted = default.clone().prompt("a b c d e ");
    // 32 tokens, of which 2 are special and 5 the prompt's.
    for (model, encode, max_tokens, longest) in [
        (&without, &prompted, None, 27),
        (&without, &prompted, Some(32), 27),
        (&without, &prompted, Some(11), 11),
        (&without, &default, None, 32),
        (&with_default, &default, None, 27),
        (&with_default, &default.clone().prompt_name("title"), None, 27),
        (&with_default, &default.clone().prompt(""), None, 32),
    ] {
        let mut options = ChunkOptions::default();
        options.max_tokens = max_tokens;
        let (chunks, embeddings) = model.encode_chunks(&document, &options, encode).unwrap();
        assert_eq!(chunks[0].tokens, longest);
        let words: Vec<&str> = chunks.iter().flat_map(|chunk| chunk.text.split_whitespace()).collect();
        assert_eq!(words, document.split_whitespace().collect::<Vec<_>>());
        let prompt = if longest == 27 || max_tokens == Some(11) { 5 } else { 0 };
        for (chunk, count) in chunks.iter().zip(embeddings.token_counts()) {
            assert_eq!((count.used, count.total), (chunk.tokens + prompt, chunk.tokens + prompt));
        }
        assert_eq!(embeddings, model.encode_batch(&chunks, encode).unwrap());
        let pooled = model.encode_pooled(&document, &options, encode).unwrap();
        let expected = pooled_by_hand(model, &document, &options, encode);
        assert_near(&pooled, &expected, "a prompt");
    }
    // What is no longer than the room is a single chunk.
    let document = WORDS.repeat(2);
    let pooled = without.encode_pooled(&document, &ChunkOptions::default(), &prompted).unwrap();
    assert_eq!(pooled, without.encode_batch(&[document.trim_end()], &prompted).unwrap().row(0));
    assert_ne!(pooled, without.encode(document.trim_end()).unwrap());
}

#[test]
fn a_prompt_may_not_take_all_the_room() {
    let model = Folder::new().load();
    let encode = |n: usize| EncodeOptions::default().prompt("a ".repeat(n));
    let (chunks, _) = model.encode_chunks("b c d", &ChunkOptions::default(), &encode(29)).unwrap();
    assert_eq!(chunks.iter().map(|chunk| chunk.text).collect::<Vec<_>>(), ["b", "c", "d"]);
    for n in [30, 31, 32, 100] {
        let error = model.encode_pooled("b c d", &ChunkOptions::default(), &encode(n)).unwrap_err();
        let expected = ChunkError::Prompt { tokens: n, max_seq_length: 32, special_tokens: 2 };
        assert!(matches!(&error, Error::Chunk(found) if *found == expected), "{error}");
    }
    let error = model.encode_chunks("b", &ChunkOptions::default(), &encode(30)).unwrap_err().to_string();
    let expected =
        "the prompt has 30 tokens; expected fewer than the 30 that the model takes beside 2 special ones";
    assert_eq!(error, expected);
    // What the model does not take is refused with a prompt as without one.
    let options = ChunkOptions::default().max_tokens(33);
    let [with, without] =
        [encode(3), EncodeOptions::default()].map(|encode| model.encode_chunks("b", &options, &encode));
    let (with, without) = (with.unwrap_err().to_string(), without.unwrap_err().to_string());
    assert!(with == without && with.starts_with("chunks of at most 33 tokens are asked for"), "{with}");
}

/// From the vectors of the chunks with all their components.
fn pooled_by_hand(
    model: &SentenceTransformer,
    document: &str,
    options: &ChunkOptions,
    encode: &EncodeOptions,
) -> Vec<f32> {
    let whole = encode.clone().truncate_dim(model.config().hidden_size).normalize_embeddings(false);
    let (chunks, embeddings) = model.encode_chunks(document, options, &whole).unwrap();
    assert!(chunks.len() > 2);
    let mut mean: Vec<f64> = vec![0.0; embeddings.dimension()];
    for (chunk, vector) in chunks.iter().zip(embeddings.rows()) {
        mean.iter_mut().zip(vector).for_each(|(sum, &x)| *sum += chunk.tokens as f64 * f64::from(x));
    }
    let tokens = chunks.iter().map(|chunk| chunk.tokens as f64).sum::<f64>();
    mean.iter_mut().for_each(|x| *x /= tokens);
    let scale = |vector: &mut Vec<f64>| {
        let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
    };
    if model.normalizes() {
        scale(&mut mean);
    }
    mean.truncate(encode.truncate_dim.unwrap_or(model.embedding_dimension()));
    if encode.normalize_embeddings {
        scale(&mut mean);
    }
    mean.into_iter().map(|x| x as f32).collect()
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off <= 1e-6, "{what}: {off} off");
}

#[test]
fn options_of_encoding_are_those_of_the_document() {
    let (scaling, raw, short) = (Folder::new(), Folder::new(), Folder::new());
    let json = std::fs::read_to_string(raw.path("modules.json")).unwrap();
    let mut modules: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert!(modules.pop().unwrap()["type"].as_str().unwrap().ends_with("Normalize"));
    std::fs::write(raw.path("modules.json"), serde_json::to_string(&modules).unwrap()).unwrap();
    std::fs::write(short.path("config_sentence_transformers.json"), r#"{"truncate_dim": 16}"#).unwrap();

    let document = golden::texts("texts").into_iter().map(|text| text.text).collect::<Vec<_>>().join("\n\n");
    let options = ChunkOptions::default().max_tokens(20);
    for folder in [&scaling, &raw, &short] {
        let model = folder.load();
        let default = EncodeOptions::default();
        let whole = model.encode_pooled(&document, &options, &default).unwrap();
        for encode in [
            default.clone(),
            default.clone().normalize_embeddings(true),
            default.clone().truncate_dim(8),
            default.clone().truncate_dim(8).normalize_embeddings(true),
            default.clone().prompt("the cat ").truncate_dim(24),
        ] {
            let pooled = model.encode_pooled(&document, &options, &encode).unwrap();
            let what = format!("{encode:?} of {:?}", model.resolved().directory());
            assert_near(&pooled, &pooled_by_hand(&model, &document, &options, &encode), &what);
            if encode.prompt.is_none() && !encode.normalize_embeddings {
                assert_eq!(pooled, whole[..pooled.len()], "{what}");
            }
            // Documents of one chunk, and of none.
            for text in ["the cat sat", ""] {
                let alone = model.encode_batch(&[text], &encode).unwrap();
                assert_eq!(model.encode_pooled(text, &options, &encode).unwrap(), alone.row(0), "{what}");
            }
        }
    }
    // A wrong option is said before anything is computed.
    let heard = Arc::new(AtomicUsize::new(0));
    let hears = heard.clone();
    let encode =
        EncodeOptions::default().truncate_dim(0).progress(Arc::new(move |_: usize, _: Option<usize>| {
            hears.fetch_add(1, Ordering::Relaxed);
        }));
    let error = scaling.load().encode_pooled(&document, &options, &encode).unwrap_err().to_string();
    assert_eq!(
        (error.as_str(), heard.load(Ordering::Relaxed)),
        ("truncate_dim is 0, expected at least 1", 0)
    );
}
