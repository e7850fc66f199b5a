use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use minilm_kernels::reference::relative_position_bucket;

use super::*;
use crate::encoder::position_runs;
use crate::{EncoderConfig, EncoderError, HiddenAct};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn config(json: &Value) -> Result<EncoderConfig, EncoderError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, json.to_string()).unwrap();
    EncoderConfig::from_file(path)
}

fn golden(name: &str) -> Value {
    let json = std::fs::read(fixtures().join("golden").join(name)).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// Every field that a config may have, of a file that says nothing but what model it is, beside what transformers' class for it
/// says: `fixtures/config_defaults.py`.
#[test]
fn defaults_are_those_of_transformers() {
    let golden = golden("config-defaults.json");
    assert_eq!(golden["configs"].as_object().unwrap().len(), Architecture::ALL.len());
    for architecture in Architecture::ALL {
        let golden = &golden["configs"][architecture.name()];
        let file = json!({"model_type": architecture.name(), "architectures": [golden["architecture"]]});
        let ConfigFields {
            vocab_size,
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            intermediate_size,
            hidden_act,
            max_position_embeddings,
            position_padding_id,
            type_vocab_size,
            relative_attention_num_buckets,
            layer_norm_eps,
            position_embedding_type,
            is_decoder,
        } = architecture.read(&Fields(file.as_object().unwrap())).unwrap();
        let sizes = [
            Some(vocab_size),
            Some(hidden_size),
            Some(num_hidden_layers),
            Some(num_attention_heads),
            Some(intermediate_size),
            Some(max_position_embeddings),
            type_vocab_size,
            relative_attention_num_buckets,
        ];
        let found = (sizes.into_iter().flatten().map(json_of))
            .chain(position_padding_id.map(json_of))
            .chain([json_of(hidden_act)])
            .chain(position_embedding_type.map(json_of))
            .chain(is_decoder.map(json_of));
        for (name, value) in found {
            assert_eq!(Some(&value), golden["config"].get(name), "{architecture}: {name}");
        }
        // Which is a constant of DistilBERT's model.
        let eps = golden["layer_norm_eps"].as_f64().unwrap();
        assert_eq!(layer_norm_eps.value, eps as f32, "{architecture}");
        let in_the_config = golden["config"].get(layer_norm_eps.name);
        assert_eq!(in_the_config.is_none(), architecture == Architecture::DistilBert);
        assert!(in_the_config.is_none_or(|value| value == eps), "{architecture}: {in_the_config:?}");
        assert_eq!(config(&file).unwrap().architecture, architecture);
    }
}

/// Of a token, a padding token and a token: with the padding token of the defaults, and with another.
#[test]
fn positions_are_those_of_transformers() {
    let golden = golden("config-defaults.json");
    let [first, another, last] =
        ["first", "another_padding_token", "last"].map(|token| golden["tokens"][token].as_u64().unwrap());
    for architecture in Architecture::ALL {
        let golden = &golden["configs"][architecture.name()];
        let default = golden["config"]["pad_token_id"].as_u64().unwrap();
        let positions = |padding: u64, config: Value| -> Vec<usize> {
            let config = self::config(&config).unwrap();
            let ids = [first, padding, last].map(|id| id as u32);
            position_runs(&ids, &config).flat_map(|(len, first)| first..first + len).collect()
        };
        let file = json!({"model_type": architecture.name()});
        assert_eq!(json!(positions(default, file.clone())), golden["positions"], "{architecture}");
        let mut file = file;
        file["pad_token_id"] = another.into();
        let expected = &golden["positions_of_another_padding_token"];
        assert_eq!(&json!(positions(another, file)), expected, "{architecture}");
    }
}

/// `attribute_map`: what it names counts, also beside the member that it is another name of.
#[test]
fn other_names_of_fields_are_those_of_transformers() {
    let golden = golden("config-defaults.json");
    let mut names = 0;
    for architecture in Architecture::ALL {
        let file = json!({"model_type": architecture.name()});
        let with = |fields: &[(&str, u64)]| {
            let mut file = file.clone();
            fields.iter().for_each(|&(name, value)| file[name] = value.into());
            config(&file).unwrap()
        };
        let map = golden["configs"][architecture.name()]["attribute_map"].as_object().unwrap();
        for (name, member) in map {
            let member = member.as_str().unwrap();
            let expected = with(&[(member, 24)]);
            assert_ne!(expected, with(&[]), "{architecture}: {member}");
            assert_eq!(with(&[(name, 24)]), expected, "{architecture}: {name}");
            assert_eq!(with(&[(name, 24), (member, 48)]), expected, "{architecture}: {name} and {member}");
            names += 1;
        }
    }
    assert_eq!(names, 3);
}

fn json_of<T: Into<Value>>(Field { name, value }: Field<T>) -> (&'static str, Value) {
    (name, value.into())
}

#[test]
fn distilbert_has_names_of_its_own() {
    let own = json!({
        "model_type": "distilbert", "dim": 48, "n_heads": 3, "n_layers": 2, "hidden_dim": 70,
        "activation": "relu", "max_position_embeddings": 40, "vocab_size": 9,
    });
    let config = config(&own).unwrap();
    assert_eq!((config.hidden_size, config.num_attention_heads, config.num_hidden_layers), (48, 3, 2));
    assert_eq!((config.intermediate_size, config.max_positions(), config.vocab_size), (70, 40, 9));
    assert_eq!(config.hidden_act, HiddenAct::Relu);
}

#[test]
fn names_of_activations_that_mean_the_same_are_known() {
    for (names, expected) in [
        (&["gelu", "gelu_python"][..], HiddenAct::Gelu),
        (
            &["gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh", "gelu_python_tanh"],
            HiddenAct::GeluTanh,
        ),
        (&["relu"], HiddenAct::Relu),
        (&["silu", "swish"], HiddenAct::Silu),
    ] {
        for name in names {
            assert_eq!(
                config(&json!({"model_type": "bert", "hidden_act": name})).unwrap().hidden_act,
                expected
            );
        }
    }
}

#[test]
fn positions_begin_behind_the_padding_token() {
    let config = config(&json!({"model_type": "roberta", "pad_token_id": 4, "max_position_embeddings": 20}));
    let config = config.unwrap();
    assert_eq!(
        (config.position_padding_id, config.first_position(), config.max_positions()),
        (Some(4), 5, 15)
    );
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    let refuse = |json: Value| match config(&json) {
        Err(error @ EncoderError::UnsupportedConfig { .. }) => error.to_string(),
        other => panic!("{json}: {other:?}"),
    };
    // The architectures of models that people might try, and what is no architecture at all.
    for model_type in
        ["t5", "modernbert", "nomic_bert", "new", "electra", "albert", "deberta-v2", "llama", ""]
    {
        let error = refuse(json!({"model_type": model_type, "hidden_size": "any"}));
        let known = "one of \"bert\", \"roberta\", \"xlm-roberta\", \"camembert\", \"mpnet\", \"distilbert\"";
        let expected = format!("model_type is {model_type:?}, expected {known}");
        assert!(error.ends_with(&expected) && error.contains("config.json"), "{error}");
    }
    for architecture in Architecture::ALL {
        let name = architecture.name();
        let act = if architecture == Architecture::DistilBert { "activation" } else { "hidden_act" };
        let error = refuse(json!({"model_type": name, act: "quick_gelu"}));
        assert!(error.contains(&format!("{act} is \"quick_gelu\"")), "{error}");
    }
    for name in ["bert", "roberta", "xlm-roberta", "camembert", "mpnet"] {
        let error = refuse(json!({"model_type": name, "is_decoder": true}));
        assert!(error.contains("is_decoder is true"), "{error}");
    }
    // DistilBERT's model looks at neither.
    assert!(
        config(&json!({"model_type": "distilbert", "is_decoder": true, "position_embedding_type": 1}))
            .is_ok()
    );
    assert!(config(&json!({"model_type": "bert", "is_decoder": null})).is_ok());
    for name in ["bert", "roberta", "xlm-roberta", "camembert"] {
        let error = refuse(json!({"model_type": name, "position_embedding_type": null}));
        assert!(error.contains("position_embedding_type is null, expected a string"), "{error}");
        for kind in ["relative_key", "relative_key_query", "alibi"] {
            let error = refuse(json!({"model_type": name, "position_embedding_type": kind}));
            assert!(error.contains(&format!("position_embedding_type is {kind:?}")), "{error}");
        }
    }
    let error = refuse(json!({"model_type": "mpnet", "relative_attention_num_buckets": 16}));
    assert!(error.contains("relative_attention_num_buckets is 16, expected 32"), "{error}");
    let error = refuse(json!({"model_type": "mpnet", "max_position_embeddings": 2}));
    assert!(error.contains("pad_token_id is 1, expected less than max_position_embeddings − 1"), "{error}");
    let error = refuse(json!({"model_type": "roberta", "pad_token_id": u32::MAX}));
    assert!(error.contains("pad_token_id is 4294967295, expected less than"), "{error}");
}

/// Every field, of every architecture, with values of other types: the error names it, and what it has.
#[test]
fn fields_of_another_type_are_named() {
    for (architecture, sizes) in [
        (
            "bert",
            &[
                "hidden_size",
                "num_hidden_layers",
                "num_attention_heads",
                "intermediate_size",
                "vocab_size",
                "max_position_embeddings",
                "type_vocab_size",
            ][..],
        ),
        ("roberta", &["hidden_size", "type_vocab_size", "pad_token_id"]),
        ("mpnet", &["hidden_size", "relative_attention_num_buckets"]),
        ("distilbert", &["dim", "n_heads", "n_layers", "hidden_dim", "hidden_size", "vocab_size"]),
    ] {
        let strings = if architecture == "distilbert" { "activation" } else { "hidden_act" };
        let wrong = [json!("384"), json!(null), json!(-1), json!(1.5), json!([384])];
        let of_sizes = sizes.iter().flat_map(|&name| wrong.iter().map(move |value| (name, value.clone())));
        let mut cases: Vec<_> = of_sizes.chain([(strings, json!(3)), (strings, json!(null))]).collect();
        if architecture != "distilbert" {
            cases.extend([("layer_norm_eps", json!("1e-12")), ("layer_norm_eps", json!(null))]);
            cases.push(("is_decoder", json!("no")));
        }
        for (name, value) in cases {
            let error = config(&json!({"model_type": architecture, name: value})).unwrap_err().to_string();
            assert!(error.contains(&format!("{name} is {value}, expected ")), "{architecture}: {error}");
        }
    }
    let error = config(&json!({"model_type": "distilbert", "dim": 0})).unwrap_err().to_string();
    assert!(error.contains("dim is 0"), "{error}");
}

#[test]
fn a_config_is_a_file_of_some_size() {
    let folder = tempfile::tempdir().unwrap();
    let error = EncoderConfig::from_file(folder.path()).unwrap_err().to_string();
    assert!(error.contains("it is not a regular file"), "{error}");
    let path = folder.path().join("config.json");
    std::fs::write(&path, format!("{{\"model_type\": \"bert\", \"x\": \"{}\"}}", "x".repeat(1 << 20)))
        .unwrap();
    let error = EncoderConfig::from_file(path).unwrap_err().to_string();
    assert!(error.contains("more than 1048576 bytes"), "{error}");
}

#[test]
fn a_config_without_a_type_says_what_is_missing() {
    let error = config(&json!({"hidden_size": 40})).unwrap_err();
    assert!(matches!(error, EncoderError::InvalidConfig { .. }), "{error:?}");
    assert!(error.to_string().contains("missing field `model_type`"), "{error}");
}

/// The golden buckets are those of `MPNetEncoder.relative_position_bucket`.
#[test]
fn buckets_are_those_of_transformers() {
    let golden = golden("relative-position-buckets.json");
    let (first, buckets) = (golden["first"].as_i64().unwrap(), golden["buckets"].as_array().unwrap());
    assert!(first <= -600 && buckets.len() >= 1201, "{first}, {}", buckets.len());
    for (i, bucket) in buckets.iter().enumerate() {
        let distance = first as isize + i.cast_signed();
        assert_eq!(relative_position_bucket(distance) as u64, bucket.as_u64().unwrap(), "{distance}");
    }
    // However far.
    assert_eq!([isize::MIN, isize::MAX].map(relative_position_bucket), [15, 31]);
}
