use std::fmt;
use std::path::Path;

use minilm_kernels::reference::RELATIVE_POSITION_BUCKETS;
use minilm_kernels::{Activation, Precision};
use minilm_weights::read_limited;
use serde_json::{Map, Value};

use crate::EncoderError;
use crate::architecture::{Architecture, Field, Fields, WrongType};

/// What the arithmetic of an encoder depends on, of its `config.json`. What [`from_file`](Self::from_file) gives has been
/// checked: no size is 0 (there may be no layers), the heads divide the hidden size, and a sequence may have a token.
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
    /// The padding token's id, where positions begin behind it: a sequence's first token has the position id + 1, and a token
    /// with this id has the position id and is not counted. None where positions begin at 0.
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
    /// x / (1 + e⁻ˣ), transformers' `"silu"`.
    Silu,
}

impl HiddenAct {
    /// That of transformers' name, of which some mean the same.
    fn of(name: &str) -> Option<HiddenAct> {
        Some(match name {
            "gelu" | "gelu_python" => HiddenAct::Gelu,
            "gelu_new" | "gelu_fast" | "gelu_accurate" | "gelu_pytorch_tanh" | "gelu_python_tanh" => {
                HiddenAct::GeluTanh
            }
            "relu" => HiddenAct::Relu,
            "silu" | "swish" => HiddenAct::Silu,
            _ => return None,
        })
    }

    /// transformers' name.
    pub fn name(self) -> &'static str {
        match self {
            HiddenAct::Gelu => "gelu",
            HiddenAct::GeluTanh => "gelu_new",
            HiddenAct::Relu => "relu",
            HiddenAct::Silu => "silu",
        }
    }

    /// The function behind a product of that precision.
    pub(crate) fn activation(self, precision: Precision) -> Activation {
        match self {
            HiddenAct::Gelu => Activation::gelu(precision),
            HiddenAct::GeluTanh => Activation::GeluTanh,
            HiddenAct::Relu => Activation::Relu,
            HiddenAct::Silu => Activation::Silu,
        }
    }
}

impl fmt::Display for HiddenAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an architecture's `config.json` says, by what it is to BERT, not yet checked. None is a field that the architecture has
/// not or does not look at.
pub(crate) struct ConfigFields {
    pub(crate) vocab_size: Field<usize>,
    pub(crate) hidden_size: Field<usize>,
    pub(crate) num_hidden_layers: Field<usize>,
    pub(crate) num_attention_heads: Field<usize>,
    pub(crate) intermediate_size: Field<usize>,
    pub(crate) hidden_act: Field<String>,
    pub(crate) max_position_embeddings: Field<usize>,
    pub(crate) position_padding_id: Option<Field<u32>>,
    pub(crate) type_vocab_size: Option<Field<usize>>,
    pub(crate) relative_attention_num_buckets: Option<Field<usize>>,
    pub(crate) layer_norm_eps: Field<f32>,
    pub(crate) position_embedding_type: Option<Field<String>>,
    pub(crate) is_decoder: Option<Field<bool>>,
}

/// More than any config has.
const MAX_BYTES: u64 = 1 << 20;

impl EncoderConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    ///
    /// [`EncoderError::OpenConfig`], [`EncoderError::InvalidConfig`] or [`EncoderError::UnsupportedConfig`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<EncoderConfig, EncoderError> {
        let path = path.as_ref();
        let json = read_limited(path, MAX_BYTES)
            .map_err(|source| EncoderError::OpenConfig { path: path.to_owned(), source })?;
        let invalid = |reason: String| EncoderError::InvalidConfig { path: path.to_owned(), reason };
        let fields: Map<String, Value> = serde_json::from_slice(&json).map_err(|e| invalid(e.to_string()))?;
        // The architecture first: another one's config lacks these fields, and the error should say which it is rather
        // than which field is missing.
        let model_type =
            fields.get("model_type").ok_or_else(|| invalid("missing field `model_type`".to_owned()))?;
        let architecture = Architecture::of(model_type).ok_or_else(|| {
            let names = Architecture::ALL.map(|architecture| format!("{:?}", architecture.name()));
            unsupported(path, "model_type", model_type, &format!("one of {}", names.join(", ")))
        })?;
        let fields = architecture
            .read(&Fields(&fields))
            .map_err(|WrongType { name, found, expected }| unsupported(path, name, found, expected))?;
        fields.checked(architecture, path)
    }

    /// The size of one head's queries, keys and values.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// The most tokens of a sequence: as many as have a position.
    pub fn max_positions(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position())
    }

    /// The position of a sequence's first token.
    pub(crate) fn first_position(&self) -> usize {
        self.position_padding_id.map_or(0, |id| (id as usize).saturating_add(1))
    }
}

impl ConfigFields {
    fn checked(self, architecture: Architecture, path: &Path) -> Result<EncoderConfig, EncoderError> {
        let Some(hidden_act) = HiddenAct::of(&self.hidden_act.value) else {
            let found = format!("{:?}", self.hidden_act.value);
            let expected = "\"gelu\", \"gelu_new\", \"relu\" or \"silu\"";
            return Err(unsupported(path, self.hidden_act.name, found, expected));
        };
        if let Some(Field { name, value }) =
            self.position_embedding_type.filter(|kind| kind.value != "absolute")
        {
            return Err(unsupported(path, name, format!("{value:?}"), "\"absolute\""));
        }
        if let Some(Field { name, .. }) = self.is_decoder.filter(|is_decoder| is_decoder.value) {
            // Its attention would be causal.
            return Err(unsupported(path, name, true, "false"));
        }
        let sizes = [
            &self.vocab_size,
            &self.hidden_size,
            &self.num_attention_heads,
            &self.intermediate_size,
            &self.max_position_embeddings,
        ];
        if let Some(size) = sizes.into_iter().chain(&self.type_vocab_size).find(|size| size.value == 0) {
            return Err(unsupported(path, size.name, 0, "at least 1"));
        }
        let (hidden_size, heads) = (self.hidden_size.value, self.num_attention_heads.value);
        if !hidden_size.is_multiple_of(heads) {
            let expected = format!("a divisor of {}, which is {hidden_size}", self.hidden_size.name);
            return Err(unsupported(path, self.num_attention_heads.name, heads, &expected));
        }
        let eps = self.layer_norm_eps.value;
        if !(eps.is_finite() && eps >= 0.0) {
            return Err(unsupported(path, self.layer_norm_eps.name, eps, "a number from 0 on"));
        }
        let positions = self.max_position_embeddings.value;
        if let Some(Field { name, value: id }) = &self.position_padding_id
            && positions <= (*id as usize).saturating_add(1)
        {
            let expected = format!(
                "less than {} − 1, which is {}, for positions begin behind it",
                self.max_position_embeddings.name,
                positions - 1
            );
            return Err(unsupported(path, name, id, &expected));
        }
        let other = |buckets: &Field<usize>| buckets.value != RELATIVE_POSITION_BUCKETS;
        let buckets = self.relative_attention_num_buckets;
        if let Some(Field { name, value }) = buckets.clone().filter(other) {
            return Err(unsupported(path, name, value, &RELATIVE_POSITION_BUCKETS.to_string()));
        }
        Ok(EncoderConfig {
            architecture,
            vocab_size: self.vocab_size.value,
            hidden_size,
            num_hidden_layers: self.num_hidden_layers.value,
            num_attention_heads: heads,
            intermediate_size: self.intermediate_size.value,
            hidden_act,
            max_position_embeddings: positions,
            position_padding_id: self.position_padding_id.map(|id| id.value),
            type_vocab_size: self.type_vocab_size.map_or(0, |types| types.value),
            relative_attention_num_buckets: buckets.map_or(0, |buckets| buckets.value),
            layer_norm_eps: eps,
        })
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
