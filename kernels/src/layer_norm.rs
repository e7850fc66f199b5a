//! LayerNorm in two passes: the mean, then the squared deviations from it.

use crate::dispatch::{Isa, Kernel};
use crate::simd::{LANES, Simd};

/// The learned parameters of a LayerNorm over rows of h = `gamma.len()`.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// The factor of each component, `[h]` ("weight" in PyTorch's files).
    pub gamma: Vec<f32>,
    /// What is added to each component, `[h]` ("bias" in PyTorch's files).
    pub beta: Vec<f32>,
    /// What is added to the variance.
    pub eps: f32,
}

/// x `[rows][h]`, each row in place, by [`crate::reference::layer_norm`].
///
/// # Panics
///
/// If h is 0, gamma and beta differ in length, or x is not a multiple of h long.
pub fn layer_norm(isa: Isa, x: &mut [f32], parameters: &LayerNorm) {
    let h = parameters.gamma.len();
    assert!(h > 0, "layer_norm: rows of width 0");
    assert_eq!(parameters.beta.len(), h, "layer_norm: beta has another length than gamma");
    assert_eq!(x.len() % h, 0, "layer_norm: x has {} elements, no multiple of {h}", x.len());
    isa.run(Rows { x, parameters });
}

struct Rows<'a> {
    x: &'a mut [f32],
    parameters: &'a LayerNorm,
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for row in self.x.chunks_exact_mut(self.parameters.gamma.len()) {
            layer_norm_row(simd, row, self.parameters);
        }
    }
}

#[inline(always)]
fn layer_norm_row<S: Simd>(simd: S, row: &mut [f32], parameters: &LayerNorm) {
    let h = row.len() as f32;

    let mut sums = simd.splat(0.0);
    for chunk in row.chunks(LANES) {
        sums = simd.add(sums, simd.load_partial(chunk, 0.0));
    }
    let mean_scalar = simd.reduce_add(sums) / h;
    let mean = simd.splat(mean_scalar);

    let mut squares = simd.splat(0.0);
    for chunk in row.chunks(LANES) {
        // Filled with the mean, lanes beyond the row deviate by 0.
        let deviation = simd.sub(simd.load_partial(chunk, mean_scalar), mean);
        squares = simd.mul_add(deviation, deviation, squares);
    }
    let factor = simd.splat(1.0 / (simd.reduce_add(squares) / h + parameters.eps).sqrt());

    let gammas = parameters.gamma.chunks(LANES);
    let betas = parameters.beta.chunks(LANES);
    for ((chunk, gamma), beta) in row.chunks_mut(LANES).zip(gammas).zip(betas) {
        let deviation = simd.sub(simd.load_partial(chunk, 0.0), mean);
        let y = simd.mul_add(
            simd.mul(deviation, factor),
            simd.load_partial(gamma, 0.0),
            simd.load_partial(beta, 0.0),
        );
        simd.store_partial(y, chunk);
    }
}
