//! The order of candidates by a query as it was before it was quantised.

use super::{Component, Corpus};
use crate::dispatch::{Isa, Kernel};
use crate::simd::{LANES, Simd};
use crate::top_k::{Hit, TopK};

/// The dot product of a query with a row as numbers: 0 and 1 in the place of bits. See
/// [`crate::reference::dot_of_numbers`].
///
/// # Panics
///
/// If the row does not stand for as many numbers as the query has; its last [`Bits`](crate::Bits) may stand for more.
pub fn dot_of_numbers<C: Component>(isa: Isa, query: &[f32], row: &[C]) -> f32 {
    assert_eq!(
        query.len().div_ceil(C::NUMBERS),
        row.len(),
        "dot_of_numbers: the query has {} numbers, the row stands for {}",
        query.len(),
        row.len() * C::NUMBERS
    );
    C::dot_of_numbers(isa, query, row)
}

pub(super) struct DotOfNumbers<'a, C> {
    pub(super) query: &'a [f32],
    pub(super) row: &'a [C],
}

impl<C: Component> Kernel for DotOfNumbers<'_, C> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let DotOfNumbers { query, row } = self;
        let (whole, rest) = query.as_chunks::<LANES>();
        let mut sums = simd.splat(0.0);
        for (i, query) in whole.iter().enumerate() {
            let numbers = C::numbers(row, i * LANES / C::NUMBERS);
            sums = simd.mul_add(simd.load(query), simd.load(&numbers), sums);
        }
        if !rest.is_empty() {
            // Lanes beyond the end add 0 · −0 = −0, which leaves every sum as it is; +0 would not leave −0.
            let mut numbers = C::numbers(row, whole.len() * LANES / C::NUMBERS);
            numbers[rest.len()..].fill(-0.0);
            sums = simd.mul_add(simd.load_partial(rest, 0.0), simd.load(&numbers), sums);
        }
        simd.reduce_add(sums)
    }
}

/// Of these candidates, found by a search over narrow rows, the `k` best by their [`dot_of_numbers`] with the query: what
/// sentence-transformers does in `semantic_search_faiss` and `semantic_search_usearch` with `rescore`, where as many times
/// `top_k` candidates are searched for as `rescore_multiplier` says. Scores of rows that are equal stand in the order of
/// their numbers, as in [`TopK`].
///
/// ```
/// use minilm_kernels::{Corpus, Isa, TopK, rescore, search};
///
/// let rows = [90i8, 10, 0, 100, 100, 0]; // [n = 3][k = 2]
/// let corpus = Corpus::new(&rows, 2);
/// let mut candidates = [TopK::new(2)];
/// search(Isa::best(), &[1i8, 0], corpus, &mut candidates);
/// let [candidates] = candidates;
///
/// let hits = rescore(Isa::best(), &[0.9, 0.9], corpus, &candidates.into_sorted(), 1);
/// assert_eq!((hits[0].index, hits[0].score), (0, 90.0));
/// ```
///
/// # Panics
///
/// If the query has not as many numbers as a row stands for, or a candidate is no row of the corpus.
pub fn rescore<C: Component>(
    isa: Isa,
    query: &[f32],
    corpus: Corpus<'_, C>,
    candidates: &[Hit<C::Score>],
    k: usize,
) -> Vec<Hit> {
    let mut top = TopK::new(k);
    for candidate in candidates {
        let score = dot_of_numbers(isa, query, corpus.row(candidate.index));
        top.take(candidate.index, &[score]);
    }
    top.into_sorted()
}
