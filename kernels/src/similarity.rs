//! Dot products of vectors: one with one, and all of one set with all of another.
//!
//! The cosine similarity of two vectors is the dot product of the vectors normalised
//! ([`l2_normalize`](crate::l2_normalize)). Embeddings that are normalised already, as those of
//! all-MiniLM-L6-v2 are, need nothing more.
//!
//! # The tile
//!
//! The sets are used as they lie, a vector a row: lanes run along k. A tile is MR rows of a × NR rows of
//! b, and each of its MR · NR dot products has its sixteen lanes in an accumulator:
//!
//! ```text
//!                        b[0]              b[1]         …     b[NR−1]
//!          step:     [s … s+15]        [s … s+15]                             one load each
//!  a[0]  [s … s+15]  acc[0][0] +=      acc[0][1] +=           …
//!  a[1]  [s … s+15]  acc[1][0] +=      acc[1][1] +=           …               one load a row,
//!    ⋮                                                                        one fma an accumulator
//!  a[MR−1]
//! ```
//!
//! Vectors side by side are not the order in which memory is read fastest. So each step prefetches as much of
//! the *next* NR rows as it uses of these, front to back: four vectors against 100 000 of 384 (154 MB) take
//! half the time by that. A single vector takes the rows of b one by one and needs no help.
//!
//! An accumulator takes what [`crate::reference::dot`] says in the order it says, and ends in the tree, so an
//! element's bits depend neither on the shape of its tile nor on its neighbours.
//!
//! What a step does to an accumulator is the tile's parameter, a [`Metric`]: the distances of `distance.rs` are other ones.

use std::marker::PhantomData;

use crate::dispatch::{Isa, Kernel};
use crate::simd::{LANES, Simd};

/// How two vectors become a number: what sixteen of their elements do to sixteen lanes, and what the sum of the
/// lanes becomes.
pub(crate) trait Metric {
    /// What a and b have beyond their ends: lanes that leave every sum as it is.
    const BEYOND: (f32, f32);

    /// How many vectors a step holds beside a, b and the sum.
    const BETWEEN: usize;

    /// The lanes with sixteen elements more.
    fn step<S: Simd>(simd: S, a: S::F32, b: S::F32, sum: S::F32) -> S::F32;

    /// The number.
    fn finish(sum: f32) -> f32;
}

/// The dot product: [`crate::reference::dot`].
struct Product;

impl Metric for Product {
    // 0 · −0 = −0, which leaves every sum as it is; +0 would not leave −0.
    const BEYOND: (f32, f32) = (0.0, -0.0);
    const BETWEEN: usize = 0;

    #[inline(always)]
    fn step<S: Simd>(simd: S, a: S::F32, b: S::F32, sum: S::F32) -> S::F32 {
        simd.mul_add(a, b, sum)
    }

    #[inline(always)]
    fn finish(sum: f32) -> f32 {
        sum
    }
}

/// The most rows of a, and of b, of a tile.
const MAX_TILE: usize = 4;

/// Vectors of a that are kept in L2 while all of b goes by: so many f32.
const BLOCK: usize = 32 * 1024;

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
    isa.run(Pair { a, b, metric: PhantomData::<M> })
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
    let (m, n) = (a.len() / k, b.len() / k);
    let elements = out.len();
    assert_eq!(Some(elements), m.checked_mul(n), "{name}: out has {elements} elements for m = {m}, n = {n}");
    let (a, b) = (Vectors { data: a, k }, Vectors { data: b, k });
    isa.run(Matrix { a, m, b, n, out, metric: PhantomData::<M> });
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
        let mut out = [0.0];
        let k = self.a.len();
        tile::<S, M, 1, 1>(simd, Vectors { data: self.a, k }, Vectors { data: self.b, k }, &mut out, 1);
        out[0]
    }
}

struct Matrix<'a, M> {
    a: Vectors<'a>,
    m: usize,
    b: Vectors<'a>,
    n: usize,
    out: &'a mut [f32],
    metric: PhantomData<M>,
}

impl<M: Metric> Kernel for Matrix<'_, M> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Matrix { a, m, b, n, out, .. } = self;
        let block = (BLOCK / a.k).max(MAX_TILE).next_multiple_of(MAX_TILE);
        // From outside in: a block of a for L2, a few rows of b for L1, the rows of a tile.
        for first_row in (0..m).step_by(block) {
            let end = m.min(first_row + block);
            let most_rows = tile_rows::<S>().min(end - first_row);
            let most_columns = tile_columns::<S, M>(most_rows);
            for column in (0..n).step_by(most_columns) {
                let columns = most_columns.min(n - column);
                for row in (first_row..end).step_by(most_rows) {
                    let rows = most_rows.min(end - row);
                    let out = &mut out[row * n + column..];
                    run_tile::<S, M>(simd, (rows, columns), a.skip(row), b.skip(column), out, n);
                }
            }
        }
    }
}

/// How many rows of a tile an instruction set has registers for.
#[inline(always)]
fn tile_rows<S: Simd>() -> usize {
    if S::ACCUMULATORS >= MAX_TILE * MAX_TILE { MAX_TILE } else { 2 }
}

/// How many rows of b a tile of so many rows of a takes: what there are registers for, and two at least. With a single row
/// of a, memory sets the pace.
#[inline(always)]
fn tile_columns<S: Simd, M: Metric>(rows: usize) -> usize {
    if rows == 1 { 1 } else { ((S::ACCUMULATORS - M::BETWEEN) / rows).clamp(2, MAX_TILE) }
}

/// The tile of that many rows and columns, at most [`tile_rows`] and what there are accumulators for.
///
/// Shapes that an instruction set has no registers for are never asked for and compile to nothing.
#[inline(always)]
fn run_tile<S: Simd, M: Metric>(
    simd: S,
    (rows, columns): (usize, usize),
    a: Vectors<'_>,
    b: Vectors<'_>,
    out: &mut [f32],
    stride: usize,
) {
    macro_rules! shapes {
        ($(($mr:literal, $nr:literal)),+ $(,)?) => {
            match (rows, columns) {
                $(($mr, $nr) if $mr <= tile_rows::<S>() && $mr * $nr <= S::ACCUMULATORS => {
                    tile::<S, M, $mr, $nr>(simd, a, b, out, stride)
                })+
                _ => unreachable!("no tile of {rows} rows and {columns} columns"),
            }
        };
    }
    shapes!(
        (1, 1),
        (1, 2),
        (1, 3),
        (1, 4),
        (2, 1),
        (2, 2),
        (2, 3),
        (2, 4),
        (3, 1),
        (3, 2),
        (3, 3),
        (3, 4),
        (4, 1),
        (4, 2),
        (4, 3),
        (4, 4),
    );
}

/// MR rows of a with NR rows of b → `out[r · stride + c]`.
#[inline(always)]
fn tile<S: Simd, M: Metric, const MR: usize, const NR: usize>(
    simd: S,
    a: Vectors<'_>,
    b: Vectors<'_>,
    out: &mut [f32],
    stride: usize,
) {
    let steps = a.k / LANES;
    let (a_chunks, a_tails) = a.split::<MR>(steps);
    let (b_chunks, b_tails) = b.split::<NR>(steps);

    let mut acc = [[simd.splat(0.0); NR]; MR];
    for step in 0..steps {
        let mut x = [simd.splat(0.0); MR];
        for r in 0..MR {
            x[r] = simd.load(&a_chunks[r][step]);
        }
        for c in 0..NR {
            if NR > 1 {
                simd.prefetch_l1(b.data.as_ptr().wrapping_add(NR * b.k + (step * NR + c) * LANES));
            }
            let y = simd.load(&b_chunks[c][step]);
            for r in 0..MR {
                acc[r][c] = M::step(simd, x[r], y, acc[r][c]);
            }
        }
    }
    if !a.k.is_multiple_of(LANES) {
        for r in 0..MR {
            let x = simd.load_partial(a_tails[r], M::BEYOND.0);
            for c in 0..NR {
                acc[r][c] = M::step(simd, x, simd.load_partial(b_tails[c], M::BEYOND.1), acc[r][c]);
            }
        }
    }
    for r in 0..MR {
        for c in 0..NR {
            out[r * stride + c] = M::finish(simd.reduce_add(acc[r][c]));
        }
    }
}

/// Vectors of k elements, one behind the other.
#[derive(Clone, Copy)]
struct Vectors<'a> {
    data: &'a [f32],
    k: usize,
}

impl<'a> Vectors<'a> {
    /// The rows from that one on.
    #[inline(always)]
    fn skip(self, rows: usize) -> Self {
        Vectors { data: &self.data[rows * self.k..], k: self.k }
    }

    /// The first N rows, each as that many (k / 16) vectors of sixteen lanes and what is left over.
    #[inline(always)]
    fn split<const N: usize>(self, steps: usize) -> ([&'a [[f32; LANES]]; N], [&'a [f32]; N]) {
        let (mut chunks, mut tails): ([&[[f32; LANES]]; N], [&[f32]; N]) = ([&[]; N], [&[]; N]);
        for row in 0..N {
            let (whole, tail) = self.data[row * self.k..][..self.k].as_chunks();
            (chunks[row], tails[row]) = (&whole[..steps], tail);
        }
        (chunks, tails)
    }
}
