//! RoBERTa, Liu et al., <https://arxiv.org/abs/1907.11692>, and the models that are RoBERTa with another vocabulary:
//! `transformers/models/{roberta,xlm_roberta,camembert}/modeling_*.py`.
//!
//! BERT, but for the positions: the first token has the position behind the padding token's id, and a padding token that
//! stands in a text has that id as its position and is not counted (`create_position_ids_from_input_ids`).

use super::fields::{FieldError, Fields};
use super::{TensorNames, bert};
use crate::config::ConfigFields;

/// `RobertaConfig`, `XLMRobertaConfig` and `CamembertConfig`; they have other defaults of `vocab_size`.
pub(super) fn read(config: &Fields<'_>, vocab_size: usize) -> Result<ConfigFields, FieldError> {
    let fields = bert::read_with(config, vocab_size)?;
    Ok(ConfigFields { position_padding_id: Some(config.id("pad_token_id", 1)?), ..fields })
}

pub(super) const TENSORS: TensorNames = TensorNames { prefix: "roberta.", ..bert::TENSORS };
