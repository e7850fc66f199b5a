use std::fmt;

use std::sync::Arc;

use minilm_kernels::{Activation, Isa, LayerNorm, PackedLinear, Precision, embedding_sum, layer_norm};
use minilm_weights::{FloatType, RegionSlice, Weights};

use crate::profile::{NoProbe, Operation, Probe};
use crate::word_embeddings::WordEmbeddings;
use crate::{Arena, EncoderConfig, EncoderError, Lead, PackedCacheStatus};

/// An encoder's weights, packed for the kernels, and its forward pass.
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
    /// `[hidden_size]`: type 0, which every token of a single text has. Zeros where there are no types.
    pub(crate) token_type_embedding: Vec<f32>,
    /// `[num_attention_heads][2 · max_positions − 1]`, by distance, where scores have a bias.
    pub(crate) position_bias: Option<Vec<f32>>,
    pub(crate) embedding_norm: LayerNorm,
    pub(crate) layers: Vec<Layer>,
}

/// A layer: attention and a feed-forward network, a residual and a LayerNorm behind each.
pub(crate) struct Layer {
    /// Query, key and value side by side: hidden_size → 3 · hidden_size.
    pub(crate) qkv: PackedLinear,
    pub(crate) attention_output: PackedLinear,
    pub(crate) attention_norm: LayerNorm,
    pub(crate) intermediate: PackedLinear,
    /// What follows the intermediate product.
    pub(crate) activation: Activation,
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

    /// Word + token type + position, LayerNorm.
    fn embed(&self, arena: &mut Arena) -> Result<(), EncoderError> {
        let h = self.config.hidden_size;
        let hidden = &mut arena.states.hidden;
        let ids = arena.tokens.ids();
        self.word_embeddings.gather(ids, hidden)?;
        for sequence in arena.tokens.sequences() {
            self.add_positions(&ids[sequence.clone()], &mut hidden[sequence.start * h..sequence.end * h])?;
        }
        layer_norm(self.isa, hidden, &self.embedding_norm);
        Ok(())
    }

    /// The word embeddings `[tokens][hidden_size]` of a sequence → those with token type and position.
    pub(crate) fn add_positions(&self, ids: &[u32], rows: &mut [f32]) -> Result<(), EncoderError> {
        let h = self.config.hidden_size;
        let (tokens, max_positions) = (ids.len(), self.config.max_positions());
        if tokens > max_positions {
            return Err(EncoderError::TooLong { tokens, max_positions });
        }
        let mut start = 0;
        for (len, first) in position_runs(ids, &self.config) {
            let rows = &mut rows[start * h..(start + len) * h];
            let positions = &self.position_embeddings[first * h..(first + len) * h];
            embedding_sum(self.isa, rows, &self.token_type_embedding, positions);
            start += len;
        }
        Ok(())
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

/// How many tokens of a sequence have consecutive positions, and the first of these: all, but where a padding token stands in
/// the text of an architecture that does not count it. Such a token is a run of its own.
pub(crate) fn position_runs(ids: &[u32], config: &EncoderConfig) -> impl Iterator<Item = (usize, usize)> {
    let padding = config.position_padding_id;
    let is_padding = move |id: u32| padding == Some(id);
    let mut next = config.first_position();
    ids.chunk_by(move |&a, &b| !is_padding(a) && !is_padding(b)).map(move |run| {
        let first = if is_padding(run[0]) { run[0] as usize } else { next };
        if !is_padding(run[0]) {
            next += run.len();
        }
        (run.len(), first)
    })
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
