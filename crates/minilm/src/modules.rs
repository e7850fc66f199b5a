//! The settings files of a sentence-transformers folder: which modules follow each other, how tokens are
//! pooled, how long a text may be.
//!
//! As `SentenceTransformer` and its modules read them in sentence-transformers 5.7.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::folder::{CONFIG, MODULES, Module, SENTENCE_CONFIG, TOKENIZER_CONFIG};

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolingMode {
    /// Their mean.
    Mean,
    /// Each component's maximum.
    Max,
    /// The first token's.
    Cls,
}

impl fmt::Display for PoolingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PoolingMode::Mean => "mean",
            PoolingMode::Max => "max",
            PoolingMode::Cls => "cls",
        })
    }
}

/// What is done with a text's tokens, in this order: the encoder of `transformer`, pooling, and perhaps
/// scaling to unit length.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    /// The directory with `config.json`, `tokenizer.json` and `model.safetensors`.
    pub(crate) transformer: PathBuf,
    pub(crate) pooling: Pooling,
    pub(crate) normalize: bool,
}

/// How a text's tokens become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pooling {
    pub(crate) mode: PoolingMode,
    /// Whether the tokens of a prompt are among them.
    pub(crate) include_prompt: bool,
}

impl Pipeline {
    /// Reads `modules.json` and the settings of the modules it names. A folder without one is a plain
    /// transformer, whose tokens sentence-transformers pools by their mean.
    pub(crate) fn read(directory: &Path) -> Result<Pipeline, Error> {
        let path = directory.join(MODULES);
        let Some(json) = read_bytes(&path)? else {
            let transformer = directory.to_owned();
            let pooling = Pooling { mode: PoolingMode::Mean, include_prompt: true };
            return Ok(Pipeline { transformer, pooling, normalize: false });
        };
        let settings = |reason| Error::Settings { path: path.clone(), reason };
        let modules = Module::parse_list(&json).map_err(settings)?;
        let kinds: Vec<&str> = modules.iter().map(Module::kind).collect();
        let normalize = match kinds[..] {
            ["Transformer", "Pooling"] => false,
            ["Transformer", "Pooling", "Normalize"] => true,
            _ => {
                let known = ["Transformer", "Pooling", "Normalize"];
                let reason = match modules.iter().zip(&kinds).find(|(_, kind)| !known.contains(kind)) {
                    Some((module, _)) => format!("the module type \"{}\" is not supported", module.class),
                    None => format!("the modules are {}", kinds.join(", ")),
                };
                let expected = "expected Transformer, Pooling and perhaps Normalize, in this order";
                return Err(settings(format!("{reason}; {expected}")));
            }
        };
        Ok(Pipeline {
            transformer: directory.join(&modules[0].path),
            pooling: Pooling::read(&directory.join(&modules[1].path).join(CONFIG))?,
            normalize,
        })
    }
}

/// `1_Pooling/config.json`: a flag for each mode, or in newer files one name (or a list of them).
#[derive(Deserialize)]
struct PoolingConfig {
    pooling_mode: Option<serde_json::Value>,
    #[serde(default = "included")]
    include_prompt: bool,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

fn included() -> bool {
    true
}

impl Pooling {
    fn read(path: &Path) -> Result<Pooling, Error> {
        let config: PoolingConfig = read(path)?;
        let include_prompt = config.include_prompt;
        Ok(Pooling { mode: pooling_mode(config, path)?, include_prompt })
    }
}

fn pooling_mode(config: PoolingConfig, path: &Path) -> Result<PoolingMode, Error> {
    let modes: Vec<String> = match config.pooling_mode {
        Some(serde_json::Value::String(mode)) => vec![mode],
        Some(other) => vec![other.to_string()],
        None => {
            let flags = config.others.iter().filter(|(_, value)| **value == true);
            let modes = flags.filter_map(|(name, _)| name.strip_prefix("pooling_mode_"));
            modes.map(|mode| mode.trim_end_matches("_tokens").trim_end_matches("_token").to_owned()).collect()
        }
    };
    match &modes.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["mean"] => Ok(PoolingMode::Mean),
        ["max"] => Ok(PoolingMode::Max),
        ["cls"] => Ok(PoolingMode::Cls),
        found => {
            let reason =
                format!("the pooling mode is {}; expected one of mean, max, cls", found.join(" and "));
            Err(Error::Settings { path: path.to_owned(), reason })
        }
    }
}

/// What `sentence_bert_config.json` and `tokenizer_config.json` say about texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextSettings {
    /// The most tokens, special tokens included.
    pub(crate) max_seq_length: usize,
    pub(crate) do_lower_case: bool,
}

#[derive(Deserialize, Default)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Deserialize, Default)]
struct TokenizerConfig {
    /// "No limit" is written as 1e30, so not an integer.
    model_max_length: Option<f64>,
    truncation_side: Option<String>,
}

impl TextSettings {
    /// `max_seq_length`, else the tokenizer's `model_max_length`; never more than there are positions. Limits inside
    /// `tokenizer.json` do not count.
    pub(crate) fn read(transformer: &Path, max_position_embeddings: usize) -> Result<TextSettings, Error> {
        let sentence_path = transformer.join(SENTENCE_CONFIG);
        let sentence: SentenceConfig = read_optional(&sentence_path)?.unwrap_or_default();
        let tokenizer_path = transformer.join(TOKENIZER_CONFIG);
        let tokenizer: TokenizerConfig = read_optional(&tokenizer_path)?.unwrap_or_default();

        if let Some(side) = tokenizer.truncation_side.filter(|side| side != "right") {
            let reason = format!("truncation_side is {side:?}, expected \"right\"");
            return Err(Error::Settings { path: tokenizer_path, reason });
        }
        let limit = match (sentence.max_seq_length, tokenizer.model_max_length) {
            (Some(limit), _) => limit,
            (None, Some(limit)) if limit < 1.0 => {
                let reason = format!("model_max_length is {limit}, expected at least 1");
                return Err(Error::Settings { path: tokenizer_path, reason });
            }
            // A conversion that saturates: 1e30 is as many as can be.
            (None, Some(limit)) => limit as usize,
            (None, None) => usize::MAX,
        };
        Ok(TextSettings {
            max_seq_length: limit.min(max_position_embeddings),
            do_lower_case: sentence.do_lower_case,
        })
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let missing = || Error::Settings { path: path.to_owned(), reason: "the file is missing".to_owned() };
    read_optional(path)?.ok_or_else(missing)
}

/// `None` if there is no such file.
pub(crate) fn read_optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let Some(json) = read_bytes(path)? else { return Ok(None) };
    let parsed = serde_json::from_slice(&json).map(Some);
    parsed
        .map_err(|e| Error::Settings { path: path.to_owned(), reason: format!("not the expected JSON: {e}") })
}

/// `None` if there is no such file.
fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => {
            Err(Error::Settings { path: path.to_owned(), reason: format!("cannot read the file: {e}") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        directory
    }

    const TWO: &str = r#"[{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},
        {"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"}]"#;

    #[test]
    fn a_folder_without_modules_is_mean_pooled_and_not_normalised() {
        let folder = folder(&[]);
        let pipeline = Pipeline::read(folder.path()).unwrap();
        assert_eq!((pipeline.pooling.mode, pipeline.normalize), (PoolingMode::Mean, false));
    }

    #[test]
    fn pooling_modes_by_flag_and_by_name() {
        for (config, expected) in [
            (r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}"#, PoolingMode::Mean),
            (r#"{"pooling_mode_mean_tokens": false, "pooling_mode_cls_token": true}"#, PoolingMode::Cls),
            (r#"{"word_embedding_dimension": 4, "pooling_mode_max_tokens": true}"#, PoolingMode::Max),
            (r#"{"word_embedding_dimension": 4, "pooling_mode": "cls"}"#, PoolingMode::Cls),
        ] {
            let folder = folder(&[("modules.json", TWO), ("1_Pooling/config.json", config)]);
            let pipeline = Pipeline::read(folder.path()).unwrap();
            assert_eq!((pipeline.pooling.mode, pipeline.normalize), (expected, false), "{config}");
        }
    }

    #[test]
    fn a_prompt_is_pooled_unless_the_config_says_otherwise() {
        for (config, expected) in [("", true), (r#", "include_prompt": false"#, false)] {
            let config = format!(r#"{{"pooling_mode": "mean"{config}}}"#);
            let folder = folder(&[("modules.json", TWO), ("1_Pooling/config.json", &config)]);
            assert_eq!(Pipeline::read(folder.path()).unwrap().pooling.include_prompt, expected);
        }
    }

    #[test]
    fn other_pooling_modes_are_refused_by_name() {
        for (config, says) in [
            (r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}"#, "cls and mean"),
            (r#"{"pooling_mode_mean_sqrt_len_tokens": true}"#, "mean_sqrt_len"),
            (r#"{"pooling_mode": "lasttoken"}"#, "lasttoken"),
            (r#"{"pooling_mode": ["mean", "max"]}"#, "[\"mean\",\"max\"]"),
            ("{", "not the expected JSON"),
        ] {
            let folder = folder(&[("modules.json", TWO), ("1_Pooling/config.json", config)]);
            let error = Pipeline::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("1_Pooling"), "{error}");
        }
        let folder = folder(&[("modules.json", TWO)]);
        let error = Pipeline::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
    }

    #[test]
    fn other_modules_are_refused_by_name() {
        let dense = TWO.replace("models.Pooling", "models.Dense");
        let error = Pipeline::read(folder(&[("modules.json", &dense)]).path()).unwrap_err().to_string();
        assert!(error.contains("\"sentence_transformers.models.Dense\" is not supported"), "{error}");
        let error = Pipeline::read(folder(&[("modules.json", "[]")]).path()).unwrap_err().to_string();
        assert!(error.contains("expected Transformer, Pooling"), "{error}");
    }

    #[test]
    fn settings_that_would_change_vectors_are_refused() {
        let settings = |files: &[(&str, &str)]| TextSettings::read(folder(files).path(), 512);
        let error = settings(&[("tokenizer_config.json", r#"{"truncation_side": "left"}"#)]).unwrap_err();
        assert!(error.to_string().contains("truncation_side is \"left\""), "{error}");
        let error = settings(&[("tokenizer_config.json", r#"{"model_max_length": -5}"#)]).unwrap_err();
        assert!(error.to_string().contains("model_max_length is -5"), "{error}");
    }

    #[test]
    fn the_limit_is_the_first_that_is_given_and_never_more_than_the_positions() {
        let limit =
            |files: &[(&str, &str)]| TextSettings::read(folder(files).path(), 512).unwrap().max_seq_length;
        let tokenizer = ("tokenizer_config.json", r#"{"model_max_length": 300}"#);
        assert_eq!(limit(&[]), 512);
        assert_eq!(limit(&[tokenizer]), 300);
        assert_eq!(limit(&[("tokenizer_config.json", r#"{"model_max_length": 1e30}"#)]), 512);
        assert_eq!(limit(&[("sentence_bert_config.json", r#"{"max_seq_length": 256}"#), tokenizer]), 256);
        assert_eq!(limit(&[("sentence_bert_config.json", r#"{"max_seq_length": null}"#), tokenizer]), 300);
        assert_eq!(limit(&[("sentence_bert_config.json", r#"{"max_seq_length": 1000}"#)]), 512);
    }
}
