use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::boundaries::Boundaries;
use super::*;

mod promises;

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
