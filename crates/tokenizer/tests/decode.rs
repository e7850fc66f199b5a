//! From ids back to tokens and texts: both backends beside the `tokenizers` crate, and beside what transformers gave
//! (`fixtures/decode.py`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use minilm_tokenizer::{Backend, TokenizeOptions, Tokenizer, TokenizerError, TruncationSide};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::FileFailurePersistence;
use serde::Deserialize;
use serde_json::{Value, json};

#[expect(unreachable_pub, reason = "of a library, there")]
#[path = "../../../tests/src/mixed_texts.rs"]
mod mixed_texts;

use mixed_texts::{MPNet, Parts, marks_are_reordered};

const LIMIT: usize = 16;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn read(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixtures().join(path)).unwrap()).unwrap()
}

/// A `tokenizer.json`, as it is loaded, by the `tokenizers` crate behind the same functions, and by that crate itself.
struct Compared {
    name: String,
    found: Tokenizer,
    by_crate: Tokenizer,
    reference: tokenizers::Tokenizer,
    /// The ids that tokens have.
    ids: Vec<u32>,
}

impl Compared {
    fn load(name: String, json: &Value) -> Compared {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokenizer.json");
        std::fs::write(&path, json.to_string()).unwrap();
        let found = Tokenizer::from_file(&path, LIMIT).unwrap();
        let by_crate = Tokenizer::from_file_by_tokenizers_crate(&path, LIMIT).unwrap();
        let mut reference = tokenizers::Tokenizer::from_file(&path).unwrap();
        reference.with_padding(None).with_truncation(None).unwrap();
        let mut ids: Vec<u32> = reference.get_vocab(true).into_values().collect();
        ids.sort_unstable();
        Compared { name, found, by_crate, reference, ids }
    }

    #[track_caller]
    fn decode(&self, ids: &[u32]) {
        let added = self.reference.get_added_vocabulary();
        let is_special = |&id: &u32| added.is_special_token(&self.reference.id_to_token(id).unwrap());
        for skip in [false, true] {
            // The crate's decoder of BPE panics at no tokens, with debug assertions.
            let none = ids.is_empty() || skip && ids.iter().all(is_special);
            let expected = if none { String::new() } else { self.reference.decode(ids, skip).unwrap() };
            assert_eq!(self.found.decode(ids, skip).unwrap(), expected, "{}: {ids:?}", self.name);
            assert_eq!(self.by_crate.decode(ids, skip).unwrap(), expected, "{}: {ids:?}", self.name);
        }
    }

    #[track_caller]
    fn readable(&self, text: &str) {
        let added = self.reference.get_added_vocabulary();
        for add_special_tokens in [true, false] {
            let expected = self.reference.encode_char_offsets(text, add_special_tokens).unwrap();
            let whole = TokenizeOptions::default().add_special_tokens(add_special_tokens).truncation(false);
            for tokenizer in [&self.found, &self.by_crate] {
                let found = tokenizer.readable_tokens(text, &whole).unwrap();
                let name = (&self.name, tokenizer.backend(), text);
                assert_eq!((found.total, found.truncated()), (expected.len(), false), "{name:?}");
                assert!(
                    found.tokens.iter().map(|token| token.id).eq(expected.get_ids().to_vec()),
                    "{name:?}"
                );
                let places = expected.get_offsets().iter().zip(expected.get_special_tokens_mask());
                for (token, (&(start, end), &is_around)) in found.tokens.iter().zip(places) {
                    let in_vocabulary = self.reference.id_to_token(token.id).unwrap();
                    assert_eq!(token.is_special, added.is_special_token(&in_vocabulary), "{name:?}");
                    assert_eq!(token.text, in_vocabulary, "{name:?}");
                    assert_eq!(token.span.is_none(), is_around == 1, "{name:?}");
                    let Some(span) = &token.span else { continue };
                    let part: String = text.chars().skip(span.chars.start).take(span.chars.len()).collect();
                    assert_eq!(text[span.bytes.clone()], part, "{name:?}");
                    // By the crate, marks that are reordered have each other's places.
                    if !marks_are_reordered(text) {
                        assert_eq!(span.chars, start..end, "{name:?}");
                    }
                }
            }
            self.truncated(text, &whole.truncation(true));
        }
    }

    /// The ids are those of `encode`, or what is between its special tokens.
    fn truncated(&self, text: &str, options: &TokenizeOptions) {
        let around = if options.add_special_tokens { 0 } else { self.found.special_tokens() };
        for side in [None, Some(TruncationSide::Left), Some(TruncationSide::Right)] {
            let options = side.map_or(*options, |side| options.truncation_side(side));
            let side = side.unwrap_or(self.found.truncation_side());
            for tokenizer in [&self.found, &self.by_crate] {
                let found = tokenizer.readable_tokens(text, &options).unwrap();
                let expected = tokenizer.encode_truncated(text, side).unwrap();
                let ids = &expected.ids[around / 2..expected.ids.len() - around / 2];
                assert!(found.tokens.iter().map(|t| t.id).eq(ids.to_vec()), "{}: {text:?}", self.name);
                assert_eq!(found.total + around, expected.total, "{}: {text:?}", self.name);
                assert_eq!(found.truncated(), expected.truncated(), "{}: {text:?}", self.name);
            }
        }
    }
}

static COMPARED: LazyLock<Vec<Compared>> = LazyLock::new(|| {
    let names = ["bert", "bert-dense", "distilbert", "mpnet", "roberta", "xlm-roberta", "multilingual-bert"];
    let path = |name: &str| format!("tiny-{name}/tokenizer.json");
    let mut all: Vec<_> = names.map(|name| Compared::load(name.to_owned(), &read(&path(name)))).into();
    let bert = read(&path("bert"));
    for (prefix, cleanup) in [("##", false), ("", true), ("t", true), ("##t", true)] {
        let mut json = bert.clone();
        json["decoder"] = json!({"type": "WordPiece", "prefix": prefix, "cleanup": cleanup});
        all.push(Compared::load(format!("decoder {}", json["decoder"]), &json));
    }
    for decoder in [Value::Null, json!({"type": "BPEDecoder", "suffix": "e"}), json!({"type": "Fuse"})] {
        let mut json = bert.clone();
        json["decoder"] = decoder;
        all.push(Compared::load(format!("decoder {}", json["decoder"]), &json));
    }
    // Tokens with what is cleaned up in them, and one that continues nothing.
    let mut json = bert.clone();
    for (index, token) in
        ["##", "n't", "##n't", "a do not", " 's", "x 've 're", " ", "", "## ."].into_iter().enumerate()
    {
        let first = bert["model"]["vocab"].as_object().unwrap().len();
        json["model"]["vocab"][token] = (first + index).into();
    }
    all.push(Compared::load("tokens to clean up".to_owned(), &json));
    for variant in [MPNet::default(), MPNet { cased: true, trim_offsets: false, mask: "normalized" }] {
        let json = serde_json::from_str(&variant.of(&bert.to_string())).unwrap();
        all.push(Compared::load(format!("{variant:?}"), &json));
    }
    let by_wordpiece = all.iter().filter(|compared| compared.found.backend() == Backend::WordPiece);
    assert_eq!((by_wordpiece.count(), all.len()), (12, 17));
    all
});

static PARTS: LazyLock<Parts> = LazyLock::new(|| {
    Parts::of(&std::fs::read_to_string(fixtures().join("tiny-bert/tokenizer.json")).unwrap())
});

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("failures"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn ids_of_texts(which in any::<Index>(), bytes in vec(any::<u8>(), 0..300)) {
        let compared = which.get(&COMPARED);
        for text in PARTS.texts(&bytes) {
            compared.decode(compared.reference.encode_fast(&*text, true).unwrap().get_ids());
            compared.readable(&text);
        }
    }

    #[test]
    fn any_ids(which in any::<Index>(), ids in vec(any::<Index>(), 0..60)) {
        let compared = which.get(&COMPARED);
        compared.decode(&ids.iter().map(|id| *id.get(&compared.ids)).collect::<Vec<_>>());
    }
}

/// Each alone, behind another, and before another.
#[test]
fn every_token() {
    for compared in COMPARED.iter() {
        for pair in compared.ids.windows(2) {
            compared.decode(&pair[..1]);
            compared.decode(pair);
        }
    }
}

#[derive(Deserialize)]
struct Decoded {
    ids: Vec<u32>,
    tokens: Vec<String>,
    /// Which of them are special.
    special: Vec<usize>,
    text: String,
    text_without_special_tokens: String,
}

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    models: BTreeMap<String, Vec<Decoded>>,
}

#[test]
fn ids_decode_as_with_transformers() {
    let Golden { texts, models } = serde_json::from_value(read("golden/decode.json")).unwrap();
    assert_eq!(models.len(), 8);
    let mut tokens = 0;
    for (name, lists) in models {
        let tokenizer = Tokenizer::from_folder(fixtures().join(&name), 128).unwrap();
        for (index, golden) in lists.iter().enumerate() {
            let ids = &golden.ids;
            assert_eq!(tokenizer.decode(ids, false).unwrap(), golden.text, "{name}: {ids:?}");
            let text = tokenizer.decode(ids, true).unwrap();
            assert_eq!(text, golden.text_without_special_tokens, "{name}: {ids:?}");
            // The last are no text's.
            let Some(text) = texts.get(index) else { continue };
            let readable = tokenizer.readable_tokens(text, &TokenizeOptions::default()).unwrap().tokens;
            let special = readable.iter().enumerate().filter(|(_, token)| token.is_special);
            assert!(special.map(|(index, _)| index).eq(golden.special.clone()), "{name}: {text:?}");
            assert!(readable.iter().map(|token| &token.text).eq(&golden.tokens), "{name}: {text:?}");
            tokens += readable.len();
        }
    }
    assert!(tokens > 500, "{tokens}");
}

/// As with `tokenizers` 0.22, which transformers has; 0.23 decodes it to its normalized text, which it does not know for a special
/// token's then.
#[test]
fn a_normalized_token_keeps_its_text() {
    let mut json = read("tiny-bert/tokenizer.json");
    let id = json["model"]["vocab"].as_object().unwrap().len();
    json["added_tokens"].as_array_mut().unwrap().push(json!({
        "id": id, "content": "[NEW]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": true,
        "special": true
    }));
    let Compared { found, by_crate, .. } = Compared::load("[NEW]".to_owned(), &json);
    assert_eq!(found.backend(), Backend::WordPiece);
    for tokenizer in [found, by_crate] {
        let ids = tokenizer.encode("the [new] cat").unwrap().ids;
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), "[CLS] the [NEW] cat [SEP]");
        assert_eq!(tokenizer.decode(&ids, true).unwrap(), "the cat");
        let new =
            tokenizer.readable_tokens("the [new] cat", &TokenizeOptions::default()).unwrap().tokens.remove(2);
        let span = new.span.unwrap();
        assert_eq!((&*new.text, new.is_special, span.bytes, span.chars), ("[NEW]", true, 4..9, 4..9));
    }
}

#[test]
fn ids_that_no_token_has() {
    for Compared { found, by_crate, ids, .. } in COMPARED.iter() {
        for tokenizer in [found, by_crate] {
            assert_eq!(tokenizer.decode(&[], true).unwrap(), "");
            for unknown in [ids[ids.len() - 1] + 1, u32::MAX] {
                for skip in [false, true] {
                    let error = tokenizer.decode(&[ids[0], ids[1], unknown, unknown], skip).unwrap_err();
                    let said = error.to_string();
                    assert!(said.contains(&unknown.to_string()) && said.contains("tokenizer.json"), "{said}");
                    let TokenizerError::UnknownId { id, index: 2, .. } = error else { panic!("{error}") };
                    assert_eq!(id, unknown);
                }
            }
        }
    }
}

/// The crate panics at them.
#[test]
fn decoders_that_fail() {
    let mut json = read("tiny-bert/tokenizer.json");
    json["decoder"] = json!({"type": "Strip", "content": "a", "start": 0, "stop": 2});
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    std::fs::write(&path, json.to_string()).unwrap();
    let tokenizer = Tokenizer::from_file(&path, LIMIT).unwrap();
    let ids = |text: &str| tokenizer.encode(text).unwrap().ids;
    assert_eq!(tokenizer.decode(&ids("the"), true).unwrap(), "the");
    let error = tokenizer.decode(&ids("a"), true).unwrap_err();
    assert!(matches!(error, TokenizerError::Decode { .. }), "{error}");
}
