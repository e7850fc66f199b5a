//! DistilBERT, Sanh et al., <https://arxiv.org/abs/1910.01108>: `transformers/models/distilbert/modeling_distilbert.py`.
//!
//! BERT without token types, with names of its own for everything. Where positions are sinusoidal, they are stored as any
//! other position embeddings.

use super::TensorNames;
use super::fields::{Field, FieldError, Fields};
use crate::config::ConfigFields;

/// `nn.LayerNorm(config.dim, eps=1e-12)`
const LAYER_NORM_EPS: Field<f32> = Field { name: "eps", value: 1e-12 };

/// `DistilBertConfig`, with its defaults. Its `attribute_map` has BERT's names for some fields, which count if they are there.
pub(super) fn read(config: &Fields<'_>) -> Result<ConfigFields, FieldError> {
    Ok(ConfigFields {
        vocab_size: config.size("vocab_size", 30_522)?,
        hidden_size: config.size_of_either(["hidden_size", "dim"], 768)?,
        num_hidden_layers: config.size_of_either(["num_hidden_layers", "n_layers"], 6)?,
        num_attention_heads: config.size_of_either(["num_attention_heads", "n_heads"], 12)?,
        intermediate_size: config.size("hidden_dim", 3072)?,
        hidden_act: config.string("activation", "gelu")?,
        max_position_embeddings: config.size("max_position_embeddings", 512)?,
        position_padding_id: None,
        type_vocab_size: None,
        relative_attention_num_buckets: None,
        layer_norm_eps: LAYER_NORM_EPS,
        position_embedding_type: None,
        // `DistilBertModel` never looks at it.
        is_decoder: None,
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
