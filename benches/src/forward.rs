//! The share of each operation in a forward pass of all-MiniLM-L6-v2 over the longest text, 256 tokens.
//!
//! The pass runs the encoder's kernels in the encoder's order on random weights of all six layers (43 MB in f32, which
//! no L2 holds): all but attention is done for a piece of rows after the other, and each product fetches the weights of the
//! next, as in `crates/encoder/src/forward.rs` by rows on one thread. In bf16 and int8, what goes into a product is narrowed
//! before it; in bf16 the last layer has queries, keys and values, attention and its output in f32, as the encoder
//! (`LayerPrecision` in `crates/encoder/src/load.rs`). GELU is fused with a product and softmax with attention, so they cannot
//! be timed inside it: they run by themselves between the layers, on as many elements as the layer has, in blocks in L1 as
//! the fused kernels see them, and their time is set in relation to that of the pass around them. The softmax of bf16 is a
//! part of its attention alone; that of the last layer, in f32, is left in its attention as well.

use std::time::Duration;

use minilm_kernels::{
    Activation, AlignedBuffer, AttentionScratch, Epilogue, Isa, LayerNorm, NarrowRows, PackedLinear,
    Precision, RowsMut, attention, embedding_sum, l2_normalize, layer_norm, linear_columns, mean_pool,
};
use serde::Serialize;

use crate::cases::linear::{ATTENTION_OUTPUT, FEED_FORWARD_IN, FEED_FORWARD_OUT, QKV};
use crate::cases::{Case, HIDDEN, INTERMEDIATE, LAYERS, PIECE, attention as attention_cases, rows};
use crate::measure::{median, running};
use crate::peaks::Reference;
use crate::{aligned, numbers, weights};

/// The longest text.
pub const TOKENS: usize = 256;

/// The last of the text's pieces.
const LAST_PIECE: usize = TOKENS / PIECE - 1;

/// Elements that GELU is applied to in a pass.
pub const GELU_ELEMENTS: usize = LAYERS * TOKENS * INTERMEDIATE;

/// Elements that softmax is applied to in a pass.
pub const SOFTMAX_ELEMENTS: usize = LAYERS * HEADS * TOKENS * TOKENS;

/// Heads of attention.
const HEADS: usize = 12;

/// Operations of a pass, a multiply-add being two: those of the dense layers and of attention's two products.
pub const OPERATIONS: usize =
    LAYERS * TOKENS * (2 * (4 * HIDDEN * HIDDEN + 2 * HIDDEN * INTERMEDIATE) + 4 * HIDDEN * TOKENS);

/// A forward pass on one instruction set in one precision. Shares are of the pass's time, medians over the passes.
#[derive(Clone, Debug, Serialize)]
pub struct Forward {
    /// The instruction set's name.
    pub isa: &'static str,
    /// The precision's name.
    pub precision: &'static str,
    /// The median time of a pass.
    pub seconds: f64,
    /// [`OPERATIONS`] in that time, of the peak of products in that precision, which was taken before and after each pass. In
    /// bf16 the operations of the last layer's attention, which are f32, are among them.
    pub peak_fraction: f64,
    /// Dense layers; GELU and residuals fused.
    pub linear: f64,
    /// Attention, softmax fused.
    pub attention: f64,
    /// LayerNorm, of the embeddings and twice a layer.
    pub layer_norm: f64,
    /// Activations into the precision of the product that they go into; nothing in f32.
    pub narrowing: f64,
    /// GELU by itself, a part of the dense layers.
    pub gelu: f64,
    /// Softmax by itself, a part of attention; `None` in bf16 and int8, where attention has one of its own.
    pub softmax: Option<f64>,
    /// LayerNorm, narrowing, GELU and, where it is known, softmax.
    pub together: f64,
}

/// Takes `passes` passes and their shares. `peak` is that of products in that precision on that instruction set.
pub fn measure(isa: Isa, precision: Precision, passes: usize, peak: &mut Reference) -> Forward {
    let mut network = Network::random(precision);
    network.pass(isa);
    let mut before = peak.timed.sample();
    let mut peak_fractions = Vec::with_capacity(passes);
    let passes: Vec<Pass> = (0..passes)
        .map(|_| {
            let pass = network.pass(isa);
            let after = peak.timed.sample();
            let peak_rate = peak.per_call / ((before + after) / 2.0);
            peak_fractions.push(OPERATIONS as f64 / pass.total().as_secs_f64() / peak_rate);
            before = after;
            pass
        })
        .collect();
    let share = |part: fn(&Pass) -> Duration| {
        median(&passes.iter().map(|p| part(p).as_secs_f64() / p.total().as_secs_f64()).collect::<Vec<_>>())
    };
    Forward {
        isa: isa.name(),
        precision: precision.name(),
        seconds: median(&passes.iter().map(|p| p.total().as_secs_f64()).collect::<Vec<_>>()),
        peak_fraction: median(&peak_fractions),
        linear: share(|p| p.linear),
        attention: share(|p| p.attention),
        layer_norm: share(|p| p.layer_norm),
        narrowing: share(|p| p.narrowing),
        gelu: share(|p| p.gelu),
        softmax: (precision == Precision::F32).then(|| share(|p| p.softmax)),
        together: share(|p| p.gelu + p.softmax + p.layer_norm + p.narrowing),
    }
}

/// Times of one pass.
#[derive(Default)]
struct Pass {
    linear: Duration,
    attention: Duration,
    layer_norm: Duration,
    narrowing: Duration,
    /// The sum of embeddings, pooling, normalisation.
    rest: Duration,
    /// Beside the pass, not a part of it.
    gelu: Duration,
    /// As `gelu`; zero in bf16 and int8.
    softmax: Duration,
}

impl Pass {
    fn total(&self) -> Duration {
        self.linear + self.attention + self.layer_norm + self.narrowing + self.rest
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
    precision: Precision,
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
    narrow: NarrowRows,
    gelu: Case,
    softmax: Case,
}

/// Adds the time that `run` takes to `total`.
fn timed(total: &mut Duration, run: impl FnOnce()) {
    *total += running(run);
}

/// Products of a pass, and where their times go.
struct Products<'a> {
    isa: Isa,
    narrow: &'a mut NarrowRows,
}

impl Products<'_> {
    /// A product of all columns, x narrowed before it. The second weight is what is used next.
    fn run(
        &mut self,
        pass: &mut Pass,
        x: &[f32],
        [weight, then]: [&PackedLinear; 2],
        epilogue: Epilogue<'_>,
        out: &mut [f32],
    ) {
        let isa = self.isa;
        let mut narrowed = x.into();
        if weight.precision() != Precision::F32 {
            timed(&mut pass.narrowing, || narrowed = self.narrow.narrow(isa, x, weight));
        }
        timed(&mut pass.linear, || {
            let [columns, then] = [weight, then].map(|weight| weight.columns(0..weight.n()));
            linear_columns(isa, narrowed, columns, Some(then), epilogue, RowsMut::new(out, weight.n()));
        });
    }
}

/// What layer i of an encoder of that precision has its queries, keys and values in, and what is made of attention's output.
fn precision_around_attention(precision: Precision, i: usize) -> Precision {
    if precision == Precision::Bf16 && i + 1 == LAYERS { Precision::F32 } else { precision }
}

impl Network {
    fn random(precision: Precision) -> Network {
        let mut seed = 0;
        // Standard deviations near those of trained weights: activations stay of ordinary size.
        let mut dense = |precision, layer| {
            seed += 1;
            weights::packed(precision, layer, 0.15, seed)
        };
        let layers = (0..LAYERS)
            .map(|i| {
                let attention = precision_around_attention(precision, i);
                Layer {
                    qkv: dense(attention, QKV),
                    attention_output: dense(attention, ATTENTION_OUTPUT),
                    intermediate: dense(precision, FEED_FORWARD_IN),
                    output: dense(precision, FEED_FORWARD_OUT),
                }
            })
            .collect();
        let room = |len| aligned(&vec![0.0; len]);
        Network {
            precision,
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
            narrow: NarrowRows::default(),
            gelu: rows::gelu_case(precision),
            softmax: rows::softmax_case(TOKENS),
        }
    }

    fn pass(&mut self, isa: Isa) -> Pass {
        let mut pass = Pass::default();
        let Network { layers, norm, hidden, qkv, context, attended, intermediate, scratch, .. } = self;
        let mut products = Products { isa, narrow: &mut self.narrow };
        let first = &layers[0];
        timed(&mut pass.rest, || {
            hidden.copy_from_slice(&self.words);
            embedding_sum(isa, hidden, &norm.beta, &self.positions);
        });
        timed(&mut pass.layer_norm, || layer_norm(isa, hidden, norm));
        let pieces = hidden.chunks(PIECE * HIDDEN).zip(qkv.chunks_mut(PIECE * 3 * HIDDEN));
        for (piece, (hidden, qkv)) in pieces.enumerate() {
            let then = if piece < LAST_PIECE { &first.qkv } else { &first.attention_output };
            products.run(&mut pass, hidden, [&first.qkv, then], Epilogue::Bias, qkv);
        }
        for (i, layer) in layers.iter().enumerate() {
            let parameters = attention_cases::parameters(layer.qkv.precision());
            timed(&mut pass.attention, || attention(isa, qkv, parameters, scratch, context));
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
                let weights = [&layer.attention_output, &layer.intermediate];
                products.run(&mut pass, context, weights, Epilogue::Residual(hidden), attended);
                timed(&mut pass.layer_norm, || layer_norm(isa, attended, norm));
                let gelu = Epilogue::Activation(Activation::gelu(self.precision));
                let weights = [&layer.intermediate, &layer.output];
                products.run(&mut pass, attended, weights, gelu, intermediate);
                let weights = [&layer.output, next.map_or(then, |next| &next.qkv)];
                products.run(&mut pass, intermediate, weights, Epilogue::Residual(attended), hidden);
                timed(&mut pass.layer_norm, || layer_norm(isa, hidden, norm));
                if let Some(next) = next {
                    products.run(&mut pass, hidden, [&next.qkv, then], Epilogue::Bias, qkv);
                }
            }
            // Not in the pass's total.
            pass.gelu += self.gelu.run(isa, calls(GELU_ELEMENTS / LAYERS, &self.gelu));
            if self.precision == Precision::F32 {
                pass.softmax += self.softmax.run(isa, calls(SOFTMAX_ELEMENTS / LAYERS, &self.softmax));
            }
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
    use crate::peaks;

    #[test]
    fn elements_by_hand() {
        assert_eq!(HEADS, attention_cases::parameters(Precision::F32).heads);
        // 256 tokens of 21.2 million operations, and 9216 for each pair of tokens.
        assert_eq!(OPERATIONS, 256 * 21_233_664 + 9216 * 65_536);
        assert_eq!(GELU_ELEMENTS, 2_359_296);
        assert_eq!(SOFTMAX_ELEMENTS, 4_718_592);
        // Blocks fit exactly, so that no more than a pass's elements are timed.
        let (gelu, softmax) = (rows::gelu_case(Precision::F32), rows::softmax_case(TOKENS));
        assert_eq!(calls(GELU_ELEMENTS / LAYERS, &gelu) * gelu.work.elements, 393_216);
        assert_eq!(calls(SOFTMAX_ELEMENTS / LAYERS, &softmax) * softmax.work.elements, 786_432);
    }

    /// The states after the last layer, every step over all rows at once.
    fn states_without_pieces(network: &Network, isa: Isa) -> Vec<f32> {
        let norm = &network.norm;
        let dense = |x: &[f32], weight: &PackedLinear, epilogue: Epilogue<'_>| {
            let mut out = vec![0.0; TOKENS * weight.n()];
            linear(isa, NarrowRows::default().narrow(isa, x, weight), weight, epilogue, &mut out);
            out
        };
        let mut hidden = network.words.clone();
        embedding_sum(isa, &mut hidden, &norm.beta, &network.positions);
        layer_norm(isa, &mut hidden, norm);
        for layer in &network.layers {
            let qkv = dense(&hidden, &layer.qkv, Epilogue::Bias);
            let mut context = vec![0.0; TOKENS * HIDDEN];
            let parameters = attention_cases::parameters(layer.qkv.precision());
            attention(isa, &qkv, parameters, &mut AttentionScratch::default(), &mut context);
            let mut attended = dense(&context, &layer.attention_output, Epilogue::Residual(&hidden));
            layer_norm(isa, &mut attended, norm);
            let gelu = Epilogue::Activation(Activation::gelu(network.precision));
            let activated = dense(&attended, &layer.intermediate, gelu);
            hidden = dense(&activated, &layer.output, Epilogue::Residual(&attended));
            layer_norm(isa, &mut hidden, norm);
        }
        hidden
    }

    #[test]
    fn the_last_layer_of_bf16_has_f32_around_its_attention() {
        for precision in Precision::ALL {
            for (i, layer) in Network::random(precision).layers.iter().enumerate() {
                let attention =
                    if precision == Precision::Bf16 && i == 5 { Precision::F32 } else { precision };
                let found = [&layer.qkv, &layer.attention_output, &layer.intermediate, &layer.output]
                    .map(|weight| weight.precision());
                assert_eq!(found, [attention, attention, precision, precision], "layer {i} in {precision}");
            }
        }
    }

    #[test]
    fn pieces_change_no_bit() {
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        for precision in Precision::ALL {
            let mut network = Network::random(precision);
            network.pass(Isa::best());
            let expected = bits(&states_without_pieces(&network, Isa::best()));
            assert!(bits(&network.hidden) == expected, "{precision}");
            // Nor does the pass before: there is nothing but random weights.
            network.pass(Isa::best());
            assert!(bits(&network.hidden) == expected, "{precision}, once more");
        }
    }

    #[test]
    fn a_pass_ends_in_a_unit_vector_and_its_shares_add_up() {
        let isa = Isa::best();
        for precision in Precision::ALL {
            let mut network = Network::random(precision);
            network.pass(isa);
            let norm: f32 = network.vector.iter().map(|x| x * x).sum();
            assert!((norm - 1.0).abs() < 1e-5, "{norm} in {precision}");

            let mut peak = peaks::products(isa, precision, Duration::from_micros(300));
            let forward = measure(isa, precision, 1, &mut peak);
            let of_the_pass = [forward.linear, forward.attention, forward.layer_norm, forward.narrowing];
            assert!(of_the_pass.iter().sum::<f64>() <= 1.0, "{forward:?}");
            let parts =
                forward.gelu + forward.softmax.unwrap_or(0.0) + forward.layer_norm + forward.narrowing;
            assert!((parts - forward.together).abs() < 1e-12, "{forward:?}");
            assert_eq!(forward.narrowing > 0.0, precision != Precision::F32, "{forward:?}");
            assert!(forward.peak_fraction > 0.0 && forward.peak_fraction < 1.5, "{forward:?}");
        }
    }
}
