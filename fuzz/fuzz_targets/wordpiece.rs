//! Texts of many scripts: the WordPiece of `minilm-tokenizer` finds what the `tokenizers` crate finds, ids, counts and
//! cuts and offsets, and makes the same text of the ids, with the tokenizer of the real model, that of `fixtures/tiny-bert` under
//! every normalizer, and both made into MPNet's.
//!
//! The first byte of an input chooses the tokenizer, the others make some texts (`tests/src/mixed_texts.rs`); how many
//! were compared is printed every 100,000. `MINILM_TOKENIZER_JSON` names the real `tokenizer.json`; without it, it is
//! looked for in the Hugging Face cache.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use libfuzzer_sys::fuzz_target;
use minilm_tokenizer::{Backend, TokenOffsets, Tokenizer};

#[path = "../../tests/src/mixed_texts.rs"]
mod mixed_texts;

use mixed_texts::{MPNet, Parts};

struct Pair {
    parts: Parts,
    wordpiece: Tokenizer,
    by_crate: Tokenizer,
}

impl Pair {
    fn load(path: &Path, max_seq_length: usize) -> Pair {
        let json = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let wordpiece = Tokenizer::from_file(path, max_seq_length).expect("a tokenizer");
        assert_eq!(wordpiece.backend(), Backend::WordPiece);
        let by_crate = Tokenizer::from_file_by_tokenizers_crate(path, max_seq_length).expect("a tokenizer");
        Pair { parts: Parts::of(&json), wordpiece, by_crate }
    }
}

/// The real one is every fourth of them, and so is the real one made into MPNet's.
static PAIRS: LazyLock<Vec<Pair>> = LazyLock::new(|| {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tiny-bert/tokenizer.json");
    let json = std::fs::read_to_string(&tiny).expect("the tiny model is committed");
    let start = json.find(r#"{"type": "BertNormalizer""#).expect("a normalizer");
    let end = start + json[start..].find('}').expect("its end") + 1;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("tokenizer.json");
    let mut pairs = Vec::new();
    for number in 0..24 {
        let [clean, chinese, lower] = [1, 2, 4].map(|bit| number & bit != 0);
        let strip = ["null", "false", "true"][number / 8];
        let normalizer = format!(
            r#"{{"type": "BertNormalizer", "clean_text": {clean}, "handle_chinese_chars": {chinese}, "strip_accents": {strip}, "lowercase": {lower}}}"#
        );
        let changed = [&json[..start], &normalizer, &json[end..]].concat();
        std::fs::write(&path, changed).expect("the temporary file can be written");
        pairs.push(Pair::load(&path, 24));
        if !lower {
            let Pair { parts, wordpiece, by_crate } = Pair::load(&path, 24);
            let lowercased = |tokenizer: Tokenizer| tokenizer.lowercased().expect("plain added tokens");
            pairs.push(Pair { parts, wordpiece: lowercased(wordpiece), by_crate: lowercased(by_crate) });
        }
    }
    for mask in ["lstrip", "rstrip", "normalized"] {
        let variant = MPNet { cased: mask == "rstrip", trim_offsets: mask != "normalized", mask };
        std::fs::write(&path, variant.of(&json)).expect("the temporary file can be written");
        pairs.push(Pair::load(&path, 24));
    }
    let real = real_tokenizer();
    let json = std::fs::read_to_string(&real).expect("it was found");
    std::fs::write(&path, MPNet::default().of(&json)).expect("the temporary file can be written");
    pairs.push(Pair::load(&path, 256));
    pairs.push(Pair::load(&real, 256));
    pairs
});

fn real_tokenizer() -> PathBuf {
    if let Some(path) = std::env::var_os("MINILM_TOKENIZER_JSON") {
        return path.into();
    }
    let variable = |name: &str, rest: &str| std::env::var_os(name).map(|value| Path::new(&value).join(rest));
    let hub = variable("HF_HUB_CACHE", "")
        .or_else(|| variable("HF_HOME", "hub"))
        .or_else(|| variable("HOME", ".cache/huggingface/hub"))
        .expect("a home directory, or MINILM_TOKENIZER_JSON");
    let snapshots = hub.join("models--sentence-transformers--all-MiniLM-L6-v2/snapshots");
    let entries = std::fs::read_dir(&snapshots)
        .unwrap_or_else(|e| panic!("{}: {e}; MINILM_TOKENIZER_JSON names another", snapshots.display()));
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path().join("tokenizer.json")));
    paths.find(|path| path.is_file()).expect("a snapshot with a tokenizer.json")
}

static COMPARED: AtomicU64 = AtomicU64::new(0);

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let others = PAIRS.len() - 2;
    let pair =
        &PAIRS[if first < 128 { others + usize::from(first % 2) } else { usize::from(first - 128) % others }];
    for text in pair.parts.texts(bytes) {
        let found = pair.wordpiece.encode(&text).expect("there is an unknown token");
        let expected = pair.by_crate.encode(&text).expect("there is an unknown token");
        assert_eq!(found, expected, "{:?}: {text:?}", pair.by_crate);
        for skip_special_tokens in [false, true] {
            let [found, expected] = [&pair.wordpiece, &pair.by_crate].map(|tokenizer| {
                tokenizer.decode(&expected.ids, skip_special_tokens).expect("ids of tokens")
            });
            assert_eq!(found, expected, "{:?}: {text:?}", pair.by_crate);
        }
        let [found, expected] = [&pair.wordpiece, &pair.by_crate].map(|tokenizer| {
            let mut tokens = Vec::new();
            tokenizer.offsets_into(&text, &mut tokens).expect("there is an unknown token");
            tokens
        });
        let places =
            |tokens: &[TokenOffsets]| tokens.iter().map(|t| (t.id, t.begins_word)).collect::<Vec<_>>();
        assert_eq!(places(&found), places(&expected), "{:?}: {text:?}", pair.by_crate);
        // By the crate, marks that are reordered have each other's places.
        if !mixed_texts::marks_are_reordered(&text) {
            assert_eq!(found, expected, "{:?}: {text:?}", pair.by_crate);
        }
        let compared = COMPARED.fetch_add(1, Ordering::Relaxed) + 1;
        if compared.is_multiple_of(100_000) {
            eprintln!("{compared} texts compared");
        }
    }
});
