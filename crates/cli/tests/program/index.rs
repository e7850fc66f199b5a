//! `minilm index` and `minilm search`.

use std::path::Path;
use std::process::Command;
#[cfg(unix)]
use std::{
    io::Write,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Files, copy, embed, minilm, records, refuses, run, stdout, tiny_bert};

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
    let texts = files.write("texts.jsonl", "\"the cat\"\n{\n");
    refuses(tiny_index(&texts, &index, &[]), &["texts.jsonl:2"]);
    refuses(tiny_search(&index, &["cat"]), &["the index has no texts"]);
    files.write("texts.jsonl", "\"the cat\"\n\"a dog\"\n");
    stdout(tiny_index(&texts, &index, &[]));
    assert_eq!(stdout(tiny_search(&index, &["cat"])).lines().count(), 2);
}

/// The program is killed while it waits for more texts.
#[cfg(unix)]
#[test]
fn a_killed_build_is_taken_up() {
    let files = Files::new();
    let (index, lines) = (files.path("an.index"), "the cat and the dog\n".repeat(600));
    let mut command = tiny_index("-", &index, &["--threads", "1"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    input.flush().unwrap();
    let names = || {
        let entries = std::fs::read_dir(&index).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    // After a window of 512 texts, the three files of a segment.
    let unfinished = || names().iter().filter(|name| name.starts_with(".minilm-")).count();
    let begin = Instant::now();
    while unfinished() < 3 || !names().contains(&"index.json".to_owned()) {
        assert!(begin.elapsed() < Duration::from_secs(120), "{:?}", names());
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    drop(input);
    assert_eq!(unfinished(), 3, "{:?}", names());

    let texts = files.write("texts.txt", &lines);
    stdout(tiny_index(&texts, &index, &["--threads", "1"]));
    let mut left = names();
    left.sort();
    let segment = ["000000.lines.u64", "000000.texts.jsonl", "000000.vectors.npy"];
    assert_eq!(left, [&segment[..], &["index.json", "lock"]].concat());
    assert_eq!(stdout(tiny_search(&index, &["cat", "-k", "1000"])).lines().count(), 600);
}

#[test]
fn an_interrupted_build_can_be_given_up() {
    let files = Files::new();
    let index = files.path("an.index");
    // More than a segment, and then a broken line.
    let mut lines: String = (0..65_600).map(|i| format!("\"{i}\"\n")).collect();
    lines.push_str("{\n");
    let texts = files.write("texts.jsonl", &lines);
    refuses(tiny_index(&texts, &index, &[]), &["texts.jsonl:65601"]);
    let other = files.write("other.txt", "the cat\n");
    let says = [
        "can only go on with the same texts",
        "there are only 1 now",
        "--discard-interrupted takes them out",
    ];
    refuses(tiny_index(&other, &index, &[]), &says);
    let given_up = run(tiny_index(&other, &index, &["--discard-interrupted"]));
    let said = String::from_utf8(given_up.stderr).unwrap();
    let expected = format!(
        "minilm: took 65536 texts of an interrupted build out of {index}\nminilm: added 1 texts; {index} has 1\n"
    );
    assert_eq!(said, expected);
    // Where nothing was interrupted, there is nothing to do.
    stdout(tiny_index(&other, &index, &["--append", "--discard-interrupted"]));
    assert_eq!(stdout(tiny_search(&index, &["cat"])).lines().count(), 2);
}

#[test]
fn an_input_is_not_taken_for_a_leftover() {
    let files = Files::new();
    let directory = files.path("");
    let texts = files.write("2024.texts.jsonl", "\"the cat\"\n");
    refuses(tiny_index(&texts, &directory, &[]), &["has other files, 2024.texts.jsonl among them"]);
    assert_eq!(std::fs::read_to_string(&texts).unwrap(), "\"the cat\"\n");
    assert_eq!(files.names(), ["2024.texts.jsonl"]);
}

#[test]
fn texts_are_compared_as_the_model_says() {
    let files = Files::new();
    let model = files.path("model");
    copy(&tiny_bert(), Path::new(&model));
    files.write("model/config_sentence_transformers.json", "{\"similarity_fn_name\": \"euclidean\"}");
    let (texts, index) = (files.write("texts.txt", "the cat\na dog\n"), files.path("an.index"));
    stdout(minilm(&["index", "-i", &texts, "-o", &index, "-m", &model]));
    let hits = records(&stdout(minilm(&["search", &index, "the cat", "-m", &model, "--json"])));
    assert_eq!((&hits[0]["score"], &hits[0]["id"]), (&json!(0.0), &json!(0)));
    assert!(hits[1]["score"].as_f64().unwrap() < -0.1, "{hits:?}");
}

#[test]
fn vectors_of_a_file_have_to_be_those_of_the_texts() {
    let files = Files::new();
    let (model, vectors) = (files.path("model"), files.path("v.npy"));
    copy(&tiny_bert(), Path::new(&model));
    let prompts = "{\"prompts\": {\"document\": \"a dog and a cat: \"}}";
    files.write("model/config_sentence_transformers.json", prompts);
    let texts = files.write("texts.txt", "the cat\na dog\n");
    let embed = |options: &[&str]| {
        let mut command = minilm(&["embed", "-i", &texts, "-o", &vectors, "-m", &model]);
        command.args(options);
        stdout(command)
    };
    let index = |name: &str, options: &[&str]| {
        let index = files.path(name);
        let mut command = minilm(&["index", "-i", &texts, "-o", &index, "-m", &model, "--vectors", &vectors]);
        command.args(options);
        command
    };
    embed(&[]);
    let says = ["v.npy: the vector of the first text is not the one that", "--prompt-name document"];
    refuses(index("a", &[]), &says);
    assert!(!std::fs::exists(files.path("a")).unwrap());
    stdout(index("b", &["--prompt", ""]));
    embed(&["--prompt-name", "document"]);
    stdout(index("c", &[]));
    // Of the same direction, but not of the same length.
    embed(&["--prompt-name", "document", "--truncate-dim", "8"]);
    let scaled = ["--truncate-dim", "8", "--normalize-embeddings"];
    refuses(
        index("d", &scaled),
        &["v.npy: vector 0 has length 0.", "the vectors of this index have length 1"],
    );
    stdout(index("e", &["--truncate-dim", "8"]));
}
