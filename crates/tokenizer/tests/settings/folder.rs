//! The folders of golden cases: a tiny model's, changed as `fixtures/tokenizer_overrides.py` changes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use minilm_tokenizer::Tokenizer;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

#[derive(Deserialize)]
pub(crate) struct Golden {
    pub(crate) texts: Vec<String>,
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) model: String,
    tokenizer: BTreeMap<String, Value>,
    #[serde(default)]
    without: Vec<String>,
    added: Vec<Value>,
    files: BTreeMap<String, Option<Map<String, Value>>>,
    do_lower_case: bool,
    #[serde(default = "enough")]
    max_seq_length: usize,
    pub(crate) ids: Vec<Vec<u32>>,
    pub(crate) offsets: Option<Vec<Vec<(usize, usize)>>>,
}

fn enough() -> usize {
    512
}

pub(crate) fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

pub(crate) fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn write(directory: &TempDir, name: &str, content: &Value) {
    std::fs::write(directory.path().join(name), content.to_string()).unwrap();
}

impl Golden {
    pub(crate) fn read(name: &str) -> Golden {
        serde_json::from_value(read_json(&fixtures().join("golden").join(name))).unwrap()
    }
}

impl Case {
    fn tokenizer_json(&self) -> Value {
        let mut json = read_json(&fixtures().join(&self.model).join("tokenizer.json"));
        for (member, value) in &self.tokenizer {
            let (part, key) = member.split_once('.').unwrap();
            json[part][key] = value.clone();
        }
        let tokens = json["added_tokens"].as_array_mut().unwrap();
        tokens.retain(|token| !self.without.iter().any(|text| token["content"] == **text));
        for token in &self.added {
            add(&mut json, token.clone());
        }
        json
    }

    /// Of the folder's files, those that are about its tokenizer.
    pub(crate) fn folder(&self) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        let model = fixtures().join(&self.model);
        if self.has_tokenizer_json() {
            write(&directory, "tokenizer.json", &self.tokenizer_json());
        } else {
            std::fs::copy(model.join("vocab.txt"), directory.path().join("vocab.txt")).unwrap();
        }
        let map = "special_tokens_map.json";
        if !self.files.contains_key(map) {
            write(&directory, map, &read_json(&model.join(map)));
        }
        let mut config = read_json(&model.join("config.json"));
        for (name, content) in &self.files {
            match content {
                Some(content) if name == "config.json" => {
                    config.as_object_mut().unwrap().extend(content.clone());
                }
                Some(content) => write(&directory, name, &content.clone().into()),
                None => {}
            }
        }
        write(&directory, "config.json", &config);
        directory
    }

    pub(crate) fn has_tokenizer_json(&self) -> bool {
        !self.files.contains_key("tokenizer.json")
    }

    pub(crate) fn load(&self, directory: &TempDir) -> Tokenizer {
        let tokenizer = Tokenizer::from_folder(directory.path(), self.max_seq_length).unwrap();
        if self.do_lower_case { tokenizer.lowercased().unwrap() } else { tokenizer }
    }

    /// By the `tokenizers` crate whatever the file is: its decoder does the same as before, but is one that the other backend does
    /// not know.
    pub(crate) fn load_by_the_crate(&self, directory: &TempDir) -> Tokenizer {
        let mut json = self.tokenizer_json();
        json["decoder"] = json!({"type": "Sequence", "decoders": [json["decoder"]]});
        write(directory, "tokenizer.json", &json);
        self.load(directory)
    }
}

/// Adds a token to a `tokenizer.json`, with the id of the vocabulary or the next one.
fn add(json: &mut Value, mut token: Value) {
    let in_vocabulary = |token: &Value| json["model"]["vocab"].get(token["content"].as_str().unwrap());
    let new = json["added_tokens"].as_array().unwrap().iter().filter(|token| in_vocabulary(token).is_none());
    let next = json["model"]["vocab"].as_object().unwrap().len() + new.count();
    let id = in_vocabulary(&token).cloned().unwrap_or(next.into());
    token["id"] = id;
    json["added_tokens"].as_array_mut().unwrap().push(token);
}
