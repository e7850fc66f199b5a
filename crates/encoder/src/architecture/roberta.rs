//! RoBERTa, Liu et al., <https://arxiv.org/abs/1907.11692>, and the models that are RoBERTa with another vocabulary:
//! `transformers/models/{roberta,xlm_roberta,camembert}/modeling_*.py`.
//!
//! BERT, but for the positions: the first token has the position behind the padding token's id, and a padding token that
//! stands in a text has that id as its position and is not counted (`create_position_ids_from_input_ids`).

use serde::Deserialize;
use serde_json::Value;

use super::{TensorNames, bert};
use crate::config::{ConfigFields, DecoderFields};

/// `RobertaConfig`, with its defaults where the three architectures have the same.
#[derive(Deserialize)]
#[serde(default)]
struct RobertaConfig {
    vocab_size: Option<usize>,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
    pad_token_id: u32,
    #[serde(flatten)]
    decoder: DecoderFields,
}

impl Default for RobertaConfig {
    fn default() -> RobertaConfig {
        RobertaConfig {
            vocab_size: None,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            pad_token_id: 1,
            decoder: DecoderFields::default(),
        }
    }
}

/// `default_vocab_size` is what the architecture's config class has.
pub(super) fn read(config: &Value, default_vocab_size: usize) -> serde_json::Result<ConfigFields> {
    let file = RobertaConfig::deserialize(config)?;
    Ok(ConfigFields {
        vocab_size: file.vocab_size.unwrap_or(default_vocab_size),
        hidden_size: file.hidden_size,
        num_hidden_layers: file.num_hidden_layers,
        num_attention_heads: file.num_attention_heads,
        intermediate_size: file.intermediate_size,
        hidden_act: file.hidden_act,
        max_position_embeddings: file.max_position_embeddings,
        position_padding_id: Some(file.pad_token_id),
        type_vocab_size: Some(file.type_vocab_size),
        relative_attention_num_buckets: None,
        layer_norm_eps: file.layer_norm_eps,
        decoder: file.decoder,
    })
}

pub(super) const TENSORS: TensorNames = TensorNames { prefix: "roberta.", ..bert::TENSORS };
