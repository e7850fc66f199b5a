//! Vectors less their mean: what k-means and principal components are computed from.
//!
//! Far from the origin, dot products of f32 say little about distances. Around the mean they say the most that they can.

use std::ops::Range;

use minilm_storage::{Vectors, VectorsError};

/// Vectors less their mean, or less that of others. No copy is kept: rows are computed as they are asked for.
pub(crate) struct Centred<'a> {
    vectors: Vectors<'a>,
    mean: Vec<f32>,
}

impl<'a> Centred<'a> {
    /// The mean is added up in f64, in the vectors' order, and rounded.
    pub(crate) fn new(vectors: Vectors<'a>) -> Centred<'a> {
        let mut sums = vec![0.0; vectors.dimension()];
        for row in vectors.rows() {
            for (sum, &x) in sums.iter_mut().zip(row) {
                *sum += f64::from(x);
            }
        }
        let count = vectors.len().max(1) as f64;
        Centred { vectors, mean: sums.iter().map(|sum| (sum / count) as f32).collect() }
    }

    /// Less a mean that is known, which has their dimension.
    pub(crate) fn around(vectors: Vectors<'a>, mean: Vec<f32>) -> Centred<'a> {
        Centred { vectors, mean }
    }

    pub(crate) fn len(&self) -> usize {
        self.vectors.len()
    }

    pub(crate) fn dimension(&self) -> usize {
        self.mean.len()
    }

    pub(crate) fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Some rows, one behind the other, in the place of what is in `out`.
    pub(crate) fn rows(&self, rows: Range<usize>, out: &mut Vec<f32>) {
        out.clear();
        out.reserve(rows.len() * self.dimension());
        rows.for_each(|row| out.extend(self.row(row)));
    }

    /// The components of one row.
    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = f32> {
        self.vectors.row(row).iter().zip(&self.mean).map(|(x, mean)| x - mean)
    }
}

/// That all components can be squared and added up in f32.
///
/// 10¹⁵ is far beyond what an embedding has; with at most that, the squared distance of two vectors of 10⁷ components is
/// finite.
pub(crate) fn check_size(vectors: Vectors<'_>) -> Result<(), VectorsError> {
    const LIMIT: f32 = 1e15;
    let Some(at) = vectors.as_slice().iter().position(|x| x.abs() > LIMIT) else { return Ok(()) };
    let (vector, component) = (at / vectors.dimension(), at % vectors.dimension());
    Err(VectorsError::TooLarge { vector, component, value: vectors.row(vector)[component], limit: LIMIT })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_less_the_mean() {
        let numbers = [1.0, 10.0, 2.0, 20.0, 6.0, 60.0];
        let centred = Centred::new(Vectors::new(&numbers, 2).unwrap());
        assert_eq!(centred.mean(), [3.0, 30.0]);
        let mut rows = vec![7.0];
        centred.rows(1..3, &mut rows);
        assert_eq!(rows, [-1.0, -10.0, 3.0, 30.0]);
        assert_eq!(centred.row(0).collect::<Vec<_>>(), [-2.0, -20.0]);
    }

    #[test]
    fn the_mean_of_far_away_vectors_loses_nothing() {
        let numbers: Vec<f32> = (0..10_000).map(|i| 524_288.0 - (i % 2) as f32 / 2.0).collect();
        assert_eq!(Centred::new(Vectors::new(&numbers, 1).unwrap()).mean(), [524_287.75]);
    }

    #[test]
    fn what_is_too_large_is_found() {
        let mut numbers = vec![1.0, -1e15, 2.0, 3.0];
        assert_eq!(check_size(Vectors::new(&numbers, 2).unwrap()), Ok(()));
        numbers[3] = -2e15;
        let expected = VectorsError::TooLarge { vector: 1, component: 1, value: -2e15, limit: 1e15 };
        assert_eq!(check_size(Vectors::new(&numbers, 2).unwrap()), Err(expected));
    }
}
