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
    let beta = parameters.beta.len();
    assert_eq!(beta, h, "layer_norm: beta has {beta} elements, gamma {h}");
    assert_eq!(x.len() % h, 0, "layer_norm: x has {} elements, no multiple of {h}", x.len());
    isa.run(NormalizeRows { x, parameters });
}

struct NormalizeRows<'a> {
    x: &'a mut [f32],
    parameters: &'a LayerNorm,
}

impl Kernel for NormalizeRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let NormalizeRows { x, parameters } = self;
        let h = parameters.gamma.len();
        let mut groups = x.chunks_exact_mut(ROWS_AT_ONCE * h);
        for group in &mut groups {
            at_once::<S, ROWS_AT_ONCE>(simd, group, parameters);
        }
        for row in groups.into_remainder().chunks_exact_mut(h) {
            at_once::<S, 1>(simd, row, parameters);
        }
    }
}

/// How many rows are normalised at once: a row is two chains of sums, whose latencies the other rows hide.
const ROWS_AT_ONCE: usize = 4;

#[inline(always)]
fn at_once<S: Simd, const R: usize>(simd: S, x: &mut [f32], parameters: &LayerNorm) {
    let h = parameters.gamma.len();
    let (gammas, gamma_tail) = parameters.gamma.as_chunks::<LANES>();
    let (betas, beta_tail) = parameters.beta.as_chunks::<LANES>();
    let mut rows = x.chunks_exact_mut(h);
    let mut rows: [_; R] =
        std::array::from_fn(|_| rows.next().expect("R rows, says the caller").as_chunks_mut::<LANES>());

    let mut sums = [simd.splat(0.0); R];
    for i in 0..gammas.len() {
        for r in 0..R {
            sums[r] = simd.add(sums[r], simd.load(&rows[r].0[i]));
        }
    }
    let mut means = [0.0; R];
    for r in 0..R {
        let sum = simd.add(sums[r], simd.load_partial(rows[r].1, 0.0));
        means[r] = simd.reduce_add(sum) / h as f32;
    }

    let mut squares = [simd.splat(0.0); R];
    for i in 0..gammas.len() {
        for r in 0..R {
            let deviation = simd.sub(simd.load(&rows[r].0[i]), simd.splat(means[r]));
            squares[r] = simd.mul_add(deviation, deviation, squares[r]);
        }
    }
    let mut factors = [0.0; R];
    for r in 0..R {
        // Filled with the mean, lanes beyond the row deviate by 0.
        let deviation = simd.sub(simd.load_partial(rows[r].1, means[r]), simd.splat(means[r]));
        let sum = simd.reduce_add(simd.mul_add(deviation, deviation, squares[r]));
        factors[r] = 1.0 / (sum / h as f32 + parameters.eps).sqrt();
    }

    for i in 0..gammas.len() {
        let (gamma, beta) = (simd.load(&gammas[i]), simd.load(&betas[i]));
        for r in 0..R {
            let chunk = &mut rows[r].0[i];
            let deviation = simd.sub(simd.load(chunk), simd.splat(means[r]));
            simd.store(simd.mul_add(simd.mul(deviation, simd.splat(factors[r])), gamma, beta), chunk);
        }
    }
    let (gamma, beta) = (simd.load_partial(gamma_tail, 0.0), simd.load_partial(beta_tail, 0.0));
    for r in 0..R {
        let tail = &mut rows[r].1;
        let deviation = simd.sub(simd.load_partial(tail, 0.0), simd.splat(means[r]));
        simd.store_partial(simd.mul_add(simd.mul(deviation, simd.splat(factors[r])), gamma, beta), tail);
    }
}
