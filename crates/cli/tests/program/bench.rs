//! `minilm bench`: what it prints, that the figures go together, and what it refuses.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Files, minilm, refuses, run, stdout, tiny_bert};

/// `minilm bench --model TINY --rounds 2 …`
fn bench(arguments: &[&str]) -> Command {
    let mut command = minilm(&["bench", "--rounds", "2", "--model"]);
    command.arg(tiny_bert()).args(arguments);
    command
}

fn json(command: Command) -> Value {
    serde_json::from_str(&stdout(command)).expect("one JSON object")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

#[track_caller]
fn check_latency(latency: &Value) {
    assert_eq!(latency.as_object().unwrap().len(), 4, "{latency}");
    let [p50, p90, p99, mean] = ["p50", "p90", "p99", "mean"].map(|name| number(&latency[name]));
    // The tiny model takes some microseconds, and nothing that is timed by itself takes none.
    assert!(1e-4 < p50 && p50 <= p90 && p90 <= p99 && p99 < 10_000.0, "{latency}");
    assert!(1e-4 < mean && mean < 10_000.0, "{latency}");
}

#[track_caller]
fn check_throughput(throughput: &Value, tokens_mean: f64) {
    assert_eq!(throughput.as_object().unwrap().len(), 2, "{throughput}");
    let [texts, tokens] = ["texts_per_s", "tokens_per_s"].map(|name| number(&throughput[name]));
    assert!(texts > 0.1, "{throughput}");
    assert!((tokens / texts / tokens_mean - 1.0).abs() < 1e-9, "{throughput}, {tokens_mean} tokens a text");
}

#[track_caller]
fn check_peak_fraction(report: &Value) {
    let fraction = number(&report["peak_fraction"]);
    assert!(0.0 < fraction && fraction < 1.2, "{report}");
}

#[test]
fn one_object_with_every_figure() {
    let files = Files::new();
    let texts = ["one", "two words", "and three words", ""];
    let input = files.write("texts.txt", texts.join("\n") + "\n\n");
    let embedded = stdout(minilm(&["embed", "-i", &input, "--model", tiny_bert().to_str().unwrap()]));
    let tokens: Vec<f64> = super::records(&embedded).iter().map(|record| number(&record["tokens"])).collect();
    assert_eq!(tokens.len(), 5);
    let tokens_mean = tokens.iter().sum::<f64>() / 5.0;

    for threads in [1, 2] {
        let report = json(bench(&["-i", &input, "--threads", &threads.to_string(), "--json"]));
        let names: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = [
            "isa",
            "precision",
            "threads",
            "texts",
            "tokens_mean",
            "latency_ms",
            "throughput",
            "peak_fraction",
        ];
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!((&report["precision"], &report["threads"]), (&"f32".into(), &threads.into()));
        assert_eq!(report["texts"], 5);
        assert!((number(&report["tokens_mean"]) - tokens_mean).abs() < 1e-12, "{report}, {tokens_mean}");
        check_latency(&report["latency_ms"]);
        check_throughput(&report["throughput"], tokens_mean);
        check_peak_fraction(&report);
    }
}

#[test]
fn every_instruction_set_has_its_own_peak() {
    let info: Value = serde_json::from_str(&stdout(minilm(&["info", "--json"]))).unwrap();
    for isa in info["isa"]["available"].as_array().unwrap() {
        let mut command = bench(&["--json", "--threads", "1"]);
        command.env("MINILM_ISA", isa.as_str().unwrap());
        let report = json(command);
        assert_eq!(&report["isa"], isa);
        check_peak_fraction(&report);
    }
}

#[test]
fn the_real_model_reaches_a_share_of_the_peak() {
    let files = Files::new();
    let input = files.write("texts.jsonl", "{\"body\": \"I like programming and machine learning\"}\n");
    let arguments = ["bench", "-i", &input, "--field", "body", "--rounds", "3", "--threads", "1", "--json"];
    let report = json(minilm(&arguments));
    assert_eq!((&report["texts"], &report["tokens_mean"]), (&1.into(), &8.0.into()));
    check_latency(&report["latency_ms"]);
    // 170 MFLOP: even while the whole test suite runs beside it, more than a thousandth of what a core can do, and
    // the arithmetic of a model 200 times smaller would not be.
    assert!((0.001..1.2).contains(&number(&report["peak_fraction"])), "{report}");
}

#[test]
fn one_figure_alone_and_the_built_in_texts() {
    let report = json(bench(&["--only", "latency", "--json"]));
    check_latency(&report["latency_ms"]);
    assert_eq!(report["throughput"], Value::Null);
    check_peak_fraction(&report);
    assert!(number(&report["texts"]) >= 20.0);

    let report = json(bench(&["--only", "throughput", "--json"]));
    assert_eq!(report["latency_ms"], Value::Null);
    check_throughput(&report["throughput"], number(&report["tokens_mean"]));
    check_peak_fraction(&report);
}

#[test]
fn a_table_to_read() {
    let text = stdout(bench(&["--threads", "1"]));
    let names: Vec<&str> = text.lines().map(|line| line[..16].trim_end()).collect();
    let expected =
        ["instruction set", "precision", "threads", "texts", "latency", "throughput", "of the peak"];
    assert_eq!(names, expected);
    assert!(text.contains("p99") && text.contains("tokens/s") && text.ends_with(" %\n"), "{text}");
}

#[test]
fn texts_that_are_too_long_are_reported_and_counted_as_computed() {
    let files = Files::new();
    let input = files.write("texts.txt", "many words ".repeat(50));
    let output = run(bench(&["-i", &input, "--json"]));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["tokens_mean"], 32.0);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("1 of 1 texts had more than 32 tokens"), "{stderr}");
}

#[test]
fn texts_from_standard_input_and_a_limit_of_time() {
    let mut command = minilm(&["bench", "-i", "-", "--seconds", "0", "--json", "--model"]);
    command.arg(tiny_bert()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a line\nanother\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["texts"], 2);
    // There is always a round.
    check_latency(&report["latency_ms"]);
    check_throughput(&report["throughput"], number(&report["tokens_mean"]));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let files = Files::new();
    let empty = files.write("empty.txt", "");
    refuses(bench(&["-i", &empty]), &["empty.txt", "expected at least one text, found none"]);
    refuses(bench(&["-i", &files.path("missing.txt")]), &["missing.txt", "cannot read it"]);
    let invalid = files.write("invalid.jsonl", "\"fine\"\n5\n");
    refuses(bench(&["-i", &invalid]), &["invalid.jsonl:2", "found a number"]);
    // Before the model is looked for.
    refuses(minilm(&["bench", "-i", &empty, "--model", "./no/such/model"]), &["found none"]);
    refuses(minilm(&["bench", "--model", "./no/such/model"]), &["no/such/model"]);
    let mut command = bench(&[]);
    command.env("MINILM_ISA", "mmx");
    refuses(command, &["\"mmx\" is not available"]);

    for arguments in [
        &["--precision", "int4"][..],
        &["--only", "memory"],
        &["--rounds", "0"],
        &["--seconds", "5", "--rounds", "2"],
        &["--threads", "many"],
    ] {
        let output = run(minilm(&[&["bench"], arguments].concat()));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_profile_has_every_operation_and_its_shares_add_up() {
    let profiles = json(bench(&["--profile", "--json"]));
    let profiles = profiles.as_array().unwrap();
    // The tiny model takes 32 tokens at most.
    let tokens: Vec<u64> = profiles.iter().map(|profile| profile["tokens"].as_u64().unwrap()).collect();
    assert!(tokens[0] >= 12 && tokens[0] < 32 && tokens[1..] == [32, 32], "{tokens:?}");
    for profile in profiles {
        check_peak_fraction(profile);
        let parts = profile["parts"].as_array().unwrap();
        assert_eq!(parts.len(), 8, "{profile}");
        assert_eq!(parts[0]["operation"], "tokenisation");
        let shares: f64 = parts.iter().map(|part| number(&part["share"])).sum();
        assert!((shares - 1.0).abs() < 1e-9, "{profile}");
        let attention = parts.iter().find(|part| part["operation"] == "attention").unwrap();
        assert!(number(&attention["ms"]) > 0.0 && number(&attention["peak_fraction"]) > 0.0, "{profile}");
    }
    let output = run(bench(&["--profile", "--threads", "2"]));
    assert_eq!(output.status.code(), Some(2));
}
