//! Which files WordPiece takes, and that the others go to the `tokenizers` crate, which then decides. (That both find
//! the same tokens is tested over many texts, and over the real model's file, by the whole engine.)

use std::path::PathBuf;

use minilm_tokenizer::{Backend, TokenOffsets, Tokenizer};
use serde_json::{Value, json};

fn tiny() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert/tokenizer.json")
}

struct File {
    directory: tempfile::TempDir,
    json: Value,
}

impl File {
    fn new() -> File {
        let json = serde_json::from_slice(&std::fs::read(tiny()).unwrap()).unwrap();
        File { directory: tempfile::tempdir().unwrap(), json }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("tokenizer.json")
    }

    /// Sets what a JSON pointer names, or adds it.
    fn set(&mut self, pointer: &str, value: Value) -> &mut File {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = self.json.pointer_mut(parent).expect("the file has what is to be changed");
        match (parent, key.parse::<usize>()) {
            (Value::Array(list), Ok(index)) => list[index] = value,
            (parent, _) => parent[key] = value,
        }
        self
    }

    /// By `from_file`, after which both backends agree: on whether the file is valid, and on some texts.
    #[track_caller]
    fn load(&self) -> Result<Tokenizer, String> {
        self.load_text(&self.json.to_string())
    }

    #[track_caller]
    fn load_text(&self, json: &str) -> Result<Tokenizer, String> {
        std::fs::write(self.path(), json).unwrap();
        let found = Tokenizer::from_file(self.path(), 20).map_err(|e| e.to_string());
        let expected = Tokenizer::from_file_by_tokenizers_crate(self.path(), 20).map_err(|e| e.to_string());
        match (&found, &expected) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(found.vocab_size(), expected.vocab_size());
                for text in TEXTS {
                    let agree = found.encode(text).map_err(|e| e.to_string())
                        == expected.encode(text).map_err(|e| e.to_string());
                    assert!(agree, "{text}: {:?}, {:?}", found.encode(text), expected.encode(text));
                    assert_eq!(offsets(found, text), offsets(expected, text), "{text}");
                }
            }
            (Err(found), Err(expected)) => assert_eq!(found, expected),
            (found, expected) => panic!("{found:?}, but {expected:?}"),
        }
        found
    }
}

/// Or none, of a text that cannot be expressed.
fn offsets(tokenizer: &Tokenizer, text: &str) -> Vec<TokenOffsets> {
    let mut tokens = Vec::new();
    tokenizer.offsets_into(text, &mut tokens).map_or(Vec::new(), |()| tokens)
}

const TEXTS: [&str; 10] = [
    "",
    "The Quick brown fox",
    "the [MASK] of [mask] x[SEP] [NEW]",
    "Ünïcödé 中文 \u{1}a\u{301}",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "of-the_and, wordwordword",
    " [MASK] the  [MASK]\u{3000}[MASK]\u{1}\t [mask][new]\n",
    "x [NEW] x [NEW]x [NEW]  a",
    "The  mask, the m\u{300}ask\u{301}, the mäsk.",
    "中龘[MASK]龘 [new]",
];

fn roberta(trim_offsets: bool, add_prefix_space: bool) -> Value {
    json!({
        "type": "RobertaProcessing", "sep": ["[SEP]", 14], "cls": ["[CLS]", 9],
        "trim_offsets": trim_offsets, "add_prefix_space": add_prefix_space
    })
}

fn added(content: &str, id: u32, normalized: bool) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": normalized, "special": true
    })
}

#[test]
fn files_that_wordpiece_takes() {
    let file = File::new();
    assert_eq!(file.load().unwrap().backend(), Backend::WordPiece);
    for (pointer, value) in [
        ("/truncation", Value::Null),
        ("/padding", Value::Null),
        ("/decoder", Value::Null),
        ("/post_processor", Value::Null),
        ("/post_processor", json!({"type": "BertProcessing", "sep": ["[SEP]", 14], "cls": ["[CLS]", 9]})),
        ("/post_processor", roberta(true, false)),
        ("/post_processor", roberta(true, true)),
        ("/post_processor", roberta(false, true)),
        ("/post_processor/single/0", json!({"SpecialToken": {"id": "[SEP]", "type_id": 0}})),
        (
            "/post_processor/special_tokens/[CLS]",
            json!({"id": "[CLS]", "ids": [9, 9, 1], "tokens": ["[CLS]", "[CLS]", "b"]}),
        ),
        ("/normalizer/lowercase", json!(false)),
        ("/normalizer/strip_accents", json!(true)),
        ("/added_tokens", json!([])),
        ("/added_tokens/4/lstrip", json!(true)),
        ("/added_tokens/4/rstrip", json!(true)),
        ("/added_tokens/4/normalized", json!(true)),
        ("/added_tokens/4", added("x [NEW] ", 301, false)),
        ("/added_tokens/4", added("[NEW]", 301, true)),
        ("/added_tokens/4", added("the MÄSK", 301, true)),
        ("/added_tokens/4", added("龘", 301, true)),
        ("/model/continuing_subword_prefix", json!("")),
        ("/model/continuing_subword_prefix", json!("t")),
        ("/model/max_input_chars_per_word", json!(3)),
        ("/model/unk_token", json!("the")),
        // Two tokens with one id, an id that no embedding has, and one with a quotation mark in it.
        ("/model/vocab/of", json!(5)),
        ("/model/vocab/of", json!(u32::MAX)),
        ("/model/vocab/\"quick", json!(7)),
    ] {
        let tokenizer = File::new().set(pointer, value.clone()).load().unwrap();
        assert_eq!(tokenizer.backend(), Backend::WordPiece, "{pointer}: {value}");
    }
}

#[test]
fn files_that_the_crate_takes() {
    for (pointer, value) in [
        ("/normalizer", Value::Null),
        ("/normalizer", json!({"type": "Lowercase"})),
        ("/normalizer", json!({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]})),
        ("/normalizer/new", json!(true)),
        ("/pre_tokenizer", json!({"type": "Whitespace"})),
        ("/pre_tokenizer", Value::Null),
        ("/decoder", json!({"type": "Fuse"})),
        ("/added_tokens/4/single_word", json!(true)),
        // Has an id behind those of the vocabulary, whatever the file says.
        ("/added_tokens/4/content", json!("[NEW]")),
        // Nothing is left of it by the normalizer.
        ("/added_tokens/4/content", json!("\u{301}")),
        ("/added_tokens/4/content", json!("")),
        ("/added_tokens/4/id", json!(77)),
        ("/added_tokens/4/content", json!("[SEP]")),
        ("/model/unk_token", json!("[NONE]")),
        ("/model/max_input_chars_per_word", json!(0)),
        ("/model/max_input_chars_per_word", json!(129)),
        ("/model/vocab/of", json!("word".repeat(129))),
        ("/model", json!({"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[UNK]": 5, "the": 1}})),
    ] {
        let mut file = File::new();
        // A number is expected there: the token, not its id, is long.
        match value.as_str() {
            Some(token) if pointer == "/model/vocab/of" => {
                file.set(&format!("/model/vocab/{token}"), json!(7))
            }
            _ => file.set(pointer, value.clone()),
        };
        let tokenizer = file.load().unwrap();
        assert_eq!(tokenizer.backend(), Backend::TokenizersCrate, "{pointer}: {value}");
    }
}

/// Files of before 2021 do not say which model they have, some have neither truncation nor decoder.
#[test]
fn files_that_say_less() {
    for (parent, key) in [
        ("/model", "type"),
        ("/normalizer", "strip_accents"),
        ("", "truncation"),
        ("", "padding"),
        ("", "decoder"),
        ("", "post_processor"),
    ] {
        let mut file = File::new();
        let parent = file.json.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
        assert!(parent.remove(key).is_some(), "{key}");
        assert_eq!(file.load().unwrap().backend(), Backend::WordPiece, "{key}");
    }
}

/// As BPE models have it that are saved today: one that trims offsets, and one that puts tokens around a text.
#[test]
fn post_processors_one_after_the_other() {
    let template = File::new().json["post_processor"].clone();
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
    for processors in [json!([byte_level, template]), json!([template, byte_level])] {
        let tokenizer = File::new()
            .set("/post_processor", json!({"type": "Sequence", "processors": processors}))
            .load()
            .unwrap();
        assert_eq!((tokenizer.backend(), tokenizer.special_tokens()), (Backend::TokenizersCrate, 2));
        let plain = File::new().load().unwrap();
        for text in TEXTS {
            assert_eq!(tokenizer.encode(text).unwrap(), plain.encode(text).unwrap());
            assert_eq!(tokenizer.prompt_length(text).unwrap(), plain.prompt_length(text).unwrap());
            assert_eq!(tokenizer.encode_pieces(text).unwrap(), plain.encode_pieces(text).unwrap());
        }
    }
}

#[test]
fn a_vocabulary_without_its_unknown_token_fails_at_the_text_that_needs_it() {
    let tokenizer = File::new().set("/model/unk_token", json!("[NONE]")).load().unwrap();
    assert!(tokenizer.encode("the").is_ok());
    let error = tokenizer.encode("☃").unwrap_err().to_string();
    assert!(error.contains("[UNK]"), "{error}");
}

/// What is wrong is said by the crate, and a file that it refuses is not taken.
#[test]
fn invalid_files_are_refused_by_both() {
    for (pointer, value) in [
        ("/version", json!("2.0")),
        ("/version", json!(1.0)),
        ("/truncation", json!({"max_length": 128})),
        ("/padding", json!(7)),
        ("/added_tokens", json!({})),
        ("/added_tokens/0/id", json!(-1)),
        ("/normalizer/clean_text", json!("yes")),
        ("/post_processor/single", json!([])),
        ("/post_processor/pair/1", json!({"Sequence": {"id": "C", "type_id": 0}})),
        ("/post_processor/special_tokens/[CLS]/ids", json!([-9])),
        ("/decoder/cleanup", json!(7)),
        ("/model/type", json!("Magic")),
        ("/model/max_input_chars_per_word", json!(-100)),
        ("/model/max_input_chars_per_word", json!(1e300)),
        ("/model/vocab/of", json!(4_294_967_296_u64)),
        ("/model/vocab/of", json!(-1)),
        ("/model/vocab/of", json!(1.5)),
        ("/model/vocab", json!(["of", "the"])),
    ] {
        let error = File::new().set(pointer, value.clone()).load().expect_err(pointer);
        assert!(error.contains("is not a valid tokenizer.json"), "{pointer} {value}: {error}");
    }
}

/// Broken JSON, wherever it breaks, and numbers that nothing can hold: refused without a panic.
#[test]
fn broken_files_are_refused_by_both() {
    let file = File::new();
    let json = file.json.to_string();
    let decoder = json.find("\"decoder\"").unwrap();
    for end in (0..200).chain(decoder..decoder + 60).chain(json.len() - 20..json.len()) {
        assert!(file.load_text(&json[..end]).is_err(), "{end}");
    }
    assert!(file.load_text(&format!("{json}x")).is_err());
    assert!(file.load_text(&json.replacen("\"cleanup\":true", "\"cleanup\":1e999", 1)).is_err());
    assert!(file.load_text(&json.replacen("\"of\":", "\"of\":1e999, \"of2\":", 1)).is_err());
    assert!(file.load_text(&json.replacen("\"the\"", "\"\\ud800\"", 1)).is_err());
    let deep = format!("\"decoder\":{}{}", "[".repeat(500), "]".repeat(500));
    assert!(file.load_text(&json.replacen("\"decoder\":{", &format!("{deep}, \"x\":{{"), 1)).is_err());
    let precompiled = r#""normalizer":{"type":"Precompiled","precompiled_charsmap":"AAAA"}, "x":{"#;
    assert!(file.load_text(&json.replacen("\"normalizer\":{", precompiled, 1)).is_err());
}

/// `serde` reads arrays as structs, the crate here and there too.
#[test]
fn arrays_instead_of_objects_are_left_to_the_crate() {
    for (pointer, value) in [
        ("/added_tokens/0", json!([2, "[PAD]", false, false, false, false, true])),
        ("/normalizer", json!(["BertNormalizer", true, true, null, true])),
        ("/pre_tokenizer", json!(["BertPreTokenizer"])),
        ("/post_processor/single/1", json!({"Sequence": ["A", 0]})),
        ("/post_processor/special_tokens/[CLS]", json!(["[CLS]", [9], ["[CLS]"]])),
        ("/decoder", json!(["WordPiece", "##", true])),
        ("/model", json!(["WordPiece", "[UNK]", "##", 100, {"[UNK]": 5}])),
    ] {
        if let Ok(tokenizer) = File::new().set(pointer, value).load() {
            assert_eq!(tokenizer.backend(), Backend::TokenizersCrate, "{pointer}");
        }
    }
}

/// `serde_json::Value` cannot say something twice, a file can.
#[test]
fn what_a_file_says_twice() {
    let file = File::new();
    let json = file.json.to_string();
    let twice = json.replacen("\"the\":", "\"the\":7, \"the\":", 1);
    assert_eq!(file.load_text(&twice).unwrap().backend(), Backend::TokenizersCrate);
    let twice = json.replacen("\"lowercase\":true", "\"lowercase\":true,\"lowercase\":false", 1);
    assert!(file.load_text(&twice).is_ok_and(|t| t.backend() == Backend::TokenizersCrate));
}

#[test]
fn ids_are_replaced_and_memory_is_used_again() {
    let tokenizer = Tokenizer::from_file(tiny(), 20).unwrap();
    let mut ids = vec![7; 100];
    let place = ids.as_ptr();
    for text in TEXTS {
        let total = tokenizer.encode_into(text, &mut ids).unwrap();
        let tokens = tokenizer.encode(text).unwrap();
        assert_eq!((total, &ids), (tokens.total, &tokens.ids));
        assert_eq!(ids.as_ptr(), place);
    }
}
