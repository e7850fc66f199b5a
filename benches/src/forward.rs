//! The share of each operation in a forward pass of all-MiniLM-L6-v2 over the longest text, 256 tokens.
//!
//! The pass runs the encoder's kernels in the encoder's order on random weights of all six layers (43 MB, which
//! no L2 holds): all but attention is done for a piece of rows after the other, and each product fetches the weights of the
//! next, as in `crates/bert/src/forward.rs` by rows on one thread. GELU is fused with a product and softmax with attention,
//! so they cannot be timed inside it: they run by themselves between the layers, on as many elements as the layer has, in
//! blocks in L1 as the fused kernels see them, and their time is set in relation to that of the pass around them.

use std::time::Duration;

use minilm_kernels::{
    Activation, AlignedBuffer, AttentionScratch, Epilogue, Isa, LayerNorm, PackedLinear, Precision, RowsMut,
    attention, embedding_sum, l2_normalize, layer_norm, linear_columns, mean_pool,
};
use serde::Serialize;

use crate::cases::attention::SHAPE;
use crate::cases::{Case, HIDDEN, INTERMEDIATE, LAYERS, PIECE, rows};
use crate::measure::{median, running};
use crate::{aligned, numbers};

/// The longest text.
pub const TOKENS: usize = 256;

/// The last of the text's pieces.
const LAST_PIECE: usize = TOKENS / PIECE - 1;

/// Elements that GELU is applied to in a pass.
pub const GELU_ELEMENTS: usize = LAYERS * TOKENS * INTERMEDIATE;

/// Elements that softmax is applied to in a pass.
pub const SOFTMAX_ELEMENTS: usize = LAYERS * SHAPE.heads * TOKENS * TOKENS;

/// A forward pass on one instruction set. Shares are of the pass's time, medians over the passes.
#[derive(Clone, Debug, Serialize)]
pub struct Forward {
    /// The instruction set's name.
    pub isa: &'static str,
    /// The median time of a pass.
    pub seconds: f64,
    /// Dense layers; GELU and residuals fused.
    pub linear: f64,
    /// Attention, softmax fused.
    pub attention: f64,
    /// LayerNorm, of the embeddings and twice a layer.
    pub layer_norm: f64,
    /// GELU by itself, a part of the dense layers.
    pub gelu: f64,
    /// Softmax by itself, a part of attention.
    pub softmax: f64,
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
        layer_norm: share(|p| p.layer_norm),
        gelu: share(|p| p.gelu),
        softmax: share(|p| p.softmax),
        together: share(|p| p.gelu + p.softmax + p.layer_norm),
    }
}

/// Times of one pass.
#[derive(Default)]
struct Pass {
    linear: Duration,
    attention: Duration,
    layer_norm: Duration,
    /// The sum of embeddings, pooling, normalisation.
    rest: Duration,
    /// Beside the pass, not a part of it.
    gelu: Duration,
    softmax: Duration,
}

impl Pass {
    fn total(&self) -> Duration {
        self.linear + self.attention + self.layer_norm + self.rest
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
    hidden: AlignedBuffer,
    qkv: AlignedBuffer,
    context: AlignedBuffer,
    /// Of a piece, as the next.
    attended: AlignedBuffer,
    intermediate: AlignedBuffer,
    vector: Vec<f32>,
    scratch: AttentionScratch,
    gelu: Case,
    softmax: Case,
}

/// Adds the time that `run` takes to `total`.
fn timed(total: &mut Duration, run: impl FnOnce()) {
    *total += running(run);
}

/// A product of all columns. The second weight is what is used next.
fn product(isa: Isa, x: &[f32], [weight, then]: [&PackedLinear; 2], epilogue: Epilogue<'_>, out: &mut [f32]) {
    let [columns, then] = [weight, then].map(|weight| weight.columns(0..weight.n()));
    linear_columns(isa, x, columns, Some(then), epilogue, RowsMut::new(out, weight.n()));
}

impl Network {
    fn random() -> Network {
        let mut seed = 0;
        // Standard deviations near those of trained weights: activations stay of ordinary size.
        let mut dense = |n: usize, k: usize| {
            seed += 1;
            let weight: Vec<f32> = numbers(n * k, seed).iter().map(|w| 0.15 * w).collect();
            PackedLinear::pack(Precision::F32, &[(&weight, &numbers(n, seed + 100))], k)
        };
        let layers = (0..LAYERS)
            .map(|_| Layer {
                qkv: dense(3 * HIDDEN, HIDDEN),
                attention_output: dense(HIDDEN, HIDDEN),
                intermediate: dense(INTERMEDIATE, HIDDEN),
                output: dense(HIDDEN, INTERMEDIATE),
            })
            .collect();
        let room = |len| aligned(&vec![0.0; len]);
        Network {
            layers,
            norm: LayerNorm { gamma: vec![1.0; HIDDEN], beta: numbers(HIDDEN, 200), eps: 1e-12 },
            words: numbers(TOKENS * HIDDEN, 201),
            positions: numbers(TOKENS * HIDDEN, 202),
            hidden: room(TOKENS * HIDDEN),
            qkv: room(TOKENS * 3 * HIDDEN),
            context: room(TOKENS * HIDDEN),
            attended: room(PIECE * HIDDEN),
            intermediate: room(PIECE * INTERMEDIATE),
            vector: vec![0.0; HIDDEN],
            scratch: AttentionScratch::default(),
            gelu: rows::gelu_case(),
            softmax: rows::softmax_case(TOKENS),
        }
    }

    fn pass(&mut self, isa: Isa) -> Pass {
        let mut pass = Pass::default();
        let Network { layers, norm, hidden, qkv, context, attended, intermediate, scratch, .. } = self;
        let first = &layers[0];
        timed(&mut pass.rest, || {
            hidden.copy_from_slice(&self.words);
            embedding_sum(isa, hidden, &norm.beta, &self.positions);
        });
        timed(&mut pass.layer_norm, || layer_norm(isa, hidden, norm));
        let pieces = hidden.chunks(PIECE * HIDDEN).zip(qkv.chunks_mut(PIECE * 3 * HIDDEN));
        for (piece, (hidden, qkv)) in pieces.enumerate() {
            let then = if piece < LAST_PIECE { &first.qkv } else { &first.attention_output };
            timed(&mut pass.linear, || product(isa, hidden, [&first.qkv, then], Epilogue::Bias, qkv));
        }
        for (i, layer) in layers.iter().enumerate() {
            timed(&mut pass.attention, || attention(isa, qkv, SHAPE, scratch, context));
            let next = layers.get(i + 1);
            let context = context.chunks(PIECE * HIDDEN);
            let rows = hidden.chunks_mut(PIECE * HIDDEN).zip(qkv.chunks_mut(PIECE * 3 * HIDDEN));
            for (piece, (context, (hidden, qkv))) in context.zip(rows).enumerate() {
                // The weights after this piece's: those of the next piece, of the next layer, or of the next text.
                let then = match next {
                    _ if piece < LAST_PIECE => &layer.attention_output,
                    Some(next) => &next.attention_output,
                    None => &first.qkv,
                };
                timed(&mut pass.linear, || {
                    let weights = [&layer.attention_output, &layer.intermediate];
                    product(isa, context, weights, Epilogue::Residual(hidden), attended);
                });
                timed(&mut pass.layer_norm, || layer_norm(isa, attended, norm));
                timed(&mut pass.linear, || {
                    let gelu = Epilogue::Activation(Activation::Gelu);
                    product(isa, attended, [&layer.intermediate, &layer.output], gelu, intermediate);
                    let weights = [&layer.output, next.map_or(then, |next| &next.qkv)];
                    product(isa, intermediate, weights, Epilogue::Residual(attended), hidden);
                });
                timed(&mut pass.layer_norm, || layer_norm(isa, hidden, norm));
                if let Some(next) = next {
                    timed(&mut pass.linear, || product(isa, hidden, [&next.qkv, then], Epilogue::Bias, qkv));
                }
            }
            // Not in the pass's total.
            pass.gelu += self.gelu.run(isa, calls(GELU_ELEMENTS / LAYERS, &self.gelu));
            pass.softmax += self.softmax.run(isa, calls(SOFTMAX_ELEMENTS / LAYERS, &self.softmax));
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
    use minilm_kernels::linear;

    use super::*;

    #[test]
    fn elements_by_hand() {
        assert_eq!(GELU_ELEMENTS, 2_359_296);
        assert_eq!(SOFTMAX_ELEMENTS, 4_718_592);
        // Blocks fit exactly, so that no more than a pass's elements are timed.
        let (gelu, softmax) = (rows::gelu_case(), rows::softmax_case(TOKENS));
        assert_eq!(calls(GELU_ELEMENTS / LAYERS, &gelu) * gelu.work.elements, 393_216);
        assert_eq!(calls(SOFTMAX_ELEMENTS / LAYERS, &softmax) * softmax.work.elements, 786_432);
    }

    /// The states after the last layer, every step over all rows at once.
    fn states_without_pieces(network: &Network, isa: Isa) -> Vec<f32> {
        let norm = &network.norm;
        let dense = |x: &[f32], weight: &PackedLinear, Precision, epilogue: Epilogue<'_>| {
            let mut out = vec![0.0; TOKENS * weight.n()];
            linear(isa, x, weight, epilogue, &mut out);
            out
        };
        let mut hidden = network.words.clone();
        embedding_sum(isa, &mut hidden, &norm.beta, &network.positions);
        layer_norm(isa, &mut hidden, norm);
        for layer in &network.layers {
            let qkv = dense(&hidden, &layer.qkv, Epilogue::Bias);
            let mut context = vec![0.0; TOKENS * HIDDEN];
            attention(isa, &qkv, SHAPE, &mut AttentionScratch::default(), &mut context);
            let mut attended = dense(&context, &layer.attention_output, Epilogue::Residual(&hidden));
            layer_norm(isa, &mut attended, norm);
            let activated = dense(&attended, &layer.intermediate, Epilogue::Activation(Activation::Gelu));
            hidden = dense(&activated, &layer.output, Epilogue::Residual(&attended));
            layer_norm(isa, &mut hidden, norm);
        }
        hidden
    }

    #[test]
    fn pieces_change_no_bit() {
        let mut network = Network::random();
        network.pass(Isa::best());
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert!(bits(&network.hidden) == bits(&states_without_pieces(&network, Isa::best())));
    }

    #[test]
    fn a_pass_ends_in_a_unit_vector_and_its_shares_add_up() {
        let mut network = Network::random();
        network.pass(Isa::best());
        let norm: f32 = network.vector.iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-5, "{norm}");

        let forward = measure(Isa::best(), 1);
        assert!(forward.linear + forward.attention + forward.layer_norm <= 1.0);
        assert!((forward.gelu + forward.softmax + forward.layer_norm - forward.together).abs() < 1e-12);
    }
}
