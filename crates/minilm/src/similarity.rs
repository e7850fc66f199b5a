//! How similar vectors are, by the functions of sentence-transformers (`util/similarity.py`).

mod function;
mod matrix;
mod scorer;

pub use function::{SimilarityFunction, UnknownSimilarityFunction};
pub use matrix::SimilarityMatrix;
pub(crate) use scorer::{Scorer, Scratch};

use std::sync::OnceLock;

use minilm_kernels::{Isa, dot};
use minilm_storage::{Vectors, VectorsError};
use rayon::prelude::*;

/// Multiply-adds from which on threads pay off: some hundred microseconds of them.
const WORTH_THREADS: usize = 1 << 22;

/// How many rows a piece of a matrix has, and how many pairs one of pairs.
const ROWS: usize = 256;

/// The instruction set of all that is done with vectors, for which no model says it: the one that `MINILM_ISA` names, or the
/// fastest. As no bit depends on it, a name that this machine does not have is passed over here; loading a model refuses it.
pub(crate) fn default_isa() -> Isa {
    static ISA: OnceLock<Isa> = OnceLock::new();
    *ISA.get_or_init(|| Isa::from_env().unwrap_or_else(|_| Isa::best()))
}

/// The cosine of every vector of `a`, `[m][dimension]`, and every vector of `b`, `[n][dimension]`: `[m][n]`.
///
/// Both are scaled to length 1 as [`pairwise_cos_sim`] says; `a` as a whole, in a copy, `b` a block at a time. Where one set
/// is much larger, it should be `b`.
///
/// ```
/// use minilm::{Vectors, cos_sim};
///
/// let corpus = [1.0, 0.0, 3.0, 4.0, 0.0, -2.0];
/// let similarities = cos_sim(&vec![0.0, 5.0], Vectors::new(&corpus, 2)?)?;
/// assert_eq!(similarities.row(0), [0.0, 0.8, -1.0]);
/// # Ok::<(), minilm::VectorsError>(())
/// ```
///
/// # Errors
///
/// [`VectorsError::DimensionMismatch`] if both have vectors, of different dimensions.
pub fn cos_sim<'a, 'b>(
    a: impl Into<Vectors<'a>>,
    b: impl Into<Vectors<'b>>,
) -> Result<SimilarityMatrix, VectorsError> {
    SimilarityFunction::Cosine.similarity(a, b)
}

/// The dot product of every vector of `a`, `[m][dimension]`, and every vector of `b`, `[n][dimension]`: `[m][n]`.
///
/// Of vectors of length 1, such as those of all-MiniLM-L6-v2, it is the cosine, and faster.
///
/// # Errors
///
/// [`VectorsError::DimensionMismatch`] if both have vectors, of different dimensions.
pub fn dot_score<'a, 'b>(
    a: impl Into<Vectors<'a>>,
    b: impl Into<Vectors<'b>>,
) -> Result<SimilarityMatrix, VectorsError> {
    SimilarityFunction::DotProduct.similarity(a, b)
}

/// The negative Euclidean distance, −√Σ (a − b)², of every vector of `a`, `[m][dimension]`, and every vector of `b`,
/// `[n][dimension]`: `[m][n]`.
///
/// It is a sum of squared differences always. `torch.cdist`, which sentence-transformers takes, computes it from dot
/// products once a set has more than 25 vectors, and is then off by up to 1e-3 of the vectors' lengths where they are close.
///
/// ```
/// let similarities = minilm::euclidean_sim(&vec![1.0, 1.0], &vec![4.0, 5.0])?;
/// assert_eq!(similarities.row(0), [-5.0]);
/// # Ok::<(), minilm::VectorsError>(())
/// ```
///
/// # Errors
///
/// [`VectorsError::DimensionMismatch`] if both have vectors, of different dimensions.
pub fn euclidean_sim<'a, 'b>(
    a: impl Into<Vectors<'a>>,
    b: impl Into<Vectors<'b>>,
) -> Result<SimilarityMatrix, VectorsError> {
    SimilarityFunction::Euclidean.similarity(a, b)
}

/// The negative Manhattan distance, −Σ |a − b|, of every vector of `a`, `[m][dimension]`, and every vector of `b`,
/// `[n][dimension]`: `[m][n]`.
///
/// # Errors
///
/// [`VectorsError::DimensionMismatch`] if both have vectors, of different dimensions.
pub fn manhattan_sim<'a, 'b>(
    a: impl Into<Vectors<'a>>,
    b: impl Into<Vectors<'b>>,
) -> Result<SimilarityMatrix, VectorsError> {
    SimilarityFunction::Manhattan.similarity(a, b)
}

/// The cosine of vector i of `a` and vector i of `b`, for every i: `[n]`.
///
/// It is the dot product of the two, each divided by its Euclidean norm, or by 1e-12 if the norm is smaller: a vector of
/// zeros has the cosine 0 to all others. Bits are those of the diagonal of [`cos_sim`].
///
/// ```
/// use minilm::{Vectors, pairwise_cos_sim};
///
/// let (a, b) = ([1.0, 0.0, 3.0, 4.0], [2.0, 0.0, 0.0, 1.0]);
/// assert_eq!(pairwise_cos_sim(Vectors::new(&a, 2)?, Vectors::new(&b, 2)?)?, [1.0, 0.8]);
/// # Ok::<(), minilm::VectorsError>(())
/// ```
///
/// # Errors
///
/// [`VectorsError::LengthMismatch`] if there are not as many of each, [`VectorsError::DimensionMismatch`] if they are of
/// different dimensions.
pub fn pairwise_cos_sim<'a, 'b>(
    a: impl Into<Vectors<'a>>,
    b: impl Into<Vectors<'b>>,
) -> Result<Vec<f32>, VectorsError> {
    SimilarityFunction::Cosine.similarity_pairwise(a, b)
}

/// The dot product of vector i of `a` and vector i of `b`, for every i: `[n]`.
///
/// # Errors
///
/// As [`pairwise_cos_sim`].
pub fn pairwise_dot_score<'a, 'b>(
    a: impl Into<Vectors<'a>>,
    b: impl Into<Vectors<'b>>,
) -> Result<Vec<f32>, VectorsError> {
    SimilarityFunction::DotProduct.similarity_pairwise(a, b)
}

/// The negative Euclidean distance of vector i of `a` and vector i of `b`, for every i: `[n]`.
///
/// # Errors
///
/// As [`pairwise_cos_sim`].
pub fn pairwise_euclidean_sim<'a, 'b>(
    a: impl Into<Vectors<'a>>,
    b: impl Into<Vectors<'b>>,
) -> Result<Vec<f32>, VectorsError> {
    SimilarityFunction::Euclidean.similarity_pairwise(a, b)
}

/// The negative Manhattan distance of vector i of `a` and vector i of `b`, for every i: `[n]`.
///
/// # Errors
///
/// As [`pairwise_cos_sim`].
pub fn pairwise_manhattan_sim<'a, 'b>(
    a: impl Into<Vectors<'a>>,
    b: impl Into<Vectors<'b>>,
) -> Result<Vec<f32>, VectorsError> {
    SimilarityFunction::Manhattan.similarity_pairwise(a, b)
}

/// The angle similarity of vector i of `a` and vector i of `b`, for every i: `[n]`, none negative (Li and Li, [AnglE],
/// 2023).
///
/// The first half of a vector is taken for real parts, the second for imaginary ones, after a zero at the end where the
/// dimension is odd. With the complex quotients q of the components, by their absolute value scaled as the norms of both
/// vectors are, it is |Σ Re q + Im q|. NaN where one of the vectors is zero, as in sentence-transformers.
///
/// [AnglE]: https://huggingface.co/papers/2309.12871
///
/// # Errors
///
/// As [`pairwise_cos_sim`].
pub fn pairwise_angle_sim<'a, 'b>(
    a: impl Into<Vectors<'a>>,
    b: impl Into<Vectors<'b>>,
) -> Result<Vec<f32>, VectorsError> {
    let isa = default_isa();
    each_pair(a.into(), b.into(), |(), x, y| angle(isa, x, y))
}

/// Of x = a + ib and y = c + id: |Σ (ac + bd) + (bc − ad)| / (‖x‖ · ‖y‖), which is what all the divisions by z = ‖y‖² and
/// by ‖x‖ / ‖y‖ come to.
fn angle(isa: Isa, x: &[f32], y: &[f32]) -> f32 {
    let half = x.len().div_ceil(2);
    let ((a, b), (c, d)) = (x.split_at(half), y.split_at(half));
    // Where b and d are shorter, what goes with their last element is 0.
    let real = dot(isa, a, c) + dot(isa, b, d);
    let imaginary = dot(isa, b, &c[..b.len()]) - dot(isa, &a[..d.len()], d);
    let norm = |v| dot(isa, v, v).sqrt();
    ((real + imaginary) / (norm(x) * norm(y))).abs()
}

impl SimilarityFunction {
    /// The similarity of every vector of `a`, `[m][dimension]`, and every vector of `b`, `[n][dimension]`: `[m][n]`, by
    /// [`cos_sim`], [`dot_score`], [`euclidean_sim`] or [`manhattan_sim`].
    ///
    /// # Errors
    ///
    /// [`VectorsError::DimensionMismatch`] if both have vectors, of different dimensions.
    pub fn similarity<'a, 'b>(
        self,
        a: impl Into<Vectors<'a>>,
        b: impl Into<Vectors<'b>>,
    ) -> Result<SimilarityMatrix, VectorsError> {
        similarity(default_isa(), self, a.into(), b.into())
    }

    /// The similarity of vector i of `a` and vector i of `b`, for every i: `[n]`, by [`pairwise_cos_sim`],
    /// [`pairwise_dot_score`], [`pairwise_euclidean_sim`] or [`pairwise_manhattan_sim`].
    ///
    /// # Errors
    ///
    /// As [`pairwise_cos_sim`].
    pub fn similarity_pairwise<'a, 'b>(
        self,
        a: impl Into<Vectors<'a>>,
        b: impl Into<Vectors<'b>>,
    ) -> Result<Vec<f32>, VectorsError> {
        let isa = default_isa();
        each_pair(a.into(), b.into(), |scratch: &mut Scratch, x, y| {
            Scorer::new(isa, self, x.into()).score(0..1, y.into(), scratch)[0]
        })
    }
}

/// Out is cut into pieces of some rows and a block of columns each, which threads compute one by one.
fn similarity(
    isa: Isa,
    function: SimilarityFunction,
    a: Vectors<'_>,
    b: Vectors<'_>,
) -> Result<SimilarityMatrix, VectorsError> {
    a.check_dimension(b)?;
    let (m, n) = (a.len(), b.len());
    let mut out = vec![0.0; m * n];
    if out.is_empty() {
        return Ok(SimilarityMatrix::new(out, m, n));
    }
    let scorer = Scorer::new(isa, function, a);
    let block = Scorer::block(b.dimension());
    // The cells of a piece, row by row, with its first row and column.
    let mut pieces: Vec<(usize, usize, Vec<&mut [f32]>)> = Vec::new();
    for (i, rows) in out.chunks_mut(ROWS * n).enumerate() {
        let first = pieces.len();
        pieces
            .extend((0..n).step_by(block).map(|column| (i * ROWS, column, Vec::with_capacity(ROWS.min(m)))));
        for row in rows.chunks_mut(n) {
            for (piece, cells) in pieces[first..].iter_mut().zip(row.chunks_mut(block)) {
                piece.2.push(cells);
            }
        }
    }
    let compute = |scratch: &mut Scratch, (row, column, cells): (usize, usize, Vec<&mut [f32]>)| {
        let columns = cells[0].len();
        let scores = scorer.score(row..row + cells.len(), b.range(column, column + columns), scratch);
        for (cells, scores) in cells.into_iter().zip(scores.chunks_exact(columns)) {
            cells.copy_from_slice(scores);
        }
    };
    if m.saturating_mul(n).saturating_mul(a.dimension()) < WORTH_THREADS {
        let mut scratch = Scratch::default();
        pieces.into_iter().for_each(|piece| compute(&mut scratch, piece));
    } else {
        pieces.into_par_iter().for_each_init(Scratch::default, compute);
    }
    Ok(SimilarityMatrix::new(out, m, n))
}

/// A number of every pair; a thread keeps its `T` from one to the next.
fn each_pair<T: Default>(
    a: Vectors<'_>,
    b: Vectors<'_>,
    score: impl Fn(&mut T, &[f32], &[f32]) -> f32 + Sync,
) -> Result<Vec<f32>, VectorsError> {
    if a.len() != b.len() {
        return Err(VectorsError::LengthMismatch { expected: a.len(), found: b.len() });
    }
    a.check_dimension(b)?;
    let mut out = vec![0.0; a.len()];
    let compute = |state: &mut T, (piece, out): (usize, &mut [f32])| {
        for (i, out) in out.iter_mut().enumerate() {
            *out = score(state, a.row(piece * ROWS + i), b.row(piece * ROWS + i));
        }
    };
    if a.as_slice().len() < WORTH_THREADS {
        let mut state = T::default();
        out.chunks_mut(ROWS).enumerate().for_each(|piece| compute(&mut state, piece));
    } else {
        out.par_chunks_mut(ROWS).enumerate().for_each_init(T::default, compute);
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
