//! BERT, Devlin et al., <https://arxiv.org/abs/1810.04805>: `transformers/models/bert/modeling_bert.py`.

use super::TensorNames;
use super::fields::{FieldError, Fields};
use crate::config::ConfigFields;

/// `BertConfig`, with its defaults.
pub(super) fn read(config: &Fields<'_>) -> Result<ConfigFields, FieldError> {
    read_with(config, 30_522)
}

/// What BERT's config and those made after it have in common, but for the default of `vocab_size`.
pub(super) fn read_with(config: &Fields<'_>, vocab_size: usize) -> Result<ConfigFields, FieldError> {
    Ok(ConfigFields {
        vocab_size: config.size("vocab_size", vocab_size)?,
        hidden_size: config.size("hidden_size", 768)?,
        num_hidden_layers: config.size("num_hidden_layers", 12)?,
        num_attention_heads: config.size("num_attention_heads", 12)?,
        intermediate_size: config.size("intermediate_size", 3072)?,
        hidden_act: config.string("hidden_act", "gelu")?,
        max_position_embeddings: config.size("max_position_embeddings", 512)?,
        position_padding_id: None,
        type_vocab_size: Some(config.size("type_vocab_size", 2)?),
        relative_attention_num_buckets: None,
        layer_norm_eps: config.number("layer_norm_eps", 1e-12)?,
        // `null` is none of the kinds that are added.
        position_embedding_type: Some(config.string("position_embedding_type", "absolute")?),
        is_decoder: Some(config.flag("is_decoder")?),
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
