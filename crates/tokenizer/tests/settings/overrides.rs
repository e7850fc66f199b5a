//! Settings that replace those of a `tokenizer.json` (`fixtures/golden/tokenizer-overrides.json`).

use minilm_tokenizer::{Backend, Tokenizer, TokenizerError};
use serde_json::json;

use crate::folder::{Golden, fixtures, read_json, write};

fn golden() -> Golden {
    Golden::read("tokenizer-overrides.json")
}

#[test]
fn ids_are_those_of_sentence_transformers() {
    let golden = golden();
    for case in &golden.cases {
        let tokenizer = case.load(&case.folder());
        let wordpiece = !case.model.contains("roberta");
        assert_eq!(tokenizer.backend() == Backend::WordPiece, wordpiece, "{}", case.name);
        for (text, ids) in golden.texts.iter().zip(&case.ids) {
            assert_eq!(&tokenizer.encode(text).unwrap().ids, ids, "{}: {text:?}", case.name);
        }
        let mut tokens = Vec::new();
        for (text, offsets) in golden.texts.iter().zip(case.offsets.iter().flatten()) {
            tokenizer.offsets_into(text, &mut tokens).unwrap();
            let characters = |at: usize| text[..at].chars().count();
            let found: Vec<_> =
                tokens.iter().map(|token| (characters(token.start), characters(token.end))).collect();
            assert_eq!(&found, offsets, "{}: {text:?}", case.name);
        }
    }
    assert_eq!((golden.cases.len(), golden.texts.len()), (40, 11));
}

#[test]
fn both_backends_do_the_same() {
    let golden = golden();
    for case in golden.cases.iter().filter(|case| !case.model.contains("roberta")) {
        let tokenizer = case.load_by_the_crate(&case.folder());
        assert_eq!(tokenizer.backend(), Backend::TokenizersCrate, "{}", case.name);
        for (text, ids) in golden.texts.iter().zip(&case.ids) {
            assert_eq!(&tokenizer.encode(text).unwrap().ids, ids, "{}: {text:?}", case.name);
        }
    }
}

/// `transformers` would not load such a folder, and nothing says what it is for.
#[test]
fn a_tokenizer_alone_is_taken_as_it_is() {
    let mut json = read_json(&fixtures().join("tiny-bert/tokenizer.json"));
    json["normalizer"]["lowercase"] = false.into();
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "tokenizer.json", &json);
    write(&directory, "tokenizer_config.json", &json!({"do_lower_case": true}));
    let tokenizer = Tokenizer::from_folder(directory.path(), 32).unwrap();
    assert_ne!(tokenizer.encode("THE").unwrap(), tokenizer.encode("the").unwrap());
    write(&directory, "config.json", &json!({"model_type": "bert"}));
    let tokenizer = Tokenizer::from_folder(directory.path(), 32).unwrap();
    assert_eq!(tokenizer.encode("THE").unwrap(), tokenizer.encode("the").unwrap());
}

#[test]
fn settings_of_another_type_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for (model, settings, says) in [
        ("bert", json!({"do_lower_case": null}), "do_lower_case is null, expected true or false"),
        ("bert", json!({"do_lower_case": "no"}), "do_lower_case is \"no\", expected true or false"),
        ("bert", json!({"strip_accents": 1}), "strip_accents is 1, expected true or false"),
        ("distilbert", json!({"tokenize_chinese_chars": []}), "tokenize_chinese_chars is [], expected"),
        ("mpnet", json!({"strip_accents": "no"}), "strip_accents is \"no\", expected"),
        ("roberta", json!({"add_prefix_space": null}), "add_prefix_space is null, expected"),
        ("roberta", json!({"trim_offsets": 0}), "trim_offsets is 0, expected"),
        ("bert", json!({"tokenizer_class": 7}), "invalid type: integer `7`, expected a string"),
        ("bert", json!([]), "invalid"),
        (
            "bert",
            json!({"tokenizer_class": "BertJapaneseTokenizer"}),
            "made of other files than tokenizer.json",
        ),
    ] {
        let tokenizer = fixtures().join(format!("tiny-{model}/tokenizer.json"));
        std::fs::copy(tokenizer, directory.path().join("tokenizer.json")).unwrap();
        write(&directory, "config.json", &json!({"model_type": model}));
        write(&directory, "tokenizer_config.json", &settings);
        let error = Tokenizer::from_folder(directory.path(), 32).unwrap_err();
        assert!(matches!(error, TokenizerError::Settings { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("tokenizer_config.json: ") && error.contains(says), "{error}");
    }
    write(&directory, "tokenizer_config.json", &json!({}));
    write(&directory, "config.json", &json!({"model_type": 1}));
    let error = Tokenizer::from_folder(directory.path(), 32).unwrap_err().to_string();
    assert!(error.contains("config.json: invalid type"), "{error}");
    // To the others it means nothing.
    write(&directory, "config.json", &json!({"model_type": "xlm-roberta"}));
    let nothing =
        json!({"do_lower_case": null, "strip_accents": 1, "add_prefix_space": null, "trim_offsets": 0});
    write(&directory, "tokenizer_config.json", &nothing);
    Tokenizer::from_folder(directory.path(), 32).unwrap();
}
