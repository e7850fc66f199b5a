//! The k largest of many scores.
//!
//! The best so far lie in a heap whose root is the k-th best. Once it is full, few scores of a long list
//! are any better (of n in random order, about k ln(n / k)), so a block of scores is only asked for its
//! maximum, sixteen lanes at a time, and looked through one by one if that could enter the heap.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::dispatch::{Isa, Kernel};
use crate::simd::{LANES, Simd};

/// How many scores are passed over at once.
const BLOCK: usize = 8 * LANES;

/// A score and where it stood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The index of the score.
    pub index: usize,
    /// The score.
    pub score: f32,
}

/// The k largest scores, all if there are fewer than k, largest first. See [`crate::reference::top_k`].
///
/// Equal scores (−0 equals 0) stand in the order of their indices. NaNs come last of all, in that order too.
pub fn top_k(isa: Isa, scores: &[f32], k: usize) -> Vec<Hit> {
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
/// top.push(Isa::best(), 0, &[0.5, 0.9]);
/// top.push(Isa::best(), 2, &[0.1, 0.7]);
/// assert_eq!(top.into_sorted(), [Hit { index: 1, score: 0.9 }, Hit { index: 3, score: 0.7 }]);
/// ```
#[derive(Clone, Debug)]
pub struct TopK {
    k: usize,
    /// At most k, the worst at the root.
    best: BinaryHeap<Candidate>,
}

impl TopK {
    /// Of no scores yet. Memory grows with the scores, not with k.
    pub fn new(k: usize) -> TopK {
        TopK { k, best: BinaryHeap::new() }
    }

    /// Adds the scores of the indices `first_index`, `first_index + 1`, …
    ///
    /// # Panics
    ///
    /// If `first_index` + the number of scores overflows.
    pub fn push(&mut self, isa: Isa, first_index: usize, scores: &[f32]) {
        assert!(
            first_index.checked_add(scores.len()).is_some(),
            "TopK: {} scores from index {first_index} on",
            scores.len()
        );
        if self.k > 0 {
            isa.run(Push { top: self, first_index, scores });
        }
    }

    /// The k best, best first.
    pub fn into_sorted(self) -> Vec<Hit> {
        self.best.into_sorted_vec().into_iter().map(|candidate| candidate.0).collect()
    }

    /// What a score must reach to be looked at: the k-th best so far. None, as long as there is none or it is
    /// NaN: every score is looked at.
    fn threshold(&self) -> Option<f32> {
        let worst = if self.best.len() < self.k { None } else { self.best.peek() };
        worst.map(|worst| worst.0.score).filter(|score| !score.is_nan())
    }

    /// Takes of these what is better than the worst of the heap.
    fn take(&mut self, first_index: usize, scores: &[f32]) {
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

struct Push<'a> {
    top: &'a mut TopK,
    first_index: usize,
    scores: &'a [f32],
}

impl Kernel for Push<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut threshold = self.top.threshold();
        for (i, block) in self.scores.chunks(BLOCK).enumerate() {
            if threshold.is_none_or(|threshold| maximum(simd, block) >= threshold) {
                self.top.take(self.first_index + i * BLOCK, block);
                threshold = self.top.threshold();
            }
        }
    }
}

/// The largest of up to [`BLOCK`] numbers, NaNs passed over; −∞ of none.
#[inline(always)]
fn maximum<S: Simd>(simd: S, block: &[f32]) -> f32 {
    let mut maxima = simd.splat(f32::NEG_INFINITY);
    for chunk in block.chunks(LANES) {
        // A NaN as the first operand is not the result, and the second never is one.
        maxima = simd.max(simd.load_partial(chunk, f32::NEG_INFINITY), maxima);
    }
    simd.reduce_max(maxima)
}

/// A hit that is less than all that come after it in the result.
#[derive(Clone, Copy, Debug)]
struct Candidate(Hit);

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.0, other.0);
        // Where there is no order, one is NaN: false is less than true.
        let by_score = b.score.partial_cmp(&a.score).unwrap_or(a.score.is_nan().cmp(&b.score.is_nan()));
        by_score.then(a.index.cmp(&b.index))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}
