//! DistilBERT, Sanh et al., <https://arxiv.org/abs/1910.01108>: `transformers/models/distilbert/modeling_distilbert.py`.
//!
//! BERT without token types, with names of its own for everything. Where positions are sinusoidal, they are stored as any
//! other position embeddings.

use serde::Deserialize;
use serde_json::Value;

use super::TensorNames;
use crate::config::{ConfigFields, DecoderFields};

/// `nn.LayerNorm(config.dim, eps=1e-12)`
const LAYER_NORM_EPS: f32 = 1e-12;

/// `DistilBertConfig`, with its defaults.
#[derive(Deserialize)]
#[serde(default)]
struct DistilBertConfig {
    vocab_size: usize,
    dim: usize,
    n_layers: usize,
    n_heads: usize,
    hidden_dim: usize,
    activation: String,
    max_position_embeddings: usize,
}

impl Default for DistilBertConfig {
    fn default() -> DistilBertConfig {
        DistilBertConfig {
            vocab_size: 30_522,
            dim: 768,
            n_layers: 6,
            n_heads: 12,
            hidden_dim: 3072,
            activation: "gelu".to_owned(),
            max_position_embeddings: 512,
        }
    }
}

pub(super) fn read(config: &Value) -> serde_json::Result<ConfigFields> {
    let file = DistilBertConfig::deserialize(config)?;
    Ok(ConfigFields {
        vocab_size: file.vocab_size,
        hidden_size: file.dim,
        num_hidden_layers: file.n_layers,
        num_attention_heads: file.n_heads,
        intermediate_size: file.hidden_dim,
        hidden_act: file.activation,
        max_position_embeddings: file.max_position_embeddings,
        position_padding_id: None,
        type_vocab_size: None,
        relative_attention_num_buckets: None,
        layer_norm_eps: LAYER_NORM_EPS,
        decoder: DecoderFields::default(),
    })
}

pub(super) const TENSORS: TensorNames = TensorNames {
    prefix: "distilbert.",
    layer: "transformer.layer",
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    attention_output: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    intermediate: "ffn.lin1",
    output: "ffn.lin2",
    output_norm: "output_layer_norm",
};
