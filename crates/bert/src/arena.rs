use minilm_kernels::AttentionScratch;

use crate::{BertConfig, PackedTokens};

/// The scratch memory of a forward pass. It grows to the largest micro-batch it has met and is never given
/// back, so that encoding in a steady state allocates nothing.
#[derive(Default)]
pub struct Arena {
    /// The tokens of the micro-batch: fill this, then run the forward pass.
    pub tokens: PackedTokens,
    /// `[T][hidden_size]`: what goes into a layer and comes out of it.
    pub(crate) hidden: Vec<f32>,
    /// `[T][3 · hidden_size]`
    pub(crate) qkv: Vec<f32>,
    /// `[T][hidden_size]`: attention's output before its dense layer.
    pub(crate) context: Vec<f32>,
    /// `[T][hidden_size]`: a layer's state between attention and feed-forward.
    pub(crate) attended: Vec<f32>,
    /// `[T][intermediate_size]`
    pub(crate) intermediate: Vec<f32>,
    pub(crate) attention: AttentionScratch,
}

impl Arena {
    /// Makes every buffer exactly as long as the tokens need.
    pub(crate) fn fit(&mut self, config: &BertConfig) {
        let t = self.tokens.ids().len();
        let h = config.hidden_size;
        self.hidden.resize(t * h, 0.0);
        self.qkv.resize(t * 3 * h, 0.0);
        self.context.resize(t * h, 0.0);
        self.attended.resize(t * h, 0.0);
        self.intermediate.resize(t * config.intermediate_size, 0.0);
    }

    /// The vectors of all tokens after the last layer, `[T][hidden_size]`.
    pub fn hidden(&self) -> &[f32] {
        &self.hidden
    }
}
