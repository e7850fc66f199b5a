//! The tokenizers of the model families against the reference: WordPiece as BERT, DistilBERT and MPNet have it, Unigram as
//! XLM-RoBERTa and the multilingual models, byte-level BPE as RoBERTa, and a `vocab.txt` alone. On texts of many scripts,
//! with characters that were never seen, cut texts, and special tokens as a part of the text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use minilm_tokenizer::{Backend, TokenOffsets, Tokenizer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    let json = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&json).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[derive(Deserialize)]
struct Line {
    text: String,
    ids: Vec<u32>,
    tokens: usize,
    truncated: bool,
}

fn golden(name: &str) -> Vec<Line> {
    let path = fixtures().join("golden").join(name).with_extension("jsonl");
    let lines = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[derive(Deserialize)]
struct Module {
    max_seq_length: usize,
    #[serde(default)]
    do_lower_case: bool,
}

/// As a model's folder asks for it.
fn load(folder: &Path) -> Tokenizer {
    let module: Module = read(&folder.join("sentence_bert_config.json"));
    let tokenizer = Tokenizer::from_folder(folder, module.max_seq_length).unwrap();
    if module.do_lower_case { tokenizer.lowercased().unwrap() } else { tokenizer }
}

const MODELS: [(&str, Backend); 7] = [
    ("tiny-mpnet", Backend::WordPiece),
    ("tiny-distilbert", Backend::WordPiece),
    ("tiny-bert-odd", Backend::WordPiece),
    ("tiny-bert-dense", Backend::WordPiece),
    ("tiny-roberta", Backend::TokenizersCrate),
    ("tiny-xlm-roberta", Backend::TokenizersCrate),
    ("tiny-multilingual-bert", Backend::TokenizersCrate),
];

#[test]
fn ids_and_counts_are_the_reference_s() {
    for (name, backend) in MODELS {
        let tokenizer = load(&fixtures().join(name));
        assert_eq!(tokenizer.backend(), backend, "{name}");
        let lines = golden(name);
        assert!(lines.len() > 20 && lines.iter().any(|line| line.truncated), "{name}");
        for line in lines {
            let tokens = tokenizer.encode(&line.text).unwrap();
            assert_eq!(tokens.ids, line.ids, "{name}: {:?}", line.text);
            assert_eq!(
                (tokens.total, tokens.truncated()),
                (line.tokens, line.truncated),
                "{name}: {:?}",
                line.text
            );
        }
    }
}

#[derive(Deserialize)]
struct VocabTxtCases {
    texts: Vec<String>,
    cases: Vec<VocabTxtCase>,
}

#[derive(Deserialize)]
struct VocabTxtCase {
    name: String,
    files: BTreeMap<String, Value>,
    ids: Vec<Vec<u32>>,
}

#[test]
fn settings_beside_a_vocab_txt() {
    let golden: VocabTxtCases = read(&fixtures().join("golden/bert-tokenizers.json"));
    for case in golden.cases {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(fixtures().join("tiny-bert-odd")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && path.extension().is_some_and(|e| e == "json" || e == "txt") {
                std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        for (file, content) in &case.files {
            match content {
                Value::Null => std::fs::remove_file(folder.path().join(file)).unwrap(),
                content => std::fs::write(folder.path().join(file), content.to_string()).unwrap(),
            }
        }
        let tokenizer = load(folder.path());
        assert_eq!(tokenizer.backend(), Backend::WordPiece, "{}", case.name);
        for (text, ids) in golden.texts.iter().zip(&case.ids) {
            assert_eq!(&tokenizer.encode(text).unwrap().ids, ids, "{}: {text:?}", case.name);
        }
    }
}

/// What is said of one text, beside its ids, follows from them.
#[test]
fn pieces_prompts_and_limits() {
    for (name, _) in MODELS {
        let mut tokenizer = load(&fixtures().join(name));
        assert_eq!(tokenizer.special_tokens(), 2, "{name}");
        let limit = tokenizer.max_seq_length();
        for Line { text, ids: cut, tokens: total, .. } in golden(name) {
            tokenizer.set_max_seq_length(usize::MAX).unwrap();
            let whole = tokenizer.encode(&text).unwrap().ids;
            assert_eq!(whole.len(), total);
            let content = &whole[1..total - 1];
            assert_eq!(cut[1..cut.len() - 1], content[..cut.len() - 2], "{name}: {text:?}");
            assert_eq!(tokenizer.prompt_length(&text).unwrap(), total - 1, "{name}: {text:?}");
            tokenizer.set_max_seq_length(limit.min(20)).unwrap();
            let pieces = tokenizer.encode_pieces(&text).unwrap();
            assert!(pieces.iter().all(|piece| piece.len() <= limit.min(20)));
            assert!(
                pieces.iter().all(|piece| (piece[0], piece[piece.len() - 1]) == (whole[0], whole[total - 1]))
            );
            let joined: Vec<u32> =
                pieces.iter().flat_map(|piece| &piece[1..piece.len() - 1]).copied().collect();
            assert_eq!(joined, content, "{name}: {text:?}");
            tokenizer.set_max_seq_length(limit).unwrap();
        }
    }
}

#[test]
fn lower_case_first() {
    for (name, _) in MODELS {
        let tokenizer = load(&fixtures().join(name));
        let lowercased = tokenizer.clone().lowercased().unwrap();
        for text in ["The QUICK Brown Fox", "ÉTÉ Ünïcödé", "ПРИВЕТ МИР", "ΚΑΛΗΜΈΡΑ", "中文 ABC"]
        {
            let expected = tokenizer.encode(&text.to_lowercase()).unwrap();
            assert_eq!(lowercased.encode(text).unwrap(), expected, "{name}: {text}");
        }
    }
}

#[derive(Deserialize)]
struct OffsetCases {
    texts: Vec<String>,
    /// By the model's folder; of each text its tokens.
    cases: BTreeMap<String, Vec<Vec<GoldenToken>>>,
}

/// The id, the characters from and to, and the number of the word.
type GoldenToken = (u32, usize, usize, u32);

/// As Python has them, which counts characters.
#[test]
fn offsets_are_those_of_python() {
    let golden: OffsetCases = read(&fixtures().join("golden/offsets.json"));
    assert!(golden.cases.len() >= 5);
    for (name, cases) in &golden.cases {
        let tokenizer = Tokenizer::from_folder(fixtures().join(name), 32).unwrap();
        for (text, expected) in golden.texts.iter().zip(cases) {
            let mut tokens = Vec::new();
            tokenizer.offsets_into(text, &mut tokens).unwrap();
            let characters = |bytes: usize| text[..bytes].chars().count();
            let found: Vec<_> = tokens
                .iter()
                .map(|t| (t.id, characters(t.start), characters(t.end), t.begins_word))
                .collect();
            let mut last = None;
            let expected: Vec<_> = expected
                .iter()
                .map(|&(id, start, end, word)| (id, start, end, last.replace(word) != Some(word)))
                .collect();
            assert_eq!(found, expected, "{name}: {text:?}");
            assert_eq!(ids(&tokens), ids_of_a_text(&tokenizer, text), "{name}: {text:?}");
        }
    }
}

fn ids(tokens: &[TokenOffsets]) -> Vec<u32> {
    tokens.iter().map(|token| token.id).collect()
}

fn ids_of_a_text(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut tokenizer = tokenizer.clone();
    tokenizer.set_max_seq_length(usize::MAX).unwrap();
    let ids = tokenizer.encode(text).unwrap().ids;
    ids[1..ids.len() - 1].to_vec()
}
