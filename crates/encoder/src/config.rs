use std::path::Path;

use serde::Deserialize;

use crate::EncoderError;

/// The fields of `config.json` that the arithmetic depends on. A value has been checked: no size is 0, and the
/// heads divide the hidden size.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EncoderConfig {
    /// The architecture's name; `"bert"`.
    pub model_type: String,
    /// The number of token embeddings.
    pub vocab_size: usize,
    /// The size of a token's vector between layers.
    pub hidden_size: usize,
    /// The number of layers.
    pub num_hidden_layers: usize,
    /// The number of attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// The size of a token's vector inside the feed-forward network.
    pub intermediate_size: usize,
    /// The longest sequence there are position embeddings for.
    pub max_position_embeddings: usize,
    /// The number of token type (segment) embeddings; only the first is used.
    pub type_vocab_size: usize,
    /// What LayerNorm adds to the variance.
    pub layer_norm_eps: f32,
    /// The activation function of the feed-forward network; `"gelu"`, the erf form.
    pub hidden_act: String,
}

/// `config.json` as it is read. Defaults are those of transformers' `BertConfig` and `PretrainedConfig`.
#[derive(Deserialize)]
struct ConfigFile {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
    hidden_act: String,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

impl EncoderConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    ///
    /// [`EncoderError::OpenConfig`], [`EncoderError::InvalidConfig`] or [`EncoderError::UnsupportedConfig`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<EncoderConfig, EncoderError> {
        let path = path.as_ref();
        let json = std::fs::read(path)
            .map_err(|source| EncoderError::OpenConfig { path: path.to_owned(), source })?;
        let invalid = |e: serde_json::Error| EncoderError::InvalidConfig {
            path: path.to_owned(),
            reason: e.to_string(),
        };
        // The architecture first: another one's config may lack BERT's fields, and the error should say
        // which architecture it is rather than which field is missing.
        let value: serde_json::Value = serde_json::from_slice(&json).map_err(invalid)?;
        if let Some(model_type) = value.get("model_type").filter(|&t| t != "bert") {
            return Err(unsupported(path, "model_type", model_type, "\"bert\""));
        }
        let file: ConfigFile = serde_json::from_slice(&json).map_err(invalid)?;
        file.check(path)?;
        Ok(EncoderConfig {
            model_type: file.model_type,
            vocab_size: file.vocab_size,
            hidden_size: file.hidden_size,
            num_hidden_layers: file.num_hidden_layers,
            num_attention_heads: file.num_attention_heads,
            intermediate_size: file.intermediate_size,
            max_position_embeddings: file.max_position_embeddings,
            type_vocab_size: file.type_vocab_size,
            layer_norm_eps: file.layer_norm_eps,
            hidden_act: file.hidden_act,
        })
    }

    /// The size of one head's queries, keys and values.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }
}

impl ConfigFile {
    fn check(&self, path: &Path) -> Result<(), EncoderError> {
        if self.hidden_act != "gelu" {
            return Err(unsupported(path, "hidden_act", format!("{:?}", self.hidden_act), "\"gelu\""));
        }
        if let Some(other) = self.position_embedding_type.as_deref().filter(|&t| t != "absolute") {
            let found = format!("{other:?}");
            return Err(unsupported(path, "position_embedding_type", found, "\"absolute\""));
        }
        if self.is_decoder {
            // Its attention would be causal.
            return Err(unsupported(path, "is_decoder", true, "false"));
        }
        for (field, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ] {
            if value == 0 {
                return Err(unsupported(path, field, 0, "at least 1"));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let expected = format!("a divisor of hidden_size, which is {}", self.hidden_size);
            return Err(unsupported(path, "num_attention_heads", self.num_attention_heads, &expected));
        }
        if !(self.layer_norm_eps.is_finite() && self.layer_norm_eps >= 0.0) {
            return Err(unsupported(path, "layer_norm_eps", self.layer_norm_eps, "a number from 0 on"));
        }
        Ok(())
    }
}

fn unsupported(
    path: &Path,
    field: &'static str,
    found: impl std::fmt::Display,
    expected: &str,
) -> EncoderError {
    EncoderError::UnsupportedConfig {
        path: path.to_owned(),
        field,
        found: found.to_string(),
        expected: expected.to_owned(),
    }
}
