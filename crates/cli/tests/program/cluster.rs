//! `minilm cluster`: what it puts together, draws and refuses.

use std::process::Command;

use serde_json::{Value, json};

use super::{Files, copy_with_nan_weights, minilm, records, refuses, run, stdout, tiny_bert};

/// The corpus of sentence-transformers' examples of clustering, whose documentation shows the clusters.
const TEXTS: &str = "\
    A man is eating food.\n\
    A man is eating a piece of bread.\n\
    A man is eating pasta.\n\
    The girl is carrying a baby.\n\
    The baby is carried by the woman\n\
    A man is riding a horse.\n\
    A man is riding a white horse on an enclosed ground.\n\
    A monkey is playing drums.\n\
    Someone in a gorilla costume is playing a set of drums.\n\
    A cheetah is running behind its prey.\n\
    A cheetah chases prey on across a field.\n";

/// Which texts are together there.
const CLUSTERS: [&[u64]; 5] = [&[0, 1, 2], &[3, 4], &[5, 6], &[7, 8], &[9, 10]];

fn files() -> (Files, String) {
    let files = Files::new();
    let texts = files.write("texts.txt", TEXTS);
    (files, texts)
}

/// `minilm cluster -i FILE …` of the real model.
fn cluster(input: &str, arguments: &[&str]) -> Command {
    let mut command = minilm(&["cluster", "-i", input]);
    command.args(arguments);
    command
}

/// The members of each cluster, in the order of the input.
fn members(json_lines: &str) -> Vec<Vec<u64>> {
    let texts: Vec<&str> = TEXTS.lines().collect();
    let clusters = records(json_lines);
    let clusters = clusters.iter().enumerate().map(|(i, cluster)| {
        assert_eq!(cluster["cluster"], i);
        assert_eq!(cluster.as_object().unwrap().len(), 2);
        let mut indices = Vec::new();
        for member in cluster["members"].as_array().unwrap() {
            let index = member["index"].as_u64().unwrap();
            assert_eq!(member, &json!({"index": index, "text": texts[index as usize]}));
            indices.push(index);
        }
        indices.sort_unstable();
        indices
    });
    clusters.collect()
}

#[test]
fn texts_of_one_meaning_are_together() {
    let (_files, texts) = files();
    for arguments in [
        &["--k", "5"][..],
        &["--k", "5", "--seed", "7"],
        &["--k", "5", "--linkage", "ward"],
        &["--distance-threshold", "1.5"],
        &["--distance-threshold", "0.5", "--distance", "cosine"],
        &["--distance-threshold", "0.5", "--distance", "cosine", "--linkage", "complete"],
        &["--distance-threshold", "1", "--linkage", "single"],
    ] {
        let output = run(cluster(&texts, &[&["--json"], arguments].concat()));
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let found = members(std::str::from_utf8(&output.stdout).unwrap());
        assert_eq!(found, CLUSTERS, "{arguments:?}");
    }
}

#[test]
fn people_read_the_texts_and_hear_what_was_chosen() {
    let (_files, texts) = files();
    let text = stdout(cluster(&texts, &["--k", "5"]));
    assert!(
        text.starts_with(
            "11 texts in 5 clusters: k-means\n\ncluster 0: 3 texts\n   0  A man is eating food.\n"
        ),
        "{text}"
    );
    assert!(text.contains("\ncluster 4: 2 texts\n"), "{text}");
    let text = stdout(cluster(&texts, &["--distance-threshold", "0.5", "--distance", "cosine"]));
    let first = text.lines().next().unwrap();
    assert_eq!(first, "11 texts in 5 clusters: average linkage of cosine distances below 0.5");

    let output = run(cluster(&texts, &[]));
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(out.starts_with("11 texts in 2 clusters: k-means\n"), "{out}");
    assert!(
        err.contains("2 clusters for 11 texts by √(n / 2)") && err.contains("--distance-threshold"),
        "{err}"
    );
}

#[test]
fn every_instruction_set_and_any_threads_give_the_same() {
    let (files, texts) = files();
    let info: Value = serde_json::from_str(&stdout(minilm(&["info", "--json"]))).unwrap();
    let mut pictures = Vec::new();
    let mut outputs = Vec::new();
    for isa in info["isa"]["available"].as_array().unwrap() {
        for threads in ["1", "3"] {
            let plot = files.path("plot.svg");
            let mut command = cluster(&texts, &["--k", "4", "--threads", threads, "--plot", &plot]);
            command.env("MINILM_ISA", isa.as_str().unwrap());
            outputs.push(stdout(command));
            pictures.push(std::fs::read_to_string(&plot).unwrap());
        }
    }
    assert!(outputs.iter().all(|output| output == &outputs[0]));
    assert!(pictures.iter().all(|picture| picture == &pictures[0]));
}

#[test]
fn a_plot_is_a_picture_of_all_texts() {
    let files = Files::new();
    let input = files.write(
        "texts.json",
        json!(["a <b> & \"c\"", "日本語の文章", "", "third\nline", "third line"]).to_string(),
    );
    let plot = files.path("plot.svg");
    stdout(cluster(&input, &["--k", "3", "--plot", &plot]));
    let picture = std::fs::read_to_string(&plot).unwrap();
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    for text in
        ["a &lt;b&gt; &amp; &quot;c&quot;", "日本語の文章", "(empty)", "third line", "5 texts in 3 clusters"]
    {
        assert!(picture.contains(text), "{text}: {picture}");
    }
    assert!(picture.contains("prefers-color-scheme:dark"));
    // One text has a place, too; and no more than it has the cluster.
    let one = files.write("one.txt", "alone\n");
    assert_eq!(
        stdout(cluster(&one, &["--k", "1", "--plot", &plot])),
        "1 text in 1 cluster: k-means\n\ncluster 0: 1 text\n  0  alone\n"
    );
    assert!(std::fs::read_to_string(&plot).unwrap().contains("1 text in 1 cluster"));
}

#[test]
fn equal_texts_are_one_cluster() {
    let files = Files::new();
    let input = files.write("texts.txt", "same\nother\nsame\nsame\n");
    let found = records(&stdout(cluster(&input, &["--k", "4", "--json"])));
    assert_eq!(found.len(), 2);
    let indices: Vec<&Value> =
        found[0]["members"].as_array().unwrap().iter().map(|member| &member["index"]).collect();
    assert_eq!(indices, [0, 2, 3]);
}

#[test]
fn what_cannot_be_done_is_refused_before_the_model_is_loaded() {
    let (files, texts) = files();
    let refused = |input: &str, arguments: &[&str], says: &[&str]| {
        let arguments = [&["--model", "./no/such/model"], arguments].concat();
        refuses(cluster(input, &arguments), says);
    };
    let empty = files.write("empty.txt", "");
    refused(&empty, &["--k", "1"], &["empty.txt: expected at least one text, found none"]);
    refused(&files.path("missing.txt"), &["--k", "1"], &["missing.txt", "cannot read it"]);
    refused(&texts, &["--k", "12"], &["--k is 12", "texts.txt has 11 texts; expected 1 to 11"]);
    refused(&texts, &["--k", "0"], &["--k is 0", "expected 1 to 11"]);
    for threshold in ["-1", "NaN"] {
        let says = format!("--distance-threshold is {threshold}; expected a number that is not negative");
        refused(&texts, &["--distance-threshold", threshold], &[&says]);
    }
    let ward = ["--k", "2", "--distance", "cosine", "--linkage", "ward"];
    refused(&texts, &ward, &["ward linkage needs euclidean distances"]);
    let unwritable = files.path("no/such/directory.svg");
    refused(&texts, &["--k", "2", "--plot", &unwritable], &["cannot write", "directory.svg"]);
    refused(&texts, &["--k", "2", "--plot", &files.path("")], &["cannot write", "it is a directory"]);

    for arguments in [
        &["--k", "2", "--distance-threshold", "1"][..],
        &["--k", "2", "--linkage", "medium"],
        &["--k", "2", "--distance", "manhattan"],
        &["--k", "two"],
        &["--distance-threshold", "far"],
    ] {
        let output = run(cluster(&texts, arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let output = run(cluster(&texts, &["--k", "2", "--linkage", "medium"]));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("ward, complete, average, single"), "{stderr}");
    assert_eq!(run(minilm(&["cluster", "--k", "2"])).status.code(), Some(2), "without an input");
}

#[test]
fn vectors_that_are_no_numbers_are_refused_and_nothing_is_drawn() {
    let files = Files::new();
    let texts = files.write("texts.txt", "one\ntwo\nthree\n");
    let broken = files.0.path().join("nan-model");
    copy_with_nan_weights(&tiny_bert(), &broken);
    let (model, plot) = (broken.to_str().unwrap(), files.path("plot.svg"));
    for method in [["--k", "2"], ["--distance-threshold", "1"]] {
        let arguments = [&method[..], &["--model", model, "--plot", &plot]].concat();
        refuses(cluster(&texts, &arguments), &["nan-model", "component 0 of vector 0 is NaN"]);
    }
    assert_eq!(files.names(), ["nan-model", "texts.txt"]);
}
