//! GELU in the erf form, which is the one all-MiniLM-L6-v2 was trained with.

use crate::dispatch::{Isa, Kernel};
use crate::math::erf;
use crate::simd::{LANES, Simd};

/// ½ x (1 + erf(x / √2))
#[inline(always)]
pub(crate) fn gelu_lanes<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let erf = erf(simd, simd.mul(x, simd.splat(std::f32::consts::FRAC_1_SQRT_2)));
    simd.mul(simd.mul(simd.splat(0.5), x), simd.add(simd.splat(1.0), erf))
}

/// Each element of x, in place, by [`crate::reference::gelu`].
pub fn gelu(isa: Isa, x: &mut [f32]) {
    isa.run(Gelu(x));
}

struct Gelu<'a>(&'a mut [f32]);

impl Kernel for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for chunk in self.0.chunks_mut(LANES) {
            let y = gelu_lanes(simd, simd.load_partial(chunk, 0.0));
            simd.store_partial(y, chunk);
        }
    }
}
