//! What a folder says about texts: how long they may be, and whether they are lower-cased.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::files::read_optional;
use crate::Error;
use crate::folder::{SENTENCE_CONFIGS, TOKENIZER_CONFIG};

/// What `sentence_bert_config.json` and `tokenizer_config.json` say about texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextSettings {
    /// The most tokens, special tokens included.
    pub(crate) max_seq_length: usize,
    pub(crate) do_lower_case: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    do_lower_case: bool,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Arguments for the classes of transformers, under their names of today and of before, which may change the network or the
/// tokenizer in any way.
const ARGUMENTS: [&str; 7] = [
    "model_kwargs",
    "model_args",
    "config_kwargs",
    "config_args",
    "processor_kwargs",
    "tokenizer_args",
    "processing_kwargs",
];

/// Arguments that say how a model is computed or found, and not what is computed.
const HARMLESS: [&str; 5] =
    ["torch_dtype", "dtype", "attn_implementation", "add_pooling_layer", "trust_remote_code"];

impl SentenceConfig {
    /// Or what would have to be followed and is not.
    fn check(&self) -> Result<(), String> {
        for (name, value) in &self.others {
            match name.as_str() {
                // How sentence-transformers computes.
                "unpad_inputs" => {}
                _ if value.is_null() => {}
                "transformer_task" if value == "feature-extraction" => {}
                "module_output_name" if value == "token_embeddings" => {}
                "modality_config" if *value == json!({"text": last_hidden_state()}) => {}
                arguments if ARGUMENTS.contains(&arguments) => {
                    let refused = |argument: &&String| !HARMLESS.contains(&argument.as_str());
                    let arguments = value.as_object();
                    if let Some(argument) = arguments.and_then(|arguments| arguments.keys().find(refused)) {
                        return Err(format!("{name} has {argument:?}, which is not supported"));
                    }
                }
                _ => return Err(format!("{name} is {value}, which is not supported")),
            }
        }
        Ok(())
    }
}

/// What sentence-transformers writes of a model whose tokens' last states are pooled.
fn last_hidden_state() -> Value {
    json!({"method": "forward", "method_output_name": "last_hidden_state"})
}

#[derive(Deserialize, Default)]
struct TokenizerConfig {
    /// "No limit" is written as 1e30, so not an integer.
    model_max_length: Option<f64>,
    /// What old files call it.
    max_len: Option<f64>,
}

impl TextSettings {
    /// Those of a folder without modules, whose transformer's settings sentence-transformers does not read.
    pub(super) fn of_tokenizer(transformer: &Path, max_positions: usize) -> Result<TextSettings, Error> {
        TextSettings::of(SentenceConfig::default(), transformer, max_positions)
    }

    /// `max_seq_length`, else the tokenizer's `model_max_length`; never more than there are positions. Limits inside
    /// `tokenizer.json` do not count.
    pub(crate) fn read(transformer: &Path, max_positions: usize) -> Result<TextSettings, Error> {
        let paths = SENTENCE_CONFIGS.map(|name| transformer.join(name));
        let sentence_path = paths.iter().find(|path| path.is_file()).unwrap_or(&paths[0]);
        let sentence: SentenceConfig = read_optional(sentence_path)?.unwrap_or_default();
        let refused = |reason| Error::Settings { path: sentence_path.clone(), reason };
        sentence.check().map_err(refused)?;
        TextSettings::of(sentence, transformer, max_positions)
    }

    fn of(sentence: SentenceConfig, transformer: &Path, max_positions: usize) -> Result<TextSettings, Error> {
        let tokenizer_path = transformer.join(TOKENIZER_CONFIG);
        let tokenizer: TokenizerConfig = read_optional(&tokenizer_path)?.unwrap_or_default();

        let limit = match (sentence.max_seq_length, tokenizer.model_max_length.or(tokenizer.max_len)) {
            (Some(limit), _) => limit,
            (None, Some(limit)) if limit < 1.0 => {
                let reason = format!("model_max_length is {limit}, expected at least 1");
                return Err(Error::Settings { path: tokenizer_path, reason });
            }
            // A conversion that saturates: 1e30 is as many as can be.
            (None, Some(limit)) => limit as usize,
            (None, None) => usize::MAX,
        };
        Ok(TextSettings { max_seq_length: limit.min(max_positions), do_lower_case: sentence.do_lower_case })
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
        let error = settings(&[("tokenizer_config.json", r#"{"model_max_length": -5}"#)]).unwrap_err();
        assert!(error.to_string().contains("model_max_length is -5"), "{error}");
        for (arguments, says) in [
            (r#"{"config_args": {"num_hidden_layers": 3}}"#, "config_args has \"num_hidden_layers\""),
            (
                r#"{"model_kwargs": {"torch_dtype": "float16", "adapter": "x"}}"#,
                "model_kwargs has \"adapter\"",
            ),
            (r#"{"processing_kwargs": {"text": {"padding": true}}}"#, "processing_kwargs has \"text\""),
        ] {
            let error = settings(&[("sentence_bert_config.json", arguments)]).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("sentence_bert_config.json"), "{error}");
        }
        let harmless =
            r#"{"model_args": {"torch_dtype": "bfloat16"}, "tokenizer_args": {}, "config_args": {}}"#;
        assert!(settings(&[("sentence_bert_config.json", harmless)]).is_ok());
    }

    #[test]
    fn old_names_of_the_file_are_known() {
        let limit =
            |files: &[(&str, &str)]| TextSettings::read(folder(files).path(), 512).unwrap().max_seq_length;
        let old = ("sentence_distilbert_config.json", r#"{"max_seq_length": 128}"#);
        assert_eq!(limit(&[old]), 128);
        assert_eq!(limit(&[old, ("sentence_bert_config.json", r#"{"max_seq_length": 64}"#)]), 64);
    }

    #[test]
    fn the_limit_is_the_first_that_is_given_and_never_more_than_the_positions() {
        let limit =
            |files: &[(&str, &str)]| TextSettings::read(folder(files).path(), 512).unwrap().max_seq_length;
        let tokenizer = ("tokenizer_config.json", r#"{"model_max_length": 300}"#);
        assert_eq!(limit(&[]), 512);
        assert_eq!(limit(&[tokenizer]), 300);
        assert_eq!(limit(&[("tokenizer_config.json", r#"{"model_max_length": 1e30}"#)]), 512);
        assert_eq!(limit(&[("tokenizer_config.json", r#"{"max_len": 12}"#)]), 12);
        assert_eq!(limit(&[("tokenizer_config.json", r#"{"max_len": 12, "model_max_length": 30}"#)]), 30);
        assert_eq!(limit(&[("sentence_bert_config.json", r#"{"max_seq_length": 256}"#), tokenizer]), 256);
        assert_eq!(limit(&[("sentence_bert_config.json", r#"{"max_seq_length": null}"#), tokenizer]), 300);
        assert_eq!(limit(&[("sentence_bert_config.json", r#"{"max_seq_length": 1000}"#)]), 512);
    }
}
