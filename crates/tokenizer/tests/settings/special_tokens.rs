//! Special tokens and other added ones that settings add to a `tokenizer.json`, and the side that they cut
//! (`fixtures/golden/special-tokens.json`).

use std::collections::BTreeMap;

use minilm_tokenizer::{Backend, Tokenizer, TokenizerError, TruncationSide};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::folder::{Case, Golden, fixtures, read_json, write};

fn golden() -> Golden {
    Golden::read("special-tokens.json")
}

fn assert_golden(golden: &Golden, case: &Case, tokenizer: &Tokenizer) {
    let mut ids_into = Vec::new();
    for (text, ids) in golden.texts.iter().zip(&case.ids) {
        let tokens = tokenizer.encode(text).unwrap();
        assert_eq!(&tokens.ids, ids, "{}, {:?}: {text:?}", case.name, tokenizer.backend());
        assert_eq!(tokenizer.encode_into(text, &mut ids_into).unwrap(), tokens.total);
        assert_eq!(&ids_into, ids);
        // The whole text, whichever side would be cut.
        let pieces = tokenizer.encode_pieces(text).unwrap();
        let content: usize = pieces.iter().map(|piece| piece.len() - 2).sum();
        assert_eq!(content + 2, tokens.total, "{}: {text:?}", case.name);
    }
}

#[test]
fn ids_are_those_of_sentence_transformers() {
    let golden = golden();
    let mut by_the_crate = Vec::new();
    for case in &golden.cases {
        let tokenizer = case.load(&case.folder());
        if tokenizer.backend() == Backend::TokenizersCrate && !case.model.contains("roberta") {
            by_the_crate.push(&*case.name);
        }
        assert_golden(&golden, case, &tokenizer);
    }
    let expected =
        ["vocab.txt, cut on the left, words", "additional tokens of one word", "many additional tokens"];
    assert_eq!(by_the_crate, expected);
    assert_eq!((golden.cases.len(), golden.texts.len()), (58, 6));
}

#[test]
fn both_backends_do_the_same() {
    let golden = golden();
    for case in golden.cases.iter().filter(|case| case.has_tokenizer_json()) {
        let tokenizer = case.load_by_the_crate(&case.folder());
        assert_eq!(tokenizer.backend(), Backend::TokenizersCrate, "{}", case.name);
        assert_golden(&golden, case, &tokenizer);
        let either = case.load(&case.folder());
        for (ids, skip) in case.ids.iter().flat_map(|ids| [(ids, false), (ids, true)]) {
            let [text, expected] = [&either, &tokenizer].map(|by| by.decode(ids, skip).unwrap());
            assert_eq!(text, expected, "{}: {ids:?}", case.name);
        }
    }
}

#[derive(Deserialize)]
struct Decoded {
    ids: Vec<u32>,
    text: String,
    text_without_special_tokens: String,
}

/// Also of tokens that only settings have.
#[test]
fn ids_decode_as_with_transformers() {
    let mut decoded = read_json(&fixtures().join("golden/decode.json"));
    let decoded: BTreeMap<String, Vec<Decoded>> = serde_json::from_value(decoded["cases"].take()).unwrap();
    let golden = golden();
    for (name, lists) in &decoded {
        let case = golden.cases.iter().find(|case| case.name == *name).unwrap();
        let tokenizer = case.load(&case.folder());
        for Decoded { ids, text, text_without_special_tokens } in lists {
            assert_eq!(tokenizer.decode(ids, false).unwrap(), *text, "{name}: {ids:?}");
            assert_eq!(tokenizer.decode(ids, true).unwrap(), *text_without_special_tokens, "{name}: {ids:?}");
        }
    }
    assert!(decoded.len() >= 5);
}

/// What is in both, and which texts have it.
#[test]
fn it_is_known_whether_settings_add_tokens() {
    let golden = golden();
    let has = |name: &str| {
        let case = golden.cases.iter().find(|case| case.name == name).unwrap();
        let tokenizer = case.load(&case.folder());
        // Those that settings add are not counted.
        let file = Tokenizer::from_file(case.folder().path().join("tokenizer.json"), 32).unwrap();
        assert_eq!(tokenizer.vocab_size(), file.vocab_size(), "{name}");
        assert!(!file.has_tokens_of_settings());
        tokenizer.has_tokens_of_settings()
    };
    for name in ["no mask", "a list of what the file has", "padding of the file beside the class's"] {
        assert!(!has(name), "{name}");
    }
    for name in ["the mask of the class", "another mask", "a list, the mask otherwise", "padding of the file"]
    {
        assert!(has(name), "{name}");
    }
}

fn tiny(files: Value) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "tokenizer.json", &read_json(&fixtures().join("tiny-bert/tokenizer.json")));
    write(&directory, "config.json", &json!({"model_type": "bert"}));
    for (name, content) in files.as_object().unwrap() {
        write(&directory, name, content);
    }
    directory
}

#[test]
fn sides_of_texts() {
    let side = |files| Tokenizer::from_folder(tiny(files).path(), 32).unwrap().truncation_side();
    assert_eq!(side(json!({})), TruncationSide::Right);
    assert_eq!(side(json!({"tokenizer_config.json": {"truncation_side": "left"}})), TruncationSide::Left);
    let mut left = read_json(&fixtures().join("tiny-bert/tokenizer.json"));
    left["truncation"]["direction"] = "Left".into();
    let directory = tiny(json!({"tokenizer.json": left}));
    let path = directory.path().join("tokenizer.json");
    for tokenizer in
        [Tokenizer::from_file(&path, 5).unwrap(), Tokenizer::from_file_by_tokenizers_crate(&path, 5).unwrap()]
    {
        assert_eq!(tokenizer.truncation_side(), TruncationSide::Left);
        let [long, end] =
            ["the cat sat on the mat", "on the mat"].map(|text| tokenizer.encode(text).unwrap());
        assert_eq!((long.ids, long.total, end.total), (end.ids, 8, 5));
    }
}

#[test]
fn what_is_refused() {
    let token = |normalized: bool, special: bool| {
        json!({"content": "[NEW]", "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": normalized, "special": special})
    };
    let mut json = read_json(&fixtures().join("tiny-bert/tokenizer.json"));
    let mut own = token(true, false);
    own["id"] = 301.into();
    json["added_tokens"].as_array_mut().unwrap().push(own);
    let refused = |config: Value| {
        let files = json!({"tokenizer.json": json, "tokenizer_config.json": config});
        Tokenizer::from_folder(tiny(files).path(), 32).unwrap_err()
    };
    for special in [true, false] {
        let error = refused(json!({"added_tokens_decoder": {"301": token(false, special)}}));
        assert!(matches!(error, TokenizerError::Invalid { .. }), "{error}");
        let error = error.to_string();
        assert!(
            error.contains("the added token \"[NEW]\" has normalized true, and in the settings"),
            "{error}"
        );
    }
    for (config, says) in [
        (json!({"split_special_tokens": true}), "split_special_tokens is true"),
        (
            json!({"extra_special_tokens": {"image_token": "<img>"}}),
            "extra_special_tokens is {\"image_token\"",
        ),
        (json!({"mask_token": {"content": "[NEW]"}}), "mask_token is neither a string nor an AddedToken"),
        (json!({"additional_special_tokens": "[NEW]"}), "additional_special_tokens is not a list"),
        (
            json!({"added_tokens_decoder": {"x": token(true, true)}}),
            "added_tokens_decoder has \"x\", expected a number",
        ),
        (json!({"truncation_side": "Left"}), "unknown variant `Left`, expected `right` or `left`"),
    ] {
        let error = refused(config);
        assert!(matches!(error, TokenizerError::Settings { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("tokenizer_config.json: ") && error.contains(says), "{error}");
    }
}

/// Billions of comparisons, if every token were compared with every other.
#[test]
fn many_tokens() {
    let mut json = read_json(&fixtures().join("tiny-bert/tokenizer.json"));
    let token = |i: usize, lstrip: bool| {
        json!({"content": format!("[{i}]"), "single_word": false, "lstrip": lstrip, "rstrip": false,
               "normalized": false, "special": true})
    };
    let own = (0..60_000).map(|i| {
        let mut token = token(i, false);
        token["id"] = (301 + i).into();
        token
    });
    json["added_tokens"].as_array_mut().unwrap().extend(own);
    let list: serde_json::Map<_, _> =
        (0..60_000).map(|i| ((30_301 + i).to_string(), token(30_000 + i, true))).collect();
    let files = json!({"tokenizer.json": json, "tokenizer_config.json": {"added_tokens_decoder": list}});
    let directory = tiny(files);
    let started = std::time::Instant::now();
    let tokenizer = Tokenizer::from_folder(directory.path(), 32).unwrap();
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    // The last ones have the ids behind the file's own.
    let ids = tokenizer.encode("[0] [59999] [89999]").unwrap().ids;
    assert_eq!(ids, [9, 301, 60_300, 90_300, 14]);
}
