//! Distances of all pairs of vectors.

use minilm_kernels::{Isa, dot, l2_normalize, similarity_matrix};
use minilm_storage::Vectors;

use super::squared_distance;
use crate::centred::Centred;
use crate::threads::on_items;

/// Rows that a thread takes at once, and columns that it takes them with.
const ROWS: usize = 32;
const COLUMNS: usize = 1024;

/// Below this share of both squared lengths a squared distance is not taken from their dot product, which would leave it
/// half of its digits or fewer: it is added up from the differences.
const NEAR: f32 = 0.125;

/// Vectors as distances are computed from.
pub(super) struct Prepared {
    /// `[n][dimension]`
    pub(super) components: Vec<f32>,
    dimension: usize,
    distance: PairDistance,
    isa: Isa,
}

/// What is computed of two vectors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PairDistance {
    /// |a − b|
    Euclidean,
    /// |a − b|² / 2 of vectors of unit length, which is 1 − cos; and 1 if one of them is 0.
    HalfSquared,
}

impl Prepared {
    /// For |a − b|: less their mean, around which distances are most accurate.
    pub(super) fn euclidean(vectors: Vectors<'_>, isa: Isa) -> Prepared {
        let centred = Centred::new(vectors);
        let mut components = Vec::new();
        centred.rows(0..centred.len(), &mut components);
        Prepared { components, dimension: vectors.dimension(), distance: PairDistance::Euclidean, isa }
    }

    /// For 1 − cos: of unit length. What is 0 stays 0.
    pub(super) fn cosine(vectors: Vectors<'_>, isa: Isa) -> Prepared {
        let mut components = vectors.as_slice().to_vec();
        components.chunks_exact_mut(vectors.dimension()).for_each(|row| l2_normalize(isa, row));
        Prepared { components, dimension: vectors.dimension(), distance: PairDistance::HalfSquared, isa }
    }

    fn row(&self, i: usize) -> &[f32] {
        &self.components[i * self.dimension..][..self.dimension]
    }

    /// Row by row, of each vector the distances to those behind it: n (n − 1) / 2. As `scipy.spatial.distance.pdist` has
    /// them.
    pub(super) fn condensed(&self, threads: usize, mut out: &mut [f32]) {
        let d = self.dimension;
        let n = self.components.len() / d;
        let squares: Vec<f32> = self.components.chunks_exact(d).map(|row| dot(self.isa, row, row)).collect();

        let mut blocks = Vec::new();
        for start in (0..n).step_by(ROWS) {
            let end = n.min(start + ROWS);
            let mut rows = Vec::with_capacity(ROWS);
            for i in start..end {
                let (row, rest) = out.split_at_mut(n - 1 - i);
                rows.push(row);
                out = rest;
            }
            blocks.push((start, rows));
        }
        on_items(threads, blocks.into_iter(), Vec::new, |products, (start, mut rows)| {
            let block = &self.components[start * d..(start + rows.len()) * d];
            for first in (start..n).step_by(COLUMNS) {
                let columns = COLUMNS.min(n - first);
                products.resize(rows.len() * columns, 0.0);
                similarity_matrix(
                    self.isa,
                    block,
                    &self.components[first * d..(first + columns) * d],
                    d,
                    products,
                );
                for (i, row) in rows.iter_mut().enumerate() {
                    let i = start + i;
                    for j in first.max(i + 1)..first + columns {
                        let product = products[(i - start) * columns + j - first];
                        row[j - i - 1] = self.distance(i, j, &squares, product);
                    }
                }
            }
        });
    }

    fn distance(&self, i: usize, j: usize, squares: &[f32], product: f32) -> f32 {
        let sum = squares[i] + squares[j];
        // Equal vectors give the same bits three times, and exactly 0.
        let mut squared = sum - 2.0 * product;
        if squared < NEAR * sum {
            squared = squared_distance(self.row(i), self.row(j)) as f32;
        }
        match self.distance {
            PairDistance::Euclidean => squared.sqrt(),
            PairDistance::HalfSquared if squares[i] == 0.0 || squares[j] == 0.0 => 1.0,
            PairDistance::HalfSquared => squared / 2.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condensed(prepared: &Prepared) -> Vec<f32> {
        let n = prepared.components.len() / prepared.dimension;
        let mut out = vec![f32::NAN; n * (n - 1) / 2];
        prepared.condensed(0, &mut out);
        out
    }

    #[test]
    fn pairs_are_in_the_order_of_scipy() {
        let numbers: Vec<f32> = (0..2 * COLUMNS + 7).map(|i| (i * i % 1009) as f32).collect();
        let found = condensed(&Prepared::euclidean(Vectors::new(&numbers, 1).unwrap(), Isa::best()));
        let mut pairs = found.iter();
        for (i, a) in numbers.iter().enumerate() {
            for b in &numbers[i + 1..] {
                let found = pairs.next().unwrap();
                assert!((found - (a - b).abs()).abs() <= 1e-4, "{a} and {b}: {found}");
            }
        }
        assert_eq!(pairs.next(), None);
    }

    #[test]
    fn small_distances_far_from_the_origin_keep_their_digits() {
        let numbers = [1000.0, 1000.0, 1000.0, 1000.001, 0.0, 0.0];
        let vectors = Vectors::new(&numbers, 2).unwrap();
        let found = condensed(&Prepared::euclidean(vectors, Isa::best()));
        let exact = f64::from(1000.001_f32) - 1000.0;
        assert!((f64::from(found[0]) / exact - 1.0).abs() < 1e-6, "{} {exact}", found[0]);
        let found = condensed(&Prepared::cosine(vectors, Isa::best()));
        // The angle is about exact / (2 · 1000), √2 / 2 of it across.
        assert!((0.0..2e-12).contains(&found[0]), "{}", found[0]);
        assert_eq!(found[1..], [1.0, 1.0]);
    }

    #[test]
    fn equal_vectors_have_no_distance() {
        let numbers: Vec<f32> = (0..3 * 37).map(|i| ((i % 37) as f32 * 0.37).sqrt()).collect();
        let vectors = Vectors::new(&numbers, 37).unwrap();
        for isa in Isa::available() {
            assert_eq!(condensed(&Prepared::euclidean(vectors, isa)), [0.0; 3]);
            assert_eq!(condensed(&Prepared::cosine(vectors, isa)), [0.0; 3]);
        }
    }
}
