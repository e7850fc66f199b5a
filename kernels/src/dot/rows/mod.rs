//! Dot products along rows: sixteen lanes run along k, for vectors that lie as they are, one behind the other.
//!
//! A step multiplies a *chunk* of a query with a chunk of a row and adds what comes out to sixteen sums, which the one
//! tree makes a score of in the end:
//!
//! ```text
//!            chunk                    sixteen sums               score
//! f32        16 numbers               f32: fma                   the dot product, by the one tree; or a distance
//! int8       64 (or 32) bytes         i32: exact                 the dot product
//! uint8      64 (or 32) bytes         i32: exact                 the dot product
//! bits       512 bits                 i32: exact                 the number of bits that differ, negated
//! ```
//!
//! A [`RowDot`] is a type of components on an instruction set. Whoever calls it has filled the last chunk of a query with
//! zeros, whereas the last chunk of a row goes on into whatever lies behind it.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod binary;
mod bytes;
mod f32;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod vnni;
#[cfg(target_arch = "x86_64")]
mod vpopcntdq;

pub(crate) use binary::{BinaryRows, BitCounts};
pub(crate) use bytes::{ByteProducts, Int8Rows, Uint8Rows};
pub(crate) use f32::{F32Rows, Metric, Product};
#[cfg(target_arch = "x86_64")]
pub(crate) use vpopcntdq::Avx512Vpopcntdq;

use bytemuck::Pod;

use super::{Inside, Ready};
use crate::score::ScoreLanes;
use crate::search::Component;
use crate::simd::{LANES, Simd};

/// A type of components on an instruction set. A value is the proof that the machine has it, as a [`Simd`] is.
pub(crate) trait RowDot: Copy + Send + Sync + 'static {
    /// What everything around the products runs on.
    type Simd: Simd;

    /// What vectors are made of.
    type Component: Component;

    /// What a step takes of a vector: an array of components, which divides 64 bytes.
    type Chunk: Pod;

    /// A chunk of a query, and one of a row, as the products want them.
    type Query: Copy;
    type Row: Copy;

    /// What the scores of a query need besides the products.
    type Constant: Copy;

    /// The most queries of a tile, and with how many rows: queries · rows sums, and beside them what a step has loaded,
    /// are in registers. A single query takes [`ROWS_OF_ONE`](RowDot::ROWS_OF_ONE) rows. Numbers of rows divide sixteen.
    const QUERIES: usize;
    const ROWS: usize;
    const ROWS_OF_ONE: usize;

    fn simd(self) -> Self::Simd;

    /// Runs `kernel` as a function of its own, compiled for this instruction set: as [`Simd::call`].
    fn call<K: RowKernel<Self::Component>>(self, kernel: K) -> K::Output;

    fn constant(self, query: &[Self::Component]) -> Self::Constant;

    fn query(self, chunk: &Self::Chunk) -> Self::Query;

    fn row(self, chunk: &Self::Chunk) -> Self::Row;

    /// The last chunk of a row, of which so many components are its own: the others add nothing.
    fn last_row(self, chunk: &Self::Chunk, components: usize) -> Self::Row;

    fn zero(self) -> RowSums<Self>;

    /// A step: `sums` and the products of both.
    fn dot(self, query: Self::Query, row: Self::Row, sums: RowSums<Self>) -> RowSums<Self>;

    /// Lane i is the score of row i, from all its steps.
    fn scores(self, sums: [RowSums<Self>; LANES], constant: Self::Constant) -> RowSums<Self>;
}

/// Sixteen sums of a [`RowDot`], and sixteen scores.
pub(crate) type RowSums<D> = <ScoreOf<D> as ScoreLanes>::Vector<<D as RowDot>::Simd>;

/// What rows are ordered by.
pub(crate) type ScoreOf<D> = <<D as RowDot>::Component as Component>::Score;

/// How many components a chunk has.
pub(crate) const fn chunk_len<D: RowDot>() -> usize {
    size_of::<D::Chunk>() / size_of::<D::Component>()
}

/// A kernel over vectors of such components, ready to run on any instruction set.
///
/// `run` must be `#[inline(always)]`, as must everything generic that it calls.
pub(crate) trait RowKernel<C: Component> {
    type Output;

    fn run<D: RowDot<Component = C>>(self, dot: D) -> Self::Output;
}

/// A [`RowKernel`] and what it runs on.
struct On<K, D>(K, D);

impl<D: RowDot, K: RowKernel<D::Component>> Ready for On<K, D> {
    type Output = K::Output;

    #[inline(always)]
    fn run(self) -> K::Output {
        self.0.run(self.1)
    }
}

/// An instruction set that adds products of integers up: what bytes and bits have in common. A value is the proof that the
/// machine has it.
pub(crate) trait IntegerDot: Copy + Send + Sync + 'static {
    type Simd: Simd;

    /// See [`RowDot`].
    const QUERIES: usize;
    const ROWS: usize;
    const ROWS_OF_ONE: usize;

    fn simd(self) -> Self::Simd;

    /// Runs what is ready as a function of its own, compiled for this instruction set.
    fn call_ready<R: Ready>(self, ready: R) -> R::Output;
}

/// Sixteen sums of an [`IntegerDot`].
type I32<D> = <<D as IntegerDot>::Simd as Simd>::I32;

/// Where a [`Simd`] is all that it takes: plain Rust, AVX2, NEON.
impl<S: Simd> IntegerDot for S {
    type Simd = S;

    // Of 16 registers of eight lanes, 2 × 2 × 2 are sums, 4 of queries, 2 of a row. Of NEON's 32 with four lanes, as many
    // again.
    const QUERIES: usize = 2;
    const ROWS: usize = 2;
    const ROWS_OF_ONE: usize = 1;

    #[inline(always)]
    fn simd(self) -> S {
        self
    }

    #[inline(always)]
    fn call_ready<R: Ready>(self, ready: R) -> R::Output {
        self.call(Inside(ready))
    }
}
