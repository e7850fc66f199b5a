use std::fmt;
use std::path::Path;

use minilm_kernels::{Activation, Precision};
use serde::Deserialize;
use serde_json::Value;

use crate::EncoderError;
use crate::architecture::{Architecture, RELATIVE_ATTENTION_NUM_BUCKETS};

/// What the arithmetic of an encoder depends on, of its `config.json`. A value has been checked: no size is 0, and the
/// heads divide the hidden size.
///
/// Names are those of transformers' `BertConfig`, whatever an architecture's own config calls a thing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EncoderConfig {
    /// Which network it is.
    pub architecture: Architecture,
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
    /// The activation function of the feed-forward network.
    pub hidden_act: HiddenAct,
    /// The number of position embeddings. A sequence may have fewer tokens than that: [`max_positions`](Self::max_positions).
    pub max_position_embeddings: usize,
    /// Where positions begin behind it, the padding token's id: a sequence's first token has the position behind it, and a
    /// token with this id has this position and is not counted. None where they begin at 0.
    pub position_padding_id: Option<u32>,
    /// The number of token type (segment) embeddings, of which only the first is used; 0 where there are none.
    pub type_vocab_size: usize,
    /// The number of biases by distance that each head has for its attention scores; 0 where there are none.
    pub relative_attention_num_buckets: usize,
    /// What LayerNorm adds to the variance.
    pub layer_norm_eps: f32,
}

/// An activation function of a feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HiddenAct {
    /// GELU in the erf form, transformers' `"gelu"`.
    Gelu,
    /// GELU in the tanh form, transformers' `"gelu_new"`.
    GeluTanh,
    /// max(0, x), transformers' `"relu"`.
    Relu,
}

impl HiddenAct {
    /// That of transformers' name, of which some mean the same.
    fn of(name: &str) -> Option<HiddenAct> {
        Some(match name {
            "gelu" | "gelu_python" => HiddenAct::Gelu,
            "gelu_new" | "gelu_fast" | "gelu_accurate" | "gelu_pytorch_tanh" => HiddenAct::GeluTanh,
            "relu" => HiddenAct::Relu,
            _ => return None,
        })
    }

    /// transformers' name.
    pub fn name(self) -> &'static str {
        match self {
            HiddenAct::Gelu => "gelu",
            HiddenAct::GeluTanh => "gelu_new",
            HiddenAct::Relu => "relu",
        }
    }

    /// The function behind a product of that precision.
    pub(crate) fn activation(self, precision: Precision) -> Activation {
        match self {
            HiddenAct::Gelu => Activation::gelu(precision),
            HiddenAct::GeluTanh => Activation::GeluTanh,
            HiddenAct::Relu => Activation::Relu,
        }
    }
}

impl fmt::Display for HiddenAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an architecture's `config.json` says, under BERT's names, not yet checked.
pub(crate) struct ConfigFields {
    pub(crate) vocab_size: usize,
    pub(crate) hidden_size: usize,
    pub(crate) num_hidden_layers: usize,
    pub(crate) num_attention_heads: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) hidden_act: String,
    pub(crate) max_position_embeddings: usize,
    pub(crate) position_padding_id: Option<u32>,
    pub(crate) type_vocab_size: Option<usize>,
    pub(crate) relative_attention_num_buckets: Option<usize>,
    pub(crate) layer_norm_eps: f32,
    pub(crate) decoder: DecoderFields,
}

/// What makes another network of BERT and RoBERTa, which is not computed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct DecoderFields {
    position_embedding_type: Option<String>,
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
        let invalid = |reason: String| EncoderError::InvalidConfig { path: path.to_owned(), reason };
        let value: Value = serde_json::from_slice(&json).map_err(|e| invalid(e.to_string()))?;
        // The architecture first: another one's config lacks these fields, and the error should say which it is rather
        // than which field is missing.
        let model_type =
            value.get("model_type").ok_or_else(|| invalid("missing field `model_type`".to_owned()))?;
        let architecture = Architecture::of(model_type).ok_or_else(|| {
            let names = Architecture::ALL.map(|architecture| format!("{:?}", architecture.name()));
            unsupported(path, "model_type", model_type, &format!("one of {}", names.join(", ")))
        })?;
        let fields = architecture.read(&value).map_err(|e| invalid(e.to_string()))?;
        fields.checked(architecture, path)
    }

    /// The size of one head's queries, keys and values.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// The most tokens of a sequence: as many as have a position.
    pub fn max_positions(&self) -> usize {
        self.max_position_embeddings - self.first_position()
    }

    /// The position of a sequence's first token.
    pub(crate) fn first_position(&self) -> usize {
        self.position_padding_id.map_or(0, |id| id as usize + 1)
    }
}

impl ConfigFields {
    fn checked(self, architecture: Architecture, path: &Path) -> Result<EncoderConfig, EncoderError> {
        let Some(hidden_act) = HiddenAct::of(&self.hidden_act) else {
            let found = format!("{:?}", self.hidden_act);
            return Err(unsupported(path, "hidden_act", found, "\"gelu\", \"gelu_new\" or \"relu\""));
        };
        self.decoder.check(path)?;
        for (field, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size.unwrap_or(1)),
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
        if let Some(id) = self
            .position_padding_id
            .filter(|&id| (id as usize).saturating_add(1) >= self.max_position_embeddings)
        {
            let least = u64::from(id) + 1;
            let expected = format!("more than {least}, for positions begin behind the padding token's id");
            return Err(unsupported(
                path,
                "max_position_embeddings",
                self.max_position_embeddings,
                &expected,
            ));
        }
        let other = |&buckets: &usize| buckets != RELATIVE_ATTENTION_NUM_BUCKETS;
        if let Some(buckets) = self.relative_attention_num_buckets.filter(other) {
            let expected = RELATIVE_ATTENTION_NUM_BUCKETS.to_string();
            return Err(unsupported(path, "relative_attention_num_buckets", buckets, &expected));
        }
        Ok(EncoderConfig {
            architecture,
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            intermediate_size: self.intermediate_size,
            hidden_act,
            max_position_embeddings: self.max_position_embeddings,
            position_padding_id: self.position_padding_id,
            type_vocab_size: self.type_vocab_size.unwrap_or(0),
            relative_attention_num_buckets: self.relative_attention_num_buckets.unwrap_or(0),
            layer_norm_eps: self.layer_norm_eps,
        })
    }
}

impl DecoderFields {
    fn check(&self, path: &Path) -> Result<(), EncoderError> {
        if let Some(other) = self.position_embedding_type.as_deref().filter(|&t| t != "absolute") {
            let found = format!("{other:?}");
            return Err(unsupported(path, "position_embedding_type", found, "\"absolute\""));
        }
        if self.is_decoder {
            // Its attention would be causal.
            return Err(unsupported(path, "is_decoder", true, "false"));
        }
        Ok(())
    }
}

fn unsupported(path: &Path, field: &'static str, found: impl fmt::Display, expected: &str) -> EncoderError {
    EncoderError::UnsupportedConfig {
        path: path.to_owned(),
        field,
        found: found.to_string(),
        expected: expected.to_owned(),
    }
}
