use std::borrow::Cow;
use std::ops::Range;

use minilm_kernels::{
    Isa, euclidean_distance_matrix, l2_normalize, manhattan_distance_matrix, similarity_matrix,
};
use minilm_storage::Vectors;

use crate::SimilarityFunction;

/// Some vectors, ready to be compared with others, a block at a time.
pub(crate) struct Scorer<'a> {
    isa: Isa,
    function: SimilarityFunction,
    /// Normalised for the cosine.
    vectors: Cow<'a, [f32]>,
    dimension: usize,
}

/// What a thread computes in, from one block to the next.
#[derive(Default)]
pub(crate) struct Scratch {
    normalized: Vec<f32>,
    scores: Vec<f32>,
}

/// How many components a block has, so that it stays in L2 while all vectors go by, and beside its scores.
const BLOCK: usize = 64 * 1024;

impl<'a> Scorer<'a> {
    pub(crate) fn new(isa: Isa, function: SimilarityFunction, vectors: Vectors<'a>) -> Scorer<'a> {
        let mut components = Cow::Borrowed(vectors.as_slice());
        if function == SimilarityFunction::Cosine {
            normalize(isa, components.to_mut(), vectors.dimension());
        }
        Scorer { isa, function, vectors: components, dimension: vectors.dimension() }
    }

    /// How many vectors of that dimension a block has.
    pub(crate) fn block(dimension: usize) -> usize {
        (BLOCK / dimension.max(1)).max(16)
    }

    /// How similar vectors `rows` are to those of the block: `[rows][block]`, in the scratch. For every block, the bits are
    /// the same.
    pub(crate) fn score<'s>(
        &self,
        rows: Range<usize>,
        block: Vectors<'_>,
        scratch: &'s mut Scratch,
    ) -> &'s mut [f32] {
        let Scratch { normalized, scores } = scratch;
        let k = self.dimension;
        let a = &self.vectors[rows.start * k..rows.end * k];
        let mut b = block.as_slice();
        if self.function == SimilarityFunction::Cosine {
            normalized.clear();
            normalized.extend_from_slice(b);
            normalize(self.isa, normalized, k);
            b = normalized;
        }
        // All of them are written.
        scores.resize(rows.len() * block.len(), 0.0);
        let compute = match self.function {
            SimilarityFunction::Cosine | SimilarityFunction::DotProduct => similarity_matrix,
            SimilarityFunction::Euclidean => euclidean_distance_matrix,
            SimilarityFunction::Manhattan => manhattan_distance_matrix,
        };
        compute(self.isa, a, b, k, scores);
        if matches!(self.function, SimilarityFunction::Euclidean | SimilarityFunction::Manhattan) {
            scores.iter_mut().for_each(|score| *score = -*score);
        }
        scores
    }
}

/// Each row, in place.
fn normalize(isa: Isa, rows: &mut [f32], dimension: usize) {
    rows.chunks_exact_mut(dimension.max(1)).for_each(|row| l2_normalize(isa, row));
}
