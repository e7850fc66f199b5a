//! Documents of any text, cut into chunks for the tiny model of `fixtures/`: chunks are slices in order, what is between two
//! of them is white space, and each has the tokens that it says, and no more than it may.
//!
//! The first three bytes of an input choose the options, the others are the document; what is not UTF-8 in it is replaced.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use minilm::chunking::{ChunkBy, ChunkError, ChunkOptions};
use minilm::{Error, LoadOptions, SentenceTransformer};

static MODEL: LazyLock<SentenceTransformer> = LazyLock::new(|| {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tiny-bert");
    SentenceTransformer::load_with(tiny, &LoadOptions::default().threads(1))
        .expect("the tiny model is committed")
});

fuzz_target!(|bytes: &[u8]| {
    let Some(([by, max_tokens, overlap], bytes)) = bytes.split_first_chunk() else { return };
    let document = String::from_utf8_lossy(bytes);
    let mut options = if by & 1 == 0 { ChunkOptions::default() } else { ChunkOptions::markdown() };
    options =
        options.by([ChunkBy::Paragraphs, ChunkBy::Sentences, ChunkBy::Tokens][usize::from(by >> 1) % 3]);
    // Two of them are special.
    let max_tokens = 3 + usize::from(*max_tokens) % (MODEL.max_seq_length() - 2);
    options = options.max_tokens(max_tokens).overlap(usize::from(*overlap) % (max_tokens - 2));

    let chunker = MODEL.chunker(&options).expect("options that the model can keep to");
    let (mut start, mut covered) = (None, 0);
    for chunk in chunker.chunks(&document) {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(Error::Chunk(ChunkError::Character { tokens, .. })) if tokens > max_tokens => return,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(chunk.text, &document[chunk.start..chunk.end]);
        let (_, count) = MODEL.tokenize(chunk.text).expect("there is an unknown token");
        assert_eq!((count.total, count.truncated()), (chunk.tokens, false), "{:?}", chunk.text);
        assert!(chunk.tokens <= max_tokens);
        assert!(chunk.end > covered && start.is_none_or(|start| chunk.start > start));
        assert!(options.overlap > 0 || chunk.start >= covered);
        check_gap(&document, covered.min(chunk.start), chunk.start);
        (start, covered) = (Some(chunk.start), chunk.end);
    }
    check_gap(&document, covered, document.len());
});

/// White space alone, and at the beginning a byte order mark.
fn check_gap(document: &str, from: usize, to: usize) {
    let gap = &document[from..to];
    let gap = if from == 0 { gap.strip_prefix('\u{feff}').unwrap_or(gap) } else { gap };
    assert_eq!(gap.trim(), "");
}
