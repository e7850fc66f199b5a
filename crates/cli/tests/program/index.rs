//! `minilm index` and `minilm search`.

use std::process::Command;

use serde_json::{Value, json};

use super::{Files, embed, minilm, records, refuses, run, stdout, tiny_bert};

const TEXTS: &str = "\
    A man is eating food.\n\
    A man is eating a piece of bread.\n\
    The girl is carrying a baby.\n\
    A man is riding a horse.\n\
    A monkey is playing drums.\n\
    A cheetah is running behind its prey.\n";

/// `minilm index -i FILE -o DIR …` of the tiny model.
fn tiny_index(input: &str, output: &str, arguments: &[&str]) -> Command {
    let mut command = minilm(&["index", "-i", input, "-o", output, "--model"]);
    command.arg(tiny_bert()).args(arguments);
    command
}

/// `minilm search DIR …` of the tiny model.
fn tiny_search(index: &str, arguments: &[&str]) -> Command {
    let mut command = minilm(&["search", index, "--model"]);
    command.arg(tiny_bert()).args(arguments);
    command
}

#[test]
fn what_is_indexed_is_found_by_its_meaning() {
    let files = Files::new();
    let (texts, index) = (files.write("texts.txt", TEXTS), files.path("texts.index"));
    let built = run(minilm(&["index", "-i", &texts, "-o", &index]));
    assert!(built.status.success() && built.stdout.is_empty());
    let said = String::from_utf8(built.stderr).unwrap();
    assert_eq!(said, format!("minilm: added 6 texts; {index} has 6\n"));

    let hits = records(&stdout(minilm(&["search", &index, "someone has a meal", "-k", "3", "--json"])));
    assert_eq!(hits.len(), 3);
    let found: Vec<&Value> = hits.iter().map(|hit| &hit["id"]).collect();
    assert_eq!(found[0], &json!(0));
    assert_eq!(found[1], &json!(1));
    for (rank, hit) in hits.iter().enumerate() {
        assert_eq!(hit["rank"], rank + 1);
        assert_eq!(hit["text"], TEXTS.lines().nth(hit["id"].as_u64().unwrap() as usize).unwrap());
        assert_eq!(hit.as_object().unwrap().len(), 4);
    }
    let scores: Vec<f64> = hits.iter().map(|hit| hit["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b) && scores[0] > 0.4, "{scores:?}");

    let shown = stdout(minilm(&["search", &index, "someone has a meal", "-k", "1"]));
    assert_eq!(shown, format!("  1  {:.4}  0  A man is eating food.\n", scores[0]));
    let above = stdout(minilm(&["search", &index, "someone has a meal", "--threshold", "0.3"]));
    assert_eq!(above.lines().count(), scores.iter().filter(|score| **score >= 0.3).count());

    // Several queries, from a file, into a file; the text itself is the best hit.
    let output = files.path("hits.jsonl");
    assert_eq!(stdout(minilm(&["search", &index, "-i", &texts, "-k", "1", "--json", "-o", &output])), "");
    let hits = records(&std::fs::read_to_string(&output).unwrap());
    let rows: Vec<_> = hits.iter().map(|hit| (hit["query"].as_u64(), hit["id"].as_u64())).collect();
    assert_eq!(rows, (0..6).map(|i| (Some(i), Some(i))).collect::<Vec<_>>());

    // With int8 the same model is asked.
    let narrow =
        stdout(minilm(&["search", &index, "someone has a meal", "-k", "1", "--json", "--precision", "int8"]));
    assert_eq!(records(&narrow)[0]["id"], 0);
}

#[test]
fn an_index_grows_and_keeps_ids() {
    let files = Files::new();
    let index = files.path("an.index");
    let first =
        files.write("first.jsonl", "{\"key\":\"x\",\"text\":\"the cat\"}\n{\"key\":7,\"text\":\"a dog\"}\n");
    let second = files.write("second.csv", "text,key\n\"the red mat\",y\n");
    stdout(tiny_index(&first, &index, &["--id-field", "key"]));
    let again = tiny_index(&second, &index, &["--id-field", "key"]);
    refuses(again, &["is an index of 2 texts", "--append adds to an index"]);
    stdout(tiny_index(&second, &index, &["--id-field", "key", "--append"]));
    let hits = records(&stdout(tiny_search(&index, &["the cat", "-k", "9", "--json"])));
    assert_eq!(hits.len(), 3);
    assert_eq!((&hits[0]["id"], &hits[0]["text"]), (&json!("x"), &json!("the cat")));
    let mut ids: Vec<String> = hits.iter().map(|hit| hit["id"].to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["\"x\"", "\"y\"", "7"]);
}

#[test]
fn vectors_may_come_from_a_file() {
    let files = Files::new();
    let texts = files.write("texts.txt", "the cat\na dog\n");
    let [vectors, by_vectors, by_texts] = ["v.npy", "v.index", "t.index"].map(|name| files.path(name));
    stdout(embed(&["-i", &texts, "-o", &vectors]));
    stdout(tiny_index(&texts, &by_vectors, &["--vectors", &vectors]));
    stdout(tiny_index(&texts, &by_texts, &[]));
    let search = |index: &str| stdout(tiny_search(index, &["cat", "--json"]));
    assert_eq!(search(&by_vectors), search(&by_texts));

    let one = files.write("one.txt", "the cat\n");
    refuses(
        tiny_index(&one, &files.path("a"), &["--vectors", &vectors]),
        &["v.npy", "1 and 2 vectors are no pairs"],
    );
    let mut bytes = std::fs::read(&vectors).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let nan = files.write("nan.npy", &bytes);
    let says = ["nan.npy", "component 39 of vector 1 is NaN"];
    refuses(tiny_index(&texts, &files.path("b"), &["--vectors", &nan]), &says);
    let truncated = files.write("truncated.npy", &bytes[..end - 1]);
    refuses(tiny_index(&texts, &files.path("c"), &["--vectors", &truncated]), &["truncated.npy"]);
    stdout(embed(&["-i", &texts, "-o", &vectors, "--truncate-dim", "8"]));
    let says = ["v.npy", "vectors of dimension 40 and of dimension 8"];
    refuses(tiny_index(&texts, &files.path("d"), &["--vectors", &vectors]), &says);
}

#[test]
fn what_cannot_be_indexed_or_searched() {
    let files = Files::new();
    let index = files.path("an.index");
    let (empty, texts) = (files.write("empty.txt", ""), files.write("texts.txt", "the cat\n"));
    refuses(tiny_index(&empty, &index, &[]), &["empty.txt: expected at least one text, found none"]);
    refuses(tiny_index(&files.path("none.txt"), &index, &[]), &["none.txt"]);
    refuses(tiny_index(&texts, &index, &["--append"]), &["an.index is no index"]);
    refuses(tiny_index(&texts, &texts, &[]), &["texts.txt"]);
    assert!(!std::fs::exists(&index).unwrap());
    refuses(tiny_search(&index, &["cat"]), &["an.index is no index: it has no index.json"]);

    stdout(tiny_index(&texts, &index, &[]));
    refuses(minilm(&["search", &index, "cat"]), &["was built with", "is another model: the fingerprint"]);
    refuses(tiny_search(&index, &["cat", "-k", "0"]), &["--top-k is 0; expected at least 1"]);
    refuses(tiny_search(&index, &["cat", "--threshold", "NaN"]), &["--threshold is NaN"]);
    refuses(tiny_search(&index, &["-i", &empty]), &["empty.txt: expected at least one text"]);
    // More than there are is all there are.
    assert_eq!(stdout(tiny_search(&index, &["cat", "-k", "1000"])).lines().count(), 1);
    // Nothing to search for is a wrong argument.
    assert_eq!(run(tiny_search(&index, &[])).status.code(), Some(2));
}

#[test]
fn an_interrupted_build_is_taken_up() {
    let files = Files::new();
    let index = files.path("an.index");
    // The second line is broken, so nothing is kept: no segment is full.
    let broken = files.write("broken.jsonl", "\"the cat\"\n{\n");
    refuses(tiny_index(&broken, &index, &[]), &["broken.jsonl:2"]);
    refuses(tiny_search(&index, &["cat"]), &["the index has no texts"]);
    let texts = files.write("texts.txt", "the cat\na dog\n");
    stdout(tiny_index(&texts, &index, &["--append"]));
    assert_eq!(stdout(tiny_search(&index, &["cat"])).lines().count(), 2);
}
