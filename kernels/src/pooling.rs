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
        let tokens = simd.splat((self.x.len() / h) as f32);
        for (i, out) in self.out.chunks_mut(LANES).enumerate() {
            let mut chain = simd.splat(match self.mode {
                Mode::Mean => 0.0,
                Mode::Max => f32::NEG_INFINITY,
            });
            for row in self.x.chunks_exact(h) {
                let x = simd.load_partial(&row[i * LANES..][..out.len()], 0.0);
                chain = match self.mode {
                    Mode::Mean => simd.add(chain, x),
                    Mode::Max => simd.max(chain, x),
                };
            }
            let pooled = match self.mode {
                Mode::Mean => simd.div(chain, tokens),
                Mode::Max => chain,
            };
            simd.store_partial(pooled, out);
        }
    }
}

/// temporary
pub fn mean_sqrt_len_pool(_isa: Isa, x: &[f32], out: &mut [f32]) {
    let (h, s) = (out.len(), x.len() / out.len());
    for i in 0..h {
        let mut c = 0.0f32;
        for t in 0..s {
            c += x[t * h + i];
        }
        out[i] = c / (s as f32).sqrt();
    }
}
/// temporary
pub fn weighted_mean_pool(_isa: Isa, x: &[f32], first_weight: usize, out: &mut [f32]) {
    let (h, s) = (out.len(), x.len() / out.len());
    for i in 0..h {
        let (mut c, mut w) = (0.0f32, 0.0f32);
        for t in 0..s {
            let g = (first_weight + t) as f32;
            c = g.mul_add(x[t * h + i], c);
            w += g;
        }
        out[i] = c / w;
    }
}
/// temporary
pub fn last_token_pool(x: &[f32], out: &mut [f32]) {
    let n = x.len() - out.len();
    out.copy_from_slice(&x[n..]);
}
