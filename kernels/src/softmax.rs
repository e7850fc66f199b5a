//! Softmax of rows: the exact maximum, exp, sum, scale.

use crate::dispatch::{Isa, Kernel};
use crate::math::exp_not_positive;
use crate::position_bias::Scaling;
use crate::simd::{LANES, Simd};

/// x `[rows][width]`, each row in place, by [`crate::reference::softmax`].
///
/// # Panics
///
/// If width is 0 or x is not a multiple of it long.
pub fn softmax(isa: Isa, x: &mut [f32], width: usize) {
    assert!(width > 0, "softmax: rows of width 0");
    assert_eq!(x.len() % width, 0, "softmax: x has {} elements, no multiple of the width {width}", x.len());
    // No rows may be of any width.
    if !x.is_empty() {
        isa.run(Softmax { x, width });
    }
}

struct Softmax<'a> {
    x: &'a mut [f32],
    width: usize,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        softmax_rows(simd, self.x, self.width, self.width, Scaling { scale: 1.0, bias: None });
    }
}

/// The first `width` elements of each row of `x`, whose rows are `stride` apart, scaled and biased: softmax in place.
#[inline(always)]
pub(crate) fn softmax_rows<S: Simd>(
    simd: S,
    x: &mut [f32],
    stride: usize,
    width: usize,
    scaling: Scaling<'_>,
) {
    let from_row = |row| Scaling { bias: scaling.bias.map(|bias| bias.skip(row)), ..scaling };
    let rows = x.len() / stride;
    let mut groups = x.chunks_exact_mut(ROWS_AT_ONCE * stride);
    for (i, group) in (&mut groups).enumerate() {
        at_once::<S, ROWS_AT_ONCE>(simd, group, stride, width, from_row(i * ROWS_AT_ONCE));
    }
    let first = rows - rows % ROWS_AT_ONCE;
    for (i, row) in groups.into_remainder().chunks_exact_mut(stride).enumerate() {
        at_once::<S, 1>(simd, row, stride, width, from_row(first + i));
    }
}

/// A row is a chain of maxima, then one of sums: several rows at once hide their latencies.
const ROWS_AT_ONCE: usize = 4;

/// R rows. Three passes over rows that are in L1.
#[inline(always)]
fn at_once<S: Simd, const R: usize>(
    simd: S,
    x: &mut [f32],
    stride: usize,
    width: usize,
    scaling: Scaling<'_>,
) {
    let mut rows = x.chunks_exact_mut(stride);
    let mut rows: [_; R] = std::array::from_fn(|_| {
        let row = rows.next().expect("as many rows as the caller says");
        row[..width].as_chunks_mut::<LANES>()
    });
    let full = width / LANES;
    let scale = simd.splat(scaling.scale);
    let biases: Option<[_; R]> =
        scaling.bias.map(|bias| std::array::from_fn(|r| bias.row(r).as_chunks::<LANES>()));

    // With a bias, scores are what they are from here on. Without, their maximum is looked for before they are scaled, which
    // is the same: rounding keeps order, and so does a scale above 0.
    let mut maxima = [simd.splat(f32::NEG_INFINITY); R];
    for i in 0..full {
        for r in 0..R {
            let mut score = simd.load(&rows[r].0[i]);
            if let Some(biases) = &biases {
                score = simd.mul_add(score, scale, simd.load(&biases[r].0[i]));
                simd.store(score, &mut rows[r].0[i]);
            }
            maxima[r] = simd.max(maxima[r], score);
        }
    }
    for r in 0..R {
        let mut tail = simd.load_partial(rows[r].1, f32::NEG_INFINITY);
        if let Some(biases) = &biases {
            // Beyond the row still −∞.
            tail = simd.mul_add(tail, scale, simd.load_partial(biases[r].1, 0.0));
            simd.store_partial(tail, rows[r].1);
        }
        maxima[r] = simd.splat(simd.reduce_max(simd.max(maxima[r], tail)));
        if biases.is_none() {
            maxima[r] = simd.mul(maxima[r], scale);
        }
    }

    let scaled = |score| if biases.is_none() { simd.mul(score, scale) } else { score };
    let mut sums = [simd.splat(0.0); R];
    for i in 0..full {
        for r in 0..R {
            let chunk = &mut rows[r].0[i];
            let e = exp_not_positive(simd, simd.sub(scaled(simd.load(chunk)), maxima[r]));
            simd.store(e, chunk);
            sums[r] = simd.add(sums[r], e);
        }
    }
    let mut factors = [simd.splat(0.0); R];
    for r in 0..R {
        let tail = &mut rows[r].1;
        if !tail.is_empty() {
            let e = exp_not_positive(simd, simd.sub(scaled(simd.load_partial(tail, 0.0)), maxima[r]));
            simd.store_partial(e, tail);
            // Read again, so that lanes beyond the row count as 0.
            sums[r] = simd.add(sums[r], simd.load_partial(tail, 0.0));
        }
        factors[r] = simd.splat(1.0 / simd.reduce_add(sums[r]));
    }

    for i in 0..full {
        for r in 0..R {
            let chunk = &mut rows[r].0[i];
            simd.store(simd.mul(simd.load(chunk), factors[r]), chunk);
        }
    }
    for r in 0..R {
        let tail = &mut rows[r].1;
        simd.store_partial(simd.mul(simd.load_partial(tail, 0.0), factors[r]), tail);
    }
}
