//! `minilm chunk`: what it prints of a document, that nothing is lost, and what it refuses.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Files, embed, minilm, records, refuses, run, stdout, tiny_bert};

/// `minilm chunk --model TINY …`
fn chunk(arguments: &[&str]) -> Command {
    let mut command = minilm(&["chunk", "--model"]);
    command.arg(tiny_bert()).args(arguments);
    command
}

const DOCUMENT: &str =
    "# One\n\nThe cat sat. The dog sat.\n\n## Two\n\nIt was the end of the red sun, and it was not.\n";

#[test]
fn chunks_as_json_lines_are_parts_of_the_document() {
    let files = Files::new();
    let path = files.write("document.md", DOCUMENT);
    let found = records(&stdout(chunk(&["-i", &path, "--json"])));
    let headings: Vec<&Value> = found.iter().map(|chunk| &chunk["headings"]).collect();
    assert_eq!(headings, [&json!(["One"]), &json!(["One", "Two"])]);
    assert_eq!(found[0]["text"], "# One\n\nThe cat sat. The dog sat.");

    for by in ["paragraphs", "sentences", "tokens"] {
        let options = ["--by", by, "--max-tokens", "12", "--overlap", "3", "--markdown=false"];
        let found = records(&stdout(chunk(&[&["-i", &path, "--json"], &options[..]].concat())));
        let mut covered = 0;
        for chunk in &found {
            let at = |field: &str| chunk[field].as_u64().unwrap() as usize;
            let (start, end) = (at("start"), at("end"));
            assert_eq!(chunk["text"], DOCUMENT[start..end]);
            assert!(end > covered && DOCUMENT[covered.min(start)..start].trim().is_empty(), "{found:?}");
            assert!(at("tokens") <= 12 && chunk.get("headings").is_none());
            covered = end;
        }
        assert_eq!(DOCUMENT[covered..].trim(), "");
        assert!(found.len() > 2);
    }
}

#[test]
fn chunks_can_be_embedded_and_none_is_truncated() {
    let files = Files::new();
    let document = files.write("document.txt", "Many words, one after the other. ".repeat(100));
    let chunks = files.path("chunks.jsonl");
    assert_eq!(stdout(chunk(&["-i", &document, "--json", "-o", &chunks])), "");
    let output = run(embed(&["-i", &chunks]));
    assert!(output.status.success() && output.stderr.is_empty());
    let chunks = records(&std::fs::read_to_string(chunks).unwrap());
    let embedded = records(std::str::from_utf8(&output.stdout).unwrap());
    assert!(chunks.len() > 20);
    for (chunk, embedded) in chunks.iter().zip(&embedded) {
        assert_eq!((&chunk["text"], &chunk["tokens"]), (&embedded["text"], &embedded["tokens"]));
    }
    assert_eq!(chunks.len(), embedded.len());
}

#[test]
fn chunks_for_people() {
    let files = Files::new();
    let path = files.write("document.markdown", "# One\nThe cat.\n\n# Two\n");
    assert_eq!(
        stdout(chunk(&["-i", &path])),
        "--- 1: bytes 0..14, 7 tokens, One\n# One\nThe cat.\n\n--- 2: bytes 16..21, 4 tokens, Two\n# Two\n"
    );
    let plain = stdout(chunk(&["-i", &path, "--markdown=false"]));
    assert_eq!(plain, "--- 1: bytes 0..21, 9 tokens\n# One\nThe cat.\n\n# Two\n");
}

#[test]
fn standard_input_is_plain_text_unless_told_otherwise() {
    let files = Files::new();
    let path = files.write("document", "# One\n# Two\n");
    let chunks = |options: &[&str]| {
        let mut command = chunk(&[&["-i", "-", "--json"], options].concat());
        command.stdin(Stdio::from(std::fs::File::open(&path).unwrap()));
        records(&stdout(command)).len()
    };
    assert_eq!((chunks(&[]), chunks(&["--markdown"])), (1, 2));
}

#[test]
fn an_empty_document_has_no_chunks() {
    let files = Files::new();
    for content in ["", " \n\n", "\u{feff}"] {
        let path = files.write("empty.md", content);
        assert_eq!(stdout(chunk(&["-i", &path, "--json"])), "");
        assert_eq!(stdout(chunk(&["-i", &path])), "");
    }
}

#[test]
fn what_cannot_be_chunked_is_refused() {
    let files = Files::new();
    let path = files.write("document.txt", "the cat");
    let invalid = files.write("invalid.txt", b"the cat\nthe \xff dog");
    refuses(chunk(&["-i", &invalid]), &["invalid.txt:2", "invalid UTF-8 at byte 5 of the line"]);
    refuses(chunk(&["-i", &files.path("missing.txt")]), &["missing.txt", "cannot read it"]);
    refuses(
        chunk(&["-i", &path, "--max-tokens", "10", "--overlap", "8"]),
        &["an overlap of 8 tokens", "less than the 8"],
    );
    refuses(chunk(&["-i", &path, "--overlap", "30"]), &["an overlap of 30 tokens", "chunks of 32"]);
    refuses(chunk(&["-i", &path, "--max-tokens", "33"]), &["at most 33 tokens", "from 3 to 32"]);
    refuses(chunk(&["-i", &path, "--max-tokens", "2"]), &["at most 2 tokens", "from 3 to 32"]);
}

#[test]
fn nothing_is_left_of_a_file_when_a_character_does_not_fit() {
    let files = Files::new();
    let document = files.write("document.txt", "the cat. 각");
    let output = files.path("chunks.jsonl");
    // The three letters of the syllable are a token each for the real model.
    refuses(
        minilm(&["chunk", "-i", &document, "-o", &output, "--max-tokens", "3", "--json"]),
        &["the character '각' at byte 9 has 5 tokens", "expected at most 3"],
    );
    assert_eq!(files.names(), ["document.txt"]);
}
