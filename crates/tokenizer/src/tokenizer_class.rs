//! Which of `transformers`' tokenizers a folder is for.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::TokenizerError;
use crate::files::read_json;

/// What names it, and the file that does.
pub(crate) enum TokenizerClass {
    /// As it is written: with `Fast` or without.
    Name(String, PathBuf),
    /// That of a model of this type.
    OfModelType(String, PathBuf),
    /// Nothing does.
    Unknown,
}

/// `config.json`, as far as it names the tokenizer.
#[derive(Default, Deserialize)]
struct ModelConfig {
    tokenizer_class: Option<String>,
    model_type: Option<String>,
}

impl TokenizerClass {
    /// As `AutoTokenizer` finds it: `tokenizer_class` in `tokenizer_config.json` (`class`; `path` is the file), that in
    /// `config.json`, the type of the model.
    pub(crate) fn find(
        directory: &Path,
        class: Option<&str>,
        path: &Path,
    ) -> Result<TokenizerClass, TokenizerError> {
        if let Some(class) = class {
            return Ok(TokenizerClass::Name(class.to_owned(), path.to_owned()));
        }
        let path = directory.join("config.json");
        let config: ModelConfig = read_json(&path)?.unwrap_or_default();
        Ok(match (config.tokenizer_class, config.model_type) {
            (Some(class), _) => TokenizerClass::Name(class, path),
            (None, Some(model_type)) => TokenizerClass::OfModelType(model_type, path),
            (None, None) => TokenizerClass::Unknown,
        })
    }
}
