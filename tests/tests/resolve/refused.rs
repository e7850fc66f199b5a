//! Models that are refused before their weights are fetched, and folders that say why they are none.

use super::*;

#[test]
fn only_pickles() {
    for pickle in ["pytorch_model.bin", "pytorch_model.bin.index.json"] {
        let setup = setup_of(|folder| fs::rename(folder.path(WEIGHTS), folder.path(pickle)).unwrap());
        let error = setup.failure();
        assert!(error.contains("has no model.safetensors. There is a ") && error.contains(pickle), "{error}");
        assert!(
            error.contains("sentence-transformers") && error.contains("safe_serialization=True"),
            "{error}"
        );
        assert!(
            setup.server.requests().iter().all(|request| request.file != pickle || request.method == "HEAD")
        );
        setup.assert_no_snapshot();
    }
}

#[test]
fn architectures_that_are_not_computed_are_refused_before_weights_are_asked_for() {
    for (from, to, says) in [
        ("\"model_type\": \"bert\"", "\"model_type\": \"gpt2\"", "model_type is \"gpt2\""),
        ("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"mish\"", "hidden_act is \"mish\""),
        ("\"hidden_size\": 40", "\"hidden_size\": 41", "num_attention_heads"),
        ("\"model_type\"", "\"type\"", "missing field `model_type`"),
    ] {
        let setup = setup_of(|folder| {
            folder.replace("config.json", from, to);
        });
        let error = setup.resolve().unwrap_err();
        assert!(matches!(error, ResolveError::Unsupported { .. }), "{error}");
        let error = error.to_string();
        let start = format!("model `acme/tiny` is not supported: {}", setup.server.endpoint());
        assert!(error.starts_with(&start), "{error}");
        assert!(error.contains(&format!("/acme/tiny/resolve/{COMMIT}/config.json")), "{error}");
        assert!(error.contains(says), "{error}");
        setup.assert_no_weights_were_asked_for();
        setup.assert_no_snapshot();
        let locks = names(&setup.cache.path().join(".locks/models--acme--tiny"));
        assert!(locks.iter().all(|name| name.ends_with(".lock")), "no copy is left: {locks:?}");
    }
}

#[test]
fn settings_that_are_not_computed_are_refused_before_weights_are_asked_for() {
    for (path, content, says) in [
        ("1_Pooling/config.json", r#"{"pooling_mode": "sideways"}"#, "sideways"),
        ("tokenizer_config.json", r#"{"truncation_side": "Left"}"#, "unknown variant `Left`"),
        ("tokenizer_config.json", r#"{"split_special_tokens": true}"#, "split_special_tokens is true"),
        ("config_sentence_transformers.json", r#"{"similarity_fn_name": "hunch"}"#, "hunch"),
        ("sentence_bert_config.json", "{", "not the expected JSON"),
    ] {
        let setup = setup_of(|folder| fs::write(folder.path(path), content).unwrap());
        let error = setup.failure();
        assert!(
            error.contains("is not supported") && error.contains(path) && error.contains(says),
            "{error}"
        );
        setup.assert_no_weights_were_asked_for();
        setup.assert_no_snapshot();
    }
}

/// sentence-transformers applies it, whether the base is beside it or not.
#[test]
fn adapters_are_refused_before_their_base_is_asked_for() {
    type Change = fn(&Folder);
    let beside_the_base: Change = |_| {};
    let alone: Change = |folder| {
        for file in ["config.json", WEIGHTS] {
            fs::remove_file(folder.path(file)).unwrap();
        }
    };
    for change in [beside_the_base, alone] {
        let change = |folder: &Folder| {
            change(folder);
            let adapter = r#"{"peft_type": "LORA", "base_model_name_or_path": "acme/base"}"#;
            fs::write(folder.path("adapter_config.json"), adapter).unwrap();
        };
        let setup = setup_of(change);
        let says = |error: ResolveError| {
            assert!(matches!(error, ResolveError::Unsupported { .. }), "{error}");
            let error = error.to_string();
            assert!(
                error.contains("adapter_config.json: it is an adapter (PEFT) of another model"),
                "{error}"
            );
            assert!(error.contains(".merge_and_unload(), then model.save_pretrained("), "{error}");
        };
        says(setup.resolve().unwrap_err());
        assert_eq!(setup.asked_for(), ["modules.json", "adapter_config.json"]);
        setup.assert_no_snapshot();

        let folder = Folder::new();
        change(&folder);
        match resolve(folder.directory(), &setup.options()) {
            Err(error) => says(error),
            // Nothing is missing.
            Ok(_) => {
                folder.refuses(&["adapter_config.json: it is an adapter"]);
            }
        }
    }
}

#[test]
fn architectures_count_before_files_that_are_missing() {
    let change = |folder: &Folder| {
        for file in ["tokenizer.json", "vocab.txt"] {
            fs::remove_file(folder.path(file)).unwrap();
        }
        fs::write(folder.path("spm.model"), "x").unwrap();
        folder.replace("config.json", "\"model_type\": \"bert\"", "\"model_type\": \"deberta-v2\"");
    };
    let setup = setup_of(change);
    let error = setup.resolve().unwrap_err();
    assert!(matches!(error, ResolveError::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("model_type is \"deberta-v2\""), "{error}");
    assert!(!setup.asked_for().iter().any(|file| file.starts_with("tokenizer.json")));
    setup.assert_no_weights_were_asked_for();
    setup.assert_no_snapshot();

    let folder = Folder::new();
    change(&folder);
    let failure = || {
        let error = resolve(folder.directory(), &setup.options()).unwrap_err();
        assert!(matches!(error, ResolveError::Unsupported { .. }), "{error}");
        error.to_string()
    };
    assert!(failure().contains("model_type is \"deberta-v2\""));
    // Other settings may be missing as well.
    fs::remove_file(folder.path("1_Pooling/config.json")).unwrap();
    assert!(failure().contains("model_type is \"deberta-v2\""));
    fs::remove_file(folder.path("config.json")).unwrap();
    let error = resolve(folder.directory(), &setup.options()).unwrap_err().to_string();
    assert!(error.contains("lacks config.json, 1_Pooling/config.json, tokenizer.json"), "{error}");
}

#[test]
fn tokenizers_that_do_not_fit_are_refused_before_weights_are_asked_for() {
    type Change = fn(&Folder);
    let invalid: Change = |folder| fs::write(folder.path("tokenizer.json"), "{}").unwrap();
    let of_another_class: Change = |folder| {
        fs::remove_file(folder.path("tokenizer.json")).unwrap();
        let class = r#"{"tokenizer_class": "BertJapaneseTokenizer"}"#;
        fs::write(folder.path("tokenizer_config.json"), class).unwrap();
    };
    let too_many_tokens: Change = |folder| {
        let path = folder.path("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["vocab_size"] = 40.into();
        fs::write(path, config.to_string()).unwrap();
    };
    for (change, file, says) in [
        (invalid, "tokenizer.json", "is not a valid tokenizer.json"),
        (of_another_class, "tokenizer_config.json", "BertJapaneseTokenizer"),
        (too_many_tokens, "tokenizer.json", "but config.json's vocab_size is 40"),
    ] {
        let setup = setup_of(change);
        let error = setup.resolve().unwrap_err();
        assert!(matches!(error, ResolveError::Unsupported { .. }), "{error}");
        let error = error.to_string();
        let place = format!("{}/acme/tiny/resolve/{COMMIT}/{file}", setup.server.endpoint());
        assert!(error.contains(&place) && error.contains(says), "{error}");
        setup.assert_no_weights_were_asked_for();
        setup.assert_no_snapshot();
    }
}

#[test]
fn modules_that_are_not_computed_are_refused_by_their_name_alone() {
    for class in ["sentence_transformers.models.StaticEmbedding", "custom_module.Reranker"] {
        let modules = format!(r#"[{{"path": "0_Other", "type": "{class}"}}]"#);
        let setup = Setup::with(|model| {
            model.files.insert("modules.json".to_owned(), file(modules.clone(), Storage::Git));
        });
        let error = setup.failure();
        assert!(error.contains(&format!("\"{class}\" is not supported")), "{error}");
        assert!(error.contains(&format!("{COMMIT}/modules.json")), "{error}");
        assert_eq!(setup.asked_for(), ["modules.json"]);
        setup.assert_no_snapshot();

        // A folder lacks nothing of a transformer, for it is none.
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("modules.json"), modules).unwrap();
        let error = resolve(folder.path(), &setup.options()).unwrap_err();
        assert!(matches!(error, ResolveError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(class), "{error}");
    }
}
