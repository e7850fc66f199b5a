//! Products in bf16 and int8.

use super::{LANES, ROUND, max, min, polynomial, sum, tree};
use crate::math::{EXP2, GELU, GELU_END, LOG2_E, WEIGHT_LOW, scaled_bias, scaled_maximum};
use crate::position_bias::PositionBias;

/// The least magnitude of a bf16 that counts: smaller ones are 0.
///
/// So no product, sum of products or rounding of one can be a denormal, which instructions for bf16 take for 0.
pub const BF16_LEAST: f32 = f32::from_bits((127 - 50) << 23);

/// The upper half of the f32 that is nearest to x among those whose lower half is 0, ties to the even one. 0 below
/// [`BF16_LEAST`]; a NaN stays one.
pub fn bf16_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 1 << 6;
    }
    if x.abs() < BF16_LEAST {
        return 0;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// [`bf16_bits`] as f32.
pub fn bf16(x: f32) -> f32 {
    f32::from_bits(u32::from(bf16_bits(x)) << 16)
}

/// Σ a·b of numbers that are bf16 already: one chain from 0, two numbers at a time, the second of them first. Each product
/// is exact, each addition rounded; a last number that is alone has a 0 as its second.
pub fn sum_of_products_bf16(pairs: &[(f32, f32)]) -> f32 {
    let mut chain = 0.0f32;
    for two in pairs.chunks(2) {
        if let [_, (a, b)] = *two {
            chain = a.mul_add(b, chain);
        }
        let (a, b) = two[0];
        chain = a.mul_add(b, chain);
    }
    chain
}

/// x \[m\]\[k\] · weightᵀ \[n\]\[k\] + bias \[n\] → \[m\]\[n\], in bf16.
///
/// Both factors are rounded by [`bf16`]; each element is a [`sum_of_products_bf16`] over k; then the bias is added.
pub fn linear_bf16(x: &[f32], weight: &[f32], bias: &[f32], m: usize, n: usize, k: usize) -> Vec<f32> {
    let mut out = vec![0.0; m * n];
    for row in 0..m {
        for column in 0..n {
            let (x, weight) = (&x[row * k..][..k], &weight[column * k..][..k]);
            let pairs: Vec<_> = x.iter().zip(weight).map(|(&x, &w)| (bf16(x), bf16(w))).collect();
            out[row * n + column] = sum_of_products_bf16(&pairs) + bias[column];
        }
    }
    out
}

/// 2ᵗ for t ≤ ¼, at most 1.02e-4 of it off; for t below −49 that of −49, which is not below [`BF16_LEAST`] and makes no
/// difference beside a weight of 1. 1 for 0, NaN for a NaN whose lower half is 0.
///
/// t = n + f with integral n and |f| ≤ ½; 2ⁿ p(f), where n is added to the exponent of p(f).
pub fn exp2_of_weight(t: f32) -> f32 {
    let t = max(WEIGHT_LOW, t);
    let shifted = t + ROUND;
    let p = polynomial(t - (shifted - ROUND), &EXP2);
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// GELU by a polynomial, at most 3.8e-5 off for |x| ≤ 12 and 1e-7 of |x| beyond: x (½ + t P(t²)) with t = x, but within ±4.36.
/// It is below the steps of int8 and bf16.
pub fn gelu_polynomial(x: f32) -> f32 {
    let t = max(-GELU_END, min(GELU_END, x));
    x * t.mul_add(polynomial(t * t, &GELU), 0.5)
}

/// One sequence: qkv \[s\]\[3 · heads · head_size\] → \[s\]\[heads · head_size\], in bf16.
///
/// Queries, keys and values are rounded by [`bf16`]. A score is a [`sum_of_products_bf16`] over the head's components.
/// With the scale log₂ e/√head_size, a key's weight is [`exp2_of_weight`] of score · scale − maximum · scale in one
/// fused step, the latter rounded before: to the nearest, but from 2²³ on not below the exact product. An element of
/// the result is a [`sum_of_products_bf16`] of the weights, rounded, and the values, over the keys; then it is
/// multiplied by 1 / [`sum`](fn@sum) of the weights, which are not rounded for that.
///
/// With a bias of the positions, a score is first scaled and biased: score · scale + bias · log₂ e in one fused step, the
/// latter rounded before. A weight is [`exp2_of_weight`] of what the maximum, subtracted, leaves of that. So a bias of −∞ is a
/// weight of 2⁻⁴⁹, and not of 0.
pub fn attention_bf16(
    qkv: &[f32],
    s: usize,
    heads: usize,
    head_size: usize,
    bias: Option<PositionBias<'_>>,
) -> Vec<f32> {
    let h = heads * head_size;
    let scale = LOG2_E / (head_size as f32).sqrt();
    let mut out = vec![0.0; s * h];
    for head in 0..heads {
        let at =
            |part: usize, token: usize, i: usize| bf16(qkv[token * 3 * h + part * h + head * head_size + i]);
        for query in 0..s {
            let mut weights: Vec<f32> = (0..s)
                .map(|key| {
                    let pairs: Vec<_> = (0..head_size).map(|i| (at(0, query, i), at(1, key, i))).collect();
                    let sum = sum_of_products_bf16(&pairs);
                    match bias {
                        None => sum,
                        Some(bias) => sum.mul_add(scale, scaled_bias(bias.at(head, query, key))),
                    }
                })
                .collect();
            let mut lanes = [f32::NEG_INFINITY; LANES];
            for (i, &score) in weights.iter().enumerate() {
                lanes[i % LANES] = max(lanes[i % LANES], score);
            }
            let maximum = tree(lanes, max);
            for weight in &mut weights {
                *weight = exp2_of_weight(match bias {
                    None => weight.mul_add(scale, -scaled_maximum(maximum, scale)),
                    Some(_) => *weight - maximum,
                });
            }
            let factor = 1.0 / sum(&weights);
            for i in 0..head_size {
                let pairs: Vec<_> = (0..s).map(|key| (bf16(weights[key]), at(2, key, i))).collect();
                out[query * h + head * head_size + i] = sum_of_products_bf16(&pairs) * factor;
            }
        }
    }
    out
}

/// How many inputs share the scales of a row and of a column in int8.
///
/// The hidden size of all-MiniLM-L6-v2, so that most of its products have one group. Of its longer rows, those of 1536, each
/// has a few large activations; with groups the others keep their steps.
pub const INT8_GROUP: usize = 384;

/// What makes a row of activations, or a group of them, of its bytes: activation = scale · (byte − zero).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowScale {
    /// The distance of neighbouring bytes.
    pub scale: f32,
    /// The byte that is 0: 0 … 254.
    pub zero: f32,
}

impl RowScale {
    /// Of rows that have no scale.
    pub const NONE: RowScale = RowScale { scale: 1.0, zero: 0.0 };
}

/// A row whose numbers lie closer together than this counts as zeros.
pub const LEAST_RANGE: f32 = f32::from_bits((127 - 60) << 23);

/// A row of activations as unsigned bytes.
///
/// low and high are the least and the largest number, and 0 if all are on one side of it: sixteen virtual lanes, each
/// from 0 on, by [`min`](fn@min) and [`max`](fn@max) with the lane first; then the [`tree`]. 254 steps lie between them,
/// so that whatever is rounded stays a byte. Rounding to an integer, half to even, is adding 1.5 · 2²³ in a fused step.
/// Bytes have no infinity and no NaN: a row with one of them has the scale NaN, which makes all its products NaN.
pub fn quantize_row(x: &[f32]) -> (Vec<u8>, RowScale) {
    if !x.iter().all(|x| x.is_finite()) {
        return (vec![0; x.len()], RowScale { scale: f32::NAN, zero: 0.0 });
    }
    let (mut lows, mut highs) = ([0.0f32; LANES], [0.0f32; LANES]);
    for (i, &x) in x.iter().enumerate() {
        lows[i % LANES] = min(lows[i % LANES], x);
        highs[i % LANES] = max(highs[i % LANES], x);
    }
    let (low, high) = (tree(lows, min), tree(highs, max));
    let range = high - low;
    if range < LEAST_RANGE {
        return (vec![0; x.len()], RowScale { scale: 0.0, zero: 0.0 });
    }
    let inverse = 254.0 / range;
    let shifted_zero = (-low).mul_add(inverse, ROUND);
    let bytes = x.iter().map(|x| x.mul_add(inverse, shifted_zero).to_bits() as u8).collect();
    (bytes, RowScale { scale: range / 254.0, zero: shifted_zero - ROUND })
}

/// The weights of one output as signed bytes −127 … 127, with the distance of neighbouring bytes: weight = scale · byte.
/// Rounded half to even. As with rows, the distance is NaN if a weight is not finite.
pub fn quantize_weights(weights: &[f32]) -> (Vec<i8>, f32) {
    if !weights.iter().all(|w| w.is_finite()) {
        return (vec![0; weights.len()], f32::NAN);
    }
    let largest = weights.iter().fold(0.0, |largest, w| max(largest, w.abs()));
    if largest < LEAST_RANGE {
        return (vec![0; weights.len()], 0.0);
    }
    let inverse = 127.0 / largest;
    (weights.iter().map(|w| w.mul_add(inverse, ROUND).to_bits() as i8).collect(), largest / 127.0)
}

/// x \[m\]\[k\] · weightᵀ \[n\]\[k\] + bias \[n\] → \[m\]\[n\], in int8.
///
/// Activations are multiplied by the factors \[k\] of their columns, weights divided by them. k is cut into groups of
/// [`INT8_GROUP`]; in each, rows of x are quantised by [`quantize_row`], those of the weight by [`quantize_weights`]. The sum
/// of a group is Σ byte · weight_byte − zero · Σ weight_byte, an exact integer; as f32, rounded half to even, it is
/// multiplied by the product of both scales and added to the bias, or what the groups before have made of it, in one fused
/// step.
pub fn linear_int8(x: &[f32], weight: &[f32], bias: &[f32], factors: &[f32]) -> Vec<f32> {
    let k = factors.len();
    let scaled = |row: &[f32], by: fn(f32, f32) -> f32| -> Vec<f32> {
        row.iter().zip(factors).map(|(&x, &factor)| by(x, factor)).collect()
    };
    let columns: Vec<Vec<_>> = weight
        .chunks(k)
        .map(|row| scaled(row, |w, factor| w / factor).chunks(INT8_GROUP).map(quantize_weights).collect())
        .collect();
    let mut out = Vec::new();
    for row in x.chunks(k) {
        let groups: Vec<_> =
            scaled(row, |x, factor| x * factor).chunks(INT8_GROUP).map(quantize_row).collect();
        for (column, &bias) in columns.iter().zip(bias) {
            let mut value = bias;
            for ((bytes, RowScale { scale, zero }), (weights, column_scale)) in groups.iter().zip(column) {
                let pairs = bytes.iter().zip(weights);
                let sum: i32 = pairs.map(|(&q, &w)| (i32::from(q) - *zero as i32) * i32::from(w)).sum();
                value = (sum as f32).mul_add(scale * column_scale, value);
            }
            out.push(value);
        }
    }
    out
}
