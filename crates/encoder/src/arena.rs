use std::sync::Mutex;

use minilm_kernels::{AlignedBuffer, AttentionScratch, NarrowRows};

use crate::{EncoderConfig, PackedTokens};

/// The scratch memory of a forward pass. It grows to the largest micro-batch it has met and is never given
/// back, so that encoding in a steady state allocates nothing.
#[derive(Default)]
pub struct Arena {
    /// The tokens of the micro-batch: fill this, then run the forward pass.
    pub tokens: PackedTokens,
    /// Room for the ids of a text that is tokenised on the way.
    pub ids: Vec<u32>,
    pub(crate) states: States,
    /// One for each thread that takes part; a thread locks that of the piece it works on.
    pub(crate) members: Vec<Mutex<Member>>,
}

/// What all threads see.
#[derive(Default)]
pub(crate) struct States {
    /// `[T][hidden_size]`: what goes into a layer and comes out of it.
    pub(crate) hidden: AlignedBuffer,
    /// `[T][3 · hidden_size]`
    pub(crate) qkv: AlignedBuffer,
    /// `[T][hidden_size]`: attention's output before its dense layer.
    pub(crate) context: AlignedBuffer,
    /// `[T][hidden_size]`: a layer's state between attention and feed-forward, before LayerNorm, if columns are shared.
    pub(crate) attended: AlignedBuffer,
    /// `[T][intermediate_size]`, if columns are shared.
    pub(crate) intermediate: AlignedBuffer,
}

/// What a thread has for itself.
#[derive(Default)]
pub(crate) struct Member {
    pub(crate) attention: AttentionScratch,
    /// What goes into a product, in its precision.
    pub(crate) narrow: NarrowRows,
    /// `[T][hidden_size]`: what goes into a layer, if columns are shared.
    pub(crate) hidden: AlignedBuffer,
    /// `[T][3 · columns]` of some heads, if columns are shared.
    pub(crate) qkv: AlignedBuffer,
    /// `[T][hidden_size]`, or `[rows][hidden_size]` of a piece: the state between attention and feed-forward.
    pub(crate) attended: AlignedBuffer,
    /// `[rows][intermediate_size]` of a piece.
    pub(crate) intermediate: AlignedBuffer,
}

impl Arena {
    /// Makes room for the tokens and for so many threads.
    pub(crate) fn fit(&mut self, config: &EncoderConfig, threads: usize) {
        let elements = self.tokens.ids().len() * config.hidden_size;
        self.states.hidden.resize(elements);
        self.states.context.resize(elements);
        if self.members.len() < threads {
            self.members.resize_with(threads, Mutex::default);
        }
    }

    /// The vectors of all tokens after the last layer, `[T][hidden_size]`.
    pub fn hidden(&self) -> &[f32] {
        &self.states.hidden
    }
}
