//! `minilm chunk`: what it prints of a document, that nothing is lost, and what it refuses.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Files, copy, embed, minilm, records, refuses, run, stdout, tiny_bert};

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
            assert_eq!(chunk["id"], format!("{path}:{start}-{end}"));
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
fn a_prompt_is_left_room_for() {
    let files = Files::new();
    let document = files.write("document.txt", "Many words, one after the other. ".repeat(20));
    let model = files.path("model");
    copy(&tiny_bert(), Path::new(&model));
    files.write(
        "model/config_sentence_transformers.json",
        "{\"prompts\": {\"document\": \"a dog and a cat: \", \"default\": \"the cat: \"}, \"default_prompt_name\": \"default\"}",
    );
    let longest = |prompt: &[&str]| {
        let chunks = files.path("chunks.jsonl");
        stdout(minilm(
            &[&["chunk", "-i", &document, "--json", "-o", &chunks, "-m", &model], prompt].concat(),
        ));
        let embed =
            minilm(&[&["embed", "-i", &chunks, "--truncation", "error", "-m", &model], prompt].concat());
        let embedded = records(&stdout(embed));
        embedded.iter().map(|text| text["tokens"].as_u64().unwrap()).max().unwrap()
    };
    for prompt in [&[][..], &["--prompt-name", "document"], &["--prompt", "the red sun was the end of it: "]]
    {
        let longest = longest(prompt);
        assert!((24..=32).contains(&longest), "{prompt:?}: {longest}");
    }
    let both = ["chunk", "-i", &document, "--prompt", "a", "--prompt-name", "document"];
    assert_eq!(run(minilm(&both)).status.code(), Some(2));
}

#[test]
fn a_chunk_that_is_found_is_known_by_its_place() {
    let files = Files::new();
    let document = files.write("document.md", DOCUMENT);
    let (index, model) = (files.path("an.index"), tiny_bert());
    let model = model.to_str().unwrap();
    let chunks = files.write("chunks.jsonl", stdout(chunk(&["-i", &document, "--json"])));
    stdout(minilm(&["index", "-i", &chunks, "--id-field", "id", "-o", &index, "-m", model]));
    let hits = records(&stdout(minilm(&["search", &index, "the cat", "-m", model, "--json"])));
    for hit in &hits {
        let place = hit["id"].as_str().unwrap().strip_prefix(&format!("{document}:")).unwrap();
        let (start, end) = place.split_once('-').unwrap();
        assert_eq!(hit["text"], DOCUMENT[start.parse().unwrap()..end.parse().unwrap()]);
    }
    assert_eq!(hits.len(), 2);
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
        let found = records(&stdout(command));
        assert_eq!(found[0]["id"], format!("0-{}", found[0]["end"]));
        found.len()
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
    // The three letters of the syllable are a token each for the real model, of whose fetching nothing is to be said.
    refuses(
        minilm(&["chunk", "-q", "-i", &document, "-o", &output, "--max-tokens", "3", "--json"]),
        &["the character '각' at byte 9 has 5 tokens", "expected at most 3"],
    );
    assert_eq!(files.names(), ["document.txt"]);
}
