//! Softmax of rows: the exact maximum, exp, sum, scale.

use crate::dispatch::{Isa, Kernel};
use crate::math::exp;
use crate::simd::{LANES, Simd};

/// x `[rows][width]`, each row in place, by [`crate::reference::softmax`].
///
/// # Panics
///
/// If width is 0 or x is not a multiple of it long.
pub fn softmax(isa: Isa, x: &mut [f32], width: usize) {
    assert!(width > 0, "softmax: rows of width 0");
    assert_eq!(x.len() % width, 0, "softmax: x has {} elements, no multiple of the width {width}", x.len());
    isa.run(Softmax { x, width });
}

struct Softmax<'a> {
    x: &'a mut [f32],
    width: usize,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for row in self.x.chunks_exact_mut(self.width) {
            softmax_row(simd, row, 1.0);
        }
    }
}

/// One row, in place. Three passes over a row that is in L1.
#[inline(always)]
pub(crate) fn softmax_row<S: Simd>(simd: S, row: &mut [f32], scale: f32) {
    let scale = simd.splat(scale);
    let mut maxima = simd.splat(f32::NEG_INFINITY);
    for chunk in row.chunks(LANES) {
        maxima = simd.max(maxima, simd.mul(simd.load_partial(chunk, f32::NEG_INFINITY), scale));
    }
    let maximum = simd.splat(simd.reduce_max(maxima));

    let mut sums = simd.splat(0.0);
    for chunk in row.chunks_mut(LANES) {
        let e = exp(simd, simd.sub(simd.mul(simd.load_partial(chunk, 0.0), scale), maximum));
        simd.store_partial(e, chunk);
        // Read again, so that lanes beyond the row count as 0.
        sums = simd.add(sums, simd.load_partial(chunk, 0.0));
    }
    let scale = simd.splat(1.0 / simd.reduce_add(sums));

    for chunk in row.chunks_mut(LANES) {
        let y = simd.mul(simd.load_partial(chunk, 0.0), scale);
        simd.store_partial(y, chunk);
    }
}
