//! What the files beside `vocab.txt` say of a tokenizer.

use std::path::Path;

use serde::Deserialize;

use crate::TokenizerError;
use crate::files::{from_json, read_json};
use crate::special_tokens::{AddedTo, AddedToken, Defaults, FolderTokens, TokensConfig};
use crate::tokenizer_class::TokenizerClass;
use crate::truncation::TruncationSide;

/// The tokenizers of `transformers` whose vocabulary is read here; others use files of this name in another way.
#[derive(Clone, Copy)]
enum Class {
    /// `DistilBertTokenizer` is the same.
    Bert,
    MPNet,
}

/// What is said, by default or by the files.
pub(super) struct Settings {
    pub(super) lowercase: bool,
    pub(super) strip_accents: Option<bool>,
    pub(super) chinese_chars: bool,
    pub(super) unk_token: String,
    pub(super) cls_token: String,
    pub(super) sep_token: String,
    pub(super) added_tokens: Vec<AddedToken>,
    pub(super) truncation_side: TruncationSide,
}

/// `tokenizer_config.json`
#[derive(Deserialize)]
struct TokenizerConfig {
    tokenizer_class: Option<String>,
    #[serde(default = "yes")]
    do_lower_case: bool,
    strip_accents: Option<bool>,
    #[serde(default = "yes")]
    tokenize_chinese_chars: bool,
    do_basic_tokenize: Option<bool>,
    truncation_side: Option<TruncationSide>,
    #[serde(flatten)]
    tokens: TokensConfig,
}

fn yes() -> bool {
    true
}

impl Settings {
    /// Of a folder.
    pub(super) fn read(directory: &Path) -> Result<Settings, TokenizerError> {
        let path = directory.join("tokenizer_config.json");
        let config: TokenizerConfig = match read_json(&path)? {
            Some(config) => config,
            None => from_json(&path, b"{}")?,
        };
        let class = Class::of(directory, config.tokenizer_class.as_deref(), &path)?;
        if config.do_basic_tokenize == Some(false) {
            let reason = "do_basic_tokenize is false: only BERT's basic tokenizer is known".to_owned();
            return Err(TokenizerError::Settings { path, reason });
        }
        let tokens =
            FolderTokens::read(directory, config.tokens, &path, class.defaults(), AddedTo::Vocabulary)?;
        let content = |name: &str| tokens.content(name, &path);
        let (unk_token, cls_token, sep_token) =
            (content("unk_token")?, content("cls_token")?, content("sep_token")?);
        Ok(Settings {
            lowercase: config.do_lower_case,
            strip_accents: config.strip_accents,
            chinese_chars: config.tokenize_chinese_chars,
            unk_token,
            cls_token,
            sep_token,
            added_tokens: tokens.of_vocabulary(),
            truncation_side: config.truncation_side.unwrap_or_default(),
        })
    }
}

impl Class {
    fn defaults(self) -> &'static Defaults {
        match self {
            Class::Bert => &Defaults::BERT,
            Class::MPNet => &Defaults::MPNET,
        }
    }

    /// BERT if nothing is said.
    fn of(directory: &Path, class: Option<&str>, path: &Path) -> Result<Class, TokenizerError> {
        match TokenizerClass::find(directory, class, path)? {
            TokenizerClass::Name(class, path) => Class::named(&class, &path),
            TokenizerClass::OfModelType(model_type, path) => match &*model_type {
                "bert" | "distilbert" => Ok(Class::Bert),
                "mpnet" => Ok(Class::MPNet),
                other => Err(TokenizerError::Settings {
                    path,
                    reason: format!(
                        "model_type is {other:?}, whose tokenizer needs a tokenizer.json: from vocab.txt alone only those \
                         of bert, distilbert and mpnet are known"
                    ),
                }),
            },
            TokenizerClass::Unknown => Ok(Class::Bert),
        }
    }

    fn named(name: &str, path: &Path) -> Result<Class, TokenizerError> {
        match name.strip_suffix("Fast").unwrap_or(name) {
            "BertTokenizer" | "DistilBertTokenizer" => Ok(Class::Bert),
            "MPNetTokenizer" => Ok(Class::MPNet),
            _ => Err(TokenizerError::Settings {
                path: path.to_owned(),
                reason: format!(
                    "tokenizer_class is {name:?}, which needs a tokenizer.json: from vocab.txt alone only BertTokenizer, \
                     DistilBertTokenizer and MPNetTokenizer are known"
                ),
            }),
        }
    }
}
