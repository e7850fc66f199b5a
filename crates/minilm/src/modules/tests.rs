use minilm_kernels::{Activation, Isa};
use serde_json::{Value, json};

use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    directory
}

/// A `modules.json` with these modules, each in a directory of its own behind the first.
fn list(kinds: &[&str]) -> String {
    let module = |(i, kind): (usize, &&str)| {
        let path = if i == 0 { String::new() } else { format!("{i}_{kind}") };
        json!({"idx": i, "name": i.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")})
    };
    Value::Array(kinds.iter().enumerate().map(module).collect()).to_string()
}

/// Pooling by that `1_Pooling/config.json`.
fn pooling(config: &str) -> Result<Pooling, Error> {
    let modules = list(&["Transformer", "Pooling"]);
    let folder = folder(&[("modules.json", &modules), ("1_Pooling/config.json", config)]);
    Pipeline::read(folder.path()).map(|pipeline| pipeline.pooling)
}

/// Reads a folder with these modules and a `config.json` for each behind the pooling.
fn read(kinds: &[&str], configs: &[&str]) -> Result<Pipeline, Error> {
    let modules = list(kinds);
    let names: Vec<String> =
        kinds.iter().enumerate().skip(2).map(|(i, kind)| format!("{i}_{kind}/config.json")).collect();
    let mut files =
        vec![("modules.json", &modules[..]), ("1_Pooling/config.json", r#"{"pooling_mode": "mean"}"#)];
    files.extend(names.iter().map(String::as_str).zip(configs.iter().copied()));
    Pipeline::read(folder(&files).path())
}

fn refused(result: Result<Pipeline, Error>) -> String {
    result.map(|pipeline| pipeline.after_pooling).unwrap_err().to_string()
}

#[test]
fn a_folder_without_modules_is_mean_pooled_and_not_normalised() {
    let pipeline = Pipeline::read(folder(&[]).path()).unwrap();
    assert_eq!(pipeline.pooling.modes, [PoolingMode::Mean]);
    assert!(pipeline.after_pooling.is_empty());
}

#[test]
fn pooling_modes_by_flag_and_by_name() {
    use PoolingMode::*;
    for (config, expected) in [
        (r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}"#, &[Mean][..]),
        (r#"{"pooling_mode_mean_tokens": false, "pooling_mode_cls_token": true}"#, &[Cls]),
        (r#"{"word_embedding_dimension": 4, "pooling_mode_max_tokens": true}"#, &[Max]),
        (r#"{"word_embedding_dimension": 4, "pooling_mode": "cls"}"#, &[Cls]),
        (r#"{"pooling_mode_mean_sqrt_len_tokens": true}"#, &[MeanSqrtLen]),
        (r#"{"pooling_mode_weightedmean_tokens": true}"#, &[WeightedMean]),
        (r#"{"pooling_mode_lasttoken": true}"#, &[LastToken]),
        // Flags have an order of their own, names theirs.
        (r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}"#, &[Cls, Mean]),
        (r#"{"pooling_mode": ["mean", "cls", "mean"]}"#, &[Mean, Cls, Mean]),
        (
            r#"{"pooling_mode": ["mean_sqrt_len_tokens", "weightedmean", "lasttoken", "max"]}"#,
            &[MeanSqrtLen, WeightedMean, LastToken, Max],
        ),
        // A name makes flags meaningless, and without any of both it is the mean.
        (r#"{"pooling_mode": "max", "pooling_mode_cls_token": true}"#, &[Max]),
        (r#"{"pooling_mode_mean_tokens": false}"#, &[Mean]),
        ("{}", &[Mean]),
    ] {
        assert_eq!(pooling(config).unwrap().modes, expected, "{config}");
    }
}

#[test]
fn a_prompt_is_pooled_unless_the_config_says_otherwise() {
    for (config, expected) in [("", true), (r#", "include_prompt": false"#, false)] {
        let config = format!(r#"{{"pooling_mode": "mean"{config}}}"#);
        assert_eq!(pooling(&config).unwrap().include_prompt, expected);
    }
}

#[test]
fn other_pooling_modes_are_refused_by_name() {
    for (config, says) in [
        (r#"{"pooling_mode_attention": true}"#, "\"attention\""),
        (r#"{"pooling_mode": "median"}"#, "is \"median\"; expected one or several of cls, max, mean"),
        (r#"{"pooling_mode": ["mean", "median"]}"#, "\"median\""),
        (r#"{"pooling_mode": []}"#, "[]"),
        (&format!(r#"{{"pooling_mode": [{}"max"]}}"#, r#""mean", "#.repeat(16)), "a list of 17 (at most 16)"),
        (r#"{"pooling_mode_cls_token": 1}"#, "\"cls_token\" 1, neither true nor false"),
        (r#"{"pooling_mode": ["mean", 3]}"#, "3"),
        (r#"{"pooling_mode": null, "pooling_mode_median": true}"#, "\"median\""),
        ("{", "not the expected JSON"),
    ] {
        let error = pooling(config).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("1_Pooling"), "{error}");
    }
    let modules = list(&["Transformer", "Pooling"]);
    let error = Pipeline::read(folder(&[("modules.json", &modules)]).path()).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
}

/// Two tokens' states, of which the first is a prompt's or not; and none.
#[test]
fn poolings_of_all_tokens_and_without_a_prompts() {
    use PoolingMode::*;
    let isa = Isa::best();
    let states = [1.0, -2.0, 4.0, 8.0];
    for (mode, of_both, of_the_second, of_a_prompt) in [
        (Cls, [1.0, -2.0], [4.0, 8.0], [1.0, -2.0]),
        (Max, [4.0, 8.0], [4.0, 8.0], [0.0, 0.0]),
        (Mean, [2.5, 3.0], [4.0, 8.0], [0.0, 0.0]),
        (MeanSqrtLen, [5.0 / 2.0_f32.sqrt(), 6.0 / 2.0_f32.sqrt()], [4.0, 8.0], [0.0, 0.0]),
        (WeightedMean, [3.0, 14.0 / 3.0], [4.0, 8.0], [0.0, 0.0]),
        (LastToken, [4.0, 8.0], [4.0, 8.0], [0.0, 0.0]),
    ] {
        let pooling = Pooling { modes: vec![mode], include_prompt: false };
        for (prompt_tokens, expected) in
            [(0, of_both), (1, of_the_second), (2, of_a_prompt), (3, of_a_prompt)]
        {
            let mut out = [f32::NAN; 2];
            pooling.pool(isa, &states, prompt_tokens, &mut out);
            assert_eq!(out, expected, "{mode}, {prompt_tokens} of a prompt");
        }
        let mut out = [f32::NAN; 2];
        pooling.pool(isa, &[], 0, &mut out);
        assert_eq!(out, [0.0, 0.0], "{mode}");
    }
    // Of three tokens without the first, the others keep their positions, 2 and 3, as weights.
    let pooling = Pooling { modes: vec![WeightedMean], include_prompt: false };
    let mut out = [f32::NAN; 2];
    pooling.pool(isa, &[1.0, -2.0, 4.0, 8.0, 7.0, 2.0], 1, &mut out);
    assert_eq!(out, [29.0 / 5.0, 22.0 / 5.0]);
    let pooling = Pooling { modes: vec![Max, Cls, LastToken], include_prompt: true };
    let mut out = [f32::NAN; 6];
    pooling.pool(isa, &states, 0, &mut out);
    assert_eq!(out, [4.0, 8.0, 1.0, -2.0, 4.0, 8.0]);
}

#[test]
fn other_modules_and_other_orders_are_refused_by_name() {
    for kind in
        ["CNN", "LSTM", "BoW", "WordWeights", "WeightedLayerPooling", "Asym", "Router", "StaticEmbedding"]
    {
        let error = refused(read(&["Transformer", "Pooling", kind], &[]));
        assert!(
            error.contains(&format!("\"sentence_transformers.models.{kind}\" is not supported")),
            "{error}"
        );
    }
    for kinds in [
        &[][..],
        &["Transformer"],
        &["Pooling"],
        &["Pooling", "Transformer"],
        &["Transformer", "Dense", "Pooling"],
        &["Transformer", "Pooling", "Pooling"],
        &["Transformer", "Pooling", "Normalize", "Transformer"],
    ] {
        let error = refused(read(kinds, &[]));
        assert!(error.contains(&format!("the modules are {}; expected", kinds.join(", "))), "{error}");
    }
    // A model's own code may do anything, whatever it is called.
    let own = list(&["Transformer", "Pooling", "Dense"])
        .replace("sentence_transformers.models.Dense", "custom.Dense");
    let error = refused(Pipeline::read(folder(&[("modules.json", &own)]).path()));
    assert!(error.contains("\"custom.Dense\" is not supported"), "{error}");
}

#[test]
fn a_chain_is_read_in_its_order() {
    let dense = r#"{"in_features": 4, "out_features": 3, "bias": false,
        "activation_function": "torch.nn.modules.linear.Identity"}"#;
    let kinds = ["Transformer", "Pooling", "Normalize", "Dropout", "Dense", "LayerNorm", "Normalize"];
    let configs = ["{}", r#"{"dropout": 0.2}"#, dense, r#"{"dimension": 3}"#, "{}"];
    let chain: Vec<_> =
        read(&kinds, &configs).unwrap().after_pooling.into_iter().map(|(_, module)| module).collect();
    let [ModuleSettings::Normalize, ModuleSettings::Dense(dense), layer_norm, ModuleSettings::Normalize] =
        chain[..]
    else {
        panic!("{chain:?}");
    };
    assert_eq!((dense.in_features, dense.out_features, dense.activation), (4, 3, None));
    assert_eq!(layer_norm, ModuleSettings::LayerNorm { dimension: 3 });
}

#[test]
fn dense_layers_have_the_activations_of_torch() {
    let read = |rest: &str| {
        let config = format!(r#"{{"in_features": 4, "out_features": 3{rest}}}"#);
        match &self::read(&["Transformer", "Pooling", "Dense"], &[&config])?.after_pooling[0].1 {
            ModuleSettings::Dense(dense) => Ok::<_, Error>(dense.activation),
            other => panic!("{other:?}"),
        }
    };
    for (class, expected) in [
        ("torch.nn.modules.activation.Tanh", Some(Activation::Tanh)),
        ("torch.nn.Tanh", Some(Activation::Tanh)),
        ("torch.nn.modules.activation.ReLU", Some(Activation::Relu)),
        ("torch.nn.modules.activation.GELU", Some(Activation::Gelu)),
        ("torch.nn.modules.activation.Sigmoid", Some(Activation::Sigmoid)),
        ("torch.nn.modules.activation.SiLU", Some(Activation::Silu)),
        ("torch.nn.modules.linear.Identity", None),
    ] {
        assert_eq!(read(&format!(r#", "activation_function": "{class}""#)).unwrap(), expected);
    }
    assert_eq!(read("").unwrap(), Some(Activation::Tanh));
    for (rest, says) in [
        (
            r#", "activation_function": "torch.nn.modules.activation.Softplus""#,
            "Softplus\", expected Identity, Tanh",
        ),
        (r#", "activation_function": "custom.Tanh""#, "activation_function is \"custom.Tanh\""),
        (r#", "module_input_name": "token_embeddings""#, "module_input_name is \"token_embeddings\""),
        (r#", "module_output_name": "other""#, "module_output_name is \"other\""),
        (r#", "out_features": "3""#, "not the expected JSON"),
    ] {
        let error = read(rest).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("2_Dense"), "{error}");
    }
    let error = refused(self::read(
        &["Transformer", "Pooling", "Dense"],
        &[r#"{"in_features": 4, "out_features": 0}"#],
    ));
    assert!(error.contains("out_features is 0"), "{error}");
}

#[test]
fn modules_take_what_the_one_before_gives() {
    let dense = r#"{"in_features": 5, "out_features": 3}"#;
    let pipeline = read(&["Transformer", "Pooling", "Dense"], &[dense]).unwrap();
    let error = pipeline.load(4).unwrap_err().to_string();
    assert!(error.contains("in_features is 5, but the vector before it has 4 components"), "{error}");
    let pipeline = read(&["Transformer", "Pooling", "LayerNorm"], &[r#"{"dimension": 5}"#]).unwrap();
    let error = pipeline.load(4).unwrap_err().to_string();
    assert!(error.contains("dimension is 5, but the vector before it has 4 components"), "{error}");
    // The folder is gone, and with it the weights.
    let pipeline = read(&["Transformer", "Pooling", "Dense"], &[dense]).unwrap();
    let error = pipeline.load(5).unwrap_err().to_string();
    assert!(error.contains("2_Dense") && error.contains("model.safetensors"), "{error}");
}
