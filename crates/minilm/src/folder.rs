//! The files of a sentence-transformers folder, by name, and its list of modules.

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub(crate) const MODULES: &str = "modules.json";
pub(crate) const CONFIG: &str = "config.json";
pub(crate) const SENTENCE_CONFIG: &str = "sentence_bert_config.json";
/// Names that it has in a folder; the first that is there counts. Old versions called it after the architecture.
pub(crate) const SENTENCE_CONFIGS: [&str; 5] = [
    SENTENCE_CONFIG,
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_xlm-roberta_config.json",
];
/// Prompts and the similarity function.
pub(crate) const PROMPTS_CONFIG: &str = "config_sentence_transformers.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
/// All that an older BERT model has in the place of [`TOKENIZER`].
pub(crate) const VOCABULARY: &str = "vocab.txt";
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub(crate) const SPECIAL_TOKENS: &str = "special_tokens_map.json";
pub(crate) const ADDED_TOKENS: &str = "added_tokens.json";
/// What only an adapter of another model has.
pub(crate) const ADAPTER_CONFIG: &str = "adapter_config.json";
/// What people read, which has the licence.
pub(crate) const MODEL_CARD: &str = "README.md";
pub(crate) const WEIGHTS: &str = minilm_weights::MODEL_FILE;
/// What names the shards of weights that are not in one file.
pub(crate) const WEIGHTS_INDEX: &str = minilm_weights::INDEX_FILE;

pub(crate) const MAX_MODULES_BYTES: u64 = 1 << 20;
const MAX_MODULES: usize = 32;

/// An entry of `modules.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Module {
    /// The Python class, `sentence_transformers.models.Pooling`, or in newer files a longer path with
    /// the same end.
    #[serde(rename = "type")]
    pub(crate) class: String,
    /// The directory with the module's settings, relative to the folder; empty for the folder itself.
    pub(crate) path: String,
}

impl Module {
    /// The entries of a `modules.json`, which may come from the network and is not trusted: a path that would
    /// leave the folder is refused.
    pub(crate) fn parse_list(json: &[u8]) -> Result<Vec<Module>, String> {
        if json.len() as u64 > MAX_MODULES_BYTES {
            return Err(format!("expected at most {MAX_MODULES_BYTES} bytes, found more"));
        }
        let modules: Vec<Module> =
            serde_json::from_slice(json).map_err(|error| format!("not the expected JSON: {error}"))?;
        if modules.len() > MAX_MODULES {
            return Err(format!("expected at most {MAX_MODULES} modules, found {}", modules.len()));
        }
        for Module { path, .. } in modules.iter().filter(|module| !module.path.is_empty()) {
            if let Some(reason) = unsafe_path(path) {
                return Err(format!("module path {path:?} is refused: {reason}"));
            }
        }
        Ok(modules)
    }

    /// Where a list's transformer has its files, relative to the folder: most often the folder itself.
    pub(crate) fn transformer_path(modules: &[Module]) -> &str {
        modules.first().map_or("", |first| &first.path)
    }

    /// Whether it is a class of the library, whatever version wrote the file, and not the model's own code.
    pub(crate) fn is_of_sentence_transformers(&self) -> bool {
        self.class.starts_with("sentence_transformers.")
    }

    /// The last part of the class: `Pooling`.
    pub(crate) fn kind(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or_default()
    }
}

/// The file that the tokenizer of a transformer's folder is made from: `tokenizer.json`, or where that is not there and
/// `vocab.txt` is, that.
pub(crate) fn tokenizer_file(transformer: &Path) -> PathBuf {
    let (tokenizer, vocabulary) = (transformer.join(TOKENIZER), transformer.join(VOCABULARY));
    if !tokenizer.is_file() && vocabulary.is_file() { vocabulary } else { tokenizer }
}

/// Says why a relative path or revision from outside must not be joined to a directory.
pub(crate) fn unsafe_path(path: &str) -> Option<&'static str> {
    if path.contains('\\') {
        return Some("it contains a backslash");
    }
    if path.starts_with('/') {
        return Some("it is absolute");
    }
    // `C:` is a drive and `name:stream` a hidden part of a file on Windows.
    if path.contains(':') || path.chars().any(char::is_control) {
        return Some("it contains a colon or a control character");
    }
    if path.len() > 255 {
        return Some("it is longer than 255 bytes");
    }
    path.split('/').find_map(|part| match part {
        "" => Some("a part of it is empty"),
        "." | ".." => Some("it contains `.` or `..`"),
        // Windows drops them, so that `.. ` is `..`.
        _ if part.ends_with([' ', '.']) => Some("a part of it ends with a space or a dot"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_paths_are_seen() {
        for path in
            ["..", "a/../b", "/etc", "a//b", "a/", ".", "C:", "C:/x", "a\\b", "a\nb", "", ".. ", "a./b"]
        {
            assert!(unsafe_path(path).is_some(), "{path}");
        }
        for path in ["1_Pooling", "a/b", "main", "refs/pr/1", "v1.0", "..a"] {
            assert!(unsafe_path(path).is_none(), "{path}");
        }
    }

    #[test]
    fn unusable_modules_are_refused() {
        for path in ["..", "../../x", "/etc", "a\\\\b", "a//b", "C:", "x/./y", " /..", "a\\u0000b"] {
            let text = format!(r#"[{{"path": "{path}", "type": "x.Pooling"}}]"#);
            let reason = Module::parse_list(text.as_bytes()).unwrap_err();
            assert!(reason.contains("refused"), "{path}: {reason}");
        }
        for text in ["", "{}", "[1]", r#"[{"path": 1, "type": ""}]"#, "\u{feff}[]", "[[[["] {
            assert!(Module::parse_list(text.as_bytes()).is_err(), "{text}");
        }
        let many = format!("[{}]", vec![r#"{"path":"a","type":"b"}"#; 33].join(","));
        assert!(Module::parse_list(many.as_bytes()).unwrap_err().contains("at most 32"));
    }
}
