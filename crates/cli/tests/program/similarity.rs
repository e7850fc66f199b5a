//! `minilm similarity`: matrices beside the vectors of `embed`, heat maps, and what is refused.

use std::process::Command;

use serde_json::{Value, json};

use super::{Files, copy_with_nan_weights, minilm, records, refuses, run, stdout, tiny_bert};

const TEXTS: [&str; 3] = ["A man is eating food.", "A man eats.", "The stock market fell."];

/// `minilm similarity …` of the real model.
fn similarity(arguments: &[&str]) -> Command {
    let mut command = minilm(&["similarity"]);
    command.args(arguments);
    command
}

fn report(arguments: &[&str]) -> Value {
    let text = stdout(similarity(&[arguments, &["--json"]].concat()));
    assert_eq!(text.lines().count(), 1);
    serde_json::from_str(&text).unwrap()
}

fn matrix(report: &Value) -> Vec<Vec<f64>> {
    let rows = report["matrix"].as_array().unwrap().iter();
    rows.map(|row| row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()).collect()
}

/// What `embed` says of the texts.
fn vectors() -> Vec<Vec<f64>> {
    let mut command = minilm(&["embed"]);
    command.args(TEXTS);
    let rows = records(&stdout(command));
    let vector =
        |row: &Value| row["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    rows.iter().map(vector).collect()
}

#[test]
fn a_matrix_is_what_the_vectors_give() {
    let vectors = vectors();
    let sum = |a: &[f64], b: &[f64], of: fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(&x, &y)| of(x, y)).sum()
    };
    for (function, of) in [
        ("cosine", &(|a: &[f64], b: &[f64]| sum(a, b, |x, y| x * y)) as &dyn Fn(&[f64], &[f64]) -> f64),
        ("dot", &|a, b| sum(a, b, |x, y| x * y)),
        ("euclidean", &|a, b| -sum(a, b, |x, y| (x - y) * (x - y)).sqrt()),
        ("manhattan", &|a, b| -sum(a, b, |x, y| (x - y).abs())),
    ] {
        let report = report(&[&TEXTS[..], &["--function", function]].concat());
        assert_eq!(report["texts"], json!(TEXTS));
        assert_eq!(report.as_object().unwrap().len(), 2);
        for (row, a) in matrix(&report).iter().zip(&vectors) {
            assert_eq!(row.len(), 3);
            for (found, b) in row.iter().zip(&vectors) {
                assert!((found - of(a, b)).abs() < 1e-5, "{function}: {found}, expected {}", of(a, b));
            }
        }
    }
    let found = matrix(&report(&TEXTS));
    // What sentence-transformers' `model.similarity` gives.
    for (found, expected) in [(found[0][1], 0.912_77), (found[0][2], -0.036_473), (found[1][2], -0.036_862)] {
        assert!((found - expected).abs() < 2e-6, "{found}, expected {expected}");
    }
}

#[test]
fn texts_of_a_file_are_compared_with_each_other_or_with_those_given() {
    let files = Files::new();
    let input = files.write("texts.jsonl", TEXTS.map(|text| json!({"body": text}).to_string()).join("\n"));
    let of_file = report(&["-i", &input, "--field", "body"]);
    assert_eq!(of_file, report(&TEXTS));
    let between = report(&[TEXTS[1], "-i", &input, "--field", "body"]);
    assert_eq!(between, json!({"texts": [TEXTS[1]], "columns": TEXTS, "matrix": [of_file["matrix"][1]]}));
    let text = stdout(similarity(&[TEXTS[1], "-i", &input, "--field", "body"]));
    assert!(
        text.starts_with("1  A man is eating food.\n2  A man eats.\n3  The stock market fell.\n\n"),
        "{text}"
    );
    assert_eq!(text.lines().last(), Some("   A man eats.   0.91   1.00  −0.04"));
}

#[test]
fn people_read_an_aligned_matrix_without_colours_in_a_pipe() {
    let expected = [
        "                               1      2      3",
        "1  A man is eating food.    1.00   0.91  −0.04",
        "2  A man eats.              0.91   1.00  −0.04",
        "3  The stock market fell.  −0.04  −0.04   1.00",
    ];
    let text = stdout(similarity(&TEXTS));
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    assert_eq!(stdout(similarity(&["alone"])), "             1\n1  alone  1.00\n");
}

#[test]
fn every_instruction_set_and_any_threads_give_the_same() {
    let info: Value = serde_json::from_str(&stdout(minilm(&["info", "--json"]))).unwrap();
    let expected = report(&TEXTS);
    for isa in info["isa"]["available"].as_array().unwrap() {
        for threads in ["1", "3"] {
            let mut command = similarity(&[&TEXTS[..], &["--json", "--threads", threads]].concat());
            command.env("MINILM_ISA", isa.as_str().unwrap());
            assert_eq!(serde_json::from_str::<Value>(&stdout(command)).unwrap(), expected, "{isa}");
        }
    }
}

#[test]
fn a_heat_map_has_texts_and_numbers() {
    let files = Files::new();
    let plot = files.path("plot.svg");
    stdout(similarity(&["a <b> & \"c\"", "日本語の文章", "", "--plot", &plot]));
    let picture = std::fs::read_to_string(&plot).unwrap();
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    for text in
        ["a &lt;b&gt; &amp; &quot;c&quot;", "日本語の文章", "(empty)", "Similarity of 3 texts", "1.00"]
    {
        assert!(picture.contains(text), "{text}: {picture}");
    }
    let input = files.write("many.txt", (0..600).map(|i| format!("text {i}\n")).collect::<String>());
    let mut many = similarity(&["-i", &input, "--plot", &plot, "--function", "euclidean", "--model"]);
    many.arg(tiny_bert());
    stdout(many);
    let picture = std::fs::read_to_string(&plot).unwrap();
    assert!(picture.contains("Similarity of 600 texts") && picture.contains("data:image/png;base64,"));
    assert!(picture.len() < 1_000_000, "{} bytes", picture.len());
}

#[test]
fn what_cannot_be_done_is_refused_before_the_model_is_loaded() {
    let files = Files::new();
    let refused = |arguments: &[&str], says: &[&str]| {
        refuses(similarity(&[&["--model", "./no/such/model"], arguments].concat()), says);
    };
    let empty = files.write("empty.txt", "");
    refused(&["-i", &empty], &["empty.txt: expected at least one text, found none"]);
    refused(&["a", "-i", &empty], &["empty.txt: expected at least one text, found none"]);
    refused(&["-i", &files.path("missing.txt")], &["missing.txt", "cannot read it"]);
    refused(&["a", "--plot", &files.path("no/such/directory.svg")], &["cannot write", "directory.svg"]);
    let many = files.write("many.txt", "x\n".repeat(16_385));
    refused(&["-i", &many], &["16385 by 16385 texts have more than 268435456 similarities"]);
    for arguments in [&[][..], &["a", "--function", "angle"]] {
        assert_eq!(run(similarity(arguments)).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn vectors_that_are_no_numbers_are_refused() {
    let files = Files::new();
    let broken = files.0.path().join("nan-model");
    copy_with_nan_weights(&tiny_bert(), &broken);
    let model = broken.to_str().unwrap();
    let says = "its vectors of \"one\" and \"one\" have no similarity: they are not finite";
    refuses(similarity(&["one", "two", "--model", model]), &["nan-model", says]);
}
