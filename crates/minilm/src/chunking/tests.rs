use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;
use unicode_segmentation::UnicodeSegmentation;

use super::boundaries::Boundaries;
use super::*;

const LONGEST: usize = 64;

fn tiny_bert() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert/tokenizer.json")
}

/// BERT's WordPiece, whose words add up; the same by the `tokenizers` crate, which does not say so; and a byte-level BPE,
/// in which a word has other tokens behind a space than at the beginning.
static TOKENIZERS: LazyLock<[Tokenizer; 3]> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    std::fs::write(&path, byte_level_bpe()).unwrap();
    [
        Tokenizer::from_file(tiny_bert(), LONGEST).unwrap(),
        Tokenizer::from_file_by_tokenizers_crate(tiny_bert(), LONGEST).unwrap(),
        Tokenizer::from_file(path, LONGEST).unwrap(),
    ]
});

fn wordpiece() -> &'static Tokenizer {
    assert!(TOKENIZERS[0].words_add_up() && !TOKENIZERS[1].words_add_up() && !TOKENIZERS[2].words_add_up());
    &TOKENIZERS[0]
}

/// Every byte is a token, and so are some pairs of them.
fn byte_level_bpe() -> String {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut others = 0x100..;
    let mut tokens: Vec<String> = (0..=u8::MAX)
        .map(
            |byte| {
                if printable(byte) { byte.into() } else { char::from_u32(others.next().unwrap()).unwrap() }
            },
        )
        .map(String::from)
        .collect();
    let merges = ["t h", "th e", "Ġ th", "Ġ a", "Ġ Ġ", "o n", "e .", "a a", "aa aa"];
    tokens.extend(merges.iter().map(|pair| pair.replace(' ', "")));
    let vocab: serde_json::Map<String, serde_json::Value> =
        tokens.into_iter().zip(0..).map(|(token, id)| (token, id.into())).collect();
    serde_json::json!({
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
    })
    .to_string()
}

fn chunks<'a>(tokenizer: &Tokenizer, options: &ChunkOptions, document: &'a str) -> Vec<Chunk<'a>> {
    let chunker = Chunker::new(tokenizer, options).unwrap();
    chunker.chunks(document).collect::<Result<_, _>>().unwrap()
}

fn texts<'a>(options: &ChunkOptions, document: &'a str) -> Vec<&'a str> {
    chunks(wordpiece(), options, document).iter().map(|chunk| chunk.text).collect()
}

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
fn short_paragraphs_are_put_together_and_long_ones_cut_between_sentences() {
    let document =
        "The cat sat.\n\nThe dog sat.\n \nOn the sea. It sat there.\nThe end, and over.\n\n\nBack.\n";
    let by = |n| texts(&ChunkOptions::default().max_tokens(n), document);
    assert_eq!(by(64), [document.trim_end()]);
    let sat = "The cat sat.\n\nThe dog sat.";
    let whole = wordpiece().encode("On the sea. It sat there.\nThe end, and over.").unwrap().total;
    assert_eq!(by(whole), [sat, "On the sea. It sat there.\nThe end, and over.", "Back."]);
    assert_eq!(by(whole - 1), [sat, "On the sea. It sat there.", "The end, and over.\n\n\nBack."]);
}

#[test]
fn the_end_of_a_line_is_no_end_of_a_sentence() {
    let document = "The cat sat on the\nred sun. The dog\r\nsat back.";
    let first = wordpiece().encode("The cat sat on the\nred sun.").unwrap().total;
    let found = texts(&ChunkOptions::default().by(ChunkBy::Sentences).max_tokens(first), document);
    assert_eq!(found, ["The cat sat on the\nred sun.", "The dog\r\nsat back."]);
    let found = texts(&ChunkOptions::default().max_tokens(first - 1), document);
    assert_eq!(found, ["The cat sat on the", "red sun.", "The dog\r\nsat back."]);
}

#[test]
fn words_fill_a_chunk_and_fragments_are_kept_together() {
    let document = "the cat's sea, the red-sun.";
    let found = texts(&ChunkOptions::default().by(ChunkBy::Tokens).max_tokens(6), document);
    for text in &found {
        assert!(!text.starts_with([',', '\'', '-', '.']), "{found:?}");
    }
    assert_eq!(found.join(" "), document);
}

#[test]
fn scripts_without_spaces_are_cut_between_characters() {
    let document = "我喜歡編程和機器學習也喜歡讀書和旅行".repeat(20);
    let found = chunks(wordpiece(), &ChunkOptions::default().max_tokens(16), &document);
    assert!(found.iter().rev().skip(1).all(|chunk| chunk.tokens == 16), "{found:?}");
    let sentences = "我喜歡編程。我喜歡讀書。我喜歡旅行。";
    let found = texts(&ChunkOptions::default().max_tokens(9), sentences);
    assert_eq!(found, ["我喜歡編程。", "我喜歡讀書。", "我喜歡旅行。"]);
}

#[test]
fn overlap_begins_with_a_sentence_or_else_with_a_word() {
    let document = "The cat sat on the sea. The sun. The rain sat on the red fish over two green cats.";
    let options = ChunkOptions::default().by(ChunkBy::Sentences).max_tokens(14).overlap(5);
    let expected = [
        "The cat sat on the sea. The sun.",
        "The sun. The rain sat on the red fish over two",
        "the red fish over two green cats.",
    ];
    assert_eq!(texts(&options, document), expected);
    let options = ChunkOptions::default().by(ChunkBy::Tokens).max_tokens(8).overlap(2);
    let found = texts(&options, "the cat sat on the red sun but not over the sea");
    assert_eq!(found, ["the cat sat on the red", "the red sun but not over", "not over the sea"]);
}

#[test]
fn headings_begin_chunks_and_stay_with_what_follows() {
    let document = "Before.\n\n# One\n\n## Two *emphasised* {#id}\n\nThe cat.\n\n```sh\n# no heading\n```\n\n\
        Three\n---\n\nThe dog.\n\n## Empty\n## Last ##\nThe end.\n";
    let found = chunks(wordpiece(), &ChunkOptions::markdown(), document);
    let found: Vec<(&str, &[&str])> = found.iter().map(|chunk| (chunk.text, &chunk.headings[..])).collect();
    assert_eq!(
        found,
        [
            ("Before.", &[][..]),
            (
                "# One\n\n## Two *emphasised* {#id}\n\nThe cat.\n\n```sh\n# no heading\n```",
                &["One", "Two *emphasised*"]
            ),
            ("Three\n---\n\nThe dog.", &["One", "Three"]),
            ("## Empty", &["One", "Empty"]),
            ("## Last ##\nThe end.", &["One", "Last"]),
        ]
    );
    // The paragraph does not fit beside the heading, its first sentence does.
    let document = "# Red\n\nThe cat sat. The dog sat back.";
    let found = texts(&ChunkOptions::markdown().max_tokens(11), document);
    assert_eq!(found, ["# Red\n\nThe cat sat.", "The dog sat back."]);
}

#[test]
fn lists_and_code_are_not_cut_if_they_fit() {
    let list = "- the cat\n  - the sea\n- the dog\n  sat. Back.\n\n  - two";
    let code = "```\nlet a = b;\n\nfn f() {\n    g()\n}\n```";
    let document = format!("The end.\n\n{list}\n\n{code}\n\n    indented\n    code\n");
    let count = |text: &str| wordpiece().encode(text).unwrap().total;
    for by in [ChunkBy::Paragraphs, ChunkBy::Sentences] {
        let options = ChunkOptions::markdown().by(by).max_tokens(count(code));
        let found = texts(&options, &document);
        assert!(found.contains(&code), "{found:?}");
    }
    let found = texts(&ChunkOptions::markdown().max_tokens(count(list)), &document);
    assert!(found.contains(&list) && found.contains(&"    indented\n    code"), "{found:?}");
    let found = texts(&ChunkOptions::markdown().max_tokens(count("- the cat\n  - the sea")), list);
    assert_eq!(found[0], "- the cat\n  - the sea");
    let found = texts(&ChunkOptions::markdown().max_tokens(count("fn f() {\n    g()\n}\n```")), code);
    assert_eq!(found[1..], ["fn f() {\n    g()\n}\n```"], "{found:?}");
}

#[test]
fn front_matter_is_no_heading() {
    for fence in ["---", "+++"] {
        let document =
            format!("{fence}\ntitle = \"a\"\n# a comment\n{fence}\n# One\nThe end.\n\n---\n# Two\n---\n");
        let found = chunks(wordpiece(), &ChunkOptions::markdown(), &document);
        let found: Vec<&[&str]> = found.iter().map(|chunk| &chunk.headings[..]).collect();
        assert_eq!(found, [&[][..], &["One"], &["Two"]], "{document}");
    }
    let found = texts(&ChunkOptions::markdown(), "---\n\n# One\n");
    assert_eq!(found, ["---", "# One"]);
}

#[test]
fn a_byte_order_mark_hides_no_heading() {
    let document = "\u{feff}# One\nThe end.";
    let found = chunks(wordpiece(), &ChunkOptions::markdown(), document);
    assert_eq!((found.len(), found[0].start, &found[0].headings[..]), (1, 3, &["One"][..]));
    assert_eq!(texts(&ChunkOptions::default(), "\u{feff}"), [""; 0]);
}

#[test]
fn documents_of_white_space_have_no_chunks() {
    for document in ["", " ", "\n\n \t\u{3000}\u{85}\n"] {
        for options in [ChunkOptions::default(), ChunkOptions::markdown()] {
            assert_eq!(texts(&options, document), [""; 0]);
        }
    }
}

#[test]
fn options_that_cannot_be_kept_to_are_refused() {
    let error = |options: ChunkOptions| Chunker::new(wordpiece(), &options).unwrap_err();
    for max_tokens in [0, 2, LONGEST + 1] {
        let expected = ChunkError::MaxTokens { max_tokens, least: 3, most: LONGEST };
        assert_eq!(error(ChunkOptions::default().max_tokens(max_tokens)), expected);
    }
    for (max_tokens, overlap) in [(10, 8), (10, 100), (3, 1)] {
        let options = ChunkOptions::default().max_tokens(max_tokens).overlap(overlap);
        assert_eq!(error(options), ChunkError::Overlap { overlap, max_tokens, special_tokens: 2 });
    }
    assert_eq!(
        error(ChunkOptions::default().max_tokens(10).overlap(8)).to_string(),
        "an overlap of 8 tokens is asked for; expected less than the 8 that chunks of 10 have beside 2 special ones"
    );
}

#[test]
fn a_character_that_does_not_fit_is_an_error() {
    let document = "a 각 b";
    let options = ChunkOptions::default().max_tokens(1);
    let chunker = Chunker::new(&TOKENIZERS[2], &options).unwrap();
    let mut found = chunker.chunks(document);
    assert_eq!(found.next().unwrap().unwrap().text, "a");
    let error = found.next().unwrap().unwrap_err().to_string();
    assert_eq!(error, "the character '각' at byte 2 has 3 tokens with the special ones; expected at most 1");
    assert!(found.next().is_none());
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

#[test]
fn how_much_is_read_together_changes_no_chunk() {
    let sentences = [
        "The cat sat on the red sea, e.g. at no. 3.14 of U.S. streets! ",
        "\"Is it?\" said the dog (who sat back.) ",
        "Numbers follow: 1. and 2. and 3., but no end. ",
        "我喜歡編程。「真的嗎？」他說。 ",
        "Where the line\nends, the sentence goes on. ",
        "It ends here.\n",
        "\r\n",
    ];
    let (mut random, mut mixed) = (1_u64, String::new());
    while mixed.len() < 60_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let sentence = sentences[(random >> 33) as usize % sentences.len()];
        if !(sentence.starts_with('\r') && mixed.ends_with('\n')) {
            mixed.push_str(sentence);
        }
    }
    let code = "```\n".to_owned() + &"fn f() {\n    g()\n}\n\n  \nlet a = b;\n".repeat(1_000) + "```\n";
    let documents = [
        mixed.replace('\n', " "),
        mixed.replace(' ', ""),
        mixed.replace([' ', '\n', '\r'], ""),
        mixed.replace('\n', "\n\u{3000}\u{3000}").replace(' ', ""),
        "A line without an end of a sentence\n".repeat(1_000),
        mixed,
        code,
    ];
    let whole = Reading { segment: usize::MAX, longest: usize::MAX, margin: 0 };
    let parts = Reading { segment: 500, longest: 4_000, margin: 500 };
    for document in &documents {
        let beginning: String = document.chars().take(50).collect();
        for markdown in [false, true] {
            let levels = |reading| {
                let mut boundaries = Boundaries::new(document, 0, markdown, reading);
                (0..document.len()).map(|at| boundaries.up_to(at)).collect::<Vec<_>>()
            };
            assert!(levels(parts) == levels(whole), "markdown {markdown}: {beginning:?}");
        }
        for by in [ChunkBy::Paragraphs, ChunkBy::Sentences, ChunkBy::Tokens] {
            for options in [ChunkOptions::default(), ChunkOptions::markdown().overlap(4)] {
                let chunker = Chunker::new(wordpiece(), &options.by(by).max_tokens(20)).unwrap();
                let chunks = |reading| {
                    let chunker = Chunker { reading, ..chunker.clone() };
                    chunker.chunks(document).map(|chunk| chunk.unwrap().text.len()).collect::<Vec<_>>()
                };
                assert_eq!(chunks(parts), chunks(whole), "{by:?}: {beginning:?}");
            }
        }
    }
}

/// A quadratic way takes minutes for each of these, and one that holds all atoms or all sentences 30 megabytes.
#[test]
fn time_is_linear_and_memory_bounded_in_whatever_there_is() {
    const SIZE: usize = 1 << 20;
    let mut nested = String::new();
    for depth in 0.. {
        if nested.len() > SIZE {
            break;
        }
        nested.push_str(&("  ".repeat(depth) + "- a\n"));
    }
    let repeated = [
        "a",
        "\n",
        "\u{301}",
        "\u{1}",
        ">",
        "> ",
        "- ",
        "[",
        "`",
        "*a ",
        "# a\n",
        "# \n",
        "|a",
        "a|b\n-|-\n",
        "🇩🇪",
        "👨‍👩‍👧‍👦",
        "‼\u{200d}",
        "ไ",
        "中",
        ".)",
        ". ",
        "a.",
        "[MASK]",
        "[",
        "a\n",
        "\u{302e}",
        "<!-- ",
    ];
    let mut documents: Vec<String> = repeated.iter().map(|part| part.repeat(SIZE / part.len())).collect();
    documents.extend([nested, ". ".to_owned() + &" ".repeat(SIZE), ".".to_owned() + &")".repeat(SIZE)]);
    for document in &documents {
        for options in [ChunkOptions::default(), ChunkOptions::markdown().max_tokens(8).overlap(2)] {
            let start = std::time::Instant::now();
            let chunker = Chunker::new(wordpiece(), &options).unwrap();
            let mut chunks = chunker.chunks(document);
            let (mut found, mut held) = (0, 0);
            while let Some(chunk) = chunks.next() {
                found += chunk.unwrap().text.len();
                held = held.max(chunks.held());
            }
            let (time, beginning) = (start.elapsed(), document.chars().take(5).collect::<String>());
            assert!(found <= 2 * document.len(), "{beginning:?}");
            assert!(time.as_secs() < 20, "{time:?} for {beginning:?}");
            assert!(held < 10 << 20, "{held} bytes for {beginning:?}");
        }
    }
}
