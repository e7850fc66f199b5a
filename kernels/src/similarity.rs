//! Dot products of vectors: one with one, and all of one set with all of another.
//!
//! The cosine similarity of two vectors is the dot product of the vectors normalised
//! ([`l2_normalize`](crate::l2_normalize)). Embeddings that are normalised already, as those of
//! all-MiniLM-L6-v2 are, need nothing more.
//!
//! The matrix is what [`search`](fn@crate::search) computes, written down: `search/scan.rs`. An element's bits depend
//! neither on the shape of a tile nor on its neighbours.

use crate::dispatch::{Isa, Kernel};
use crate::search::all_scores;
use crate::simd::{LANES, Simd};

/// a `[k]` · b `[k]`, by [`crate::reference::dot`].
///
/// # Panics
///
/// If a and b differ in length.
pub fn dot(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "dot: a has {} elements, b has {}", a.len(), b.len());
    isa.run(Dot { a, b })
}

/// a `[m][k]`, b `[n][k]` → out `[m][n]`: each element is the [`dot`] product of a row of a and a row of b,
/// and has its bits.
///
/// # Panics
///
/// If k is 0, a or b is not a multiple of k long, or out is not m · n long.
pub fn similarity_matrix(isa: Isa, a: &[f32], b: &[f32], k: usize, out: &mut [f32]) {
    assert!(k > 0, "similarity_matrix: k is 0");
    for (name, x) in [("a", a), ("b", b)] {
        assert_eq!(
            x.len() % k,
            0,
            "similarity_matrix: {name} has {} elements, no multiple of k = {k}",
            x.len()
        );
    }
    let (m, n) = (a.len() / k, b.len() / k);
    assert_eq!(
        Some(out.len()),
        m.checked_mul(n),
        "similarity_matrix: out has {} elements for m = {m}, n = {n}",
        out.len()
    );
    all_scores(isa, a, b, k, out);
}

struct Dot<'a> {
    a: &'a [f32],
    b: &'a [f32],
}

impl Kernel for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let (a, a_rest) = self.a.as_chunks::<LANES>();
        let (b, b_rest) = self.b.as_chunks::<LANES>();
        let mut sums = simd.splat(0.0);
        for (a, b) in a.iter().zip(b) {
            sums = simd.mul_add(simd.load(a), simd.load(b), sums);
        }
        if !a_rest.is_empty() {
            // Lanes beyond the end add 0 · −0 = −0, which leaves every sum as it is; +0 would not leave −0.
            sums = simd.mul_add(simd.load_partial(a_rest, 0.0), simd.load_partial(b_rest, -0.0), sums);
        }
        simd.reduce_add(sums)
    }
}
