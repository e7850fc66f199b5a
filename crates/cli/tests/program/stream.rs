//! Inputs of many windows: the same vectors as all at once, and all or nothing of a file.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use minilm::{EncodeOptions, LoadOptions, SentenceTransformer};
use npyz::NpyFile;
use serde_json::{Value, json};

use super::{Files, embed, records, run, stdout, tiny_bert};

/// Seven windows of two threads, and more bytes of vectors than wait for standard output in memory.
const MANY: usize = 7_000;

fn texts(n: usize) -> Vec<String> {
    let word = |i: usize| ["short", "a little longer", "ünïcödé 日本", "\"quoted\"\tand tabs", ""][i % 5];
    (0..n).map(|i| format!("{} {i} {}", word(i), word(i / 5).repeat(i % 7))).collect()
}

/// `[n][40]`, all at once.
fn vectors(texts: &[String]) -> Vec<f32> {
    let model = SentenceTransformer::load_with(tiny_bert(), &LoadOptions::default().threads(1)).unwrap();
    model.encode_batch(texts, &EncodeOptions::default()).unwrap().into_vec()
}

/// The components of all records, after a look at their texts.
#[track_caller]
fn vectors_of(records: &[Value], texts: &[String]) -> Vec<f32> {
    assert!(records.iter().map(|r| r["text"].as_str().unwrap()).eq(texts));
    let rows = records.iter().map(|r| r["embedding"].as_array().unwrap());
    rows.flatten().map(|x| x.as_f64().unwrap() as f32).collect()
}

/// What the format says of a C-ordered f32 array: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>
#[track_caller]
fn vectors_of_npy(bytes: &[u8], rows: usize) -> Vec<f32> {
    let (header, data) = bytes.split_at(128);
    assert_eq!(&header[..8], b"\x93NUMPY\x01\x00");
    assert_eq!(u16::from_le_bytes([header[8], header[9]]), 118);
    let dictionary: String =
        std::str::from_utf8(&header[10..]).unwrap().split(' ').filter(|part| !part.is_empty()).collect();
    assert_eq!(
        dictionary,
        format!("{{'descr':'<f4','fortran_order':False,'shape':({rows},40,),}}\n"),
        "white space aside"
    );
    assert_eq!(NpyFile::new(bytes).unwrap().shape(), [rows as u64, 40]);
    assert_eq!(data.len(), rows * 40 * 4);
    data.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect()
}

fn with_stdin(mut command: Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success());
    output.stdout
}

#[test]
fn many_windows_have_the_bits_of_one_batch_in_every_format() {
    let files = Files::new();
    let texts = texts(MANY);
    let expected = vectors(&texts);

    let txt = files.write("in.txt", texts.join("\n"));
    let lines: Vec<String> =
        texts.iter().map(|t| json!({"id": [{"body": 1}], "body": t}).to_string()).collect();
    let jsonl = files.write("in.jsonl", lines.join("\n"));
    let array = serde_json::to_string(&texts).unwrap();
    let json = files.write("in.json", &array);
    for input in [&txt, &jsonl, &json] {
        let npy = files.path("out.npy");
        assert_eq!(stdout(embed(&["-i", input, "--field", "body", "--threads", "2", "-o", &npy])), "");
        let bytes = std::fs::read(&npy).unwrap();
        assert!(vectors_of_npy(&bytes, MANY) == expected, "{input}");
        // Standard output cannot be changed when the number of rows is known.
        let piped = run(embed(&["-i", input, "--field", "body", "--format", "npy"])).stdout;
        assert!(piped == bytes, "{input}");
    }

    let out = files.path("out.jsonl");
    stdout(embed(&["-i", &txt, "-o", &out]));
    let lines = std::fs::read_to_string(&out).unwrap();
    assert!(vectors_of(&records(&lines), &texts) == expected);
    let from_stdin = with_stdin(embed(&["-i", "-", "--threads", "1"]), texts.join("\n").as_bytes());
    assert!(from_stdin == lines.as_bytes());

    let out = files.path("out.json");
    stdout(embed(&["-i", &jsonl, "--field", "body", "-o", &out]));
    let document = std::fs::read_to_string(&out).unwrap();
    let items: Vec<Value> = serde_json::from_str(&document).unwrap();
    assert!(vectors_of(&items, &texts) == expected);
    let arguments = ["-i", "-", "--input-format", "json", "--format", "json"];
    assert!(with_stdin(embed(&arguments), array.as_bytes()) == document.as_bytes());
    assert_eq!(files.names(), ["in.json", "in.jsonl", "in.txt", "out.json", "out.jsonl", "out.npy"]);
}

#[test]
fn an_error_far_behind_leaves_nothing_and_names_its_line() {
    let files = Files::new();
    let mut lines: Vec<Vec<u8>> = (1..=5_000).map(|i| format!("\"line {i}\"").into_bytes()).collect();
    lines[4_320] = b"\"line\xff\"".to_vec();
    let invalid = lines.join(&b"\n"[..]);
    lines[4_320] = b"\"line".to_vec();
    let broken = lines.join(&b"\n"[..]);
    let array = [b"[\n", &lines.join(&b",\n"[..])[..], b"]"].concat();
    for (name, content, place) in [
        ("in.txt", &invalid, "in.txt:4321: invalid UTF-8 at byte 6"),
        ("in.jsonl", &broken, "in.jsonl:4321: not JSON: EOF while parsing a string at column 5"),
        ("in.json", &array, "in.json:4323: not JSON: control character"),
    ] {
        let input = files.write(name, content);
        for output in ["out.npy", "out.json", "out.jsonl"] {
            let output = run(embed(&["-i", &input, "-o", &files.path(output)]));
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{stderr}");
            assert!(stderr.starts_with("minilm: error: ") && stderr.contains(place), "{stderr}");
            assert_eq!(files.names(), [name]);
        }
        std::fs::remove_file(&input).unwrap();
    }
    let existing = files.write("existing.npy", "precious");
    let input = files.write("in.txt", &invalid);
    assert_eq!(run(embed(&["-i", &input, "-o", &existing])).status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&existing).unwrap(), "precious");

    // What standard output has got cannot be taken back, but it is whole lines.
    let output = run(embed(&["-i", &input, "--threads", "1"]));
    assert_eq!(output.status.code(), Some(1));
    let records = records(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(records.len(), 4_320 / 512 * 512);
}

#[test]
fn results_come_while_the_input_is_still_open() {
    let arguments = ["-i", "-", "--threads", "1"];
    let mut child = embed(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    stdin.write_all("a line\n".repeat(512).as_bytes()).unwrap();
    let mut line = String::new();
    for _ in 0..512 {
        line.clear();
        output.read_line(&mut line).unwrap();
        assert_eq!(records(&line)[0]["text"], "a line");
    }
    stdin.write_all(b"the last").unwrap();
    drop(stdin);
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(records(&rest).len(), 1);
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_enough_ends_the_work() {
    let files = Files::new();
    let input = files.write("in.txt", texts(MANY).join("\n"));
    for format in ["jsonl", "json", "csv"] {
        let mut command = embed(&["-i", &input, "--format", format]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn no_texts_are_an_array_of_no_rows() {
    let files = Files::new();
    for (name, content) in [("in.txt", ""), ("in.jsonl", "\n \n"), ("in.json", "[]")] {
        let input = files.write(name, content);
        let npy = files.path("out.npy");
        assert_eq!(stdout(embed(&["-i", &input, "-o", &npy])), "");
        let bytes = std::fs::read(&npy).unwrap();
        assert_eq!(vectors_of_npy(&bytes, 0).len(), 0);
        assert!(run(embed(&["-i", &input, "--format", "npy"])).stdout == bytes);
        assert_eq!(stdout(embed(&["-i", &input, "--format", "json"])), "[]\n");
    }
}

#[test]
fn a_text_longer_than_a_window_is_one_text() {
    let files = Files::new();
    let long = "word ".repeat(1_000_000);
    let input = files.write("in.json", json!(["before", {"text": &long}, "after"]).to_string());
    let output = run(embed(&["-i", &input, "--format", "npy"]));
    let expected = vectors(&["before".to_owned(), long, "after".to_owned()]);
    assert!(vectors_of_npy(&output.stdout, 3) == expected);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        stderr,
        "minilm: warning: 1 of 3 texts had more than 32 tokens; the rest of each was ignored\n"
    );
}

#[test]
fn what_the_first_text_says_is_known_before_the_model_is_looked_for() {
    let files = Files::new();
    let input = files.write("in.jsonl", "{\"body\": \"x\"}\n");
    let mut command = super::minilm(&["embed", "--model", "./no/such/model", "-i"]);
    command.arg(&input);
    super::refuses(command, &["in.jsonl:1", "no field \"text\"", "--field"]);
}
