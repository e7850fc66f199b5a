//! How alike two vectors are: one with one, and all of one set with all of another.
//!
//! The cosine similarity of two vectors is the dot product of the vectors normalised
//! ([`l2_normalize`](crate::l2_normalize)). Embeddings that are normalised already, as those of
//! all-MiniLM-L6-v2 are, need nothing more.
//!
//! A matrix is what [`search`](fn@crate::search) computes, written down: `search/scan.rs`. An element's bits depend
//! neither on the shape of a tile nor on its neighbours. What a step does with the elements of two vectors is a parameter, a
//! [`Metric`]: the dot product, or one of the distances of `distance.rs`.

use std::marker::PhantomData;

use crate::dispatch::{Isa, Kernel};
use crate::dot::rows::{Metric, Product};
use crate::search::all_scores;
use crate::simd::{LANES, Simd};

/// a `[k]` · b `[k]`, by [`crate::reference::dot`].
///
/// # Panics
///
/// If a and b differ in length.
pub fn dot(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    pair::<Product>(isa, "dot", a, b)
}

/// a `[m][k]`, b `[n][k]` → out `[m][n]`: each element is the [`dot`] product of a row of a and a row of b,
/// and has its bits.
///
/// # Panics
///
/// If k is 0, a or b is not a multiple of k long, or out is not m · n long.
pub fn similarity_matrix(isa: Isa, a: &[f32], b: &[f32], k: usize, out: &mut [f32]) {
    matrix::<Product>(isa, "similarity_matrix", a, b, k, out);
}

/// One vector with one, for the public function of that name.
///
/// # Panics
///
/// If a and b differ in length.
pub(crate) fn pair<M: Metric>(isa: Isa, name: &str, a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "{name}: a has {} elements, b has {}", a.len(), b.len());
    M::finish(isa.run(Pair { a, b, metric: PhantomData::<M> }))
}

/// a `[m][k]`, b `[n][k]` → out `[m][n]`, for the public function of that name.
///
/// # Panics
///
/// If k is 0, a or b is not a multiple of k long, or out is not m · n long.
pub(crate) fn matrix<M: Metric>(isa: Isa, name: &str, a: &[f32], b: &[f32], k: usize, out: &mut [f32]) {
    assert!(k > 0, "{name}: k is 0");
    for (which, x) in [("a", a), ("b", b)] {
        assert_eq!(x.len() % k, 0, "{name}: {which} has {} elements, no multiple of k = {k}", x.len());
    }
    let (m, n, elements) = (a.len() / k, b.len() / k, out.len());
    assert_eq!(Some(elements), m.checked_mul(n), "{name}: out has {elements} elements for m = {m}, n = {n}");
    all_scores::<M>(isa, a, b, k, out);
    out.iter_mut().for_each(|sum| *sum = M::finish(*sum));
}

struct Pair<'a, M> {
    a: &'a [f32],
    b: &'a [f32],
    metric: PhantomData<M>,
}

impl<M: Metric> Kernel for Pair<'_, M> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let (a, a_rest) = self.a.as_chunks::<LANES>();
        let (b, b_rest) = self.b.as_chunks::<LANES>();
        let mut sums = simd.splat(0.0);
        for (a, b) in a.iter().zip(b) {
            sums = M::step(simd, simd.load(a), simd.load(b), sums);
        }
        if !a_rest.is_empty() {
            let (a, b) = (simd.load_partial(a_rest, 0.0), simd.load_partial(b_rest, M::BEYOND));
            sums = M::step(simd, a, b, sums);
        }
        simd.reduce_add(sums)
    }
}
