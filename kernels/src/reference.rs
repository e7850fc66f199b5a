//! The specification of every operation: plain loops, shapes on every signature, the order of every
//! sum explicit.
//!
//! This is what somebody who ports the model to another language or device reads, and what the kernels
//! are compared with, bit by bit. Nothing here is fast. All arrays are row-major `f32`; `mul_add(a, b,
//! c)` is a·b + c rounded once; all other operations are the plain IEEE ones, denormals kept, and no
//! compiler may contract or reorder them. The machine is in its usual state: rounding to nearest even, nothing
//! flushed to zero. The bits of a NaN are not specified.

mod narrow;
mod search;

pub use narrow::{
    BF16_LEAST, INT8_GROUP, LEAST_RANGE, RowScale, attention_bf16, bf16, bf16_bits, exp2_of_weight,
    gelu_polynomial, linear_bf16, linear_int8, quantize_row, quantize_weights, sum_of_products_bf16,
};
pub use search::{bits_as_numbers, dot_int8, dot_of_numbers, dot_uint8, hamming_distance, top_k_integers};

use crate::math::{
    ERF_END, ERF_LARGE, ERF_SMALL, ERF_SPLIT, EXP, EXP_HIGH, EXP_LOW, LN2_HIGH, LN2_LOW, LOG2_E, ROUND, TANH,
    TANH_SPLIT,
};
use crate::position_bias::PositionBias;

/// How many virtual lanes every sum runs in that is not a product's chain or mean pooling's.
pub const LANES: usize = 16;

/// √(2/π), of the tanh form of GELU.
pub const SQRT_2_OVER_PI: f32 = 0.797_884_6;

/// The factor of x³ in the tanh form of GELU.
pub const GELU_CUBIC: f32 = 0.044715;

/// a > b ? a : b; so b where they are equal or one is NaN.
pub fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// a < b ? a : b; so b where they are equal or one is NaN.
pub fn min(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The tree that ends every reduction: 16 → 8 → 4 → 2 → 1 lanes, lane j with lane j + half.
pub fn tree(mut lanes: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for j in 0..half {
            lanes[j] = combine(lanes[j], lanes[j + half]);
        }
    }
    lanes[0]
}

/// Σ x in sixteen virtual lanes: lane j starts at 0 and adds x\[j\], x\[j+16\], …; then the [`tree`].
pub fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    for (i, &x) in x.iter().enumerate() {
        lanes[i % LANES] += x;
    }
    tree(lanes, |a, b| a + b)
}

/// Σ x² in sixteen virtual lanes, each step one fused multiply-add.
pub fn sum_of_squares(x: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for (i, &x) in x.iter().enumerate() {
        lanes[i % LANES] = x.mul_add(x, lanes[i % LANES]);
    }
    tree(lanes, |a, b| a + b)
}

/// Σ a·b of vectors of one length, in sixteen virtual lanes: lane j starts at 0 and takes a\[j\]·b\[j\],
/// a\[j+16\]·b\[j+16\], …, each step one fused multiply-add; then the [`tree`].
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for (i, (a, &b)) in a.iter().zip(b).enumerate() {
        lanes[i % LANES] = a.mul_add(b, lanes[i % LANES]);
    }
    tree(lanes, |a, b| a + b)
}

/// 2ⁿ for integral n in −126 … 127: n + 127 is brought into the low bits of the mantissa by adding 2²³,
/// then shifted into the exponent.
pub fn exp2_integral(n: f32) -> f32 {
    let biased = n + (8_388_608.0 + 127.0);
    f32::from_bits(biased.to_bits() << 23)
}

/// c₀ + x (c₁ + x (c₂ + …)), one fused step a coefficient.
fn polynomial(x: f32, coefficients: &[f32]) -> f32 {
    let (last, rest) = coefficients.split_last().expect("a polynomial has coefficients");
    rest.iter().rev().fold(*last, |sum, &c| sum.mul_add(x, c))
}

/// eˣ, for every f32, at most 1.02 ULP off: 0 for x ≤ −104, infinity for x ≥ 88.73, denormals between −87.3 and −104, NaN for
/// NaN.
///
/// x = n ln 2 + r with integral n and |r| ≤ ln 2 / 2; eˣ = 2ⁿ (1 + r + r² q(r)). Adding and subtracting
/// 1.5 · 2²³ rounds to an integer, half to even. 2ⁿ is applied in two steps so that neither leaves the
/// range of f32.
pub fn exp(x: f32) -> f32 {
    let x = max(EXP_LOW, x);
    let x = min(EXP_HIGH, x);
    let n = x.mul_add(LOG2_E, ROUND) - ROUND;
    let r = n.mul_add(-LN2_HIGH, x);
    let r = n.mul_add(-LN2_LOW, r);
    let p = (r * r).mul_add(polynomial(r, &EXP), r) + 1.0;
    let half = n.mul_add(0.5, ROUND) - ROUND;
    p * exp2_integral(half) * exp2_integral(n - half)
}

/// erf(x), for every f32, at most 1.16 ULP off; NaN for NaN.
///
/// x + x p(x²) for |x| < 0.9375, else ±(1 − exp(t q(t))) with t = min(|x|, 4).
pub fn erf(x: f32) -> f32 {
    let t = x.abs();
    if t < ERF_SPLIT {
        polynomial(x * x, &ERF_SMALL).mul_add(x, x)
    } else {
        let t = min(ERF_END, t);
        (1.0 - exp(t * polynomial(t, &ERF_LARGE))).copysign(x)
    }
}

/// tanh(x), for every f32, at most 1.18 ULP off; ±0 for ±0, ±1 from ±9.02 on, NaN for NaN.
///
/// With t = |x|: t + t p(t²) for t < 0.75, else 1 − 2 / (exp(2t) + 1); then the sign of x.
pub fn tanh(x: f32) -> f32 {
    let t = x.abs();
    let magnitude =
        if t < TANH_SPLIT { polynomial(t * t, &TANH).mul_add(t, t) } else { 1.0 - 2.0 / (exp(t + t) + 1.0) };
    magnitude.copysign(x)
}

/// GELU in the erf form: ½ x (1 + erf(x / √2)); NaN for −∞, which is −∞ · 0.
pub fn gelu(x: f32) -> f32 {
    (0.5 * x) * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// GELU in the tanh form, as PyTorch defines it: ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))); NaN for −∞, as in
/// the erf form.
///
/// x³ is (x · x) · x; it is scaled and added to x by one fused step.
pub fn gelu_tanh(x: f32) -> f32 {
    let cube = (x * x) * x;
    let inner = SQRT_2_OVER_PI * cube.mul_add(GELU_CUBIC, x);
    (0.5 * x) * (1.0 + tanh(inner))
}

/// max(0, x), by [`max`](fn@max) with the operands in this order: NaN stays NaN, −0 stays −0.
pub fn relu(x: f32) -> f32 {
    max(0.0, x)
}

/// 1 / (1 + e⁻ˣ), for every f32, at most 2.3 ULP off; 0 for x ≤ −104, denormals between −87.3 and −104, NaN for NaN.
///
/// With e = exp(−|x|), which never overflows: e / (1 + e) for x < 0, else 1 / (1 + e).
pub fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// x · [`sigmoid`]; NaN for −∞, which is −∞ · 0.
pub fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

/// How many steps of k a chain of fused multiply-adds has before it is added to the sum.
///
/// A single chain over k = 1536 made vectors a third less accurate than PyTorch's; with blocks of 128 they
/// are a quarter more accurate. 128 divides the sizes of this family of models.
pub const K_BLOCK: usize = 128;

/// Σ a·b, the sum inside every product: k is cut into blocks of [`K_BLOCK`]; in each, a chain of fused
/// multiply-adds from 0 in the order of k; the blocks' chains are added in order, the first as it is.
pub fn sum_of_products(pairs: impl Iterator<Item = (f32, f32)>) -> f32 {
    let (mut sum, mut chain) = (None, 0.0f32);
    for (i, (a, b)) in pairs.enumerate() {
        if i > 0 && i % K_BLOCK == 0 {
            sum = Some(sum.map_or(chain, |sum: f32| sum + chain));
            chain = 0.0;
        }
        chain = a.mul_add(b, chain);
    }
    sum.map_or(chain, |sum| sum + chain)
}

/// x \[m\]\[k\] · weightᵀ \[n\]\[k\] + bias \[n\] → \[m\]\[n\].
///
/// Each element is a [`sum_of_products`] over k; then the bias is added.
pub fn linear(x: &[f32], weight: &[f32], bias: &[f32], m: usize, n: usize, k: usize) -> Vec<f32> {
    let mut out = vec![0.0; m * n];
    for row in 0..m {
        for column in 0..n {
            let x = &x[row * k..][..k];
            let weight = &weight[column * k..][..k];
            let sum = sum_of_products(x.iter().copied().zip(weight.iter().copied()));
            out[row * n + column] = sum + bias[column];
        }
    }
    out
}

/// One row, in place: subtract the maximum, exp, divide by the sum (as a product with 1 / sum).
pub fn softmax(row: &mut [f32]) {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for (i, &x) in row.iter().enumerate() {
        lanes[i % LANES] = max(lanes[i % LANES], x);
    }
    let maximum = tree(lanes, max);
    for x in row.iter_mut() {
        *x = exp(*x - maximum);
    }
    let scale = 1.0 / sum(row);
    for x in row.iter_mut() {
        *x *= scale;
    }
}

/// One sequence: qkv \[s\]\[3 · heads · head_size\] (a token's queries of all heads, then its keys, then its
/// values) → scores \[heads\]\[s\]\[s\], a row a query, a column a key.
///
/// Each is (q · k) · 1/√head_size: a [`sum_of_products`] over the head's components, then one product; with a bias of the
/// positions, in the place of the product one fused multiply-add.
pub fn attention_scores(
    qkv: &[f32],
    s: usize,
    heads: usize,
    head_size: usize,
    bias: Option<PositionBias<'_>>,
) -> Vec<f32> {
    let h = heads * head_size;
    let scale = 1.0 / (head_size as f32).sqrt();
    let mut scores = vec![0.0; heads * s * s];
    for head in 0..heads {
        let q = head * head_size;
        let k = h + q;
        for query in 0..s {
            for key in 0..s {
                let at = |i| (qkv[query * 3 * h + q + i], qkv[key * 3 * h + k + i]);
                let sum = sum_of_products((0..head_size).map(at));
                scores[(head * s + query) * s + key] = match bias {
                    None => sum * scale,
                    Some(bias) => sum.mul_add(scale, bias.at(head, query, key)),
                };
            }
        }
    }
    scores
}

/// How many biases of attention scores a head of MPNet has.
pub const RELATIVE_POSITION_BUCKETS: usize = 32;

/// Which bias the score of a key has that is so many tokens behind the query: `MPNetEncoder.relative_position_bucket` in
/// transformers, T5's buckets (Raffel et al., <https://arxiv.org/abs/1910.10683>) for both directions.
///
/// Half of the buckets are for keys behind the query. Of each half, the first half is for one distance each, 0 … 7; the
/// others for ranges that grow by √2 up to 128, and the last also for all beyond. transformers computes these in floating point,
/// ⌊8 log(n / 8) / log(128 / 8)⌋, which is ⌊log₂(n² / 64)⌋; here in integers, with the same results.
pub fn relative_position_bucket(distance: isize) -> usize {
    let side = RELATIVE_POSITION_BUCKETS / 2;
    let exact = side / 2;
    let n = distance.unsigned_abs();
    let bucket = if n < exact {
        n
    } else {
        let square = n.saturating_mul(n) / (exact * exact);
        (exact + square.ilog2() as usize).min(side - 1)
    };
    if distance > 0 { side + bucket } else { bucket }
}

/// One sequence: probabilities \[heads\]\[s\]\[s\] and the values in qkv \[s\]\[3 · heads · head_size\] →
/// \[s\]\[heads · head_size\].
///
/// Each element is p · v, a [`sum_of_products`] over the keys in order.
pub fn attention_context(p: &[f32], qkv: &[f32], s: usize, heads: usize, head_size: usize) -> Vec<f32> {
    let h = heads * head_size;
    let mut out = vec![0.0; s * h];
    for head in 0..heads {
        let column = head * head_size;
        for query in 0..s {
            let p = &p[(head * s + query) * s..][..s];
            for i in 0..head_size {
                let at = |key: usize| (p[key], qkv[key * 3 * h + 2 * h + column + i]);
                out[query * h + column + i] = sum_of_products((0..s).map(at));
            }
        }
    }
    out
}

/// One sequence: qkv \[s\]\[3 · heads · head_size\] → \[s\]\[heads · head_size\].
///
/// [`attention_scores`], [`softmax`] of each row of s, [`attention_context`].
pub fn attention(
    qkv: &[f32],
    s: usize,
    heads: usize,
    head_size: usize,
    bias: Option<PositionBias<'_>>,
) -> Vec<f32> {
    let mut p = attention_scores(qkv, s, heads, head_size, bias);
    // No tokens have no rows; chunks of 0 do not exist.
    for row in p.chunks_mut(s.max(1)) {
        softmax(row);
    }
    attention_context(&p, qkv, s, heads, head_size)
}

/// x + residual, element by element: what a layer's product (with its bias) becomes before its LayerNorm.
pub fn residual_sum(x: &[f32], residual: &[f32]) -> Vec<f32> {
    x.iter().zip(residual).map(|(x, residual)| x + residual).collect()
}

/// One row of h, in place: (x − mean) / √(variance + eps) · gamma \[h\] + beta \[h\], in two passes.
///
/// mean = [`sum`] / h; variance = [`sum_of_squares`] of the deviations / h; the factor 1 / √(…) is one
/// number; gamma and beta are applied by one fused step.
pub fn layer_norm(x: &mut [f32], gamma: &[f32], beta: &[f32], eps: f32) {
    let h = x.len() as f32;
    let mean = sum(x) / h;
    let deviations: Vec<f32> = x.iter().map(|x| x - mean).collect();
    let factor = 1.0 / (sum_of_squares(&deviations) / h + eps).sqrt();
    for i in 0..x.len() {
        x[i] = (deviations[i] * factor).mul_add(gamma[i], beta[i]);
    }
}

/// One token: (word \[h\] + token_type \[h\]) + position \[h\] → \[h\].
pub fn embedding_sum(word: &[f32], token_type: &[f32], position: &[f32]) -> Vec<f32> {
    (0..word.len()).map(|i| (word[i] + token_type[i]) + position[i]).collect()
}

/// x \[s\]\[h\], s > 0 → \[h\]: each column's chain of additions over the tokens in order, from zero, then
/// divided by s.
pub fn mean_pool(x: &[f32], h: usize) -> Vec<f32> {
    let s = x.len() / h;
    (0..h)
        .map(|i| {
            let mut chain = 0.0;
            for token in 0..s {
                chain += x[token * h + i];
            }
            chain / s as f32
        })
        .collect()
}

/// x \[s\]\[h\], s > 0 → \[h\]: each column's chain of additions over the tokens in order, from zero, then
/// divided by √s.
pub fn mean_sqrt_len_pool(x: &[f32], h: usize) -> Vec<f32> {
    let s = x.len() / h;
    (0..h)
        .map(|i| {
            let mut chain = 0.0;
            for token in 0..s {
                chain += x[token * h + i];
            }
            chain / (s as f32).sqrt()
        })
        .collect()
}

/// x \[s\]\[h\], s > 0, where token t has the weight `first_weight` + t > 0 → \[h\]: each column's chain of fused
/// multiply-adds of weight and component over the tokens in order, from zero, then divided by the sum of the weights.
///
/// That sum is an integer; it and the weights are rounded to f32, half to even, which is exact below 2²⁴.
pub fn weighted_mean_pool(x: &[f32], h: usize, first_weight: usize) -> Vec<f32> {
    let s = x.len() / h;
    let weights: u128 = (0..s).map(|token| (first_weight + token) as u128).sum();
    (0..h)
        .map(|i| {
            let mut chain = 0.0f32;
            for token in 0..s {
                chain = ((first_weight + token) as f32).mul_add(x[token * h + i], chain);
            }
            chain / weights as f32
        })
        .collect()
}

/// x \[s\]\[h\], s > 0 → \[h\]: each column's maximum over the tokens in order, from −∞, by [`max`].
pub fn max_pool(x: &[f32], h: usize) -> Vec<f32> {
    (0..h).map(|i| (0..x.len() / h).fold(f32::NEG_INFINITY, |m, token| max(m, x[token * h + i]))).collect()
}

/// x \[h\], in place: divided by its Euclidean norm √[`sum_of_squares`], or by 1e-12 if the norm is smaller.
pub fn l2_normalize(x: &mut [f32]) {
    let norm = max(sum_of_squares(x).sqrt(), 1e-12);
    for x in x {
        *x /= norm;
    }
}

/// a \[m\]\[k\], b \[n\]\[k\] → \[m\]\[n\]: the [`dot`] product of every row of a with every row of b.
pub fn similarity_matrix(a: &[f32], b: &[f32], k: usize) -> Vec<f32> {
    a.chunks(k).flat_map(|a| b.chunks(k).map(move |b| dot(a, b))).collect()
}

/// √Σ (a − b)² of vectors of one length, in sixteen virtual lanes as [`dot`]: each difference is rounded, its square is
/// added by one fused multiply-add; the root is taken of what the [`tree`] gives. Infinite where Σ is.
pub fn euclidean_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        let difference = a - b;
        lanes[i % LANES] = difference.mul_add(difference, lanes[i % LANES]);
    }
    tree(lanes, |a, b| a + b).sqrt()
}

/// Σ |a − b| of vectors of one length, in sixteen virtual lanes as [`dot`]: each difference is rounded, its magnitude is
/// added; then the [`tree`].
pub fn manhattan_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        lanes[i % LANES] += (a - b).abs();
    }
    tree(lanes, |a, b| a + b)
}

/// a \[m\]\[k\], b \[n\]\[k\] → \[m\]\[n\]: the [`euclidean_distance`] of every row of a and every row of b.
pub fn euclidean_distance_matrix(a: &[f32], b: &[f32], k: usize) -> Vec<f32> {
    a.chunks(k).flat_map(|a| b.chunks(k).map(move |b| euclidean_distance(a, b))).collect()
}

/// a \[m\]\[k\], b \[n\]\[k\] → \[m\]\[n\]: the [`manhattan_distance`] of every row of a and every row of b.
pub fn manhattan_distance_matrix(a: &[f32], b: &[f32], k: usize) -> Vec<f32> {
    a.chunks(k).flat_map(|a| b.chunks(k).map(move |b| manhattan_distance(a, b))).collect()
}

/// The k largest scores with their indices, all if there are fewer, largest first. Equal scores (−0 equals 0)
/// stand in the order of their indices; NaNs come last of all, in that order too.
pub fn top_k(scores: &[f32], k: usize) -> Vec<(usize, f32)> {
    let all = scores.iter().copied().enumerate();
    let (nans, mut sorted): (Vec<_>, Vec<_>) = all.partition(|(_, score)| score.is_nan());
    // Stable: equal scores keep their order.
    sorted.sort_by(|a, b| b.1.partial_cmp(&a.1).expect("NaNs stand apart"));
    sorted.extend(nans);
    sorted.truncate(k);
    sorted
}
