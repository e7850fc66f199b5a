//! Limits, truncation and lower-casing, on the tokenizer of the tiny model in `fixtures/`, whose
//! `tokenizer.json` asks for truncation and padding to 24. (That ids equal the reference's is tested over all
//! golden texts by the whole engine.)

use std::path::{Path, PathBuf};

use minilm_tokenizer::{Tokenizer, TokenizerError};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert/tokenizer.json")
}

const CLS: u32 = 9;
const SEP: u32 = 14;

fn both_backends(path: &Path, max_seq_length: usize) -> [Tokenizer; 2] {
    [
        Tokenizer::from_file(path, max_seq_length),
        Tokenizer::from_file_by_tokenizers_crate(path, max_seq_length),
    ]
    .map(Result::unwrap)
}

#[test]
fn the_limit_is_the_one_given_and_nothing_is_padded() {
    let text = "a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d";
    for limit in 3..40 {
        let tokens = Tokenizer::from_file(path(), limit).unwrap().encode(text).unwrap();
        assert_eq!(tokens.ids.len(), limit.min(32));
        assert_eq!((tokens.total, tokens.truncated()), (32, limit < 32));
        assert_eq!((tokens.ids[0], tokens.ids[tokens.ids.len() - 1]), (CLS, SEP));
    }
}

#[test]
fn an_empty_text_is_its_special_tokens() {
    let tokenizer = Tokenizer::from_file(path(), 32).unwrap();
    for text in ["", " ", "\t\n \u{a0}"] {
        let tokens = tokenizer.encode(text).unwrap();
        assert_eq!((tokens.ids, tokens.total), (vec![CLS, SEP], 2));
    }
}

#[test]
fn a_long_text_is_counted_whole() {
    let tokens = Tokenizer::from_file(path(), 32).unwrap().encode(&"a ".repeat(100_000)).unwrap();
    assert_eq!((tokens.ids.len(), tokens.total), (32, 100_002));
}

#[test]
fn a_long_text_in_pieces_loses_nothing() {
    let path = path();
    for (words, limit, lengths) in [
        (0, 5, vec![2]),
        (1, 3, vec![3]),
        (30, 32, vec![32]),
        (31, 32, vec![18, 17]),
        (100, 32, vec![27, 27, 27, 27]),
        (7, 3, vec![3; 7]),
    ] {
        let text = "a ".repeat(words);
        for tokenizer in both_backends(&path, limit) {
            let pieces = tokenizer.encode_pieces(&text).unwrap();
            assert_eq!(
                pieces.iter().map(Vec::len).collect::<Vec<_>>(),
                lengths,
                "{words} words, {tokenizer:?}"
            );
            let around = |piece: &Vec<u32>| (piece[0], piece[piece.len() - 1]) == (CLS, SEP);
            assert!(pieces.iter().all(around), "{pieces:?}");
            let content: usize = pieces.iter().map(|piece| piece.len() - 2).sum();
            assert_eq!(content + 2, tokenizer.encode(&text).unwrap().total);
        }
    }
}

#[test]
fn a_prompt_s_tokens_are_those_that_a_text_begins_with() {
    for mut tokenizer in both_backends(&path(), 32) {
        assert_eq!(tokenizer.prompt_length("a b ").unwrap(), 3);
        assert_eq!(tokenizer.encode("a b ").unwrap().ids[..3], tokenizer.encode("a b c").unwrap().ids[..3]);
        tokenizer.set_max_seq_length(4).unwrap();
        assert_eq!(tokenizer.prompt_length(&"a ".repeat(9)).unwrap(), 3);
        let error = tokenizer.set_max_seq_length(2).unwrap_err().to_string();
        assert!(
            error.starts_with("max_seq_length is 2, but ") && error.ends_with("expected at least 3"),
            "{error}"
        );
        assert_eq!(tokenizer.max_seq_length(), 4);
    }
}

#[test]
fn lower_casing_comes_first_unless_it_is_done_anyway() {
    let tokenizer = Tokenizer::from_file(path(), 32).unwrap();
    let lowercased = tokenizer.clone().lowercased().unwrap();
    assert_eq!(tokenizer.encode("The SAME").unwrap(), lowercased.encode("the same").unwrap());

    let json = std::fs::read_to_string(path()).unwrap();
    let cased = json.replacen("\"lowercase\": true", "\"lowercase\": false", 1);
    assert_ne!(json, cased);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    std::fs::write(&path, cased).unwrap();
    let cased = Tokenizer::from_file(&path, 32).unwrap();
    assert_ne!(cased.encode("SAME").unwrap(), cased.encode("same").unwrap());
    let lowercased = cased.lowercased().unwrap();
    assert_eq!(lowercased.encode("SAME").unwrap(), lowercased.encode("same").unwrap());
}

/// The `tokenizers` crate loads each of these, and panics or miscounts at the first text.
#[test]
fn templates_that_cannot_be_applied_are_refused() {
    let json = std::fs::read_to_string(path()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["post_processor"]["type"], "TemplateProcessing");
    let piece =
        |kind: &str, id: &str, type_id: usize| serde_json::json!({kind: {"id": id, "type_id": type_id}});
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    for (single, says) in [
        (vec![piece("Sequence", "B", 0)], "has the piece"),
        (vec![piece("SpecialToken", "[NEW]", 0), piece("Sequence", "A", 0)], "\"[NEW]\" without defining it"),
        (vec![piece("Sequence", "A", 0); 40], "the text 40 times"),
        (vec![piece("SpecialToken", "[CLS]", 0)], "the text 0 times"),
        (vec![piece("Sequence", "A", 1)], "another type than 0"),
    ] {
        let mut json = json.clone();
        json["post_processor"]["single"] = single.into();
        std::fs::write(&path, json.to_string()).unwrap();
        let error = Tokenizer::from_file(&path, 32).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains(path.to_str().unwrap()), "{error}");
    }
    let mut twice = json.clone();
    let template = &json["post_processor"];
    twice["post_processor"] = serde_json::json!({"type": "Sequence", "processors": [template, template]});
    std::fs::write(&path, twice.to_string()).unwrap();
    let error = Tokenizer::from_file(&path, 32).unwrap_err().to_string();
    assert!(error.contains("more than one post-processor"), "{error}");
}

#[test]
fn files_and_limits_that_cannot_be_used() {
    let error = Tokenizer::from_file("no/such/tokenizer.json", 32).unwrap_err();
    assert!(matches!(error, TokenizerError::Open { .. }), "{error}");
    let error = Tokenizer::from_file(env!("CARGO_MANIFEST_DIR"), 32).unwrap_err();
    assert!(matches!(error, TokenizerError::Open { .. }), "{error}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    for content in [&b""[..], b"{}", b"\xff\xfe", b"{\"version\": \"1.0\", \"model\": {\"type\": \"Magic\"}}"]
    {
        std::fs::write(&path, content).unwrap();
        let error = Tokenizer::from_file(&path, 32).unwrap_err();
        assert!(matches!(error, TokenizerError::Invalid { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    for limit in [0, 1, 2] {
        let error = Tokenizer::from_file(self::path(), limit).unwrap_err();
        assert!(error.to_string().contains(&format!("max_seq_length is {limit}")), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = |name: &str| {
        let path = directory.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    };
    let says = |error: TokenizerError, path: &Path| {
        assert!(matches!(error, TokenizerError::Open { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("not a regular file") && error.contains(path.to_str().unwrap()), "{error}");
    };
    let zero = Path::new("/dev/zero");
    says(Tokenizer::from_file(zero, 32).unwrap_err(), zero);
    for name in ["config.json", "tokenizer_config.json", "vocab.txt", "tokenizer.json"] {
        std::fs::write(directory.path().join("vocab.txt"), "[UNK]\n[CLS]\n[SEP]\n").unwrap();
        if name == "vocab.txt" {
            std::fs::remove_file(directory.path().join(name)).unwrap();
        }
        let path = fifo(name);
        says(Tokenizer::from_folder(directory.path(), 32).unwrap_err(), &path);
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn files_that_are_too_large() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    // Takes no space where files may have holes.
    std::fs::File::create(&path).unwrap().set_len((64 << 20) + 1).unwrap();
    let error = Tokenizer::from_folder(directory.path(), 32).unwrap_err();
    assert!(matches!(error, TokenizerError::Open { .. }), "{error}");
    assert!(error.to_string().contains("tokenizer.json: it has more than 67108864 bytes"), "{error}");
}
