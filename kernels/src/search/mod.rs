//! Exact search: for each query the k best of many rows, without an index.
//!
//! [`search`] reads every row once for 128 KB of queries and keeps nothing but the best ([`TopK`]): a single query is as fast
//! as rows come from memory, many are as fast as the arithmetic. Rows are `f32`, `i8` or `u8`, ordered by their dot product
//! with the query, or bits, ordered by their Hamming distance. [`rescore`] orders what a search over narrow rows has found
//! again, by the query as it was before it was quantised.
//!
//! # Threads
//!
//! This crate starts none. A [`Corpus`] is cut into parts ([`Corpus::parts`]), each is searched by itself, and the results
//! are merged ([`TopK::merge`]). What comes out is always the same, because the order of results is a total one.
//!
//! ```
//! use minilm_kernels::{Corpus, Hit, Isa, TopK, search};
//!
//! let rows = [1.0, 0.0, 0.0, 1.0, 0.6, 0.8]; // [n = 3][k = 2]
//! let queries = [0.8, 0.6]; // [m = 1][k = 2]
//! let corpus = Corpus::new(&rows, 2);
//!
//! let mut best = TopK::new(2);
//! for part in corpus.parts(2) {
//!     // On a thread of its own, if there are many rows.
//!     let mut found = [TopK::new(2)];
//!     search(Isa::best(), &queries, part, &mut found);
//!     let [found] = found;
//!     best.merge(found);
//! }
//! let hits = best.into_sorted();
//! assert_eq!((hits[0].index, hits[1].index), (2, 0));
//! ```

mod component;
mod rescoring;
mod scan;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use component::{Bits, Component};
pub use rescoring::{dot_of_numbers, rescore};

use crate::dispatch::Isa;
use crate::dot::rows::{Metric, RowDot, RowSums, ScoreOf};
use crate::score::ScoreLanes;
use crate::simd::Simd;
use crate::top_k::TopK;
use scan::{Scan, Sink};

/// Rows `[n][k]` to be searched, and which numbers they have: a whole or a part of it.
#[derive(Clone, Copy, Debug)]
pub struct Corpus<'a, C> {
    rows: &'a [C],
    k: usize,
    first_index: usize,
}

impl<'a, C: Component> Corpus<'a, C> {
    /// All of it: rows `[n][k]`, numbered from 0 on. Of [`Bits`], k is the number of bytes.
    ///
    /// # Panics
    ///
    /// If k is 0 or more than [`Component::MAX_LEN`], or the rows are not whole.
    pub fn new(rows: &'a [C], k: usize) -> Corpus<'a, C> {
        assert!(0 < k && k <= C::MAX_LEN, "Corpus: k is {k}, not 1 to {}", C::MAX_LEN);
        assert!(rows.len().is_multiple_of(k), "Corpus: {} components, no multiple of k = {k}", rows.len());
        Corpus { rows, k, first_index: 0 }
    }

    /// How many components a row has.
    pub fn k(&self) -> usize {
        self.k
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len() / self.k
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows of that range, counted from the first of these. They keep their numbers.
    ///
    /// # Panics
    ///
    /// If there are not that many.
    pub fn range(&self, range: Range<usize>) -> Corpus<'a, C> {
        assert!(
            range.start <= range.end && range.end <= self.len(),
            "Corpus: rows {range:?} of {}",
            self.len()
        );
        Corpus {
            rows: &self.rows[range.start * self.k..range.end * self.k],
            k: self.k,
            first_index: self.first_index + range.start,
        }
    }

    /// Cut into so many parts, one behind the other, as equal as may be.
    ///
    /// # Panics
    ///
    /// If `parts` is 0.
    pub fn parts(self, parts: usize) -> impl ExactSizeIterator<Item = Corpus<'a, C>> {
        assert!(parts > 0, "Corpus: 0 parts");
        let (share, more) = (self.len() / parts, self.len() % parts);
        let start = move |part: usize| part * share + part.min(more);
        (0..parts).map(move |part| self.range(start(part)..start(part + 1)))
    }

    /// Row `index`, by the number it has.
    fn row(&self, index: usize) -> &'a [C] {
        let at = index.checked_sub(self.first_index).filter(|&at| at < self.len());
        let Some(at) = at else {
            panic!("Corpus: row {index} of {} from {} on", self.len(), self.first_index);
        };
        &self.rows[at * self.k..][..self.k]
    }
}

/// Adds the rows of the corpus to what each of the queries `[m][k]` has found before: see [`crate::reference::dot`],
/// [`dot_int8`](crate::reference::dot_int8), [`dot_uint8`](crate::reference::dot_uint8),
/// [`hamming_distance`](crate::reference::hamming_distance), which is negated, and [`crate::reference::top_k`].
///
/// # Panics
///
/// If `best` is not as long as there are queries, or the queries are not whole.
pub fn search<C: Component>(isa: Isa, queries: &[C], corpus: Corpus<'_, C>, best: &mut [TopK<C::Score>]) {
    let Corpus { rows, k, first_index } = corpus;
    assert_eq!(
        best.len().checked_mul(k),
        Some(queries.len()),
        "search: {} queries of k = {k} are {} components",
        best.len(),
        queries.len()
    );
    if best.iter().all(|best| best.k() == 0) {
        return;
    }
    let thresholds = best.iter().map(TopK::threshold).collect();
    C::search(isa, queries, k, rows, Best { best, thresholds, first_index });
}

/// Scores go where they are kept if they are good enough.
pub(crate) struct Best<'a, C: Component> {
    best: &'a mut [TopK<C::Score>],
    /// Of each query, as in its [`TopK`].
    thresholds: Vec<C::Score>,
    first_index: usize,
}

impl<C: Component> Sink<C> for Best<'_, C> {
    #[inline(always)]
    fn take<D: RowDot<Component = C>>(
        &mut self,
        dot: D,
        query: usize,
        first_row: usize,
        count: usize,
        scores: RowSums<D>,
    ) {
        let simd = dot.simd();
        let threshold = <ScoreOf<D>>::splat(simd, self.thresholds[query]);
        if <ScoreOf<D>>::any_not_less(simd, scores, threshold) {
            let mut sixteen = <ScoreOf<D>>::zeros();
            <ScoreOf<D>>::store(simd, scores, &mut sixteen);
            self.look_through(query, first_row, &sixteen[..count]);
        }
    }
}

impl<C: Component> Best<'_, C> {
    #[cold]
    fn look_through(&mut self, query: usize, first_row: usize, scores: &[C::Score]) {
        self.best[query].take(self.first_index + first_row, scores);
        self.thresholds[query] = self.best[query].threshold();
    }
}

/// The scores of all rows of b for all of a, `[m][n]`: see [`similarity_matrix`](crate::similarity_matrix). The sums of a
/// metric, not finished.
pub(crate) fn all_scores<M: Metric>(isa: Isa, a: &[f32], b: &[f32], k: usize, out: &mut [f32]) {
    isa.run_f32_rows::<M, _>(Scan { queries: a, rows: b, k, sink: All { out, n: b.len() / k } });
}

/// Scores go to `[m][n]`.
struct All<'a> {
    out: &'a mut [f32],
    n: usize,
}

impl Sink<f32> for All<'_> {
    #[inline(always)]
    fn take<D: RowDot<Component = f32>>(
        &mut self,
        dot: D,
        query: usize,
        first_row: usize,
        count: usize,
        scores: RowSums<D>,
    ) {
        dot.simd().store_partial(scores, &mut self.out[query * self.n + first_row..][..count]);
    }
}
