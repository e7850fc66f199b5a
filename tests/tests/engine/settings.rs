//! Settings of a model folder that change its vectors, each in the way it should.

use minilm::{EncodeOptions, Precision, SentenceTransformer};
use minilm_tests::golden;
use minilm_tests::model_folder::Folder;

const TEXT: &str = "the cat sat on the red mat";

/// The vectors of the text's tokens after the last layer.
fn last_states(model: &SentenceTransformer) -> Vec<f32> {
    model.hidden_states(TEXT).unwrap().pop().expect("there are layers").1
}

fn without_normalize(folder: &Folder) -> &Folder {
    let json = std::fs::read_to_string(folder.path("modules.json")).unwrap();
    let mut modules: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(modules.len(), 3);
    modules.pop();
    std::fs::write(folder.path("modules.json"), serde_json::to_string(&modules).unwrap()).unwrap();
    folder
}

#[test]
fn each_pooling_mode_does_what_its_name_says() {
    for mode in ["mean", "max", "cls"] {
        let folder = Folder::new();
        let config = format!("{{\"pooling_mode\": \"{mode}\"}}");
        std::fs::write(folder.path("1_Pooling/config.json"), config).unwrap();
        let model = without_normalize(&folder).load();
        assert!(!model.normalizes());
        let states = last_states(&model);
        let (h, n) = (model.embedding_dimension(), states.len() / model.embedding_dimension());
        let found = model.encode(TEXT).unwrap();
        for i in 0..h {
            let column = states.iter().skip(i).step_by(h).copied();
            let expected = match mode {
                "mean" => column.sum::<f32>() / n as f32,
                "max" => column.fold(f32::NEG_INFINITY, f32::max),
                _ => states[i],
            };
            assert_eq!(found[i], expected, "{mode}, component {i}");
        }
    }
}

#[test]
fn without_the_normalize_module_vectors_keep_their_length() {
    let length = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    let (scaled, raw) = (Folder::new(), Folder::new());
    let (scaled, raw) =
        (scaled.load().encode(TEXT).unwrap(), without_normalize(&raw).load().encode(TEXT).unwrap());
    assert!((length(&scaled) - 1.0).abs() < 1e-6);
    assert!((length(&raw) - 1.0).abs() > 0.1, "{}", length(&raw));
    for (scaled, raw_component) in scaled.iter().zip(&raw) {
        assert!((scaled - raw_component / length(&raw)).abs() < 1e-6);
    }
}

/// sentence-transformers reads the settings of its own modules only where there are modules.
#[test]
fn a_folder_without_modules_is_a_plain_transformer() {
    let folder = Folder::new();
    std::fs::write(folder.path("config_sentence_transformers.json"), r#"{"truncate_dim": 8}"#).unwrap();
    let with = folder.load();
    assert_eq!((with.max_seq_length(), with.embedding_dimension(), with.normalizes()), (32, 8, true));
    std::fs::remove_file(folder.path("modules.json")).unwrap();
    let without = folder.load();
    assert_eq!((without.max_seq_length(), without.embedding_dimension()), (48, 40));
    assert!(!without.normalizes());
    assert_eq!(without.modules(), ["Pooling (mean)"]);
}

#[test]
fn modules_are_named_in_their_order() {
    let dense = SentenceTransformer::load(golden::fixtures().join("tiny-bert-dense")).unwrap();
    let expected =
        ["Pooling (mean + cls + max)", "Dense 96 → 44, tanh", "LayerNorm", "Dense 44 → 20", "Normalize"];
    assert_eq!(dense.modules(), expected);
    assert_eq!(dense.embedding_dimension(), 20);
}

#[test]
fn do_lower_case_lower_cases() {
    let folder = Folder::new();
    folder.replace("tokenizer_config.json", "\"do_lower_case\": true", "\"do_lower_case\": false");
    let cased = folder.load();
    assert_ne!(cased.encode("THE CAT").unwrap(), cased.encode("the cat").unwrap());
    let config = "{\"max_seq_length\": 32, \"do_lower_case\": true}";
    std::fs::write(folder.path("sentence_bert_config.json"), config).unwrap();
    let lowercased = folder.load();
    assert_eq!(lowercased.encode("THE CAT").unwrap(), lowercased.encode("the cat").unwrap());
}

#[test]
fn a_text_of_no_tokens_at_all_has_a_vector_of_zeros() {
    let folder = Folder::new();
    let json = std::fs::read_to_string(folder.path("tokenizer.json")).unwrap();
    let mut tokenizer: serde_json::Value = serde_json::from_str(&json).unwrap();
    tokenizer["post_processor"] = serde_json::Value::Null;
    std::fs::write(folder.path("tokenizer.json"), tokenizer.to_string()).unwrap();
    for precision in Precision::ALL {
        let model = folder.load_in(precision);
        let both = model.encode_batch(&["", "a"], &Default::default()).unwrap();
        assert_eq!(both.row(0), [0.0; 40], "{precision}");
        assert_ne!(both.row(1), [0.0; 40], "{precision}");
    }
}

#[test]
fn weights_may_be_named_with_the_prefix_bert() {
    let (plain, prefixed) = (Folder::new(), Folder::new());
    prefixed.prefix_weights("bert.");
    let vector = |folder: &Folder, precision| folder.load_in(precision).encode(TEXT).unwrap();
    for precision in Precision::ALL {
        assert_eq!(vector(&prefixed, precision), vector(&plain, precision), "{precision}");
    }
}

#[test]
fn a_transformer_may_have_a_directory_of_its_own() {
    let (plain, nested) = (Folder::new(), Folder::new());
    std::fs::create_dir(nested.path("0_Transformer")).unwrap();
    for file in ["config.json", "sentence_bert_config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::rename(nested.path(file), nested.path("0_Transformer").join(file)).unwrap();
    }
    let json = std::fs::read_to_string(nested.path("modules.json")).unwrap();
    let mut modules: serde_json::Value = serde_json::from_str(&json).unwrap();
    modules[0]["path"] = "0_Transformer".into();
    std::fs::write(nested.path("modules.json"), modules.to_string()).unwrap();
    assert_eq!(nested.load().encode(TEXT).unwrap(), plain.load().encode(TEXT).unwrap());
}

#[test]
fn a_long_text_may_be_cut_at_its_beginning() {
    let folder = Folder::new();
    let right = folder.load();
    folder.replace("tokenizer_config.json", "{", "{\"truncation_side\": \"left\",");
    let left = folder.load();
    let (begin, end) = ("the mat ".repeat(15), "the cat ".repeat(15));
    let long = format!("{begin}{end}");
    assert_eq!(left.encode(&long).unwrap(), right.encode(&end).unwrap());
    assert_eq!(right.encode(&long).unwrap(), right.encode(&begin).unwrap());
    assert_eq!(left.encode(TEXT).unwrap(), right.encode(TEXT).unwrap());
    assert_eq!(left.tokenize(&long).unwrap().1, right.tokenize(&long).unwrap().1);
}

/// As in Python, where the embedding raises IndexError.
#[test]
fn a_token_of_settings_may_have_no_embedding() {
    let plain = Folder::new();
    let folder = Folder::new();
    let tokens = "{\"additional_special_tokens\": [\"[NEW]\", \"cat\"],";
    folder.replace("tokenizer_config.json", "{", tokens);
    for precision in [Precision::F32, Precision::Int8] {
        let (with, without) = (folder.load_in(precision), plain.load_in(precision));
        assert_eq!(with.encode(TEXT).unwrap(), without.encode(TEXT).unwrap());
        for texts in [&["the [NEW] cat"][..], &[TEXT, "[NEW]"]] {
            let error = with.encode_batch(texts, &EncodeOptions::default()).unwrap_err().to_string();
            assert!(error.contains("token id 301 is outside the vocabulary of 301 tokens"), "{error}");
            without.encode_batch(texts, &EncodeOptions::default()).unwrap();
        }
        assert!(with.hidden_states("[NEW]").is_err());
    }
}

/// Indexes on disk are recognised by it: it stays what it was when the first was built.
#[test]
fn a_fingerprint_stays_what_it_is() {
    let of = |model: &str| SentenceTransformer::load(model).unwrap().fingerprint().unwrap().to_owned();
    let tiny = golden::tiny_bert();
    let expected = "c7173c4146328bc2849fac4257c6f2cc093fed3581ad017f22b1a5bf668d30aa";
    assert_eq!(of(tiny.to_str().unwrap()), expected);
    let expected = "6206e417577b8c91b97bdda54391a645b35f57da3c05e9ab54a1cc6885e3cfec";
    assert_eq!(of(minilm::DEFAULT_MODEL), expected);
}

#[test]
fn a_fingerprint_is_of_what_decides_vectors() {
    let (one, other) = (Folder::new(), Folder::new());
    let fingerprint = |folder: &Folder| folder.load().fingerprint().unwrap().to_owned();
    let expected = fingerprint(&one);
    assert_eq!(expected.len(), 64);
    // Not the place, the name, the precision or prompts.
    assert_eq!(fingerprint(&other), expected);
    assert_eq!(one.load_in(Precision::Int8).fingerprint().unwrap(), expected);
    std::fs::write(other.path("config_sentence_transformers.json"), r#"{"prompts": {"query": "q: "}}"#)
        .unwrap();
    assert_eq!(fingerprint(&other), expected);
    let mut shorter = one.load();
    assert_eq!(shorter.fingerprint().unwrap(), expected);
    shorter.set_max_seq_length(16).unwrap();
    let mut seen = vec![expected, shorter.fingerprint().unwrap().to_owned()];
    seen.push(fingerprint(without_normalize(&other)));
    for (file, from, to) in [
        ("1_Pooling/config.json", "\"pooling_mode_cls_token\": false", "\"include_prompt\": false"),
        ("config.json", "1e-12", "1e-11"),
        ("sentence_bert_config.json", "\"do_lower_case\": false", "\"do_lower_case\": true"),
        ("tokenizer.json", "\"clean_text\": true", "\"clean_text\": false"),
        ("tokenizer_config.json", "\"do_lower_case\": true", "\"do_lower_case\": false"),
        ("tokenizer_config.json", "\"tokenize_chinese_chars\": true", "\"tokenize_chinese_chars\": false"),
        ("tokenizer_config.json", "{", "{\"truncation_side\": \"left\","),
        ("tokenizer_config.json", "{", "{\"additional_special_tokens\": [\"[NEW]\"],"),
        ("special_tokens_map.json", "[MASK]", "mat"),
    ] {
        let folder = Folder::new();
        folder.replace(file, from, to);
        seen.push(fingerprint(&folder));
    }
    // The same modules in another order, and one twice.
    let modules = |kinds: &[&str]| {
        let folder = Folder::copy_of(&golden::fixtures().join("tiny-bert-dense"));
        let json = std::fs::read_to_string(folder.path("modules.json")).unwrap();
        let all: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
        let of =
            |kind: &&str| all.iter().find(|m| m["type"].as_str().unwrap().ends_with(kind)).unwrap().clone();
        let chain: Vec<_> = kinds.iter().map(of).collect();
        std::fs::write(folder.path("modules.json"), serde_json::to_string(&chain).unwrap()).unwrap();
        fingerprint(&folder)
    };
    seen.push(modules(&["Transformer", "Pooling", "Dense"]));
    seen.push(modules(&["Transformer", "Pooling", "Dense", "Normalize"]));
    seen.push(modules(&["Transformer", "Pooling", "Normalize", "Dense"]));
    seen.push(modules(&["Transformer", "Pooling", "Normalize", "Dense", "Normalize"]));
    let folder = Folder::new();
    folder.change_weights(|name, (dtype, shape, mut bytes)| {
        if name.ends_with("LayerNorm.bias") {
            bytes[0] ^= 1;
        }
        Some((dtype, shape, bytes))
    });
    seen.push(fingerprint(&folder));
    for (i, a) in seen.iter().enumerate() {
        assert!(seen[..i].iter().all(|b| a != b), "{seen:?}");
    }
}
