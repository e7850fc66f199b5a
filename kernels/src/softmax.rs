//! Softmax of rows: the exact maximum, exp, sum, scale.

use crate::dispatch::{Isa, Kernel};
use crate::math::exp_not_positive;
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
        softmax_rows(simd, self.x, self.width, self.width, 1.0);
    }
}

/// The first `width` elements of each row of `x`, whose rows are `stride` apart, times `scale` > 0: softmax in place.
#[inline(always)]
pub(crate) fn softmax_rows<S: Simd>(simd: S, x: &mut [f32], stride: usize, width: usize, scale: f32) {
    let mut groups = x.chunks_exact_mut(ROWS_AT_ONCE * stride);
    for group in &mut groups {
        at_once::<S, ROWS_AT_ONCE>(simd, group, stride, width, scale);
    }
    for row in groups.into_remainder().chunks_exact_mut(stride) {
        at_once::<S, 1>(simd, row, stride, width, scale);
    }
}

/// A row is a chain of maxima, then one of sums: several rows at once hide their latencies.
const ROWS_AT_ONCE: usize = 4;

/// R rows. Three passes over rows that are in L1.
#[inline(always)]
fn at_once<S: Simd, const R: usize>(simd: S, x: &mut [f32], stride: usize, width: usize, scale: f32) {
    let mut rows = x.chunks_exact_mut(stride);
    let mut rows: [_; R] = std::array::from_fn(|_| {
        let row = rows.next().expect("as many rows as the caller says");
        row[..width].as_chunks_mut::<LANES>()
    });
    let full = width / LANES;
    let scale = simd.splat(scale);

    // The maximum before it is scaled, which is the same: rounding keeps order, and so does a scale above 0.
    let mut maxima = [simd.splat(f32::NEG_INFINITY); R];
    for i in 0..full {
        for r in 0..R {
            maxima[r] = simd.max(maxima[r], simd.load(&rows[r].0[i]));
        }
    }
    for r in 0..R {
        let tail = simd.load_partial(rows[r].1, f32::NEG_INFINITY);
        maxima[r] = simd.mul(simd.splat(simd.reduce_max(simd.max(maxima[r], tail))), scale);
    }

    let mut sums = [simd.splat(0.0); R];
    for i in 0..full {
        for r in 0..R {
            let chunk = &mut rows[r].0[i];
            let e = exp_not_positive(simd, simd.sub(simd.mul(simd.load(chunk), scale), maxima[r]));
            simd.store(e, chunk);
            sums[r] = simd.add(sums[r], e);
        }
    }
    let mut factors = [simd.splat(0.0); R];
    for r in 0..R {
        let tail = &mut rows[r].1;
        if !tail.is_empty() {
            let e =
                exp_not_positive(simd, simd.sub(simd.mul(simd.load_partial(tail, 0.0), scale), maxima[r]));
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
