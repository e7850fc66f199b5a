//! `minilm eval sts`: its figures beside those of scipy, what it reads and what it refuses.

use std::io::Write;
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{Files, copy_with_nan_weights, minilm, refuses, run, stdout, tiny_bert};

/// Quotes that have no partner, ties among the scores, sentences that occur twice, a pair of equal ones.
const TABLE: &str = "split\tscore\tsentence1\tsentence2\r\n\
    train\t1.0\tA train is late.\t\"Quoted, not paired\r\n\
    test\t4.8\tA cat sleeps on the sofa.\tA cat is sleeping on the couch.\r\n\
    test\t3.2\tThe \"best\" coffee in town\tA cup of good coffee\r\n\
    test\t0.0\tStocks fell sharply on Monday.\tThe child is painting a house.\r\n\
    test\t4.8\tTwo dogs run through the snow.\tTwo dogs are running in snow.\r\n\
    test\t2.5\tShe plays the guitar.\tHe plays the drums.\r\n\
    test\t5\tShe plays the guitar.\tShe plays the guitar.\r\n\
    test\t1.2\tA cat sleeps on the sofa.\tA dog barks at night.\r\n\
    test\t0.0\t5\" nails are on the table\tParliament passed the bill.\r\n";

/// `minilm eval sts --model TINY --data FILE …`
fn sts(data: &str, arguments: &[&str]) -> Command {
    let mut command = minilm(&["eval", "sts", "--data", data, "--model"]);
    command.arg(tiny_bert()).args(arguments);
    command
}

/// What an evaluation prints as JSON.
pub(super) fn report(mut command: Command) -> Value {
    command.arg("--json");
    serde_json::from_str(&stdout(command)).expect("one JSON object")
}

/// Reports of the evaluation are the same on every instruction set, with one thread and with that many, and when packed
/// weights are written into a directory `cache` of the files, and read.
pub(super) fn check_that_figures_stay(
    files: &Files,
    precision: &str,
    threads: &str,
    evaluation: impl Fn(&[&str]) -> Command,
) {
    let info: Value = serde_json::from_str(&stdout(minilm(&["info", "--json"]))).unwrap();
    let expected = report(evaluation(&["--precision", precision]));
    for isa in info["isa"]["available"].as_array().unwrap() {
        for threads in ["1", threads] {
            let mut command = evaluation(&["--precision", precision, "--threads", threads]);
            command.env("MINILM_ISA", isa.as_str().unwrap());
            let mut found = report(command);
            assert_eq!(&found["isa"], isa);
            found["isa"] = expected["isa"].clone();
            assert_eq!(found, expected, "{precision} on {isa}, {threads} threads");
        }
    }
    let cache = format!("--packed-cache={}", files.path("cache"));
    for _ in 0..2 {
        assert_eq!(report(evaluation(&["--precision", precision, &cache])), expected);
    }
}

#[track_caller]
fn is_close(found: &Value, expected: f64, tolerance: f64) {
    let difference = (found.as_f64().expect("a number") - expected).abs();
    assert!(difference < tolerance, "{found}, expected {expected}");
}

#[test]
fn figures_are_those_of_scipy_for_the_same_vectors() {
    let files = Files::new();
    let data = files.write("pairs.tsv", TABLE);
    let found = report(sts(&data, &[]));
    let mut names: Vec<&str> = found.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected =
        ["cosine", "f32", "isa", "model", "pairs", "pearson", "precision", "sentences", "spearman", "split"];
    assert_eq!(names, expected);
    // scipy.stats of the cosines, by numpy in f64, of the vectors that `minilm embed` prints.
    is_close(&found["spearman"], 0.39761922148730094, 1e-12);
    is_close(&found["pearson"], 0.2283375746308096, 1e-12);
    assert_eq!(found["cosine"], json!({"mean": 1.0, "p1": 1.0, "min": 1.0}));
    assert_eq!(found["f32"], json!({"spearman": found["spearman"], "pearson": found["pearson"]}));
    assert_eq!((&found["precision"], &found["split"]), (&"f32".into(), &"test".into()));
    assert_eq!((&found["pairs"], &found["sentences"]), (&8.into(), &13.into()));
    assert!(found["model"].as_str().unwrap().contains("tiny-bert"), "{found}");

    let found = report(sts(&data, &["--all-splits"]));
    is_close(&found["spearman"], 0.39497192920352836, 1e-12);
    is_close(&found["pearson"], 0.2200954234960596, 1e-12);
    assert_eq!((&found["pairs"], &found["sentences"]), (&9.into(), &15.into()));
    assert_eq!(found["split"], Value::Null);
}

#[test]
fn figures_of_the_real_model_are_those_of_sentence_transformers() {
    let files = Files::new();
    let data = files.write("pairs.tsv", TABLE);
    let mut command = minilm(&["eval", "sts", "--data", &data]);
    command.arg("--precision").arg("f32");
    let found = report(command);
    // Its vectors and similarities, and scipy. Ranks are equal, vectors to 1e-6.
    is_close(&found["spearman"], 0.9880235200593538, 1e-12);
    is_close(&found["pearson"], 0.9885040035641616, 1e-6);
    assert_eq!(found["model"], "sentence-transformers/all-MiniLM-L6-v2");
}

#[test]
fn another_precision_is_compared_with_f32() {
    let files = Files::new();
    let data = files.write("pairs.tsv", TABLE);
    let f32 = report(sts(&data, &[]));
    let [bf16, int8] = ["bf16", "int8"].map(|precision| {
        let found = report(sts(&data, &["--precision", precision]));
        assert_eq!(found["precision"], precision);
        assert_eq!(found["f32"], f32["f32"], "{precision}");
        let [mean, p1, min] = ["mean", "p1", "min"].map(|name| found["cosine"][name].as_f64().unwrap());
        assert!(min <= p1 && p1 <= mean && mean < 1.0 && min > 0.99, "{found}");
        assert_ne!(found["pearson"], f32["pearson"], "{precision}");
        for name in ["spearman", "pearson"] {
            // Eight pairs: one that changes places is 0.02.
            is_close(&found[name], f32[name].as_f64().unwrap(), 0.05);
        }
        found
    });
    assert!(bf16["cosine"]["mean"].as_f64() > int8["cosine"]["mean"].as_f64(), "{bf16} {int8}");

    let text = stdout(sts(&data, &["--precision", "int8"]));
    assert!(text.contains("int8"), "{text}");
}

#[test]
fn the_real_model_in_int8_is_compared_with_f32() {
    let files = Files::new();
    let data = files.write("pairs.tsv", TABLE);
    let found = report(minilm(&["eval", "sts", "--data", &data, "--precision", "int8"]));
    is_close(&found["f32"]["pearson"], 0.9885040035641616, 1e-6);
    is_close(&found["pearson"], 0.9885040035641616, 0.005);
    let cosine = &found["cosine"];
    assert!(cosine["min"].as_f64() > Some(0.99) && cosine["mean"].as_f64() < Some(1.0), "{found}");
}

#[test]
fn instruction_sets_threads_and_the_cache_do_not_change_a_figure() {
    let files = Files::new();
    let data = files.write("pairs.tsv", TABLE);
    for precision in ["f32", "int8"] {
        check_that_figures_stay(&files, precision, "2", |arguments| sts(&data, arguments));
    }
    assert_eq!(files.names(), ["cache", "pairs.tsv"]);
}

#[test]
fn every_way_to_give_the_same_table() {
    let files = Files::new();
    let expected = report(sts(&files.write("pairs.tsv", TABLE), &[]));

    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(TABLE.as_bytes()).unwrap();
    let compressed = encoder.finish().unwrap();
    assert_eq!(report(sts(&files.write("no-extension", &compressed), &[])), expected);

    let quoted = |field: &str| format!("\"{}\"", field.replace('"', "\"\""));
    let csv: Vec<String> =
        TABLE.lines().map(|line| line.split('\t').map(quoted).collect::<Vec<_>>().join(",")).collect();
    let csv =
        csv.join("\n").replace("sentence1", "left").replace("sentence2", "right").replace("score", "gold");
    let names = ["--sentence1", "left", "--sentence2", "right", "--score", "gold", "--split", "test"];
    assert_eq!(report(sts(&files.write("pairs.txt", csv), &names)), expected);

    for bytes in [TABLE.as_bytes(), &compressed] {
        let mut command = sts("-", &["--json"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), expected);
    }
}

#[test]
fn a_table_to_read() {
    let files = Files::new();
    let output = run(sts(&files.write("pairs.tsv", TABLE), &[]));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<(&str, &str)> = text.lines().map(|line| (line[..16].trim_end(), &line[17..])).collect();
    let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["model", "instruction set", "precision", "pairs", "Spearman", "Pearson"]);
    assert_eq!(lines[3].1, "8 of the split \"test\", 13 distinct sentences");
    assert_eq!((lines[4].1, lines[5].1), ("0.39762", "0.22834"));
    assert!(output.stderr.is_empty());
}

#[test]
fn sentences_that_are_too_long_are_reported_once_each() {
    let files = Files::new();
    let long = "many words ".repeat(50);
    let table = format!("sentence1,sentence2,score\n{long},short,1\n{long},shorter,2\n");
    let output = run(sts(&files.write("pairs.csv", table), &[]));
    assert!(output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("1 of 3 texts had more than 32 tokens"), "{stderr}");
}

#[test]
fn what_cannot_be_evaluated_is_refused() {
    let files = Files::new();
    let data = files.write("pairs.tsv", TABLE);
    refuses(sts(&files.path("missing.tsv"), &[]), &["missing.tsv: cannot read it"]);
    refuses(sts(&files.path(""), &[]), &["cannot read it", "it is a directory"]);
    refuses(sts(&data, &["--score", "gold"]), &["pairs.tsv: there is no column \"gold\"", "\"sentence1\""]);
    refuses(
        sts(&data, &["--split", "dev"]),
        &["pairs.tsv", "2 pairs of the split \"dev\", found 0", "\"train\""],
    );
    refuses(sts(&data, &["--split", "train"]), &["2 pairs of the split \"train\", found 1"]);
    let broken = files.write("broken.tsv", TABLE.replace("2.5", "two"));
    refuses(sts(&broken, &[]), &["broken.tsv:7: expected a number in the column \"score\", found \"two\""]);
    let constant = files.write("constant.csv", "sentence1,sentence2,score\na,b,5\nc,d,5\n");
    refuses(sts(&constant, &[]), &["constant.csv", "the correlation is undefined: all 2 scores are 5"]);
    let truncated = files.write("truncated.gz", b"\x1f\x8b\x08\x00");
    refuses(sts(&truncated, &[]), &["truncated.gz: cannot decompress it as gzip"]);

    // Before the model is looked for.
    let nowhere = ["eval", "sts", "--model", "./no/such/model", "--data"];
    refuses(minilm(&[&nowhere[..], &[&constant]].concat()), &["scores are 5"]);
    refuses(minilm(&[&nowhere[..], &[&data]].concat()), &["no/such/model"]);

    for arguments in [
        &["eval"][..],
        &["eval", "sts"],
        &["eval", "sts", "--data", "x", "--precision", "int4"],
        &["eval", "sts", "--data", "x", "--split", "dev", "--all-splits"],
        &["eval", "frobnicate"],
    ] {
        assert_eq!(run(minilm(arguments)).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn similarities_that_have_no_correlation_are_refused() {
    let files = Files::new();
    let same = files.write("same.csv", "sentence1,sentence2,score\na,a,1\nb,b,2\n");
    refuses(sts(&same, &[]), &["tiny-bert", "the correlation is undefined: all 2 similarities are 1"]);

    let model = files.path("model");
    copy_with_nan_weights(&tiny_bert(), model.as_ref());
    let data = files.write("pairs.tsv", TABLE);
    let command = minilm(&["eval", "sts", "--model", &model, "--data", &data]);
    refuses(command, &["model: its vectors of \"A cat sleeps on the sofa.\"", "they are not finite"]);
}
