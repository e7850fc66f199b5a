//! The WordPiece of `minilm-tokenizer` against the `tokenizers` crate: the same ids, counts, cuts and offsets.
//!
//! Over the tokenizers of the real and of the tiny model, over both made into MPNet's, and over the latter with every
//! combination of the normalizer's flags.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Instant;

use minilm::DEFAULT_MODEL;
use minilm::resolve::{ResolveOptions, resolve};
use minilm_tests::golden;
use minilm_tests::mixed_texts::{MPNet, Parts, marks_are_reordered};
use minilm_tokenizer::{Backend, Tokenizer};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// Both backends of one tokenizer.
struct Pair {
    name: String,
    parts: Parts,
    wordpiece: Tokenizer,
    by_crate: Tokenizer,
}

impl Pair {
    fn load(name: &str, path: &Path, max_seq_length: usize) -> Pair {
        let pair = Pair {
            name: name.to_owned(),
            parts: Parts::of(&std::fs::read_to_string(path).unwrap()),
            wordpiece: Tokenizer::from_file(path, max_seq_length).unwrap(),
            by_crate: Tokenizer::from_file_by_tokenizers_crate(path, max_seq_length).unwrap(),
        };
        assert_eq!(pair.wordpiece.backend(), Backend::WordPiece, "{name}");
        assert_eq!(pair.by_crate.backend(), Backend::TokenizersCrate, "{name}");
        assert_eq!(pair.wordpiece.vocab_size(), pair.by_crate.vocab_size(), "{name}");
        pair
    }

    fn lowercased(self) -> Pair {
        Pair {
            name: self.name + ", lower-cased first",
            wordpiece: self.wordpiece.lowercased().unwrap(),
            by_crate: self.by_crate.lowercased().unwrap(),
            ..self
        }
    }

    #[track_caller]
    fn compare(&self, text: &str) {
        let (found, expected) = (self.wordpiece.encode(text).unwrap(), self.by_crate.encode(text).unwrap());
        assert_eq!(found, expected, "{}: {text:?}", self.name);

        let (mut found, mut expected) = (Vec::new(), Vec::new());
        self.wordpiece.offsets_into(text, &mut found).unwrap();
        self.by_crate.offsets_into(text, &mut expected).unwrap();
        if marks_are_reordered(text) {
            // By the crate, each has the place of the mark that was where it is now.
            for tokens in [&mut found, &mut expected] {
                tokens.iter_mut().for_each(|token| (token.start, token.end) = (0, 0));
            }
        }
        assert_eq!(found, expected, "{}: {text:?}", self.name);
    }
}

fn real_tokenizer() -> PathBuf {
    let model = resolve(DEFAULT_MODEL, &ResolveOptions::new()).expect("the model is found or fetched");
    model.directory().join("tokenizer.json")
}

/// The tiny model's, with all flags of the normalizer, some of them lower-cased first.
fn variants() -> Vec<Pair> {
    let json = std::fs::read_to_string(golden::tiny_bert().join("tokenizer.json")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    let mut pairs = Vec::new();
    for number in 0..24 {
        let [clean, chinese, lower] = [1, 2, 4].map(|bit| number & bit != 0);
        let strip = ["null", "false", "true"][number / 8];
        let normalizer = format!(
            r#"{{"type": "BertNormalizer", "clean_text": {clean}, "handle_chinese_chars": {chinese}, "strip_accents": {strip}, "lowercase": {lower}}}"#
        );
        let start = json.find(r#"{"type": "BertNormalizer""#).unwrap();
        let end = start + json[start..].find('}').unwrap() + 1;
        std::fs::write(&path, [&json[..start], &normalizer, &json[end..]].concat()).unwrap();
        pairs.push(Pair::load(&normalizer, &path, 24));
        if !lower {
            pairs.push(Pair::load(&normalizer, &path, 24).lowercased());
        }
    }
    pairs
}

/// The real one, and the real one made into MPNet's, cased and uncased, first.
static PAIRS: LazyLock<Vec<Pair>> = LazyLock::new(|| {
    let real = real_tokenizer();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    let mut pairs = vec![Pair::load("all-MiniLM-L6-v2", &real, 256)];
    let json = std::fs::read_to_string(&real).unwrap();
    for variant in [MPNet::default(), MPNet { cased: true, trim_offsets: false, mask: "lstrip" }] {
        std::fs::write(&path, variant.of(&json)).unwrap();
        pairs.push(Pair::load(&format!("{variant:?}"), &path, 256));
    }
    let tiny = std::fs::read_to_string(golden::tiny_bert().join("tokenizer.json")).unwrap();
    for mask in ["lstrip", "rstrip", "normalized"] {
        std::fs::write(&path, MPNet { cased: mask == "rstrip", trim_offsets: true, mask }.of(&tiny)).unwrap();
        let pair = || Pair::load(&format!("tiny MPNet, {mask}"), &path, 24);
        pairs.push(if mask == "rstrip" { pair().lowercased() } else { pair() });
    }
    pairs.extend(variants());
    pairs
});

#[test]
fn golden_texts() {
    for text in golden::texts("texts").iter().chain(&golden::texts("tiny-bert")) {
        PAIRS.iter().for_each(|pair| pair.compare(&text.text));
    }
}

/// Alone, in a word, behind a letter and before a mark: all that Unicode has.
#[test]
fn every_character() {
    for c in '\0'..=char::MAX {
        let text = format!("{c} a{c}b, \u{302e}{c}\u{301}");
        // The real one, and one of the others in turn.
        PAIRS[0].compare(&text);
        PAIRS[1 + c as usize % (PAIRS.len() - 1)].compare(&text);
    }
}

#[test]
fn peculiar_texts() {
    let marks = "\u{302e}\u{301}\u{16ff0}\u{8d3}\u{323}\u{0f73}\u{1d165}".repeat(30);
    let long = |n| "ñ".repeat(n) + "x";
    let texts = [
        "",
        "\0",
        "[CLS]",
        "[MASK][MASK] [MASK]x[SEP]]",
        "[[MASK]",
        "[mask] [MASK",
        "a[MASK]b ##a ##ing",
        "a\u{1}b\u{300}\u{2}\u{302e}c",
        "İstanbul DİYARBAKIR ışık",
        "ΟΔΥΣΣΕΥΣ ὈΔΥΣΣΕΎΣ",
        "e\u{301} \u{301}e é É \u{301}",
        "\u{e000}\u{fffd}\u{10ffff} a\u{fffd}b",
        "👨‍👩‍👧‍👦 a🏽b",
        "中文字\u{2b820}\u{2b920}\u{f900}漢",
        "한국어 \u{1112}\u{1161}\u{11ab}",
        "naïve façade",
        "<mask>  <mask>\u{3000}x <mask>\n中<mask>中 <MASK> <m\u{301}ask> \u{226e}mask>",
        " <mask>",
        "\u{3000}<mask>\u{85} ",
        "a<unk> <UNK>b [unk]<s>  </s> \u{1}<unk>\u{1} <mask>\u{301}",
        "\u{2028}a\u{3000}b\u{85}c",
        "foo_bar#baz ## #",
        &marks,
        &format!("a{marks}b"),
    ];
    for pair in PAIRS.iter() {
        texts.iter().for_each(|text| pair.compare(text));
        // At most 100 characters are a word.
        for n in [98, 99, 100, 127, 128, 129, 1_000] {
            pair.compare(&long(n));
            pair.compare(&"a".repeat(n));
            pair.compare(&format!("{}\u{301}\u{1}", "a".repeat(n)));
            pair.compare(&format!("{}中", "Ab".repeat(n)));
        }
        pair.compare(&"long text, very Long téxt. ".repeat(2_000));
    }
}

/// The parts of a text that is cut between words, white space at the cut aside, have the tokens of the whole.
#[test]
fn words_add_up() {
    for pair in PAIRS.iter().filter(|pair| pair.wordpiece.words_add_up()) {
        let mut random = SplitMix64(7);
        let (mut whole, mut part, mut cuts) = (Vec::new(), Vec::new(), 0);
        for _ in 0..60 {
            let bytes: Vec<u8> = (0..16).flat_map(|_| random.next().to_le_bytes()).collect();
            let text = pair.parts.texts(&bytes).join("\n");
            pair.wordpiece.offsets_into(&text, &mut whole).unwrap();
            let mut end = 0;
            for (index, token) in whole.iter().enumerate() {
                let between = token.begins_word && token.start >= end;
                end = end.max(token.end);
                if !between {
                    continue;
                }
                for (part_of, tokens) in [
                    (text[..token.start].trim(), &whole[..index]),
                    (text[token.start..].trim(), &whole[index..]),
                ] {
                    pair.wordpiece.offsets_into(part_of, &mut part).unwrap();
                    assert!(
                        part.iter().map(|t| t.id).eq(tokens.iter().map(|t| t.id)),
                        "{}: {part_of:?}",
                        pair.name
                    );
                }
                cuts += 1;
            }
        }
        assert!(cuts > 500, "{cuts} cuts");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("failures"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn mixed_texts(bytes in vec(any::<u8>(), 0..300)) {
        for pair in PAIRS.iter() {
            pair.parts.texts(&bytes).iter().for_each(|text| pair.compare(text));
        }
    }

    #[test]
    fn any_string(text in ".*") {
        PAIRS.iter().for_each(|pair| pair.compare(&text));
    }
}

/// `cargo test -p minilm-tests --test engine -- --ignored --nocapture ten_million`
///
/// 2026-11-25, seed 1: 10,000,009 texts of 270,789,475 tokens and 2,027,290,537 bytes, equal (as `dev` builds it, debug assertions on;
/// 43 minutes beside other work).
#[test]
#[ignore = "ten million texts take 43 minutes, too long for every run; run on 2026-11-25, the result stands above"]
fn ten_million_texts() {
    const TEXTS: u64 = 10_000_000;
    // Another seed makes other texts.
    let seed = std::env::var("MINILM_TEXTS_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let mut random = SplitMix64(seed);
    let (start, mut compared, mut tokens, mut bytes_read) = (Instant::now(), 0, 0, 0);
    let mut ids = [Vec::new(), Vec::new()];
    for round in 0.. {
        if compared >= TEXTS {
            break;
        }
        // Every second round the real one.
        let index = if round % 2 == 0 { 0 } else { 1 + round / 2 % (PAIRS.len() - 1) };
        let pair = &PAIRS[index];
        let bytes: Vec<u8> = (0..64).flat_map(|_| random.next().to_le_bytes()).collect();
        for text in pair.parts.texts(&bytes) {
            let found = pair.wordpiece.encode_into(&text, &mut ids[0]).unwrap();
            let expected = pair.by_crate.encode_into(&text, &mut ids[1]).unwrap();
            assert_eq!((found, &ids[0]), (expected, &ids[1]), "round {round}, {}: {text:?}", pair.name);
            (compared, tokens, bytes_read) = (compared + 1, tokens + found, bytes_read + text.len());
        }
        if round % 100_000 == 0 {
            println!("{compared} texts, {:.0} s", start.elapsed().as_secs_f64());
        }
    }
    println!("seed {seed}: {compared} texts, {tokens} tokens, {bytes_read} bytes: equal");
    assert!(compared >= TEXTS && tokens as u64 > 5 * TEXTS);
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
