//! BERT, Devlin et al., <https://arxiv.org/abs/1810.04805>: `transformers/models/bert/modeling_bert.py`.

use serde::Deserialize;
use serde_json::Value;

use super::TensorNames;
use crate::config::{ConfigFields, DecoderFields};

/// `BertConfig`, with its defaults.
#[derive(Deserialize)]
#[serde(default)]
struct BertConfig {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
    #[serde(flatten)]
    decoder: DecoderFields,
}

impl Default for BertConfig {
    fn default() -> BertConfig {
        BertConfig {
            vocab_size: 30_522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            decoder: DecoderFields::default(),
        }
    }
}

pub(super) fn read(config: &Value) -> serde_json::Result<ConfigFields> {
    let file = BertConfig::deserialize(config)?;
    Ok(ConfigFields {
        vocab_size: file.vocab_size,
        hidden_size: file.hidden_size,
        num_hidden_layers: file.num_hidden_layers,
        num_attention_heads: file.num_attention_heads,
        intermediate_size: file.intermediate_size,
        hidden_act: file.hidden_act,
        max_position_embeddings: file.max_position_embeddings,
        position_padding_id: None,
        type_vocab_size: Some(file.type_vocab_size),
        relative_attention_num_buckets: None,
        layer_norm_eps: file.layer_norm_eps,
        decoder: file.decoder,
    })
}

pub(super) const TENSORS: TensorNames = TensorNames {
    prefix: "bert.",
    layer: "encoder.layer",
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    intermediate: "intermediate.dense",
    output: "output.dense",
    output_norm: "output.LayerNorm",
};
