//! Scaling vectors to unit length.

use crate::dispatch::{Isa, Kernel};
use crate::simd::{LANES, Simd};

/// x `[h]`, in place, by [`crate::reference::l2_normalize`]. A vector of zeros stays one.
pub fn l2_normalize(isa: Isa, x: &mut [f32]) {
    isa.run(Normalize(x));
}

struct Normalize<'a>(&'a mut [f32]);

impl Kernel for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut squares = simd.splat(0.0);
        for chunk in self.0.chunks(LANES) {
            let x = simd.load_partial(chunk, 0.0);
            squares = simd.mul_add(x, x, squares);
        }
        let norm = simd.splat(crate::reference::max(simd.reduce_add(squares).sqrt(), 1e-12));
        for chunk in self.0.chunks_mut(LANES) {
            let y = simd.div(simd.load_partial(chunk, 0.0), norm);
            simd.store_partial(y, chunk);
        }
    }
}
