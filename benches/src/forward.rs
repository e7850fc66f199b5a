//! The share of each operation in a forward pass of all-MiniLM-L6-v2 over the longest text, 256 tokens.
//!
//! The pass runs the encoder's kernels in the encoder's order on random weights of all six layers (43 MB, which
//! no L2 holds). GELU and LayerNorm are fused with products and softmax with attention, so they cannot be timed inside
//! it: they run by themselves between the layers, on as many elements as the layer has, in blocks in L1 as the fused
//! kernels see them, and their time is set in relation to that of the pass around them.

use std::time::Duration;

use minilm_kernels::{
    Activation, AttentionScratch, Epilogue, Isa, LayerNorm, PackedLinear, attention, embedding_sum,
    l2_normalize, layer_norm, linear, mean_pool,
};
use serde::Serialize;

use crate::cases::attention::SHAPE;
use crate::cases::{Case, HIDDEN, INTERMEDIATE, LAYERS, rows};
use crate::measure::{median, running};
use crate::numbers;

/// The longest text.
pub const TOKENS: usize = 256;

/// Elements that GELU is applied to in a pass.
pub const GELU_ELEMENTS: usize = LAYERS * TOKENS * INTERMEDIATE;

/// Elements that softmax is applied to in a pass.
pub const SOFTMAX_ELEMENTS: usize = LAYERS * SHAPE.heads * TOKENS * TOKENS;

/// Elements that LayerNorm is applied to in a pass: after the embeddings, and twice a layer.
pub const LAYER_NORM_ELEMENTS: usize = (1 + 2 * LAYERS) * TOKENS * HIDDEN;

/// A forward pass on one instruction set. Shares are of the pass's time, medians over the passes.
#[derive(Clone, Debug, Serialize)]
pub struct Forward {
    /// The instruction set's name.
    pub isa: &'static str,
    /// The median time of a pass.
    pub seconds: f64,
    /// Dense layers; GELU, residuals and LayerNorm fused.
    pub linear: f64,
    /// Attention, softmax fused.
    pub attention: f64,
    /// GELU by itself.
    pub gelu: f64,
    /// Softmax by itself.
    pub softmax: f64,
    /// LayerNorm by itself.
    pub layer_norm: f64,
    /// GELU, softmax and LayerNorm.
    pub together: f64,
}

/// Takes `passes` passes and their shares.
pub fn measure(isa: Isa, passes: usize) -> Forward {
    let mut network = Network::random();
    network.pass(isa);
    let passes: Vec<Pass> = (0..passes).map(|_| network.pass(isa)).collect();
    let share = |part: fn(&Pass) -> Duration| {
        median(&passes.iter().map(|p| part(p).as_secs_f64() / p.total().as_secs_f64()).collect::<Vec<_>>())
    };
    Forward {
        isa: isa.name(),
        seconds: median(&passes.iter().map(|p| p.total().as_secs_f64()).collect::<Vec<_>>()),
        linear: share(|p| p.linear),
        attention: share(|p| p.attention),
        gelu: share(|p| p.gelu),
        softmax: share(|p| p.softmax),
        layer_norm: share(|p| p.layer_norm),
        together: share(|p| p.gelu + p.softmax + p.layer_norm),
    }
}

/// Times of one pass.
#[derive(Default)]
struct Pass {
    linear: Duration,
    attention: Duration,
    /// The sum of embeddings and its LayerNorm, pooling, normalisation.
    rest: Duration,
    /// Beside the pass, not a part of it.
    gelu: Duration,
    softmax: Duration,
    layer_norm: Duration,
}

impl Pass {
    fn total(&self) -> Duration {
        self.linear + self.attention + self.rest
    }
}

struct Layer {
    qkv: PackedLinear,
    attention_output: PackedLinear,
    intermediate: PackedLinear,
    output: PackedLinear,
}

/// Weights and buffers of the whole network.
struct Network {
    layers: Vec<Layer>,
    norm: LayerNorm,
    words: Vec<f32>,
    positions: Vec<f32>,
    hidden: Vec<f32>,
    qkv: Vec<f32>,
    context: Vec<f32>,
    attended: Vec<f32>,
    intermediate: Vec<f32>,
    vector: Vec<f32>,
    scratch: AttentionScratch,
    gelu: Case,
    softmax: Case,
    layer_norm: Case,
}

/// Adds the time that `run` takes to `total`.
fn timed(total: &mut Duration, run: impl FnOnce()) {
    *total += running(run);
}

impl Network {
    fn random() -> Network {
        let mut seed = 0;
        // Standard deviations near those of trained weights: activations stay of ordinary size.
        let mut dense = |n: usize, k: usize| {
            seed += 1;
            let weight: Vec<f32> = numbers(n * k, seed).iter().map(|w| 0.15 * w).collect();
            PackedLinear::pack(&[(&weight, &numbers(n, seed + 100))], k)
        };
        let layers = (0..LAYERS)
            .map(|_| Layer {
                qkv: dense(3 * HIDDEN, HIDDEN),
                attention_output: dense(HIDDEN, HIDDEN),
                intermediate: dense(INTERMEDIATE, HIDDEN),
                output: dense(HIDDEN, INTERMEDIATE),
            })
            .collect();
        Network {
            layers,
            norm: LayerNorm { gamma: vec![1.0; HIDDEN], beta: numbers(HIDDEN, 200), eps: 1e-12 },
            words: numbers(TOKENS * HIDDEN, 201),
            positions: numbers(TOKENS * HIDDEN, 202),
            hidden: vec![0.0; TOKENS * HIDDEN],
            qkv: vec![0.0; TOKENS * 3 * HIDDEN],
            context: vec![0.0; TOKENS * HIDDEN],
            attended: vec![0.0; TOKENS * HIDDEN],
            intermediate: vec![0.0; TOKENS * INTERMEDIATE],
            vector: vec![0.0; HIDDEN],
            scratch: AttentionScratch::default(),
            gelu: rows::gelu_case(),
            softmax: rows::softmax_case(TOKENS),
            layer_norm: rows::layer_norm_case(),
        }
    }

    fn pass(&mut self, isa: Isa) -> Pass {
        let mut pass = Pass::default();
        let Network { norm, hidden, qkv, context, attended, intermediate, scratch, .. } = self;
        timed(&mut pass.rest, || {
            hidden.copy_from_slice(&self.words);
            embedding_sum(isa, hidden, &norm.beta, &self.positions);
            layer_norm(isa, hidden, norm);
        });
        for layer in &self.layers {
            timed(&mut pass.linear, || linear(isa, hidden, &layer.qkv, Epilogue::Bias, qkv));
            timed(&mut pass.attention, || attention(isa, qkv, SHAPE, scratch, context));
            timed(&mut pass.linear, || {
                let fused = Epilogue::ResidualLayerNorm(hidden, norm);
                linear(isa, context, &layer.attention_output, fused, attended);
                let fused = Epilogue::Activation(Activation::Gelu);
                linear(isa, attended, &layer.intermediate, fused, intermediate);
                let fused = Epilogue::ResidualLayerNorm(attended, norm);
                linear(isa, intermediate, &layer.output, fused, hidden);
            });
            // Not in the pass's total.
            pass.gelu += self.gelu.run(isa, calls(GELU_ELEMENTS / LAYERS, &self.gelu));
            pass.softmax += self.softmax.run(isa, calls(SOFTMAX_ELEMENTS / LAYERS, &self.softmax));
            pass.layer_norm +=
                self.layer_norm.run(isa, calls(LAYER_NORM_ELEMENTS / LAYERS, &self.layer_norm));
        }
        timed(&mut pass.rest, || {
            mean_pool(isa, hidden, &mut self.vector);
            l2_normalize(isa, &mut self.vector);
        });
        pass
    }
}

/// How many calls it takes to go over that many elements.
fn calls(elements: usize, case: &Case) -> u64 {
    (elements as u64).div_ceil(case.work.elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_by_hand() {
        assert_eq!(GELU_ELEMENTS, 2_359_296);
        assert_eq!(SOFTMAX_ELEMENTS, 4_718_592);
        assert_eq!(LAYER_NORM_ELEMENTS, 1_277_952);
        // Blocks fit exactly, so that no more than a pass's elements are timed.
        let (gelu, softmax, layer_norm) =
            (rows::gelu_case(), rows::softmax_case(TOKENS), rows::layer_norm_case());
        assert_eq!(calls(GELU_ELEMENTS / LAYERS, &gelu) * gelu.work.elements, 393_216);
        assert_eq!(calls(SOFTMAX_ELEMENTS / LAYERS, &softmax) * softmax.work.elements, 786_432);
        // The thirteen do not divide by six layers: a block more than there are.
        assert_eq!(calls(LAYER_NORM_ELEMENTS / LAYERS, &layer_norm) * layer_norm.work.elements, 215_040);
    }

    #[test]
    fn a_pass_ends_in_a_unit_vector_and_its_shares_add_up() {
        let mut network = Network::random();
        network.pass(Isa::best());
        let norm: f32 = network.vector.iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-5, "{norm}");

        let forward = measure(Isa::best(), 1);
        assert!(forward.linear + forward.attention <= 1.0);
        assert!((forward.gelu + forward.softmax + forward.layer_norm - forward.together).abs() < 1e-12);
    }
}
