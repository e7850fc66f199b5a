//! `vocab.txt` without a `tokenizer.json`, against what `transformers` makes of the same folder
//! (`fixtures/golden/vocab-tokenizer.json`), and what is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use minilm_tokenizer::{Backend, Tokenizer, TokenizerError};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    vocab: Vec<String>,
    files: BTreeMap<String, Value>,
    ids: Vec<Vec<u32>>,
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn tiny_vocabulary() -> String {
    std::fs::read_to_string(fixtures().join("tiny-bert/vocab.txt")).unwrap()
}

fn folder(vocab_txt: &str, files: &BTreeMap<String, Value>) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("vocab.txt"), vocab_txt).unwrap();
    for (name, content) in files {
        std::fs::write(directory.path().join(name), content.to_string()).unwrap();
    }
    directory
}

#[test]
fn ids_are_those_of_transformers() {
    let golden = std::fs::read(fixtures().join("golden/vocab-tokenizer.json")).unwrap();
    let golden: Golden = serde_json::from_slice(&golden).unwrap();
    let mut by_the_crate = Vec::new();
    for case in &golden.cases {
        let vocab_txt =
            case.vocab.join("\n").replace("{tiny-bert}", tiny_vocabulary().trim_end_matches('\n')) + "\n";
        let directory = folder(&vocab_txt, &case.files);
        let tokenizer = Tokenizer::from_folder(directory.path(), 512).unwrap();
        if tokenizer.backend() == Backend::TokenizersCrate {
            by_the_crate.push(&*case.name);
        }
        for (text, ids) in golden.texts.iter().zip(&case.ids) {
            assert_eq!(&tokenizer.encode(text).unwrap().ids, ids, "{}: {text:?}", case.name);
        }
        // Python reads \r\n as \n.
        std::fs::write(directory.path().join("vocab.txt"), vocab_txt.replace('\n', "\r\n")).unwrap();
        let windows = Tokenizer::from_folder(directory.path(), 512).unwrap();
        for text in &golden.texts {
            assert_eq!(windows.encode(text).unwrap(), tokenizer.encode(text).unwrap(), "{}", case.name);
        }
    }
    assert_eq!((golden.cases.len(), golden.texts.len()), (25, 20));
    assert_eq!(by_the_crate, ["tokens twice, empty lines", "a token that is one word"]);
}

/// As with transformers: those that have a name are special whatever their objects say.
#[test]
fn special_tokens_are_left_out_of_texts() {
    let objects = json!({"tokenizer_config.json": {
        "tokenizer_class": "BertTokenizer",
        "mask_token": {"__type": "AddedToken", "content": "[MASK]"},
        "additional_special_tokens": ["[NEW]"],
        "added_tokens_decoder": {
            "301": {"content": "[NEW]", "special": false}, "302": {"content": "[OTHER]", "special": false}
        }
    }});
    let directory = folder(&tiny_vocabulary(), &serde_json::from_value(objects).unwrap());
    let tokenizer = Tokenizer::from_folder(directory.path(), 32).unwrap();
    let ids = tokenizer.encode("the [MASK] of [NEW] and [OTHER]").unwrap().ids;
    let text = tokenizer.decode(&ids, false).unwrap();
    assert_eq!(text, "[CLS] the [MASK] of [NEW] and [OTHER] [SEP]");
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "the of and [OTHER]");
}

fn refused(vocab_txt: &str, files: Value) -> TokenizerError {
    let files: BTreeMap<String, Value> = serde_json::from_value(files).unwrap();
    Tokenizer::from_folder(folder(vocab_txt, &files).path(), 32).unwrap_err()
}

/// One more than there may be.
fn many(token: impl Fn(usize) -> (String, Value)) -> Value {
    (0..65_537).map(token).collect::<serde_json::Map<_, _>>().into()
}

/// Four billion comparisons, if every token were compared with every line.
#[test]
fn many_added_tokens() {
    let vocab_txt: String = ["[UNK]\n[CLS]\n[SEP]\n".to_owned()]
        .into_iter()
        .chain((0..100_000).map(|i| format!("w{i}\n")))
        .collect();
    let added: serde_json::Map<_, _> = (0..20_000).map(|i| (format!("new{i}"), json!(i))).collect();
    let special: Vec<String> = (0..20_000).map(|i| format!("special{i}")).collect();
    let files = json!({
        "added_tokens.json": added, "special_tokens_map.json": {"additional_special_tokens": special}
    });
    let directory = folder(&vocab_txt, &serde_json::from_value(files).unwrap());
    let started = std::time::Instant::now();
    let tokenizer = Tokenizer::from_folder(directory.path(), 32).unwrap();
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    assert_eq!(tokenizer.encode("w99999 new7 special19999").unwrap().ids.len(), 5);
}

#[test]
fn other_tokenizers_are_refused_by_name() {
    let config = |settings: Value| json!({"tokenizer_config.json": settings});
    for (files, says) in [
        (config(json!({"tokenizer_class": "RobertaTokenizer"})), "tokenizer_class is \"RobertaTokenizer\""),
        (
            config(json!({"tokenizer_class": "BertJapaneseTokenizer"})),
            "tokenizer_class is \"BertJapaneseTokenizer\"",
        ),
        (config(json!({"tokenizer_class": "PreTrainedTokenizerFast"})), "needs a tokenizer.json"),
        (json!({"config.json": {"tokenizer_class": "T5Tokenizer"}}), "tokenizer_class is \"T5Tokenizer\""),
        (json!({"config.json": {"model_type": "xlm-roberta"}}), "model_type is \"xlm-roberta\""),
        (config(json!({"do_basic_tokenize": false})), "do_basic_tokenize is false"),
        (config(json!({"split_special_tokens": true})), "split_special_tokens is true"),
        (config(json!({"extra_special_tokens": {"image_token": "[IMAGE]"}})), "extra_special_tokens is"),
        (config(json!({"do_lower_case": "no"})), "invalid type: string \"no\""),
        (config(json!({"mask_token": {"content": "[MASK]"}})), "mask_token is neither"),
        (config(json!({"mask_token": 7})), "mask_token is neither"),
        (config(json!({"additional_special_tokens": "[NEW]"})), "additional_special_tokens is not a list"),
        (
            config(json!({"added_tokens_decoder": {"x": {"content": "[NEW]"}}})),
            "added_tokens_decoder has \"x\"",
        ),
        (config(json!({"sep_token": null})), "sep_token is null"),
        (config(json!([])), "invalid"),
        (
            json!({"special_tokens_map.json": {"mask_token": {"text": "[MASK]"}}}),
            "special_tokens_map.json: mask_token",
        ),
        (json!({"added_tokens.json": ["[NEW]"]}), "added_tokens.json: invalid"),
        (
            json!({"added_tokens.json": many(|i| (format!("[{i}]"), json!(i)))}),
            "added_tokens.json: the file has 65537 tokens, expected at most 65536",
        ),
        (
            config(json!({"added_tokens_decoder": many(|i| (i.to_string(), json!({"content": "[NEW]"})))})),
            "added_tokens_decoder has 65537 tokens",
        ),
        (
            config(json!({"additional_special_tokens": vec!["[NEW]"; 65_537]})),
            "additional_special_tokens has 65537 tokens",
        ),
    ] {
        let error = refused(&tiny_vocabulary(), files.clone());
        assert!(matches!(error, TokenizerError::Settings { .. }), "{error}");
        let name = files.as_object().unwrap().keys().next().unwrap();
        assert!(error.to_string().contains(says) && error.to_string().contains(name), "{error}");
    }
}

#[test]
fn vocabularies_without_the_tokens_that_are_needed() {
    for token in ["[UNK]", "[CLS]", "[SEP]"] {
        let error = refused(&tiny_vocabulary().replace(&format!("{token}\n"), "x\n"), json!({}));
        assert!(matches!(error, TokenizerError::Vocabulary { .. }), "{error}");
        let says = format!("vocab.txt: the token {token:?} is not in it");
        assert!(error.to_string().ends_with(&says), "{error}");
    }
    assert!(refused("", json!({})).to_string().ends_with("the token \"[UNK]\" is not in it"));
    let directory = folder("", &BTreeMap::new());
    std::fs::write(directory.path().join("vocab.txt"), b"\xff").unwrap();
    let error = Tokenizer::from_folder(directory.path(), 32).unwrap_err();
    assert!(error.to_string().contains("vocab.txt: not UTF-8"), "{error}");
}

#[test]
fn what_a_folder_has() {
    let empty = tempfile::tempdir().unwrap();
    let error = Tokenizer::from_folder(empty.path(), 32).unwrap_err();
    assert!(matches!(error, TokenizerError::NotFound { .. }), "{error}");
    assert!(error.to_string().ends_with("has neither a tokenizer.json nor a vocab.txt"), "{error}");

    let directory = folder(&tiny_vocabulary(), &BTreeMap::new());
    let error = Tokenizer::from_folder(directory.path(), 2).unwrap_err();
    assert!(error.to_string().contains("vocab.txt puts 2 special tokens"), "{error}");
    // tokenizer.json goes before vocab.txt, whatever it is.
    copy_tokenizer_json(directory.path());
    let tokenizer = Tokenizer::from_folder(directory.path(), 32).unwrap();
    let expected = Tokenizer::from_file(directory.path().join("tokenizer.json"), 32).unwrap();
    assert_eq!(tokenizer.encode("the fox").unwrap(), expected.encode("the fox").unwrap());
    std::fs::write(directory.path().join("tokenizer.json"), "{}").unwrap();
    let error = Tokenizer::from_folder(directory.path(), 32).unwrap_err();
    assert!(matches!(error, TokenizerError::Invalid { .. }), "{error}");
}

fn copy_tokenizer_json(directory: &Path) {
    std::fs::copy(fixtures().join("tiny-bert/tokenizer.json"), directory.join("tokenizer.json")).unwrap();
}
