//! The k largest of many scores.
//!
//! The best so far lie in a heap whose root is the k-th best. Once it is full, few scores of a long list
//! are any better (of n in random order, about k ln(n / k)), so sixteen scores at a time are compared with the
//! root, and looked through one by one if any of them could enter the heap.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::dispatch::{Isa, Kernel};
use crate::score::Score;
use crate::simd::{LANES, Simd};

/// A score and where it stood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit<S = f32> {
    /// The index of the score.
    pub index: usize,
    /// The score.
    pub score: S,
}

/// The k largest scores, all if there are fewer than k, largest first. See [`crate::reference::top_k`].
///
/// Equal scores (−0 equals 0) stand in the order of their indices. NaNs come last of all, in that order too.
pub fn top_k<S: Score>(isa: Isa, scores: &[S], k: usize) -> Vec<Hit<S>> {
    let mut top = TopK::new(k);
    top.push(isa, 0, scores);
    top.into_sorted()
}

/// [`top_k`] of scores that come in blocks, in any order of the blocks.
///
/// ```
/// use minilm_kernels::{Hit, Isa, TopK};
///
/// let mut top = TopK::new(2);
/// top.push(Isa::best(), 0, &[0.5f32, 0.9]);
/// let mut other = TopK::new(2);
/// other.push(Isa::best(), 2, &[0.1, 0.7]);
/// top.merge(other);
/// assert_eq!(top.into_sorted(), [Hit { index: 1, score: 0.9 }, Hit { index: 3, score: 0.7 }]);
/// ```
#[derive(Clone, Debug)]
pub struct TopK<S = f32> {
    k: usize,
    /// At most k, the worst at the root.
    best: BinaryHeap<Candidate<S>>,
}

impl<S: Score> TopK<S> {
    /// Of no scores yet. Memory grows with the scores, not with k.
    pub fn new(k: usize) -> TopK<S> {
        TopK { k, best: BinaryHeap::new() }
    }

    /// How many scores it keeps.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// Adds the scores of the indices `first_index`, `first_index + 1`, …
    ///
    /// # Panics
    ///
    /// If `first_index` + the number of scores overflows.
    pub fn push(&mut self, isa: Isa, first_index: usize, scores: &[S]) {
        assert!(
            first_index.checked_add(scores.len()).is_some(),
            "TopK: {} scores from index {first_index} on",
            scores.len()
        );
        if self.k > 0 {
            S::push(isa, self, first_index, scores);
        }
    }

    /// Adds what another has kept, of scores of other indices: what comes out does not depend on who has seen which scores,
    /// as long as the other keeps no fewer.
    pub fn merge(&mut self, other: TopK<S>) {
        for Candidate(hit) in other.best {
            self.take(hit.index, &[hit.score]);
        }
    }

    /// The k best, best first.
    pub fn into_sorted(self) -> Vec<Hit<S>> {
        self.best.into_sorted_vec().into_iter().map(|candidate| candidate.0).collect()
    }

    /// What a score must not be less than to be looked at, that is the k-th best so far. As long as there is none, or it is
    /// NaN, no score is less than that.
    #[inline(always)]
    pub(crate) fn threshold(&self) -> S {
        let worst = if self.best.len() < self.k { None } else { self.best.peek() };
        S::threshold(worst.map(|worst| worst.0.score))
    }

    /// Takes of these what is better than the worst of the heap.
    pub(crate) fn take(&mut self, first_index: usize, scores: &[S]) {
        for (i, &score) in scores.iter().enumerate() {
            let candidate = Candidate(Hit { index: first_index + i, score });
            if self.best.len() < self.k {
                self.best.push(candidate);
            } else if let Some(mut worst) = self.best.peek_mut().filter(|worst| candidate < **worst) {
                *worst = candidate;
            }
        }
    }
}

pub(crate) struct Push<'a, S> {
    pub(crate) top: &'a mut TopK<S>,
    pub(crate) first_index: usize,
    pub(crate) scores: &'a [S],
}

impl<T: Score> Kernel for Push<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Push { top, first_index, scores } = self;
        let (whole, rest) = scores.as_chunks::<LANES>();
        let mut threshold = T::splat(simd, top.threshold());
        for (i, sixteen) in whole.iter().enumerate() {
            if T::any_not_less(simd, T::load(simd, sixteen), threshold) {
                top.take(first_index + i * LANES, sixteen);
                threshold = T::splat(simd, top.threshold());
            }
        }
        top.take(first_index + whole.len() * LANES, rest);
    }
}

/// A hit that is less than all that come after it in the result.
#[derive(Clone, Copy, Debug)]
struct Candidate<S>(Hit<S>);

impl<S: Score> Ord for Candidate<S> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.0, other.0);
        S::best_first(a.score, b.score).then(a.index.cmp(&b.index))
    }
}

impl<S: Score> PartialOrd for Candidate<S> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<S: Score> PartialEq for Candidate<S> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<S: Score> Eq for Candidate<S> {}
