//! What a folder says about texts: how long they may be, and whether they are lower-cased.

use std::path::Path;

use serde::Deserialize;

use super::files::read_optional;
use crate::Error;
use crate::folder::{SENTENCE_CONFIG, TOKENIZER_CONFIG};

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

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(directory.path().join(name), content).unwrap();
        }
        directory
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
