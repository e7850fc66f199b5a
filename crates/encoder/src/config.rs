use std::fmt;
use std::path::Path;

use minilm_kernels::reference::RELATIVE_POSITION_BUCKETS;
use minilm_kernels::{Activation, Precision};
use minilm_weights::read_limited;
use serde_json::{Map, Value};

use crate::EncoderError;
use crate::architecture::{Architecture, Field, FieldError, Fields};

/// What the arithmetic of an encoder depends on, of its `config.json`. What [`from_file`](Self::from_file) gives has been
/// checked: no size is 0 (there may be no layers), the heads divide the hidden size, and a sequence may have a token. One that
/// was changed is checked again when an [`Encoder`](crate::Encoder) is loaded with it.
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
            EncoderError::UnsupportedConfig {
                path: path.to_owned(),
                field: "model_type",
                found: model_type.to_string(),
                expected: format!("one of {}", names.join(", ")),
            }
        })?;
        let checked = architecture.read(&Fields(&fields)).and_then(|fields| fields.checked(architecture));
        checked.map_err(|FieldError { name, found, expected }| EncoderError::UnsupportedConfig {
            path: path.to_owned(),
            field: name,
            found,
            expected,
        })
    }

    /// Checks what may have been changed since it was read.
    pub(crate) fn check(&self) -> Result<(), EncoderError> {
        let checked = ConfigFields::of(self).and_then(|fields| fields.checked(self.architecture));
        checked.map(drop).map_err(|FieldError { name, found, expected }| EncoderError::ChangedConfig {
            field: name,
            found,
            expected,
        })
    }

    /// The size of one head's queries, keys and values; 0 if there are no heads, which no checked config says.
    pub fn head_size(&self) -> usize {
        self.hidden_size.checked_div(self.num_attention_heads).unwrap_or(0)
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
    /// Those that say what a config does, under its own names.
    fn of(config: &EncoderConfig) -> Result<ConfigFields, FieldError> {
        fn field<T>(name: &'static str, value: T) -> Field<T> {
            Field { name, value }
        }
        let architecture = config.architecture;
        // What the architecture has of what not all have.
        let has = architecture.read(&Fields(&Map::new()))?;
        let types = field("type_vocab_size", config.type_vocab_size);
        let buckets = field("relative_attention_num_buckets", config.relative_attention_num_buckets);
        for (size, has) in [(&types, &has.type_vocab_size), (&buckets, &has.relative_attention_num_buckets)] {
            if has.is_none() && size.value != 0 {
                return Err(size.refused(format!("0, for {architecture} has none")));
            }
        }
        let padding = "position_padding_id";
        let position_padding_id = match (&has.position_padding_id, config.position_padding_id) {
            (Some(_), Some(id)) => Some(field(padding, id)),
            (None, None) => None,
            (Some(_), None) => {
                let expected = format!("a token id, for in {architecture} positions begin behind it");
                return Err(field(padding, "none").refused(expected));
            }
            (None, Some(id)) => {
                let expected = format!("none, for in {architecture} positions begin at 0");
                return Err(field(padding, id).refused(expected));
            }
        };
        Ok(ConfigFields {
            vocab_size: field("vocab_size", config.vocab_size),
            hidden_size: field("hidden_size", config.hidden_size),
            num_hidden_layers: field("num_hidden_layers", config.num_hidden_layers),
            num_attention_heads: field("num_attention_heads", config.num_attention_heads),
            intermediate_size: field("intermediate_size", config.intermediate_size),
            hidden_act: field("hidden_act", config.hidden_act.name().to_owned()),
            max_position_embeddings: field("max_position_embeddings", config.max_position_embeddings),
            position_padding_id,
            type_vocab_size: has.type_vocab_size.map(|_| types),
            relative_attention_num_buckets: has.relative_attention_num_buckets.map(|_| buckets),
            layer_norm_eps: field("layer_norm_eps", config.layer_norm_eps),
            position_embedding_type: None,
            is_decoder: None,
        })
    }

    fn checked(self, architecture: Architecture) -> Result<EncoderConfig, FieldError> {
        let quoted = |field: &Field<String>| Field { name: field.name, value: format!("{:?}", field.value) };
        let Some(hidden_act) = HiddenAct::of(&self.hidden_act.value) else {
            let expected = "\"gelu\", \"gelu_new\", \"relu\" or \"silu\"";
            return Err(quoted(&self.hidden_act).refused(expected));
        };
        if let Some(kind) = self.position_embedding_type.filter(|kind| kind.value != "absolute") {
            return Err(quoted(&kind).refused("\"absolute\""));
        }
        if let Some(is_decoder) = self.is_decoder.filter(|is_decoder| is_decoder.value) {
            // Its attention would be causal.
            return Err(is_decoder.refused("false"));
        }
        let sizes = [
            &self.vocab_size,
            &self.hidden_size,
            &self.num_attention_heads,
            &self.intermediate_size,
            &self.max_position_embeddings,
        ];
        if let Some(size) = sizes.into_iter().chain(&self.type_vocab_size).find(|size| size.value == 0) {
            return Err(size.refused("at least 1"));
        }
        let (hidden_size, heads) = (&self.hidden_size, &self.num_attention_heads);
        if !hidden_size.value.is_multiple_of(heads.value) {
            let expected = format!("a divisor of {}, which is {}", hidden_size.name, hidden_size.value);
            return Err(heads.refused(expected));
        }
        let eps = &self.layer_norm_eps;
        if !(eps.value.is_finite() && eps.value >= 0.0) {
            return Err(eps.refused("a number from 0 on"));
        }
        let positions = &self.max_position_embeddings;
        let too_large = |id: &Field<u32>| positions.value <= (id.value as usize).saturating_add(1);
        if let Some(id) = self.position_padding_id.as_ref().filter(|id| too_large(id)) {
            let (name, most) = (positions.name, positions.value - 1);
            let expected = format!("less than {name} − 1, which is {most}, for positions begin behind it");
            return Err(id.refused(expected));
        }
        let other = |buckets: &&Field<usize>| buckets.value != RELATIVE_POSITION_BUCKETS;
        if let Some(buckets) = self.relative_attention_num_buckets.as_ref().filter(other) {
            return Err(buckets.refused(RELATIVE_POSITION_BUCKETS.to_string()));
        }
        Ok(EncoderConfig {
            architecture,
            vocab_size: self.vocab_size.value,
            hidden_size: hidden_size.value,
            num_hidden_layers: self.num_hidden_layers.value,
            num_attention_heads: heads.value,
            intermediate_size: self.intermediate_size.value,
            hidden_act,
            max_position_embeddings: positions.value,
            position_padding_id: self.position_padding_id.map(|id| id.value),
            type_vocab_size: self.type_vocab_size.map_or(0, |types| types.value),
            relative_attention_num_buckets: self.relative_attention_num_buckets.map_or(0, |it| it.value),
            layer_norm_eps: eps.value,
        })
    }
}
