//! Folders with a `vocab.txt` and no `tokenizer.json`.
//!
//! A vocabulary of any lines, under any normalizer, gives every text the tokens that the `tokenizers` crate finds with a
//! `tokenizer.json` which is put together here. And of any bytes as these files, or of settings of any kind under the names
//! that are looked at, a tokenizer is made or an error that names the file; it keeps to its limit. Never a panic.
#![no_main]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use minilm_tokenizer::{Backend, TokenOffsets, Tokenizer, TokenizerError};
use serde_json::{Map, Value, json};

#[path = "../../tests/src/mixed_texts.rs"]
#[allow(dead_code, reason = "only what is asked of a text")]
mod mixed_texts;

#[derive(Arbitrary, Debug)]
enum Case {
    /// Compared with the crate.
    Vocabulary { vocabulary: Vec<Vec<Piece>>, normalizer: Normalizer, more: Vec<Vec<Piece>>, texts: Texts },
    /// Settings of any kind.
    Settings { vocabulary: Vec<Vec<Piece>>, files: [Option<Vec<(u8, Setting)>>; 4], texts: Texts },
    /// Files of any bytes.
    Bytes { vocabulary: Vec<u8>, files: [Option<Vec<u8>>; 4], texts: Texts },
}

#[derive(Arbitrary, Debug)]
struct Normalizer {
    lowercase: bool,
    strip_accents: Option<bool>,
    chinese_chars: bool,
}

/// A piece of a line or a text: few of them, so that texts are made of what is in vocabularies.
#[derive(Arbitrary, Debug, Clone, Copy)]
enum Piece {
    Known(u8),
    Any(char),
}

#[derive(Arbitrary, Debug)]
struct Texts(Vec<Vec<TextPiece>>);

#[derive(Arbitrary, Debug)]
enum TextPiece {
    Piece(Piece),
    Space,
    /// A line of the vocabulary.
    Line(u8),
    /// That, without `##`.
    Rest(u8),
    /// The piece so many times: words that are too long.
    Many(Piece, u8),
}

/// What JSON may have in the place of a setting.
#[derive(Arbitrary, Debug)]
enum Setting {
    Null,
    Bool(bool),
    Number(i32),
    Class(u8),
    Text(Vec<Piece>),
    Special(u8),
    Token { content: Vec<Piece>, kind: bool, flags: [Option<bool>; 5] },
    Texts(Vec<Vec<Piece>>),
    List(Vec<Setting>),
    Object(Vec<(Vec<Piece>, Setting)>),
    Numbered(Vec<(u16, Setting)>),
}

const PIECES: [&str; 32] = [
    "a", "b", "c", "A", "B", "é", "É", "e\u{301}", "\u{301}", "\u{300}", "ß", "İ", "中", "国", "#", "##",
    "1", ".", "[", "]", "[UNK]", "[MASK]", "<s>", "</s>", "<mask>", " ", "\u{a0}", "\r", "\t", "\0",
    "\u{fffd}", "\u{200d}",
];
const SPECIAL: [&str; 5] = ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"];
const FILES: [&str; 4] =
    ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json"];
const NAMES: [&str; 20] = [
    "tokenizer_class",
    "model_type",
    "do_lower_case",
    "strip_accents",
    "tokenize_chinese_chars",
    "do_basic_tokenize",
    "split_special_tokens",
    "extra_special_tokens",
    "added_tokens_decoder",
    "additional_special_tokens",
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
    "[NEW]",
    "a",
    "b",
];
const CLASSES: [&str; 8] = [
    "BertTokenizer",
    "BertTokenizerFast",
    "DistilBertTokenizer",
    "MPNetTokenizer",
    "MPNetTokenizerFast",
    "bert",
    "mpnet",
    "RobertaTokenizer",
];
const MAX_SEQ_LENGTH: usize = 16;
/// Texts, and tokens of a folder, beyond which nothing new is seen.
const MOST: usize = 24;

/// One folder for all inputs of this process.
static FOLDER: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a temporary directory"));

fn text_of(pieces: &[Piece]) -> String {
    pieces.iter().take(MOST).map(|&piece| piece_text(piece)).collect()
}

fn piece_text(piece: Piece) -> String {
    match piece {
        Piece::Known(i) => PIECES[usize::from(i) % PIECES.len()].to_owned(),
        Piece::Any(char) => char.to_string(),
    }
}

impl Texts {
    fn texts(&self, lines: &[&str]) -> Vec<String> {
        let line = |i: u8| if lines.is_empty() { "" } else { lines[usize::from(i) % lines.len()] };
        let text = |pieces: &Vec<TextPiece>| {
            let texts = pieces.iter().take(MOST).map(|piece| match *piece {
                TextPiece::Piece(piece) => piece_text(piece),
                TextPiece::Space => " ".to_owned(),
                TextPiece::Line(i) => line(i).to_owned(),
                TextPiece::Rest(i) => line(i).trim_start_matches("##").to_owned(),
                TextPiece::Many(piece, n) => piece_text(piece).repeat(usize::from(n)),
            });
            texts.collect()
        };
        self.0.iter().take(MOST).map(text).collect()
    }
}

impl Setting {
    fn json(&self) -> Value {
        match self {
            Setting::Null => Value::Null,
            &Setting::Bool(it) => it.into(),
            &Setting::Number(it) => it.into(),
            &Setting::Class(i) => CLASSES[usize::from(i) % CLASSES.len()].into(),
            Setting::Text(pieces) => text_of(pieces).into(),
            &Setting::Special(i) => SPECIAL[usize::from(i) % SPECIAL.len()].into(),
            Setting::Token { content, kind, flags } => {
                let mut token = json!({"content": text_of(content)});
                if *kind {
                    token["__type"] = "AddedToken".into();
                }
                let names = ["single_word", "lstrip", "rstrip", "normalized", "special"];
                for (name, flag) in names.into_iter().zip(flags) {
                    if let Some(flag) = *flag {
                        token[name] = flag.into();
                    }
                }
                token
            }
            Setting::Texts(texts) => texts.iter().take(MOST).map(|text| text_of(text)).collect(),
            Setting::List(list) => list.iter().take(MOST).map(Setting::json).collect(),
            Setting::Object(members) => Value::Object(
                members.iter().take(MOST).map(|(name, value)| (text_of(name), value.json())).collect(),
            ),
            Setting::Numbered(members) => Value::Object(
                members.iter().take(MOST).map(|(id, value)| (id.to_string(), value.json())).collect(),
            ),
        }
    }
}

fn write(folder: &Path, vocab_txt: &[u8], files: [Option<Vec<u8>>; 4]) {
    std::fs::write(folder.join("vocab.txt"), vocab_txt).expect("the temporary file can be written");
    for (name, content) in FILES.into_iter().zip(files) {
        match content {
            Some(content) => {
                std::fs::write(folder.join(name), content).expect("the temporary file can be written");
            }
            None => drop(std::fs::remove_file(folder.join(name))),
        }
    }
}

fuzz_target!(|case: Case| {
    let folder = FOLDER.path();
    match case {
        Case::Vocabulary { vocabulary, normalizer, more, texts } => {
            compare(folder, &vocabulary, &normalizer, &more, &texts);
        }
        Case::Settings { vocabulary, files, texts } => {
            let vocab_txt = vocab_txt(&vocabulary);
            let object = |settings: Vec<(u8, Setting)>| {
                let named = settings
                    .iter()
                    .take(MOST)
                    .map(|(i, value)| (NAMES[usize::from(*i) % NAMES.len()].to_owned(), value.json()));
                Value::Object(named.collect()).to_string().into_bytes()
            };
            write(folder, vocab_txt.as_bytes(), files.map(|settings| settings.map(object)));
            load_any(folder, &texts, &vocab_txt);
        }
        Case::Bytes { vocabulary, files, texts } => {
            write(folder, &vocabulary, files);
            load_any(folder, &texts, &String::from_utf8_lossy(&vocabulary));
        }
    }
});

/// Lines, after the special tokens that every tokenizer needs, which may be there again.
fn vocab_txt(vocabulary: &[Vec<Piece>]) -> String {
    let lines = vocabulary.iter().take(MOST).map(|line| text_of(line) + "\n");
    ["[UNK]\n[CLS]\n[SEP]\n".to_owned()].into_iter().chain(lines).collect()
}

/// As Python reads a text file.
fn lines(vocab_txt: &str) -> Vec<String> {
    let text = vocab_txt.replace("\r\n", "\n").replace('\r', "\n");
    text.split_terminator('\n').map(str::to_owned).collect()
}

fn compare(folder: &Path, vocabulary: &[Vec<Piece>], rules: &Normalizer, more: &[Vec<Piece>], texts: &Texts) {
    let vocab_txt = vocab_txt(vocabulary);
    let lines = lines(&vocab_txt);
    let mut vocab = Map::new();
    for (id, line) in lines.iter().enumerate() {
        vocab.insert(line.clone(), id.into());
    }
    let additional: Vec<String> =
        more.iter().take(MOST).map(|text| text_of(text)).filter(|text| !text.is_empty()).collect();
    let settings = json!({
        "tokenizer_class": "BertTokenizer", "do_lower_case": rules.lowercase, "strip_accents": rules.strip_accents,
        "tokenize_chinese_chars": rules.chinese_chars, "additional_special_tokens": additional,
    });
    write(folder, vocab_txt.as_bytes(), [Some(settings.to_string().into_bytes()), None, None, None]);
    let found = Tokenizer::from_folder(folder, MAX_SEQ_LENGTH).expect("all that is needed is there");

    // A token that is not in the vocabulary gets the next id behind it.
    let (mut next, mut seen, mut added) = (lines.len(), HashSet::new(), Vec::new());
    for content in SPECIAL.into_iter().chain(additional.iter().map(String::as_str)) {
        if !seen.insert(content) {
            continue;
        }
        let id = vocab.get(content).cloned().unwrap_or_else(|| {
            next += 1;
            (next - 1).into()
        });
        added.push(json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        }));
    }
    let file = json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": rules.chinese_chars,
            "strip_accents": rules.strip_accents, "lowercase": rules.lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "BertProcessing", "sep": ["[SEP]", vocab["[SEP]"]], "cls": ["[CLS]", vocab["[CLS]"]],
        },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab,
        },
    });
    let path = oracle_path(folder);
    std::fs::write(&path, file.to_string()).expect("the temporary file can be written");
    let expected = Tokenizer::from_file_by_tokenizers_crate(&path, MAX_SEQ_LENGTH).expect("a tokenizer");
    if found.backend() == Backend::WordPiece {
        assert_eq!(found.vocab_size(), expected.vocab_size());
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for text in texts.texts(&lines) {
        let tokens = [&found, &expected].map(|tokenizer| tokenizer.encode(&text).expect("[UNK] is there"));
        assert_eq!(tokens[0], tokens[1], "{text:?}");
        let offsets = [&found, &expected].map(|tokenizer| offsets(tokenizer, &text));
        let places =
            |tokens: &[TokenOffsets]| tokens.iter().map(|t| (t.id, t.begins_word)).collect::<Vec<_>>();
        assert_eq!(places(&offsets[0]), places(&offsets[1]), "{text:?}");
        // By the crate, marks that are reordered have each other's places.
        if !mixed_texts::marks_are_reordered(&text) {
            assert_eq!(offsets[0], offsets[1], "{text:?}");
        }
    }
}

/// Not `tokenizer.json`, which would be taken in the place of `vocab.txt`.
fn oracle_path(folder: &Path) -> PathBuf {
    folder.join("oracle.json")
}

fn offsets(tokenizer: &Tokenizer, text: &str) -> Vec<TokenOffsets> {
    let mut tokens = Vec::new();
    tokenizer.offsets_into(text, &mut tokens).expect("there is an unknown token");
    tokens
}

/// Whatever the files are.
fn load_any(folder: &Path, texts: &Texts, vocab_txt: &str) {
    let tokenizer = match Tokenizer::from_folder(folder, MAX_SEQ_LENGTH) {
        Ok(tokenizer) => tokenizer,
        Err(error) => {
            let names = match &error {
                TokenizerError::Vocabulary { .. } | TokenizerError::Invalid { .. } => &["vocab.txt"][..],
                TokenizerError::Settings { .. } => &FILES,
                _ => panic!("{error:?}"),
            };
            assert!(names.iter().any(|name| error.to_string().contains(name)), "{error}");
            return;
        }
    };
    let around = tokenizer.special_tokens();
    assert!(around < MAX_SEQ_LENGTH);
    let lines = lines(vocab_txt);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for text in texts.texts(&lines) {
        let tokens = tokenizer.encode(&text).expect("there is an unknown token");
        assert_eq!(tokens.ids.len(), tokens.total.min(MAX_SEQ_LENGTH), "{text:?}");
        let offsets = offsets(&tokenizer, &text);
        assert_eq!(offsets.len() + around, tokens.total, "{text:?}");
        for token in &offsets {
            assert!(text.get(token.start..token.end).is_some(), "{token:?} of {text:?}");
        }
        let pieces = tokenizer.encode_pieces(&text).expect("there is an unknown token");
        assert!(pieces.iter().all(|piece| piece.len() <= MAX_SEQ_LENGTH));
        let inner: usize = pieces.iter().map(|piece| piece.len() - around).sum();
        assert_eq!(inner, offsets.len(), "{text:?}");
    }
}
