//! Statistics in f64; correlations by the definitions of `scipy.stats`. Numbers are finite.

use std::iter::Sum;

use serde::Serialize;

use crate::percentile::nearest_rank;

/// Of the cosines of vectors with those of the same texts in f32.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Agreement {
    pub(super) mean: f64,
    /// The first percentile, by nearest rank.
    pub(super) p1: f64,
    pub(super) min: f64,
}

impl Agreement {
    /// Of at least one vector, each with the one that is in its place in f32.
    pub(super) fn of<'a>(
        vectors: impl Iterator<Item = &'a [f32]>,
        in_f32: impl Iterator<Item = &'a [f32]>,
    ) -> Agreement {
        let mut cosines: Vec<f64> = vectors.zip(in_f32).map(|(a, b)| Agreement::of_two(a, b)).collect();
        cosines.sort_by(f64::total_cmp);
        Agreement {
            mean: cosines.iter().sum::<f64>() / cosines.len() as f64,
            p1: nearest_rank(&cosines, 1),
            min: cosines[0],
        }
    }

    /// The cosine of two vectors. Two of zeros have no angle, but nothing has been lost.
    pub(super) fn of_two(a: &[f32], b: &[f32]) -> f64 {
        if a == b { 1.0 } else { cosine(a, b) }
    }
}

/// How far numbers are from what they should be, of any number of tensors together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Deviation {
    /// Of the differences.
    squares: f64,
    /// Of what should be.
    squares_expected: f64,
}

impl Deviation {
    /// Of tensors of the same length.
    pub(super) fn of(found: &[f32], expected: &[f32]) -> Deviation {
        let mut deviation = Deviation::default();
        for (&found, &expected) in found.iter().zip(expected) {
            let (found, expected) = (f64::from(found), f64::from(expected));
            deviation.squares += (found - expected).powi(2);
            deviation.squares_expected += expected.powi(2);
        }
        deviation
    }

    /// The norm of the differences over the norm of what should be. Infinite if that is 0 and was not found.
    pub(super) fn relative(self) -> f64 {
        if self.squares == 0.0 { 0.0 } else { (self.squares / self.squares_expected).sqrt() }
    }
}

impl Sum for Deviation {
    /// Of all the tensors as if they were one.
    fn sum<I: Iterator<Item = Deviation>>(deviations: I) -> Deviation {
        deviations.fold(Deviation::default(), |sum, deviation| Deviation {
            squares: sum.squares + deviation.squares,
            squares_expected: sum.squares_expected + deviation.squares_expected,
        })
    }
}

/// Of vectors of the same length. Of a vector of zeros with any other it is 0, as in sentence-transformers.
///
/// The sums are f64, not the f32 of the library's dot product: what is judged are the vectors alone, and not how a
/// similarity of them is rounded. Equal vectors have exactly 1, because the square root of a square is exact.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms == 0.0 { 0.0 } else { (dot(a, b) / norms).clamp(-1.0, 1.0) }
}

/// Pearson's correlation of the ranks. `None` if one of them is constant, so that it is undefined.
pub(super) fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    pearson(&ranks(x), &ranks(y))
}

/// `None` if one of them is constant, so that it is undefined.
pub(super) fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let (x, y) = (deviations(x)?, deviations(y)?);
    let correlation: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
    Some(correlation.clamp(-1.0, 1.0))
}

/// How far each value is from the mean, as a vector of length 1; `None` if no value is.
fn deviations(values: &[f64]) -> Option<Vec<f64>> {
    // Values of at most 1 have no squares that overflow, and equal ones a mean that is not rounded.
    let largest = values.iter().fold(0.0, |largest, value| f64::max(largest, value.abs()));
    let scaled: Vec<f64> = values.iter().map(|value| value / largest).collect();
    let mean = scaled.iter().sum::<f64>() / scaled.len() as f64;
    let norm = scaled.iter().map(|value| (value - mean).powi(2)).sum::<f64>().sqrt();
    // All zero, there are none of them, or 0 / 0.
    (norm > 0.0).then(|| scaled.iter().map(|value| (value - mean) / norm).collect())
}

/// The places of the values in their order, from 1; equal ones share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    // −0, which comes directly before 0, equals it here.
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (equal.len() + 1) as f64 / 2.0;
        equal.iter().for_each(|&index| ranks[index] = rank);
        before += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests;
