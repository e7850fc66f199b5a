//! `--precision`: what it changes, what it does not, and which names there are.

use std::process::Command;

use serde_json::Value;

use super::{Files, embed, minilm, records, run, stdout, tiny_bert};

const TEXTS: [&str; 2] = ["some text", "the cat sat on the red mat"];

/// `minilm embed` in a precision, of these texts.
fn embed_in(precision: &str) -> Command {
    embed(&[&TEXTS[..], &["--precision", precision]].concat())
}

fn vectors(jsonl: &str) -> Vec<Vec<f64>> {
    let numbers = |record: &Value| {
        let numbers = record["embedding"].as_array().unwrap();
        numbers.iter().map(|x| x.as_f64().unwrap()).collect()
    };
    records(jsonl).iter().map(numbers).collect()
}

/// Of vectors of unit length.
fn cosine(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn f32_is_the_default_and_the_others_are_close_to_it() {
    let f32 = stdout(embed(&TEXTS));
    assert_eq!(stdout(embed_in("f32")), f32);
    let f32 = vectors(&f32);
    let [bf16, int8] = ["bf16", "int8"].map(|precision| vectors(&stdout(embed_in(precision))));
    for (i, expected) in f32.iter().enumerate() {
        assert!(bf16[i] != *expected && int8[i] != *expected && bf16[i] != int8[i]);
        let [bf16, int8] = [&bf16[i], &int8[i]].map(|found| cosine(found, expected));
        assert!((0.9999..1.0 + 1e-6).contains(&bf16) && (0.998..1.0 + 1e-6).contains(&int8), "{bf16} {int8}");
    }
}

#[test]
fn instruction_sets_threads_and_the_cache_do_not_change_a_byte_in_any_precision() {
    let info: Value = serde_json::from_str(&stdout(minilm(&["info", "--json"]))).unwrap();
    let files = Files::new();
    let cache = format!("--packed-cache={}", files.path("cache"));
    for precision in ["bf16", "int8"] {
        let expected = stdout(embed_in(precision));
        for isa in info["isa"]["available"].as_array().unwrap() {
            for threads in ["1", "2", "5"] {
                let mut command = embed_in(precision);
                command.args(["--threads", threads]).env("MINILM_ISA", isa.as_str().unwrap());
                assert_eq!(stdout(command), expected, "{precision} on {isa}, {threads} threads");
            }
        }
        for _ in 0..2 {
            let mut command = embed_in(precision);
            command.arg(&cache);
            assert_eq!(stdout(command), expected, "{precision} from a cache");
        }
    }
    assert_eq!(std::fs::read_dir(files.path("cache")).unwrap().count(), 2);
}

#[test]
fn the_real_model_is_close_to_f32_too() {
    let embed = |precision| {
        let arguments = ["embed", "I like programming and machine learning", "--precision", precision];
        vectors(&stdout(minilm(&arguments))).pop().unwrap()
    };
    let [f32, bf16, int8] = ["f32", "bf16", "int8"].map(embed);
    assert!(bf16 != f32 && int8 != f32);
    let cosines = [&bf16, &int8].map(|found| cosine(found, &f32));
    assert!(cosines[0] > 0.9999 && cosines[1] > 0.995, "{cosines:?}");
}

#[test]
fn bench_measures_in_every_precision() {
    for precision in ["f32", "bf16", "int8"] {
        let mut command = minilm(&["bench", "--rounds", "2", "--json", "--precision", precision, "--model"]);
        command.arg(tiny_bert());
        let report: Value = serde_json::from_str(&stdout(command)).unwrap();
        assert_eq!(report["precision"], precision);
        // Of the peak of that precision's own instructions.
        let fraction = report["peak_fraction"].as_f64().unwrap();
        assert!(0.0 < fraction && fraction < 1.2, "{report}");
        let mut command = minilm(&["bench", "--profile", "--json", "--precision", precision, "--model"]);
        command.arg(tiny_bert());
        let profiles: Value = serde_json::from_str(&stdout(command)).unwrap();
        assert_eq!(profiles.as_array().unwrap().len(), 3);
    }
}

#[test]
fn an_unknown_precision_is_refused_with_those_that_are_known() {
    for arguments in [
        &["embed", "x"][..],
        &["bench"],
        &["eval", "sts", "--data", "pairs.tsv"],
        &["eval", "layers", "--data", "pairs.tsv"],
        &["trace", "x", "-o", "directory"],
    ] {
        for name in ["int4", "F32", ""] {
            let output = run(minilm(&[arguments, &["--precision", name]].concat()));
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
            assert!(output.stdout.is_empty() && stderr.contains("--precision"), "{stderr}");
            for known in ["f32", "bf16", "int8"] {
                assert!(stderr.contains(known), "{arguments:?} should name {known}: {stderr}");
            }
        }
    }
}
