//! Where the program reads, writes and says something: pipes, devices, names, and its end before its time.

use std::path::Path;
use std::process::{Command, Stdio};

use super::formats::FORMATS;
use super::{Files, copy_with_nan_weights, embed, minilm, records, refuses, run, stdout, tiny_bert};

#[cfg(unix)]
#[test]
fn a_full_device_is_an_error_and_a_closed_pipe_is_not() {
    let texts: Vec<String> = (0..500).map(|i| format!("text {i}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for format in [FORMATS, &["npy"]].concat() {
        if Path::new("/dev/full").exists() {
            let output = run(embed(&["x", "-o", "/dev/full", "--format", format]));
            assert_eq!(output.status.code(), Some(1), "{format}");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.starts_with("minilm: error: cannot write /dev/full"), "{format}: {said}");
        }
        let mut command = embed(&[&texts[..], &["--format", format]].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{format}: {output:?}");
    }
}

#[test]
fn a_name_says_what_is_written_or_is_no_name_of_a_format() {
    let files = Files::new();
    let no_model =
        |arguments: &[&str]| minilm(&[&["embed", "x", "--model", "./no/such/model"], arguments].concat());
    for (name, ending) in
        [("out.nyp", "nyp"), ("out.arrows", "arrows"), ("out.jsonl.gz", "jsonl.gz"), ("out.tsv", "tsv")]
    {
        let says =
            [name, &format!("files ending in .{ending} are not known"), "say what to write with --format"];
        refuses(no_model(&["-o", &files.path(name)]), &says);
    }
    assert_eq!(files.names(), [""; 0]);
    for (arguments, name) in [(&["--format", "jsonl"][..], "out.nyp"), (&[], "out")] {
        let path = files.path(name);
        stdout(embed(&[&["x", "-o", &path], arguments].concat()));
        assert_eq!(records(&std::fs::read_to_string(path).unwrap()).len(), 1, "{name}");
    }
}

#[test]
fn a_hyphen_is_standard_output() {
    let files = Files::new();
    let within = |mut command: Command| {
        command.current_dir(files.0.path());
        command
    };
    let expected = stdout(embed(&["x"]));
    assert_eq!(stdout(within(embed(&["x", "-o", "-"]))), expected);
    let document = files.write("document.txt", "the cat");
    let model = tiny_bert();
    let chunk = ["chunk", "-i", &document, "--json", "-m", model.to_str().unwrap()];
    assert_eq!(stdout(within(minilm(&[&chunk[..], &["-o", "-"]].concat()))), stdout(minilm(&chunk)));
    let mut similarity = minilm(&["similarity", "a", "b", "--plot", "-", "-m", "./no/such/model"]);
    similarity.current_dir(files.0.path());
    refuses(similarity, &["--plot is -; expected the name of a file"]);
    assert_eq!(files.names(), ["document.txt"]);
}

#[test]
fn vectors_that_are_no_numbers_are_not_written() {
    let files = Files::new();
    let broken = files.0.path().join("nan-model");
    copy_with_nan_weights(&tiny_bert(), &broken);
    let model = broken.to_str().unwrap();
    let says = ["nan-model: its vector of text 0, \"one\", is not finite"];
    for format in [FORMATS, &["npy"]].concat() {
        let output = files.path("out");
        let arguments = ["embed", "one", "two", "--model", model, "--format", format, "-o", &output];
        refuses(minilm(&arguments), &says);
    }
    for value in ["tokens", "both"] {
        refuses(minilm(&["embed", "one", "--model", model, "--output-value", value]), &says);
    }
    let binary = ["embed", "one", "--model", model, "--output-precision", "binary"];
    refuses(minilm(&binary), &says);
    assert_eq!(files.names(), ["nan-model"]);
}

/// More than the window of 64 texts.
#[test]
fn texts_are_counted_from_the_first_of_all() {
    let files = Files::new();
    let mut lines = vec!["short"; 130];
    let long = "word ".repeat(40);
    lines[100] = &long;
    let input = files.write("in.txt", lines.join("\n"));
    let output = files.path("out.jsonl");
    for value in ["sentence", "tokens"] {
        let arguments = ["-i", &input, "-o", &output, "--output-value", value, "--truncation", "error"];
        refuses(embed(&arguments), &["text 100 has 42 tokens, and the model takes 32"]);
    }
}

#[test]
fn ranges_that_are_not_needed_are_refused() {
    for options in [&["--calibration", "v.npy"][..], &["--ranges", "v.npy", "--output-precision", "binary"]] {
        let command = minilm(&[&["embed", "x", "--model", "./no/such/model"], options].concat());
        refuses(command, &["needs no ranges; --calibration and --ranges are for int8 and uint8"]);
    }
    let options = ["--output-precision", "int8", "--calibration", "vectors.bin"];
    let command = minilm(&[&["embed", "x", "--model", "./no/such/model"], &options[..]].concat());
    refuses(command, &["vectors.bin: files ending in .bin are not known", "(name it as what it is)"]);
}

#[cfg(unix)]
#[test]
fn nothing_fails_where_standard_error_is_closed_or_full() {
    let long = "many words ".repeat(50);
    let expected = stdout(embed(&[&long]));
    let stderrs = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let full = std::fs::File::options().write(true).open("/dev/full");
        [Some(Stdio::from(writer)), full.ok().map(Stdio::from)].into_iter().flatten()
    };
    for stderr in stderrs() {
        let output = embed(&[&long]).stderr(stderr).output().unwrap();
        assert!(output.status.success() && output.stdout == expected.as_bytes(), "{:?}", output.status);
    }
    for stderr in stderrs() {
        let status = minilm(&["embed", "x", "--model", "./no/such/model"]).stderr(stderr).status().unwrap();
        assert_eq!(status.code(), Some(1));
    }
}

/// A file that makes the crate of its format panic.
#[cfg(feature = "arrow")]
#[test]
fn a_damaged_file_is_one_line_of_error() {
    let files = Files::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/storage/pyarrow.parquet");
    let mut bytes = std::fs::read(fixture).unwrap();
    bytes[1903] = 255;
    let path = files.write("damaged.parquet", bytes);
    let output = run(embed(&["-i", &path]));
    let said = String::from_utf8(output.stderr).unwrap();
    // What an assertion says that has failed.
    let expected = format!("minilm: error: {path}: malformed Parquet: assertion `left != right` failed");
    assert!(said.starts_with(&expected) && said.lines().count() == 1, "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_a_terminal_would_obey_is_not_shown() {
    let files = Files::new();
    let id = "an \u{1b}[31mid\n";
    let texts =
        files.write("in.jsonl", serde_json::json!({"text": "the \u{1b}[31mcat", "id": id}).to_string());
    let (index, model) = (files.path("an.index"), tiny_bert());
    let model = model.to_str().unwrap();
    stdout(minilm(&["index", "-i", &texts, "--id-field", "id", "-o", &index, "-m", model]));
    let shown = stdout(minilm(&["search", &index, "the cat", "-m", model]));
    assert!(!shown.contains('\u{1b}') && shown.lines().count() == 1, "{shown:?}");
    assert!(shown.contains("  an [31mid  the [31mcat\n"), "{shown:?}");
    let json = stdout(minilm(&["search", &index, "the cat", "-m", model, "--json"]));
    assert_eq!(records(&json)[0]["id"], id);
}

/// Ctrl-C, and `kill`.
#[cfg(unix)]
#[test]
fn a_signal_leaves_nothing_behind_and_is_what_ended_the_program() {
    use std::os::unix::process::ExitStatusExt;
    use std::time::{Duration, Instant};

    for (name, number) in [("INT", 2), ("TERM", 15)] {
        for format in ["jsonl", "npy"] {
            let files = Files::new();
            let existing = files.write("out", "precious");
            let mut command = embed(&["-i", "-", "-o", &existing, "--format", format]);
            let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
            let begin = Instant::now();
            while files.names().len() < 2 {
                assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", files.names());
                std::thread::sleep(Duration::from_millis(5));
            }
            let kill = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
            assert!(kill.unwrap().success());
            let status = child.wait().unwrap();
            assert_eq!(status.signal(), Some(number), "{status}");
            assert_eq!(files.names(), ["out"]);
            assert_eq!(std::fs::read_to_string(existing).unwrap(), "precious");
        }
    }
}
