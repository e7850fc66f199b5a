//! MPNet, Song et al., <https://arxiv.org/abs/2004.09297>: `transformers/models/mpnet/modeling_mpnet.py`.
//!
//! Positions are RoBERTa's, there are no token types, and to each scaled attention score a bias is added, which depends on
//! the head and on how far the key is from the query: `minilm_kernels::reference::relative_position_bucket`. All layers share
//! the biases.

use minilm_kernels::reference::RELATIVE_POSITION_BUCKETS;

use super::fields::{Field, FieldError, Fields};
use super::{TensorNames, bert};
use crate::config::ConfigFields;

/// `MPNetEmbeddings` has it as a constant, whatever the config says.
const PADDING_ID: Field<u32> = Field { name: "pad_token_id", value: 1 };

/// `MPNetConfig`, with its defaults.
pub(super) fn read(config: &Fields<'_>) -> Result<ConfigFields, FieldError> {
    let buckets = config.size("relative_attention_num_buckets", RELATIVE_POSITION_BUCKETS)?;
    Ok(ConfigFields {
        position_padding_id: Some(PADDING_ID),
        type_vocab_size: None,
        relative_attention_num_buckets: Some(buckets),
        position_embedding_type: None,
        ..bert::read_with(config, 30_527)?
    })
}

pub(super) const TENSORS: TensorNames = TensorNames {
    prefix: "mpnet.",
    query: "attention.attn.q",
    key: "attention.attn.k",
    value: "attention.attn.v",
    attention_output: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    ..bert::TENSORS
};
