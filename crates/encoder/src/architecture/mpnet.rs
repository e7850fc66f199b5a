//! MPNet, Song et al., <https://arxiv.org/abs/2004.09297>: `transformers/models/mpnet/modeling_mpnet.py`.
//!
//! Positions are RoBERTa's, there are no token types, and to each scaled attention score a bias is added, which depends on
//! the head and on how far the key is from the query. Distances share biases, the more the larger they are
//! ([`relative_position_bucket`]); all layers share the biases.

use serde::Deserialize;
use serde_json::Value;

use super::{TensorNames, bert};
use crate::config::{ConfigFields, DecoderFields};

/// How many biases each head has. `MPNetEncoder` computes with so many, whatever the config says.
pub(crate) const RELATIVE_ATTENTION_NUM_BUCKETS: usize = 32;

/// `MPNetEmbeddings` has it as a constant.
const PADDING_ID: u32 = 1;

/// `MPNetConfig`, with its defaults.
#[derive(Deserialize)]
#[serde(default)]
struct MpnetConfig {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    max_position_embeddings: usize,
    relative_attention_num_buckets: usize,
    layer_norm_eps: f32,
}

impl Default for MpnetConfig {
    fn default() -> MpnetConfig {
        MpnetConfig {
            vocab_size: 30_527,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            max_position_embeddings: 512,
            relative_attention_num_buckets: RELATIVE_ATTENTION_NUM_BUCKETS,
            layer_norm_eps: 1e-12,
        }
    }
}

pub(super) fn read(config: &Value) -> serde_json::Result<ConfigFields> {
    let file = MpnetConfig::deserialize(config)?;
    Ok(ConfigFields {
        vocab_size: file.vocab_size,
        hidden_size: file.hidden_size,
        num_hidden_layers: file.num_hidden_layers,
        num_attention_heads: file.num_attention_heads,
        intermediate_size: file.intermediate_size,
        hidden_act: file.hidden_act,
        max_position_embeddings: file.max_position_embeddings,
        position_padding_id: Some(PADDING_ID),
        type_vocab_size: None,
        relative_attention_num_buckets: Some(file.relative_attention_num_buckets),
        layer_norm_eps: file.layer_norm_eps,
        decoder: DecoderFields::default(),
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

/// Which bias the score of a key has that is so many tokens behind the query: `MPNetEncoder.relative_position_bucket`, T5's
/// buckets (Raffel et al., <https://arxiv.org/abs/1910.10683>) for both directions.
///
/// Half of the buckets are for keys behind the query. Of each half, the first half is for one distance each, 0 … 7; the
/// others for ranges that grow by √2 up to 128, and the last also for all beyond. There it is computed in floating point,
/// ⌊8 log(n / 8) / log(128 / 8)⌋ = ⌊log₂(n² / 64)⌋; here in integers, with the same results.
pub(crate) fn relative_position_bucket(distance: isize) -> usize {
    let side = RELATIVE_ATTENTION_NUM_BUCKETS / 2;
    let exact = side / 2;
    let n = distance.unsigned_abs();
    let bucket = if n < exact {
        n
    } else {
        let square = n.saturating_mul(n) / (exact * exact);
        (exact + square.ilog2() as usize).min(side - 1)
    };
    if distance > 0 { side + bucket } else { bucket }
}
