//! `minilm trace`: what is in the directory, that it is right, and that it is there whole or not at all.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use npyz::{DType, NpyFile};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Files, minilm, records, refuses, run, stdout, tiny_bert};

/// The specification, in which every function that the index names has to be.
const REFERENCE: [&str; 2] = [
    include_str!("../../../../kernels/src/reference.rs"),
    include_str!("../../../../kernels/src/reference/narrow.rs"),
];

/// `minilm trace TEXT --model MODEL -o DIR`
fn trace(text: &str, model: &str, output: &str) -> Command {
    minilm(&["trace", text, "--model", model, "-o", output])
}

fn tiny() -> String {
    tiny_bert().to_str().unwrap().to_owned()
}

fn index(directory: &str) -> Value {
    serde_json::from_slice(&std::fs::read(Path::new(directory).join("index.json")).unwrap()).unwrap()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn shape(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect()
}

/// Reads a step's file back: its shape and type are the index's, and so is the hash of its elements.
fn check_file(directory: &str, step: &Value) -> Vec<f32> {
    let bytes = std::fs::read(Path::new(directory).join(step["file"].as_str().unwrap())).unwrap();
    let npy = NpyFile::new(&bytes[..]).unwrap();
    assert_eq!(npy.shape(), shape(&step["shape"]), "{step}");
    let size = match step["dtype"].as_str().unwrap() {
        "int64" => ("<i8", 8),
        "float32" => ("<f4", 4),
        other => panic!("{other}"),
    };
    assert_eq!(npy.dtype(), DType::new_scalar(size.0.parse().unwrap()));
    let elements = &bytes[bytes.len() - npy.len() as usize * size.1..];
    let hash: String = Sha256::digest(elements).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(step["sha256"], hash.as_str(), "{step}");
    if size.1 == 8 { Vec::new() } else { npy.into_vec::<f32>().unwrap() }
}

/// Everything that holds of any trace; gives back the index.
#[track_caller]
fn check(directory: &str, text: &str, model: &str) -> Value {
    check_in("f32", directory, text, model)
}

#[track_caller]
fn check_in(precision: &str, directory: &str, text: &str, model: &str) -> Value {
    let index = index(directory);
    assert_eq!(index["precision"], precision);
    assert_eq!(index["text"], text);
    assert_eq!(index["minilm"], env!("CARGO_PKG_VERSION"));
    assert!(index["numerics"].as_str().unwrap().contains("reference.rs"));

    let mut names = HashSet::new();
    let mut last = Vec::new();
    let mut files = vec!["index.json".to_owned()];
    for (i, step) in index["steps"].as_array().unwrap().iter().enumerate() {
        let name = step["name"].as_str().unwrap();
        assert_eq!(step["file"], format!("{i:03}-{name}.npy"));
        assert!(strings(&step["inputs"]).iter().all(|input| names.contains(input)), "{step}");
        // Of the model, and not of the text.
        let is_factors = name.ends_with(".factors");
        assert_eq!(strings(&step["inputs"]).is_empty(), i == 0 || is_factors, "{step}");
        assert!(names.insert(name.to_owned()), "{name} twice");
        assert!(!step["description"].as_str().unwrap().is_empty());
        if let Some(function) = step["reference"].as_str() {
            let definition = format!("pub fn {function}(");
            assert!(REFERENCE.iter().any(|file| file.contains(&definition)), "{step}");
        } else {
            assert!(["input_ids", "embeddings.word"].contains(&name) || is_factors, "{step}");
        }
        last = check_file(directory, step);
        files.push(step["file"].as_str().unwrap().to_owned());
    }
    // In a directory listing the files are in the order of the index.
    let entries = std::fs::read_dir(directory).unwrap();
    let mut listing: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    listing.sort();
    files.rotate_left(1);
    assert_eq!(listing, files);

    let embedded = minilm(&["embed", text, "--model", model, "--precision", precision]);
    let embedded = &records(&stdout(embedded))[0];
    let vector: Vec<u32> = embedded["embedding"]
        .as_array()
        .unwrap()
        .iter()
        .map(|x| (x.as_f64().unwrap() as f32).to_bits())
        .collect();
    assert_eq!(last.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), vector);
    assert_eq!((&index["tokens"], &index["truncated"]), (&embedded["tokens"], &embedded["truncated"]));
    index
}

fn step<'a>(index: &'a Value, name: &str) -> &'a Value {
    index["steps"].as_array().unwrap().iter().find(|step| step["name"] == name).unwrap()
}

#[test]
fn a_trace_of_the_tiny_model() {
    let files = Files::new();
    let directory = files.path("trace");
    let text = "the cat sat on the red mat";
    let output = run(trace(text, &tiny(), &directory));
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    let index = check(&directory, text, &tiny());
    let s = index["tokens"].as_u64().unwrap();
    assert_eq!(index["steps"].as_array().unwrap().len(), 4 + 2 * 12 + 2);
    for (name, expected) in [
        ("input_ids", vec![s]),
        ("embeddings.word", vec![s, 40]),
        ("layer.0.attention.qkv", vec![s, 120]),
        ("layer.1.attention.scores", vec![5, s, s]),
        ("layer.1.attention.probabilities", vec![5, s, s]),
        ("layer.1.attention.context", vec![s, 40]),
        ("layer.1.intermediate.dense", vec![s, 72]),
        ("layer.1.output.layer_norm", vec![s, 40]),
        ("pooled", vec![40]),
        ("normalized", vec![40]),
    ] {
        assert_eq!(shape(&step(&index, name)["shape"]), expected, "{name}");
    }
    let qkv = step(&index, "layer.1.attention.qkv");
    assert_eq!(strings(&qkv["inputs"]), ["layer.0.output.layer_norm"]);
    assert_eq!(strings(&qkv["weights"])[2], "encoder.layer.1.attention.self.key.weight");
    let residual = step(&index, "layer.1.output.residual");
    assert_eq!(strings(&residual["inputs"]), ["layer.1.output.dense", "layer.1.attention.layer_norm"]);

    // The ids are integers, those that the reference tokenizer gives this text.
    let bytes = std::fs::read(Path::new(&directory).join("000-input_ids.npy")).unwrap();
    let ids: Vec<i64> = NpyFile::new(&bytes[..]).unwrap().into_vec().unwrap();
    assert_eq!(ids.len() as u64, s);
    assert!(ids.iter().all(|id| (0..301).contains(id)));
}

#[test]
fn a_trace_of_the_real_model() {
    let files = Files::new();
    let directory = files.path("trace");
    let text = "I like programming and machine learning";
    assert_eq!(stdout(trace(text, minilm::DEFAULT_MODEL, &directory)), "");
    let index = check(&directory, text, minilm::DEFAULT_MODEL);
    assert_eq!(index["steps"].as_array().unwrap().len(), 4 + 6 * 12 + 2);
    assert_eq!(index["model"]["name"], minilm::DEFAULT_MODEL);
    assert_eq!(shape(&step(&index, "layer.5.attention.scores")["shape"]), [12, 8, 8]);
    assert_eq!(shape(&step(&index, "layer.5.intermediate.activation")["shape"]), [8, 1536]);
}

#[test]
fn traces_in_bf16_and_int8() {
    let files = Files::new();
    let text = "the cat sat on the red mat";
    for precision in ["bf16", "int8"] {
        let directory = files.path(precision);
        let mut command = trace(text, &tiny(), &directory);
        command.args(["--precision", precision]);
        assert_eq!(stdout(command), "");
        let index = check_in(precision, &directory, text, &tiny());
        assert!(index["numerics"].as_str().unwrap().contains("reference/narrow.rs"));
        let (is_int8, linear) = (precision == "int8", format!("linear_{precision}"));
        // In bf16 the last layer has attention in f32, which is two steps more.
        assert_eq!(index["steps"].as_array().unwrap().len(), 4 + if is_int8 { 2 * 12 } else { 10 + 12 } + 2);
        assert_eq!(step(&index, "layer.0.attention.context")["reference"], "attention_bf16");
        assert_eq!(step(&index, "layer.0.intermediate.activation")["reference"], "gelu_polynomial");
        for (product, input) in [
            ("layer.0.attention.qkv", "embeddings.layer_norm"),
            ("layer.1.intermediate.dense", "layer.1.attention.layer_norm"),
        ] {
            let mut inputs = vec![input.to_owned()];
            if is_int8 {
                let factors = step(&index, &format!("{product}.factors"));
                assert_eq!((shape(&factors["shape"]), strings(&factors["weights"]).len()), (vec![40], 0));
                let values = check_file(&directory, factors);
                assert!(values.iter().all(|&x| x > 0.0) && values.iter().any(|&x| x != 1.0), "{values:?}");
                inputs.push(format!("{product}.factors"));
            }
            assert_eq!(strings(&step(&index, product)["inputs"]), inputs);
            assert_eq!(step(&index, product)["reference"], linear.as_str());
        }
        assert_eq!(strings(&step(&index, "layer.1.output.dense")["inputs"]).len(), 1);
        let last = if is_int8 { ["linear_int8", "attention_bf16"] } else { ["linear", "attention_context"] };
        for (name, reference) in ["qkv", "context"].into_iter().zip(last) {
            assert_eq!(step(&index, &format!("layer.1.attention.{name}"))["reference"], reference);
        }
    }
}

/// Whether a function of the specification is a product, attention or GELU of some precision.
fn depends_on_the_precision(function: &str) -> bool {
    let definition = format!("pub fn {function}(");
    ["linear", "attention_", "gelu_"].iter().any(|start| function.starts_with(start))
        && REFERENCE.iter().any(|file| file.contains(&definition))
}

#[test]
fn numerics_are_those_of_the_precision_and_name_the_functions_of_its_steps() {
    let files = Files::new();
    let mut seen = HashSet::new();
    for precision in ["f32", "bf16", "int8"] {
        let directory = files.path(precision);
        let mut command = trace("the cat sat", &tiny(), &directory);
        command.args(["--precision", precision]);
        stdout(command);
        let index = index(&directory);
        let numerics = index["numerics"].as_str().unwrap();
        assert!(seen.insert(numerics.to_owned()), "{precision} has the numerics of another: {numerics}");
        let words = numerics.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named: HashSet<&str> = words.filter(|word| depends_on_the_precision(word)).collect();
        let steps = index["steps"].as_array().unwrap().iter();
        let functions = steps.filter_map(|step| step["reference"].as_str());
        let used: HashSet<&str> = functions.filter(|function| depends_on_the_precision(function)).collect();
        assert_eq!(named, used, "{precision}: {numerics}");
        // In bf16 as well: the last layer's attention is f32.
        assert_eq!(numerics.contains("blocks of 128"), precision != "int8", "{numerics}");
        assert_eq!(numerics.contains("groups of 384 inputs"), precision == "int8", "{numerics}");
    }
}

#[test]
fn every_instruction_set_gives_the_same_index() {
    let files = Files::new();
    let info: Value = serde_json::from_str(&stdout(minilm(&["info", "--json"]))).unwrap();
    let real = minilm::DEFAULT_MODEL.to_owned();
    for (model, text, precision) in [
        (tiny(), "ein Satz, 我们, and more", "f32"),
        (tiny(), "ein Satz, 我们, and more", "bf16"),
        (tiny(), "ein Satz, 我们, and more", "int8"),
        (real.clone(), "two words", "f32"),
        (real, "two words", "int8"),
    ] {
        let mut indices = HashSet::new();
        for isa in strings(&info["isa"]["available"]) {
            let directory = files.path(&format!("{isa}-{}-{precision}", model.len()));
            let mut command = trace(text, &model, &directory);
            command.args(["--precision", precision]).env("MINILM_ISA", &isa);
            stdout(command);
            let mut index = index(&directory);
            // Whoever comes first may have to fetch the model, and finds it elsewhere than the others.
            assert!(index["model"]["source"].take().is_string());
            indices.insert(index.to_string());
        }
        assert_eq!(indices.len(), 1, "{model} in {precision}");
        assert!(strings(&info["isa"]["available"]).contains(&"scalar".to_owned()));
    }
}

#[test]
fn a_text_that_is_too_long_is_cut_and_reported() {
    let files = Files::new();
    let directory = files.path("trace");
    let text = "many words ".repeat(50);
    let output = run(trace(&text, &tiny(), &directory));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.contains("more than 32; the rest was ignored"), "{stderr}");
    let index = check(&directory, &text, &tiny());
    assert_eq!(index["truncated"], true);
    assert!(index["tokens"].as_u64().unwrap() > 100);
    assert_eq!(shape(&step(&index, "input_ids")["shape"]), [32]);
}

#[test]
fn what_exists_is_not_overwritten() {
    let files = Files::new();
    let full = files.path("full");
    std::fs::create_dir(&full).unwrap();
    let precious = files.write("full/precious", "precious");
    refuses(trace("x", &tiny(), &full), &["cannot write", "full", "the directory is not empty"]);
    assert_eq!(std::fs::read_to_string(precious).unwrap(), "precious");
    let file = files.write("file", "precious");
    refuses(trace("x", &tiny(), &file), &["cannot write", "file", "not a directory"]);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "precious");
    // Before the model is looked for.
    refuses(trace("x", "./no/such/model", &full), &["the directory is not empty"]);
    assert_eq!(files.names(), ["file", "full"]);

    let empty = files.path("empty");
    std::fs::create_dir(&empty).unwrap();
    stdout(trace("x", &tiny(), &format!("{empty}/")));
    check(&empty, "x", &tiny());
    refuses(trace("x", &tiny(), &empty), &["the directory is not empty"]);
    assert_eq!(files.names(), ["empty", "file", "full"]);
}

#[test]
fn where_nothing_can_be_written_nothing_is_left() {
    let files = Files::new();
    refuses(trace("x", &tiny(), &files.path("no/such/trace")), &["cannot write", "no/such/trace"]);
    let broken = files.path("model");
    std::fs::create_dir(&broken).unwrap();
    refuses(trace("x", &broken, &files.path("trace")), &["lacks"]);
    assert_eq!(files.names(), ["model"]);
    for arguments in [&["trace", "x"][..], &["trace", "-o", "y"], &["trace", "x", "y", "-o", "z"]] {
        assert_eq!(run(minilm(arguments)).status.code(), Some(2), "{arguments:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_an_empty_directory_stays_a_link_and_its_permissions_stay() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new();
    let (target, link) = (files.path("target"), files.path("link"));
    std::fs::create_dir(&target).unwrap();
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o750)).unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    stdout(trace("x", &tiny(), &link));
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    check(&target, "x", &tiny());
    assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!(files.names(), ["link", "target"]);
}
