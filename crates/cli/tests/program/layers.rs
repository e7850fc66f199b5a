//! `minilm eval layers`: its figures beside those of traces and vectors, and what it refuses.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use npyz::NpyFile;
use serde_json::Value;

use super::eval::{check_that_figures_stay, report};
use super::{Files, embed, minilm, records, refuses, run, stdout, tiny_bert};

const TABLE: &str = "split\tsentence1\tsentence2\n\
    test\tThis one is for judging.\tSo is that.\n\
    dev\tA cat sleeps on the sofa.\tA cat is sleeping on the couch.\n\
    dev\tA cat sleeps on the sofa.\tThe child is painting a house, and she sings.\n\
    dev\tParliament passed the bill.\tStocks fell sharply on Monday.\n";

/// The distinct ones of the split `dev`.
const SENTENCES: [&str; 5] = [
    "A cat sleeps on the sofa.",
    "A cat is sleeping on the couch.",
    "The child is painting a house, and she sings.",
    "Parliament passed the bill.",
    "Stocks fell sharply on Monday.",
];

/// Which of five sentences are two in even distances.
const COMPARED: [usize; 2] = [0, 2];

/// As a trace calls them; those with errors of their own, and the LayerNorms.
const STEPS: [&str; 8] = [
    "attention.qkv",
    "attention.context",
    "attention.dense",
    "attention.layer_norm",
    "intermediate.dense",
    "intermediate.activation",
    "output.dense",
    "output.layer_norm",
];

/// `minilm eval layers --model TINY --data FILE --precision PRECISION …`
fn layers(data: &str, precision: &str, arguments: &[&str]) -> Command {
    let mut command = layers_of(data, &["--precision", precision]);
    command.args(arguments);
    command
}

/// `minilm eval layers --model TINY --data FILE …`
fn layers_of(data: &str, arguments: &[&str]) -> Command {
    let mut command = minilm(&["eval", "layers", "--data", data, "--model"]);
    command.arg(tiny_bert()).args(arguments);
    command
}

fn steps(report: &Value) -> &[Value] {
    report["steps"].as_array().unwrap()
}

/// A figure of every step.
fn figures(report: &Value, name: &str) -> Vec<f64> {
    steps(report).iter().map(|step| step[name].as_f64().unwrap()).collect()
}

#[track_caller]
fn is_close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
}

/// The tensors that `minilm trace` writes of a text, by their names.
fn traced(files: &Files, text: usize, precision: &str) -> HashMap<String, Vec<f32>> {
    let directory = files.path(&format!("{text}-{precision}"));
    let mut command = minilm(&["trace", SENTENCES[text], "-o", &directory, "--precision", precision]);
    command.arg("--model").arg(tiny_bert());
    stdout(command);
    let index = std::fs::read(Path::new(&directory).join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let floats = index["steps"].as_array().unwrap().iter().filter(|step| step["dtype"] == "float32");
    let tensor = |step: &Value| {
        let bytes = std::fs::read(Path::new(&directory).join(step["file"].as_str().unwrap())).unwrap();
        (step["name"].as_str().unwrap().to_owned(), NpyFile::new(&bytes[..]).unwrap().into_vec().unwrap())
    };
    floats.map(tensor).collect()
}

/// The norm of the differences over the norm of what is expected.
fn relative<'a>(pairs: impl Iterator<Item = (&'a f32, &'a f32)>) -> f64 {
    let (mut squares, mut of_expected) = (0.0, 0.0);
    for (&found, &expected) in pairs {
        squares += (f64::from(found) - f64::from(expected)).powi(2);
        of_expected += f64::from(expected).powi(2);
    }
    (squares / of_expected).sqrt()
}

#[test]
fn figures_are_those_of_traces_and_vectors() {
    for precision in ["bf16", "int8"] {
        let files = Files::new();
        let data = files.write("pairs.tsv", TABLE);
        let found = report(layers(&data, precision, &["--texts", "2"]));
        let traces = COMPARED.map(|text| [precision, "f32"].map(|precision| traced(&files, text, precision)));
        let accumulated = |name: &str| {
            relative(traces.iter().flat_map(|[narrow, in_f32]| narrow[name].iter().zip(&in_f32[name])))
        };
        assert_eq!(steps(&found).len(), 2 * STEPS.len());
        for (i, step) in steps(&found).iter().enumerate() {
            let (layer, name) = (i / STEPS.len(), STEPS[i % STEPS.len()]);
            assert_eq!((&step["layer"], &step["step"]), (&layer.into(), &name.into()));
            is_close(step["accumulated"].as_f64().unwrap(), accumulated(&format!("layer.{layer}.{name}")));
        }
        is_close(found["pooled"].as_f64().unwrap(), accumulated("pooled"));
        // Nothing has accumulated before the first product.
        assert_eq!(steps(&found)[0]["own"], steps(&found)[0]["accumulated"]);

        let vectors = ["f32", precision].map(|precision| {
            let arguments = [&COMPARED.map(|text| SENTENCES[text])[..], &["--precision", precision]].concat();
            // Printed are as many digits as lead back to the f32.
            let numbers = |record: &Value| -> Vec<f64> {
                record["embedding"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|x| f64::from(x.as_f64().unwrap() as f32))
                    .collect()
            };
            records(&stdout(embed(&arguments))).iter().map(numbers).collect::<Vec<_>>()
        });
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let cosine = |a: &[f64], b: &[f64]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        let cosines = [0, 1].map(|text| cosine(&vectors[0][text], &vectors[1][text]));
        is_close(found["cosine"]["mean"].as_f64().unwrap(), (cosines[0] + cosines[1]) / 2.0);
        is_close(found["cosine"]["min"].as_f64().unwrap(), cosines[0].min(cosines[1]));
        is_close(found["loss"].as_f64().unwrap(), 1.0 - (cosines[0] + cosines[1]) / 2.0);
    }
}

#[test]
fn the_report_says_what_was_compared() {
    let files = Files::new();
    let data = files.write("pairs.tsv", TABLE);
    let found = report(layers(&data, "int8", &[]));
    let mut names: Vec<&str> = found.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected =
        ["cosine", "isa", "loss", "model", "pooled", "precision", "split", "steps", "texts", "tokens"];
    assert_eq!(names, expected);
    for step in steps(&found) {
        let mut names: Vec<&str> = step.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accumulated", "layer", "loss_alone", "own", "step"]);
    }
    assert_eq!((&found["precision"], &found["split"]), (&"int8".into(), &"dev".into()));
    assert_eq!(found["texts"], SENTENCES.len());
    let tokens: u64 = records(&stdout(embed(&SENTENCES))).iter().map(|r| r["tokens"].as_u64().unwrap()).sum();
    assert_eq!(found["tokens"], tokens);
    assert!(found["model"].as_str().unwrap().contains("tiny-bert"), "{found}");

    let found = report(layers(&data, "int8", &["--split", "test"]));
    assert_eq!((&found["split"], &found["texts"]), (&"test".into(), &2.into()));
    let found = report(layers(&data, "int8", &["--all-splits", "--texts", "6"]));
    assert_eq!((&found["split"], &found["texts"]), (&Value::Null, &6.into()));

    let text = stdout(layers(&data, "int8", &["--texts", "3"]));
    assert!(text.contains("3 of the split \"dev\", "), "{text}");
    let rows = |layer: &str| text.lines().filter(|line| line.starts_with(&format!("{layer}  "))).count();
    // What has an error of its own in int8: all but the LayerNorms.
    assert_eq!((rows("0"), rows("1"), rows("all")), (8, 8, 6 + 1), "{text}");
}

#[test]
fn f32_has_no_errors() {
    let files = Files::new();
    let data = files.write("pairs.tsv", TABLE);
    let found = report(layers(&data, "f32", &[]));
    for name in ["own", "accumulated", "loss_alone"] {
        assert!(figures(&found, name).iter().all(|&figure| figure == 0.0), "{found}");
    }
    assert_eq!((&found["pooled"], &found["loss"]), (&0.0.into(), &0.0.into()));
    assert_eq!(found["cosine"], serde_json::json!({"mean": 1.0, "p1": 1.0, "min": 1.0}));
    assert_eq!(steps(&found).len(), 2 * STEPS.len());
}

/// Of the tiny model, and of the real one.
#[test]
fn errors_are_where_a_precision_makes_them() {
    let files = Files::new();
    let data = files.write("pairs.tsv", TABLE);
    let real = |precision: &str| {
        report(minilm(&["eval", "layers", "--data", &data, "--texts", "2", "--precision", precision]))
    };
    for reports in
        [["bf16", "int8"].map(|precision| report(layers(&data, precision, &[]))), ["bf16", "int8"].map(real)]
    {
        let last = steps(&reports[0]).len() / STEPS.len() - 1;
        for (report, bound) in reports.iter().zip([0.01, 0.1]) {
            for step in steps(report) {
                let of = |name: &str| step[name].as_f64().unwrap();
                let (layer, name) = (step["layer"].as_u64().unwrap(), step["step"].as_str().unwrap());
                // LayerNorm is f32 everywhere, and in bf16 the last layer's attention.
                let exact = name.ends_with("layer_norm")
                    || report["precision"] == "bf16" && layer == last as u64 && name.starts_with("attention");
                assert_eq!((of("own") == 0.0, of("loss_alone") == 0.0), (exact, exact), "{step}");
                assert!(of("own") < bound && of("loss_alone") < bound * bound, "{step}");
                assert!(of("accumulated") > 0.0 && of("accumulated") < 2.0 * bound, "{step}");
            }
            // Errors are small, so that what they cost together is nearly the sum of what each costs.
            let (sum, loss) =
                (figures(report, "loss_alone").iter().sum::<f64>(), report["loss"].as_f64().unwrap());
            assert!(loss > 0.0 && (0.5..2.0).contains(&(sum / loss)), "{sum} of {loss}: {report}");
        }
        let [bf16, int8] = [&reports[0], &reports[1]];
        assert!(int8["loss"].as_f64() > bf16["loss"].as_f64(), "{bf16} {int8}");
        assert!(int8["pooled"].as_f64() > bf16["pooled"].as_f64(), "{bf16} {int8}");
        for (bf16, int8) in steps(bf16).iter().zip(steps(int8)) {
            // Attention and GELU are the same in both.
            if bf16["step"].as_str().unwrap().ends_with(".dense") || bf16["step"] == "attention.qkv" {
                assert!(int8["own"].as_f64() > bf16["own"].as_f64(), "{bf16} {int8}");
                assert!(int8["loss_alone"].as_f64() > bf16["loss_alone"].as_f64(), "{bf16} {int8}");
            }
        }
    }
}

#[test]
fn instruction_sets_threads_and_the_cache_do_not_change_a_figure_of_a_step() {
    let files = Files::new();
    let data = files.write("pairs.tsv", TABLE);
    for precision in ["bf16", "int8"] {
        check_that_figures_stay(&files, precision, "3", |arguments| layers_of(&data, arguments));
    }
    // One a precision, f32 among them.
    assert_eq!(std::fs::read_dir(files.path("cache")).unwrap().count(), 3);
}

#[test]
fn texts_that_are_too_long_or_empty() {
    let files = Files::new();
    let long = "many words ".repeat(50);
    let data = files.write("pairs.csv", format!("sentence1,sentence2\n{long},\n{long},short\n"));
    let output = run(layers(&data, "bf16", &["--json"]));
    assert!(output.status.success());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["texts"], &found["split"]), (&3.into(), &Value::Null));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.matches("1 of 3 texts had more than 32 tokens").count(), 1, "{stderr}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let files = Files::new();
    let data = files.write("pairs.tsv", TABLE);
    refuses(layers(&files.path("missing.tsv"), "int8", &[]), &["missing.tsv: cannot read it"]);
    refuses(
        layers(&data, "int8", &["--split", "train"]),
        &["pairs.tsv: expected at least 1 pair of the split \"train\", found 0", "3 of \"dev\""],
    );
    refuses(layers(&data, "int8", &["--sentence2", "right"]), &["no column \"right\"", "--sentence2"]);
    // Before the model is looked for.
    let nowhere = ["eval", "layers", "--precision", "int8", "--model", "./no/such/model", "--data"];
    refuses(minilm(&[&nowhere[..], &[&data, "--split", "train"]].concat()), &["\"train\""]);
    refuses(minilm(&[&nowhere[..], &[&data]].concat()), &["no/such/model"]);

    for arguments in [
        &["--data", "x"][..],
        &["--precision", "int8"],
        &["--data", "x", "--precision", "int4"],
        &["--data", "x", "--precision", "int8", "--texts", "0"],
        &["--data", "x", "--precision", "int8", "--split", "dev", "--all-splits"],
    ] {
        let output = run(minilm(&[&["eval", "layers"][..], arguments].concat()));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn vectors_that_are_not_finite_are_refused() {
    let files = Files::new();
    let model = files.path("model");
    super::copy_with_nan_weights(&tiny_bert(), model.as_ref());
    let data = files.write("pairs.tsv", TABLE);
    for precision in ["f32", "int8"] {
        let command =
            minilm(&["eval", "layers", "--model", &model, "--data", &data, "--precision", precision]);
        let says = ["model: its vectors of \"A cat sleeps on the sofa.\"", "they are not finite"];
        refuses(command, &says);
    }
}
