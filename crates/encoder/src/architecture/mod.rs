//! What the architectures of the family differ in: their configs, the names of their tensors, and where positions begin.
//!
//! They share the encoder: token embeddings with positions, then layers of attention and a feed-forward network, each with a
//! residual and a LayerNorm behind it. Every architecture is a file that says
//!
//! - which fields its `config.json` has, with transformers' defaults, and what they are to the encoder: [`ConfigFields`];
//! - what its tensors are called: [`TensorNames`].
//!
//! To add one: such a file, an arm in each `match` of this file, and a tiny model of it in `fixtures/`. (CamemBERT has none: in
//! transformers its code is RoBERTa's.)

mod bert;
mod distilbert;
mod fields;
mod mpnet;
mod roberta;

#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

use crate::config::ConfigFields;
pub(crate) use fields::{Field, FieldError, Fields};

/// The kinds of encoders that are computed, by transformers' `model_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Architecture {
    /// `BertModel`: all-MiniLM, multi-qa-MiniLM, BGE, E5, GTE and, with another tokenizer, the multilingual MiniLM.
    Bert,
    /// `RobertaModel`: BERT's network with positions that begin behind the padding token's id.
    Roberta,
    /// `XLMRobertaModel`: RoBERTa's network with a vocabulary for a hundred languages.
    XlmRoberta,
    /// `CamembertModel`: RoBERTa's network for French.
    Camembert,
    /// `MPNetModel`: a bias by the distance of two tokens is added to each attention score. all-mpnet-base-v2.
    Mpnet,
    /// `DistilBertModel`: BERT's network without token types.
    DistilBert,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Architecture; 6] = [
        Architecture::Bert,
        Architecture::Roberta,
        Architecture::XlmRoberta,
        Architecture::Camembert,
        Architecture::Mpnet,
        Architecture::DistilBert,
    ];

    /// transformers' `model_type`.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Bert => "bert",
            Architecture::Roberta => "roberta",
            Architecture::XlmRoberta => "xlm-roberta",
            Architecture::Camembert => "camembert",
            Architecture::Mpnet => "mpnet",
            Architecture::DistilBert => "distilbert",
        }
    }

    /// That of a `model_type`.
    pub(crate) fn of(model_type: &Value) -> Option<Architecture> {
        Architecture::ALL.into_iter().find(|architecture| model_type == architecture.name())
    }

    /// What a `config.json` says, not yet checked.
    pub(crate) fn read(self, config: &Fields<'_>) -> Result<ConfigFields, FieldError> {
        match self {
            Architecture::Bert => bert::read(config),
            Architecture::Roberta => roberta::read(config, 50_265),
            Architecture::XlmRoberta | Architecture::Camembert => roberta::read(config, 30_522),
            Architecture::Mpnet => mpnet::read(config),
            Architecture::DistilBert => distilbert::read(config),
        }
    }

    pub(crate) fn tensor_names(self) -> &'static TensorNames {
        match self {
            Architecture::Bert => &bert::TENSORS,
            Architecture::Roberta | Architecture::XlmRoberta | Architecture::Camembert => &roberta::TENSORS,
            Architecture::Mpnet => &mpnet::TENSORS,
            Architecture::DistilBert => &distilbert::TENSORS,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an architecture's tensors are called. Modules have a `.weight`, and but for embeddings a `.bias`.
pub(crate) struct TensorNames {
    /// Stands before all names in the file of a model with a head, such as `BertForMaskedLM`.
    pub(crate) prefix: &'static str,
    /// Before a layer's number.
    pub(crate) layer: &'static str,
    pub(crate) query: &'static str,
    pub(crate) key: &'static str,
    pub(crate) value: &'static str,
    pub(crate) attention_output: &'static str,
    pub(crate) attention_norm: &'static str,
    pub(crate) intermediate: &'static str,
    pub(crate) output: &'static str,
    pub(crate) output_norm: &'static str,
}

/// These are called the same everywhere.
pub(crate) const WORD_EMBEDDINGS: &str = "embeddings.word_embeddings";
pub(crate) const POSITION_EMBEDDINGS: &str = "embeddings.position_embeddings";
pub(crate) const TOKEN_TYPE_EMBEDDINGS: &str = "embeddings.token_type_embeddings";
pub(crate) const EMBEDDING_NORM: &str = "embeddings.LayerNorm";
pub(crate) const RELATIVE_ATTENTION_BIAS: &str = "encoder.relative_attention_bias";
