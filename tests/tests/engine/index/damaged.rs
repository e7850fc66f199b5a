//! Files that are not what was written.

use minilm::{Index, IndexWriter};

use super::{items, model, options};

#[test]
fn damaged_files_are_named() {
    let model = model();
    let built = || {
        let directory = tempfile::tempdir().unwrap();
        IndexWriter::create(directory.path(), &model, &options()).unwrap().add(items(["a", "b"])).unwrap();
        directory
    };
    let vectors = std::fs::read(built().path().join("000000.vectors.npy")).unwrap();
    for (file, content, says) in [
        ("index.json", &b"{"[..], "not the expected JSON"),
        ("index.json", br#"{"format":"x"}"#, "not the expected JSON"),
        // Of another version, of which nothing else is known.
        (
            "index.json",
            br#"{"format":"minilm index","version":2,"shards":[]}"#,
            "found \"minilm index\", version 2",
        ),
        ("000000.vectors.npy", &vectors[..vectors.len() - 1], "000000.vectors.npy"),
        ("000000.vectors.npy", b"", "000000.vectors.npy"),
        ("000000.lines.u64", b"12345678", "expected 24 bytes, found 8"),
        ("000000.texts.jsonl", b"{}\n{}\n", "expected 40 bytes, found 6"),
        ("000000.texts.jsonl", b"", "it is empty"),
    ] {
        let directory = built();
        std::fs::write(directory.path().join(file), content).unwrap();
        let error = Index::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains(says), "{error}");
    }
    let directory = built();
    std::fs::remove_file(directory.path().join("000000.vectors.npy")).unwrap();
    assert!(Index::open(directory.path()).is_err());

    let directory = built();
    let manifest = std::fs::read_to_string(directory.path().join("index.json")).unwrap();
    for (from, to, says) in [
        ("\"000000\"", "\"../escape\"", "a segment is called \"../escape\", expected six digits"),
        ("\"000000\"", "\"000001\"", "a segment is called \"000001\", expected six digits, below 1"),
        ("\"000000\"", "\"0\"", "expected six digits"),
        (
            "\"next_segment\": 1",
            "\"next_segment\": 18446744073709551615",
            "expected at most 9007199254740992",
        ),
        ("\"rows\": 2", "\"rows\": 18446744073709551615", "vectors and components, found (2, 40)"),
        (
            "\"unfinished\": null",
            "\"unfinished\": {\"rows\": 1, \"sha256\": \"\"}",
            "1 texts are unfinished, which are no whole segments",
        ),
        ("\"version\": 1", "\"version\": 9", "version 9"),
        ("\"rows\": 2", "\"rows\": 3", "expected (3, 40) vectors and components, found (2, 40)"),
    ] {
        assert!(manifest.contains(from), "{manifest}");
        std::fs::write(directory.path().join("index.json"), manifest.replacen(from, to, 1)).unwrap();
        let error = Index::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    // What is found only when a text is read.
    let texts = std::fs::read_to_string(built().path().join("000000.texts.jsonl")).unwrap();
    for (file, content, says) in [
        ("000000.texts.jsonl", texts.replace("\"a\"", "  1").into_bytes(), "line 0 is not the expected JSON"),
        (
            "000000.lines.u64",
            [9_u64, 5, 40].map(u64::to_le_bytes).concat(),
            "line 0 is said to lie at 9 to 5 of 40",
        ),
        (
            "000000.lines.u64",
            [0, u64::MAX, 40].map(u64::to_le_bytes).concat(),
            "line 0 is said to lie at 0 to 1844",
        ),
    ] {
        let directory = built();
        std::fs::write(directory.path().join(file), content).unwrap();
        let error = Index::open(directory.path()).unwrap().document(0).unwrap_err().to_string();
        assert!(error.contains("000000.texts.jsonl") && error.contains(says), "{error}");
    }
}
