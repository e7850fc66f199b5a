//! The program from the outside: what it reads, prints, writes and refuses.

#[path = "program/bench.rs"]
mod bench;
#[path = "program/chunk.rs"]
mod chunk;
#[path = "program/cluster.rs"]
mod cluster;
#[path = "program/encode_options.rs"]
mod encode_options;
#[path = "program/eval.rs"]
mod eval;
#[path = "program/formats.rs"]
mod formats;
#[path = "program/index.rs"]
mod index;
#[path = "program/info.rs"]
mod info;
#[path = "program/layers.rs"]
mod layers;
#[path = "program/packed_cache.rs"]
mod packed_cache;
#[path = "program/precision.rs"]
mod precision;
#[cfg(feature = "serve")]
#[path = "program/serve.rs"]
mod serve;
#[path = "program/similarity.rs"]
mod similarity;
#[path = "program/stream.rs"]
mod stream;
#[path = "program/streams.rs"]
mod streams;
#[cfg(target_os = "linux")]
#[path = "program/threads.rs"]
mod threads;
#[path = "program/trace.rs"]
mod trace;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use npyz::NpyFile;
use serde_json::Value;

fn tiny_bert() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert")
}

fn minilm(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_minilm"));
    command.args(arguments).env_remove("MINILM_ISA").env_remove("MINILM_PACKED_CACHE").stdin(Stdio::null());
    command
}

/// `minilm embed --model TINY …`
fn embed(arguments: &[&str]) -> Command {
    let mut command = minilm(&["embed", "--model"]);
    command.arg(tiny_bert()).args(arguments);
    command
}

fn run(mut command: Command) -> Output {
    command.output().expect("the program starts")
}

#[track_caller]
fn stdout(command: Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Exit status 1, nothing on standard output, and a message that says all of this.
#[track_caller]
fn refuses(command: Command, says: &[&str]) {
    let output = run(command);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty());
    assert!(stderr.starts_with("minilm: error: "), "{stderr}");
    for part in says {
        assert!(stderr.contains(part), "the message should say {part:?}: {stderr}");
    }
}

fn records(jsonl: &str) -> Vec<Value> {
    jsonl.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Copies a model whose weights are no numbers then.
fn copy_with_nan_weights(from: &Path, to: &Path) {
    copy(from, to);
    let path = to.join("model.safetensors");
    let mut weights = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    weights[header..].chunks_exact_mut(4).for_each(|weight| weight.copy_from_slice(&f32::NAN.to_le_bytes()));
    std::fs::write(path, weights).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn texts_of_the_command_line_as_json_lines() {
    let records = records(&stdout(embed(&["the first", "and the second"])));
    assert_eq!(records.len(), 2);
    for (record, text) in records.iter().zip(["the first", "and the second"]) {
        assert_eq!(record["text"], text);
        assert_eq!(record["truncated"], false);
        assert!(record["tokens"].as_u64().unwrap() >= 4);
        let embedding = record["embedding"].as_array().unwrap();
        assert_eq!(embedding.len(), 40);
        let length: f64 = embedding.iter().map(|x| x.as_f64().unwrap().powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-6);
        assert_eq!(record.as_object().unwrap().len(), 4);
    }
}

#[test]
fn a_text_that_is_too_long_is_reported() {
    let long = "many words ".repeat(50);
    let output = run(embed(&[&long, "short"]));
    let records = records(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(
        (&records[0]["truncated"], &records[1]["truncated"]),
        (&Value::Bool(true), &Value::Bool(false))
    );
    assert!(records[0]["tokens"].as_u64().unwrap() > 100);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("1 of 2 texts had more than 32 tokens"), "{stderr}");
}

#[test]
fn every_input_and_output_format_gives_the_same_numbers() {
    let files = Files::new();
    let texts = ["one", "two words", "a \"quoted\" tab\there", ""];
    let txt = files.write("in.txt", texts.join("\n") + "\n\n");
    let lines: Vec<String> =
        texts.iter().map(|t| serde_json::json!({"id": 1, "body": t}).to_string()).collect();
    let jsonl = files.write("in.jsonl", lines.join("\n"));
    let json = files.write("in.json", serde_json::to_string(&texts).unwrap());

    let expected = records(&stdout(embed(&texts)));
    let numbers =
        |records: &[Value]| -> Vec<Value> { records.iter().map(|r| r["embedding"].clone()).collect() };
    let from_txt = records(&stdout(embed(&["-i", &txt])));
    // The empty line behind the empty text is a text too.
    assert_eq!(numbers(&from_txt[..4]), numbers(&expected));
    assert_eq!(from_txt.len(), 5);
    assert_eq!(records(&stdout(embed(&["-i", &jsonl, "--field", "body"]))), expected);
    assert_eq!(records(&stdout(embed(&["-i", &json]))), expected);

    let array: Value = serde_json::from_str(&stdout(embed(&["-i", &json, "--format", "json"]))).unwrap();
    assert_eq!(array.as_array().unwrap(), &expected);

    for arguments in [vec!["-o", "out.npy"], vec!["--format", "npy", "-o", "out.bin"]] {
        let output = files.path(arguments.last().unwrap());
        let mut arguments = arguments.clone();
        *arguments.last_mut().unwrap() = &output;
        assert_eq!(stdout(embed(&[&["-i", &json][..], &arguments].concat())), "");
        let bytes = std::fs::read(&output).unwrap();
        let npy = NpyFile::new(&bytes[..]).unwrap();
        assert_eq!(npy.shape(), [4, 40]);
        let rows: Vec<f32> = npy.into_vec().unwrap();
        let from_json: Vec<f32> = numbers(&expected)
            .iter()
            .flat_map(|row| row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32))
            .collect();
        assert_eq!(rows, from_json, "JSON numbers lead back to the same bits");
    }
    assert_eq!(files.names(), ["in.json", "in.jsonl", "in.txt", "out.bin", "out.npy"]);
}

#[test]
fn standard_input_and_no_texts_at_all() {
    let mut child = embed(&["-i", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a line\nanother\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(records(std::str::from_utf8(&output.stdout).unwrap()).len(), 2);

    let files = Files::new();
    let empty = files.write("empty.txt", "");
    assert_eq!(stdout(embed(&["-i", &empty])), "");
    assert_eq!(stdout(embed(&["-i", &empty, "--format", "json"])), "[]\n");
    let npy = files.path("empty.npy");
    stdout(embed(&["-i", &empty, "-o", &npy]));
    assert_eq!(NpyFile::new(&std::fs::read(&npy).unwrap()[..]).unwrap().shape(), [0, 40]);
}

#[test]
fn unreadable_input_is_refused_before_anything_is_written() {
    let files = Files::new();
    let output = files.path("out.jsonl");
    let missing = files.path("missing.txt");
    refuses(embed(&["-i", &missing, "-o", &output]), &["missing.txt", "cannot read it"]);
    let invalid = files.write("invalid.txt", b"fine\nfine\nnot \xff fine\n");
    refuses(embed(&["-i", &invalid, "-o", &output]), &["invalid.txt:3", "invalid UTF-8 at byte 5"]);
    let not_json = files.write("broken.jsonl", "\"fine\"\n{\"text\": \n");
    refuses(embed(&["-i", &not_json, "-o", &output]), &["broken.jsonl:2", "not JSON"]);
    let unknown = files.write("table.xls", "a,b\n");
    refuses(embed(&["-i", &unknown]), &["table.xls", ".xls", "--input-format"]);
    refuses(embed(&["-i", &files.path("")]), &["cannot read it"]);
    assert_eq!(files.names(), ["broken.jsonl", "invalid.txt", "table.xls"]);
}

#[test]
fn an_unwritable_output_is_refused_and_an_existing_file_stays() {
    let files = Files::new();
    refuses(embed(&["x", "-o", &files.path("no/such/directory.npy")]), &["cannot write", "directory.npy"]);
    refuses(embed(&["x", "-o", &files.path("")]), &["cannot write", "it is a directory"]);
    // Before the model is looked for: nobody should wait for a download to hear of it.
    let output = files.path("no/such/directory.npy");
    refuses(minilm(&["embed", "x", "--model", "./no/such/model", "-o", &output]), &["cannot write"]);

    // A model that cannot be loaded, once the output is open: what was there stays, and nothing is added.
    let existing = files.write("existing.jsonl", "precious");
    let broken = files.path("model");
    std::fs::create_dir(&broken).unwrap();
    refuses(minilm(&["embed", "x", "--model", &broken, "-o", &existing]), &["lacks"]);
    assert_eq!(std::fs::read_to_string(&existing).unwrap(), "precious");
    assert_eq!(files.names(), ["existing.jsonl", "model"]);

    stdout(embed(&["x", "-o", &existing]));
    assert_eq!(records(&std::fs::read_to_string(&existing).unwrap()).len(), 1);
}

#[test]
fn instruction_sets_and_threads_do_not_change_a_byte() {
    let expected = stdout(embed(&["some text", "and more"]));
    let info: Value = serde_json::from_str(&stdout(minilm(&["info", "--json"]))).unwrap();
    for isa in info["isa"]["available"].as_array().unwrap() {
        for threads in ["1", "2", "5"] {
            let mut command = embed(&["some text", "and more", "--threads", threads]);
            command.env("MINILM_ISA", isa.as_str().unwrap());
            assert_eq!(stdout(command), expected, "{isa}, {threads} threads");
        }
    }
    let mut command = embed(&["x"]);
    command.env("MINILM_ISA", "mmx");
    refuses(command, &["\"mmx\" is not available", "scalar"]);
}

#[test]
fn info_tells_about_the_machine_and_the_model() {
    let tiny = tiny_bert();
    let info: Value =
        serde_json::from_str(&stdout(minilm(&["info", tiny.to_str().unwrap(), "--json"]))).unwrap();
    let model = &info["model"];
    assert_eq!((&model["dimension"], &model["max_seq_length"]), (&40.into(), &32.into()));
    assert_eq!((&model["pooling"], &model["weights_type"]), (&"mean".into(), &"f32".into()));
    assert_eq!(info["isa"]["cpu_features"], serde_json::json!(minilm::cpu_features()));
    let text = stdout(minilm(&["info", tiny.to_str().unwrap()]));
    assert!(text.contains(&format!("CPU features       {}", minilm::cpu_features().join(", "))), "{text}");
    assert!(text.contains("2 layers of 40 × 5 heads") && text.contains("instruction set"), "{text}");

    let cache = tempfile::tempdir().unwrap();
    let text = stdout(minilm(&["info", "--cache-dir", cache.path().to_str().unwrap()]));
    assert!(text.contains("not loaded") && text.contains("minilm pull"), "{text}");
}

#[test]
fn wrong_arguments_have_their_own_exit_status() {
    for arguments in [
        &["embed"][..],
        &["embed", "x", "-i", "file.txt"],
        &["embed", "x", "--format", "xml"],
        &["frobnicate"],
    ] {
        assert_eq!(run(minilm(arguments)).status.code(), Some(2), "{arguments:?}");
    }
}
