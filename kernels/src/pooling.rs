//! From the vectors of a text's tokens to one vector.

use crate::dispatch::{Isa, Kernel};
use crate::simd::{LANES, Simd};

/// x `[s][h]` → out `[h]`: the mean over the tokens, by [`crate::reference::mean_pool`].
///
/// # Panics
///
/// If out is empty, or x is not one or more rows of its length.
pub fn mean_pool(isa: Isa, x: &[f32], out: &mut [f32]) {
    check("mean_pool", x, out);
    isa.run(Pool { x, out, mode: Mode::Mean });
}

/// x `[s][h]` → out `[h]`: the sum over the tokens divided by √s, by [`crate::reference::mean_sqrt_len_pool`];
/// sentence-transformers' `mean_sqrt_len_tokens`.
///
/// # Panics
///
/// If out is empty, or x is not one or more rows of its length.
pub fn mean_sqrt_len_pool(isa: Isa, x: &[f32], out: &mut [f32]) {
    check("mean_sqrt_len_pool", x, out);
    isa.run(Pool { x, out, mode: Mode::MeanSqrtLen });
}

/// x `[s][h]` → out `[h]`: the mean over the tokens, of which token t has the weight `first_weight` + t, by
/// [`crate::reference::weighted_mean_pool`]; sentence-transformers' `weightedmean`.
///
/// There a token's weight is its position in the whole sequence, counted from 1: `first_weight` is 1, and more where the
/// sequence begins with tokens that are not pooled.
///
/// ```
/// use minilm_kernels::{Isa, weighted_mean_pool};
///
/// let x = [1.0, 0.0, 0.0, 1.0]; // [s = 2][h = 2]
/// let mut out = [0.0; 2];
/// weighted_mean_pool(Isa::best(), &x, 1, &mut out);
/// assert_eq!(out, [1.0 / 3.0, 2.0 / 3.0]);
/// ```
///
/// # Panics
///
/// If `first_weight` is 0, a weight would be larger than a `usize`, out is empty, or x is not one or more rows of its length.
pub fn weighted_mean_pool(isa: Isa, x: &[f32], first_weight: usize, out: &mut [f32]) {
    check("weighted_mean_pool", x, out);
    assert!(first_weight > 0, "weighted_mean_pool: the first weight is 0");
    let last = first_weight.checked_add(x.len() / out.len());
    assert!(last.is_some(), "weighted_mean_pool: weights from {first_weight} on overflow");
    isa.run(Pool { x, out, mode: Mode::WeightedMean { first_weight } });
}

/// x `[s][h]` → out `[h]`: each component's maximum, by [`crate::reference::max_pool`].
///
/// # Panics
///
/// If out is empty, or x is not one or more rows of its length.
pub fn max_pool(isa: Isa, x: &[f32], out: &mut [f32]) {
    check("max_pool", x, out);
    isa.run(Pool { x, out, mode: Mode::Max });
}

/// x `[s][h]` → out `[h]`: the first token's vector, as it is.
///
/// # Panics
///
/// If out is empty, or x is not one or more rows of its length.
pub fn cls_pool(x: &[f32], out: &mut [f32]) {
    check("cls_pool", x, out);
    out.copy_from_slice(&x[..out.len()]);
}

/// x `[s][h]` → out `[h]`: the last token's vector, as it is.
///
/// # Panics
///
/// If out is empty, or x is not one or more rows of its length.
pub fn last_token_pool(x: &[f32], out: &mut [f32]) {
    check("last_token_pool", x, out);
    out.copy_from_slice(&x[x.len() - out.len()..]);
}

fn check(name: &str, x: &[f32], out: &[f32]) {
    assert!(!out.is_empty(), "{name}: rows of width 0");
    assert!(
        !x.is_empty() && x.len().is_multiple_of(out.len()),
        "{name}: x has {} elements, not one or more rows of {}",
        x.len(),
        out.len()
    );
}

#[derive(Clone, Copy)]
enum Mode {
    Mean,
    MeanSqrtLen,
    WeightedMean { first_weight: usize },
    Max,
}

struct Pool<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
    mode: Mode,
}

impl Kernel for Pool<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let h = self.out.len();
        let s = self.x.len() / h;
        let divisor = simd.splat(match self.mode {
            Mode::Mean => s as f32,
            Mode::MeanSqrtLen => (s as f32).sqrt(),
            Mode::WeightedMean { first_weight } => sum_of_weights(s, first_weight),
            Mode::Max => 1.0,
        });
        for (i, out) in self.out.chunks_mut(LANES).enumerate() {
            let mut chain = simd.splat(match self.mode {
                Mode::Max => f32::NEG_INFINITY,
                _ => 0.0,
            });
            for (t, row) in self.x.chunks_exact(h).enumerate() {
                let x = simd.load_partial(&row[i * LANES..][..out.len()], 0.0);
                chain = match self.mode {
                    Mode::Mean | Mode::MeanSqrtLen => simd.add(chain, x),
                    Mode::WeightedMean { first_weight } => {
                        simd.mul_add(simd.splat((first_weight + t) as f32), x, chain)
                    }
                    Mode::Max => simd.max(chain, x),
                };
            }
            let pooled = match self.mode {
                Mode::Max => chain,
                _ => simd.div(chain, divisor),
            };
            simd.store_partial(pooled, out);
        }
    }
}

/// Of s tokens, rounded once: exact below 2²⁴, which are more than five thousand tokens.
pub(crate) fn sum_of_weights(s: usize, first_weight: usize) -> f32 {
    let (s, first) = (s as u128, first_weight as u128);
    (s * first + s * (s - 1) / 2) as f32
}
