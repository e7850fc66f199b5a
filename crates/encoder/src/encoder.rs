use std::fmt;

use std::sync::Arc;

use minilm_kernels::{Isa, LayerNorm, PackedLinear, Precision, embedding_sum, layer_norm};
use minilm_weights::{FloatType, RegionSlice, Weights};

use crate::profile::{NoProbe, Operation, Probe};
use crate::word_embeddings::WordEmbeddings;
use crate::{Arena, EncoderConfig, EncoderError, Lead, PackedCacheStatus};

pub(crate) const WORD_EMBEDDINGS: &str = "embeddings.word_embeddings.weight";

/// BERT's weights, packed for the kernels, and its forward pass.
///
/// One encoder serves any number of threads, each with an [`Arena`].
pub struct Encoder {
    pub(crate) config: EncoderConfig,
    pub(crate) isa: Isa,
    pub(crate) precision: Precision,
    pub(crate) weights: Arc<Weights>,
    pub(crate) word_embeddings: WordEmbeddings,
    pub(crate) weights_type: FloatType,
    pub(crate) packed_cache: PackedCacheStatus,
    /// `[max_position_embeddings][hidden_size]`
    pub(crate) position_embeddings: RegionSlice,
    /// `[hidden_size]`: type 0, which every token of a single text has.
    pub(crate) token_type_embedding: Vec<f32>,
    pub(crate) embedding_norm: LayerNorm,
    pub(crate) layers: Vec<Layer>,
}

/// One of `BertLayer`.
pub(crate) struct Layer {
    /// Query, key and value side by side: hidden_size → 3 · hidden_size.
    pub(crate) qkv: PackedLinear,
    pub(crate) attention_output: PackedLinear,
    pub(crate) attention_norm: LayerNorm,
    pub(crate) intermediate: PackedLinear,
    pub(crate) output: PackedLinear,
    pub(crate) output_norm: LayerNorm,
}

/// A place in the forward pass whose state can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tap {
    /// After the embeddings' LayerNorm (`hidden_states[0]` in transformers).
    Embeddings,
    /// After layer i, counted from 0 (`hidden_states[i + 1]` in transformers).
    Layer(usize),
}

impl Encoder {
    /// The forward pass over `arena.tokens` on the threads that `lead` leads; the result is [`Arena::hidden`]. Its bits do
    /// not depend on them.
    ///
    /// # Errors
    ///
    /// [`EncoderError::UnknownToken`] or [`EncoderError::TooLong`].
    pub fn forward(&self, arena: &mut Arena, lead: &Lead<'_>) -> Result<(), EncoderError> {
        self.forward_probed(arena, lead, &NoProbe, &mut |_, _| {})
    }

    /// The forward pass on one thread, showing the state `[T][hidden_size]` of all tokens at each [`Tap`] to `observe`.
    ///
    /// # Errors
    ///
    /// As [`Encoder::forward`].
    pub fn forward_observed(
        &self,
        arena: &mut Arena,
        observe: &mut dyn FnMut(Tap, &[f32]),
    ) -> Result<(), EncoderError> {
        self.forward_probed(arena, &Lead::alone(), &NoProbe, observe)
    }

    pub(crate) fn forward_probed<P: Probe>(
        &self,
        arena: &mut Arena,
        lead: &Lead<'_>,
        probe: &P,
        observe: &mut dyn FnMut(Tap, &[f32]),
    ) -> Result<(), EncoderError> {
        arena.fit(&self.config, lead.threads());
        self.embed(arena)?;
        probe.ended(Operation::Embeddings);
        observe(Tap::Embeddings, arena.hidden());
        self.run_layers(arena, lead, probe, observe);
        Ok(())
    }

    /// `BertEmbeddings`: word + token type + position, LayerNorm.
    fn embed(&self, arena: &mut Arena) -> Result<(), EncoderError> {
        let h = self.config.hidden_size;
        let hidden = &mut arena.states.hidden;
        self.word_embeddings.gather(arena.tokens.ids(), hidden)?;
        for sequence in arena.tokens.sequences() {
            let positions = self.positions(sequence.len())?;
            let rows = &mut hidden[sequence.start * h..sequence.end * h];
            embedding_sum(self.isa, rows, &self.token_type_embedding, positions);
        }
        layer_norm(self.isa, hidden, &self.embedding_norm);
        Ok(())
    }

    /// The position embeddings `[tokens][hidden_size]` of a sequence of that many tokens.
    pub(crate) fn positions(&self, tokens: usize) -> Result<&[f32], EncoderError> {
        let EncoderConfig { hidden_size: h, max_position_embeddings, .. } = self.config;
        if tokens > max_position_embeddings {
            return Err(EncoderError::TooLong { tokens, max_position_embeddings });
        }
        Ok(&self.position_embeddings[..tokens * h])
    }

    /// The config the encoder was loaded with.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The instruction set the forward pass runs on.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// What the products are computed in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The type that the word embeddings, the largest tensor, have in the file.
    pub fn weights_type(&self) -> FloatType {
        self.weights_type
    }

    /// Whether the packed weights came from a cache file.
    pub fn packed_cache(&self) -> &PackedCacheStatus {
        &self.packed_cache
    }

    /// The file that the weights came from.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("config", &self.config)
            .field("isa", &self.isa)
            .field("weights", &self.weights)
            .finish_non_exhaustive()
    }
}
