//! Attention of one sequence in bf16, head by head: what `attention.rs` does, with bf16 factors.
//!
//! ```text
//! for each head:
//!     queries → bf16 pairs of components                      [s][⌈head_size / 2⌉][2]
//!     keys    → panels of sixteen keys,                       [⌈s / 16⌉][⌈head_size / 2⌉][16][2]
//!     values  → panels of sixteen components, pairs of keys   [⌈head_size / 16⌉][⌈s / 2⌉][16][2]
//!     for some queries:
//!         scores [·][s]       = queries · key panels, f32
//!         weights [·][s]      = 2^(scaled scores − their maximum), summed in f32, then rounded to bf16
//!         out [·][head_size]  = weights · value panels / sum
//! ```
//!
//! Scores are scaled by log₂ e/√head_size, and a bias of positions by log₂ e, once for all queries of a head. Dividing
//! at the end takes a pass over head_size numbers a query, and not over s.

use crate::aligned_buffer::AlignedBuffer;
use crate::attention::{FAR_TOKENS, Heads, LEAST_QUERIES, SCORES, grow, prefetch_head};
use crate::dot::{Dot, DotKernel};
use crate::finish::Finish;
use crate::gemm::{Fetch, Product};
use crate::math::{LOG2_E, exp2_of_weights, scaled_bias, scaled_maximum};
use crate::narrow_rows::bf16_row;
use crate::position_bias::{Bias, BiasRows, Scaling};
use crate::rows::{Rows, RowsMut};
use crate::simd::{LANES, Lanes, Simd};
use crate::tile::Panels;

/// Room for one head. It grows to the longest sequence it has met.
#[derive(Default)]
pub(crate) struct Bf16Scratch {
    queries: AlignedBuffer,
    keys: Vec<Lanes>,
    values: Vec<Lanes>,
    /// `[2 s − 1]`, times log₂ e.
    bias: AlignedBuffer,
    scores: AlignedBuffer,
    weights: AlignedBuffer,
}

pub(crate) struct AttentionBf16<'a, B> {
    pub(crate) heads: Heads<'a>,
    pub(crate) bias: B,
    pub(crate) scratch: &'a mut Bf16Scratch,
}

/// What is known of a head.
struct Head<'a> {
    qkv: &'a [f32],
    h: usize,
    head_size: usize,
    /// Its first column.
    column: usize,
}

impl<B: Bias> DotKernel for AttentionBf16<'_, B> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        let AttentionBf16 { heads, bias, scratch } = self;
        let Heads { qkv, hidden_size: h, head_size, heads, mut out } = heads;
        let s = out.rows();
        let (pairs, key_panels, value_panels) =
            (head_size.div_ceil(2), s.div_ceil(LANES), head_size.div_ceil(LANES));
        let stride = key_panels * LANES;
        let queries_at_once = (SCORES / stride).max(1).next_multiple_of(LEAST_QUERIES);
        scratch.queries.resize(s * pairs);
        grow(&mut scratch.keys, key_panels * pairs);
        grow(&mut scratch.values, value_panels * s.div_ceil(2));
        scratch.scores.resize(SCORES + LEAST_QUERIES * stride);
        scratch.weights.resize((SCORES + LEAST_QUERIES * stride) / 2);
        let scale = LOG2_E / (head_size as f32).sqrt();

        let (first_head, last_head) = (heads.start, heads.end);
        for index in heads {
            let head = Head { qkv, h, head_size, column: index * head_size };
            let out_column = (index - first_head) * head_size;
            head.pack_queries(dot, &mut scratch.queries);
            let keys = &mut scratch.keys[..key_panels * pairs];
            head.pack_keys(dot.simd(), keys);
            let values = &mut scratch.values[..value_panels * s.div_ceil(2)];
            head.pack_values(dot.simd(), values);
            let bias = bias.of_sequence(index, s).map(|distances| scale_bias(distances, &mut scratch.bias));

            for first_row in (0..s).step_by(queries_at_once) {
                let rows = queries_at_once.min(s - first_row);
                let scores = &mut scratch.scores[..rows * stride];
                let product = Product {
                    a: Rows { data: bytemuck::cast_slice(&scratch.queries), stride: pairs }
                        .skip(first_row, 0),
                    b: Panels { data: keys, k: pairs },
                    finish: Finish::NOTHING,
                    out: RowsMut::new(scores, stride),
                    fetch: Fetch::Nothing,
                };
                product.run(dot);
                if index + 1 < last_head && s >= FAR_TOKENS {
                    let tokens = &qkv[first_row * 3 * h..(first_row + rows) * 3 * h];
                    prefetch_head(dot.simd(), tokens, h, head.column + head_size, head_size);
                }
                let weights = &mut scratch.weights[..rows * stride / 2];
                let mut out = out.part(first_row..first_row + rows, out_column..out_column + head_size);
                let mut factors = [0.0; SCORES / LANES + LEAST_QUERIES];
                let factors = &mut factors[..rows];
                let bias = bias.map(|distances| BiasRows { distances, first_query: first_row });
                softmax_weights(dot, scores, weights, s, Scaling { scale, bias }, factors);
                let product = Product {
                    a: Rows { data: bytemuck::cast_slice(weights), stride: stride / 2 },
                    b: Panels { data: values, k: s.div_ceil(2) },
                    finish: Finish::NOTHING,
                    out: out.part(0..rows, 0..head_size),
                    fetch: Fetch::Nothing,
                };
                product.run(dot);
                scale_rows(dot.simd(), &mut out, factors);
            }
        }
    }
}

impl Head<'_> {
    #[inline(always)]
    fn pack_queries<D: Dot>(&self, dot: D, to: &mut [f32]) {
        let tokens = self.qkv.chunks_exact(3 * self.h);
        for (token, to) in tokens.zip(to.chunks_exact_mut(self.head_size.div_ceil(2))) {
            bf16_row(dot, &token[self.column..][..self.head_size], bytemuck::cast_slice_mut(to));
        }
    }

    /// Lane j of step i of panel p is components 2 i and 2 i + 1 of key 16 p + j, 0 beyond the last key and component.
    ///
    /// Sixteen components of sixteen keys at a time are transposed in registers; then neighbours are joined.
    #[inline(always)]
    fn pack_keys<S: Simd>(&self, simd: S, panels: &mut [Lanes]) {
        let Head { qkv, h, head_size, column } = *self;
        let tokens = qkv.chunks(LANES * 3 * h);
        for (keys, panel) in tokens.zip(panels.chunks_exact_mut(head_size.div_ceil(2))) {
            for (first, steps) in (0..head_size).step_by(LANES).zip(panel.chunks_mut(LANES / 2)) {
                let components = LANES.min(head_size - first);
                let mut rows = [simd.splat(0.0); LANES];
                for (row, key) in rows.iter_mut().zip(keys.chunks_exact(3 * h)) {
                    let key = &key[h + column + first..][..components];
                    *row = simd.round_bf16(simd.load_partial(key, 0.0));
                }
                let columns = simd.transpose(rows);
                for (i, step) in steps.iter_mut().enumerate() {
                    simd.store(simd.join_bf16(columns[2 * i], columns[2 * i + 1]), &mut step.0);
                }
            }
        }
    }

    /// Lane j of step t of panel p is component 16 p + j of the values of tokens 2 t and 2 t + 1, 0 beyond the last.
    #[inline(always)]
    fn pack_values<S: Simd>(&self, simd: S, panels: &mut [Lanes]) {
        let Head { qkv, h, head_size, column } = *self;
        let steps = (qkv.len() / (3 * h)).div_ceil(2);
        let offset = 2 * h + column;
        for (t, tokens) in qkv.chunks(2 * 3 * h).enumerate() {
            for (p, first) in (0..head_size).step_by(LANES).enumerate() {
                let components = LANES.min(head_size - first);
                let at = |token: usize| &tokens[token * 3 * h + offset + first..][..components];
                let low = simd.round_bf16(simd.load_partial(at(0), 0.0));
                let high = match tokens.len() > 3 * h {
                    true => simd.round_bf16(simd.load_partial(at(1), 0.0)),
                    false => simd.splat(0.0),
                };
                simd.store(simd.join_bf16(low, high), &mut panels[p * steps + t].0);
            }
        }
    }
}

/// What is added to a head's scores, times log₂ e, in `to`.
#[inline(always)]
fn scale_bias<'a>(distances: &[f32], to: &'a mut AlignedBuffer) -> &'a [f32] {
    to.resize(distances.len());
    for (to, &bias) in to.iter_mut().zip(distances) {
        *to = scaled_bias(bias);
    }
    &to[..distances.len()]
}

/// A row is a chain of maxima, then one of sums: several rows at once hide their latencies.
const ROWS_AT_ONCE: usize = 4;

/// The first `s` scores of each row → their weights as bf16, 0 behind them, and the factor that makes the weights' sum 1.
/// With a bias, the scores are changed.
#[inline(always)]
fn softmax_weights<D: Dot>(
    dot: D,
    scores: &mut [f32],
    weights: &mut [f32],
    s: usize,
    scaling: Scaling<'_>,
    factors: &mut [f32],
) {
    let stride = s.next_multiple_of(LANES);
    let whole = factors.len() - factors.len() % ROWS_AT_ONCE;
    let (scores, last_scores) = scores.split_at_mut(whole * stride);
    let (weights, last_weights) = weights.split_at_mut(whole * stride / 2);
    let (factors, last_factors) = factors.split_at_mut(whole);
    let from_row = |row| Scaling { bias: scaling.bias.map(|bias| bias.skip(row)), ..scaling };
    let groups = scores
        .chunks_exact_mut(ROWS_AT_ONCE * stride)
        .zip(weights.chunks_exact_mut(ROWS_AT_ONCE * stride / 2))
        .zip(factors.chunks_exact_mut(ROWS_AT_ONCE));
    for (i, ((scores, weights), factors)) in groups.enumerate() {
        weights_at_once::<D, ROWS_AT_ONCE>(dot, scores, weights, s, from_row(i * ROWS_AT_ONCE), factors);
    }
    let rows = last_scores
        .chunks_exact_mut(stride)
        .zip(last_weights.chunks_exact_mut(stride / 2))
        .zip(last_factors.chunks_exact_mut(1));
    for (i, ((scores, weights), factors)) in rows.enumerate() {
        weights_at_once::<D, 1>(dot, scores, weights, s, from_row(whole + i), factors);
    }
}

/// R rows.
#[inline(always)]
fn weights_at_once<D: Dot, const R: usize>(
    dot: D,
    scores: &mut [f32],
    weights: &mut [f32],
    s: usize,
    scaling: Scaling<'_>,
    factors: &mut [f32],
) {
    let simd = dot.simd();
    let (full, tail) = (s / LANES, s % LANES);
    let scores = scores.as_chunks_mut::<LANES>().0;
    let weights: &mut [u16] = bytemuck::cast_slice_mut(weights);
    let weights = weights.as_chunks_mut::<LANES>().0;
    // In lines of sixteen.
    let stride = s.div_ceil(LANES);
    let scales = simd.splat(scaling.scale);
    let biases: Option<[_; R]> =
        scaling.bias.map(|bias| std::array::from_fn(|r| bias.row(r).as_chunks::<LANES>()));

    let mut maxima = [simd.splat(f32::NEG_INFINITY); R];
    for i in 0..full {
        for r in 0..R {
            let mut score = simd.load(&scores[r * stride + i]);
            if let Some(biases) = &biases {
                score = simd.mul_add(score, scales, simd.load(&biases[r].0[i]));
                simd.store(score, &mut scores[r * stride + i]);
            }
            maxima[r] = simd.max(maxima[r], score);
        }
    }
    for r in 0..R {
        if tail > 0 {
            let mut last = simd.load_partial(&scores[r * stride + full][..tail], f32::NEG_INFINITY);
            if let Some(biases) = &biases {
                // Beyond the row still −∞.
                last = simd.mul_add(last, scales, simd.load_partial(biases[r].1, 0.0));
                simd.store(last, &mut scores[r * stride + full]);
            }
            maxima[r] = simd.max(maxima[r], last);
        }
        let maximum = simd.reduce_max(maxima[r]);
        // Its negative, to be added in a fused step, or where there is a bias by itself.
        maxima[r] =
            simd.splat(-if biases.is_none() { scaled_maximum(maximum, scaling.scale) } else { maximum });
    }

    let exponent = |score, maximum| match biases {
        None => simd.mul_add(score, scales, maximum),
        Some(_) => simd.add(score, maximum),
    };
    let mut sums = [simd.splat(0.0); R];
    for i in 0..full {
        let mut x = maxima;
        for r in 0..R {
            x[r] = exponent(simd.load(&scores[r * stride + i]), maxima[r]);
        }
        let e = exp2_of_weights(simd, x);
        for r in 0..R {
            // 2⁻⁴⁹ or more, or NaN.
            dot.store_bf16_not_tiny(e[r], &mut weights[r * stride + i]);
            sums[r] = simd.add(sums[r], e[r]);
        }
    }
    for r in 0..R {
        if tail > 0 {
            let last = simd.load(&scores[r * stride + full]);
            let [e] = exp2_of_weights(simd, [exponent(last, maxima[r])]);
            let mut lanes = [0.0; LANES];
            simd.store(e, &mut lanes);
            lanes[tail..].fill(0.0);
            let e = simd.load(&lanes);
            dot.store_bf16(e, &mut weights[r * stride + full]);
            sums[r] = simd.add(sums[r], e);
        }
        factors[r] = 1.0 / simd.reduce_add(sums[r]);
    }
}

/// Each row times its factor, in place.
#[inline(always)]
fn scale_rows<S: Simd>(simd: S, rows: &mut RowsMut<'_>, factors: &[f32]) {
    for (r, &factor) in factors.iter().enumerate() {
        let factor = simd.splat(factor);
        let (chunks, tail) = rows.row_mut(r).as_chunks_mut::<LANES>();
        for chunk in chunks {
            simd.store(simd.mul(simd.load(chunk), factor), chunk);
        }
        if !tail.is_empty() {
            simd.store_partial(simd.mul(simd.load_partial(tail, 0.0), factor), tail);
        }
    }
}
