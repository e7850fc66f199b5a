//! What is promised of chunks, held for any document.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;
use unicode_segmentation::UnicodeSegmentation;

use super::*;

/// Everything that is promised of any document, read in large parts and in the smallest.
fn check(tokenizer: &Tokenizer, options: &ChunkOptions, document: &str) {
    let chunker = Chunker::new(tokenizer, options).unwrap();
    let reading = Reading { segment: 1, longest: 2 * chunker.max_bytes(), margin: 32 };
    check_chunker(&Chunker { reading, ..chunker.clone() }, options, document);
    check_chunker(&chunker, options, document);
}

fn check_chunker(chunker: &Chunker<'_>, options: &ChunkOptions, document: &str) {
    let tokenizer = chunker.tokenizer;
    let found: Result<Vec<Chunk<'_>>, Error> = chunker.chunks(document).collect();
    let found = match found {
        Ok(found) => found,
        Err(Error::Chunk(ChunkError::Character { character, offset, tokens, max_tokens })) => {
            // Then it is true.
            assert!(document[offset..].starts_with(character) && tokens > max_tokens);
            assert_eq!(tokenizer.encode(&character.to_string()).unwrap().total, tokens);
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let of = format!("{chunker:?} {options:?} {document:?} {found:?}");
    let (mut covered, mut before) = (0, None);
    for chunk in &found {
        assert!(chunk.start < chunk.end, "{of}");
        assert_eq!(chunk.text, &document[chunk.start..chunk.end], "{of}");
        // What encoding it counts.
        assert_eq!(chunk.tokens, tokenizer.encode(chunk.text).unwrap().total, "{of}");
        assert!(chunk.tokens <= options.max_tokens.unwrap_or(LONGEST), "{of}");
        // Something new in each.
        assert!(chunk.end > covered && before.is_none_or(|before| chunk.start > before), "{of}");
        if chunk.start < covered {
            let shared = tokenizer.encode(&document[chunk.start..covered]).unwrap().total;
            let shared = shared - tokenizer.special_tokens();
            assert!(shared <= options.overlap || !tokenizer.words_add_up(), "{shared}: {of}");
            assert!(options.overlap > 0, "{of}");
        } else {
            check_gap(&document[covered..chunk.start], covered, &of);
        }
        (covered, before) = (chunk.end, Some(chunk.start));
    }
    check_gap(&document[covered..], covered, &of);
    check_cuts(tokenizer, chunker, document, &found, &of);
}

fn check_gap(gap: &str, at: usize, of: &str) {
    let gap = if at == 0 { gap.trim_start_matches('\u{feff}') } else { gap };
    assert_eq!(gap.trim(), "", "{of}");
}

/// No word is cut and no character that would fit.
fn check_cuts(tokenizer: &Tokenizer, chunker: &Chunker<'_>, document: &str, found: &[Chunk<'_>], of: &str) {
    // Behind a byte order mark, no cut is needed.
    let begin = if document.starts_with('\u{feff}') { 3 } else { 0 };
    let check = |start: usize, end: usize| {
        let mut cuts = found.iter().flat_map(|chunk| [chunk.start, chunk.end]).filter(|&at| at != begin);
        if cuts.any(|at| start < at && at < end) {
            let tokens = tokenizer.encode(&document[start..end]).unwrap().total;
            let fits = tokens <= chunker.max_tokens() && end - start <= chunker.max_bytes();
            assert!(!fits, "{start}..{end} is cut: {of}");
        }
    };
    let span = |(start, text): (usize, &str)| (start, start + text.len());
    let mut spans: Vec<(usize, usize)> = document.grapheme_indices(true).map(span).collect();
    spans.iter().for_each(|&(start, end)| check(start, end));

    spans.extend(document.split_word_bound_indices().map(span));
    if tokenizer.words_add_up() {
        let mut tokens = Vec::new();
        tokenizer.offsets_into(document, &mut tokens).unwrap();
        spans.extend(tokens.chunk_by(|_, next| !next.begins_word).map(|word| {
            let (starts, ends) = (word.iter().map(|token| token.start), word.iter().map(|token| token.end));
            (starts.min().unwrap(), ends.max().unwrap())
        }));
    }
    // What neither UAX 29 nor the tokenizer takes apart.
    spans.sort_unstable();
    let mut word = (0, 0);
    for (start, end) in spans {
        if start < word.1 {
            word.1 = end.max(word.1);
        } else {
            check(word.0, word.1);
            word = (start, end);
        }
    }
    check(word.0, word.1);
}

/// What documents are made of.
const PIECES: &[&str] = &[
    "the",
    "on",
    "A cat",
    "sat",
    " ",
    " ",
    " ",
    " ",
    "\n",
    "\n\n",
    "\r\n",
    "\r\n\r\n",
    "\t",
    ". ",
    "? ",
    "! ",
    ", ",
    "U.S. ",
    "3.14",
    "can't",
    "e-mail",
    "Où",
    "e\u{301}",
    "\u{301}",
    "\u{302e}",
    "\u{ad}",
    "\u{200d}",
    "\u{feff}",
    "\u{1}",
    "\u{b}",
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    "\u{3000}",
    "中文。",
    "我喜歡，",
    "한국어",
    "สวัสดี",
    "ไทย",
    "नमस्ते",
    "👨‍👩‍👧‍👦",
    "🇩🇪🇫🇷",
    "#️⃣",
    "‼\u{200d}",
    "ﷺ",
    "\u{1d15e}",
    "[MASK]",
    "[SEP",
    "\n# ",
    "\n## A\n",
    "\n###### b\n\n",
    "\n- ",
    "\n  - ",
    "\n1. ",
    "\n> ",
    "\n```\n",
    "\n~~~\n",
    "\n    ",
    "|a|b|\n|-|-|\n|c|d|\n",
    "\n---\n",
    "\n===\n",
    "---\n",
    "<div>\n",
    "<!--",
    "[a]: b\n",
    "[^1]: c\n",
    "**",
    "`",
    "http://a.b/c?d=e&f",
    "aGVsbG8gd29ybGQ",
    "{}();",
];

fn documents() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        12 => select(PIECES).prop_map(str::to_owned),
        1 => (select(PIECES), 2..120_usize).prop_map(|(piece, n)| piece.repeat(n)),
        1 => any::<char>().prop_map(String::from),
    ];
    vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

fn options() -> impl Strategy<Value = ChunkOptions> {
    let by = select(&[ChunkBy::Paragraphs, ChunkBy::Sentences, ChunkBy::Tokens][..]);
    (by, 3..=LONGEST, 0..LONGEST, any::<bool>(), any::<bool>()).prop_map(
        |(by, max_tokens, overlap, some, markdown)| {
            let options = ChunkOptions { markdown, ..ChunkOptions::default() };
            // Two special tokens at most.
            options.by(by).max_tokens(max_tokens).overlap(if some { overlap % (max_tokens - 2) } else { 0 })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("failures"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn promises_hold_for_any_document(document in documents(), options in options()) {
        TOKENIZERS.iter().for_each(|tokenizer| check(tokenizer, &options, &document));
    }

    #[test]
    fn promises_hold_for_any_string(document in "(?s).*", options in options()) {
        TOKENIZERS.iter().for_each(|tokenizer| check(tokenizer, &options, &document));
    }
}

#[test]
fn marks_stay_with_the_white_space_before_them() {
    let spaces = "\n".repeat(60);
    // A mark that is a letter to Unicode; white space behind a character that takes the whole segment.
    let documents = [format!(". \u{16f51}{spaces}"), "\u{200d}".repeat(41) + "\u{3000}\u{feff}"];
    for document in documents {
        for max_tokens in [3, 5] {
            let options = ChunkOptions::default().max_tokens(max_tokens);
            TOKENIZERS.iter().for_each(|tokenizer| check(tokenizer, &options, &document));
        }
    }
}
