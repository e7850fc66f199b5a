//! int8: what is common to all instruction sets.
//!
//! Activations are unsigned bytes with a zero point a row, weights signed bytes. With activation a = scale · (q − zero)
//! and weight w = column_scale · v,
//!
//! ```text
//! Σ a · w = scale · column_scale · (Σ q · v − zero · Σ v)
//! ```
//!
//! where Σ q · v is what the instructions sum up, exactly, and Σ v is known since the weight was packed. Rows of more than
//! [`INT8_GROUP`] activations are several groups, each with scales of its own: a chain of sums ends with its group.

use super::{ColumnScales, Dot, DotKernel};
use crate::reference::{INT8_GROUP, RowScale};
use crate::simd::{Lanes, Simd};

/// A step of int8 on an instruction set. A value is the proof that the machine has it.
pub(crate) trait Int8Step: Copy + Send + Sync + 'static {
    type Simd: Simd;
    type Line: Copy;
    type Word: Copy;

    /// As [`Dot::TILE_ROWS`].
    const TILE_ROWS: usize;

    /// As [`Dot::ACCUMULATORS`].
    const ACCUMULATORS: usize;

    /// What is subtracted from each activation before it is multiplied.
    const OFFSET: f32 = 0.0;

    fn simd(self) -> Self::Simd;

    /// As [`Dot::call`], of [`Int8`] with this step.
    fn call<K: DotKernel>(self, kernel: K) -> K::Output;

    fn line(self, line: &Lanes) -> Self::Line;

    fn word(self, word: u32) -> Self::Word;

    /// `sums` and the four products of each lane.
    fn dot(
        self,
        word: Self::Word,
        line: Self::Line,
        sums: <Self::Simd as Simd>::I32,
    ) -> <Self::Simd as Simd>::I32;
}

/// int8 on the instruction set of a step.
#[derive(Clone, Copy)]
pub(crate) struct Int8<I>(pub(crate) I);

/// What is known of sixteen columns.
#[derive(Clone, Copy)]
pub(crate) struct Int8Columns<S: Simd> {
    scales: S::F32,
    /// Of each column's weights.
    sums: S::F32,
}

impl<I: Int8Step> Dot for Int8<I> {
    type Simd = I::Simd;
    type Line = I::Line;
    type Word = I::Word;
    type Sums = <I::Simd as Simd>::I32;
    type Columns = Int8Columns<I::Simd>;

    const TILE_ROWS: usize = I::TILE_ROWS;
    const ACCUMULATORS: usize = I::ACCUMULATORS;
    const BLOCK: usize = INT8_GROUP / 4;
    const CHAINS: bool = true;
    const BIAS_FIRST: bool = true;

    #[inline(always)]
    fn simd(self) -> I::Simd {
        self.0.simd()
    }

    #[inline(always)]
    fn call<K: DotKernel>(self, kernel: K) -> K::Output {
        self.0.call(kernel)
    }

    #[inline(always)]
    fn zero(self) -> Self::Sums {
        self.simd().splat_i32(0)
    }

    #[inline(always)]
    fn line(self, line: &Lanes) -> I::Line {
        self.0.line(line)
    }

    #[inline(always)]
    fn word(self, word: u32) -> I::Word {
        self.0.word(word)
    }

    #[inline(always)]
    fn dot(self, word: I::Word, line: I::Line, sums: Self::Sums) -> Self::Sums {
        self.0.dot(word, line, sums)
    }

    #[inline(always)]
    fn columns(self, scales: Option<ColumnScales<'_>>, panel: usize, chain: usize) -> Self::Columns {
        let ColumnScales { scales, sums, stride } = scales.expect("weights of int8 have scales");
        let at = chain * stride + panel;
        Int8Columns { scales: self.simd().load(&scales[at].0), sums: self.simd().load(&sums[at].0) }
    }

    /// Σ q · v − zero · Σ v: see [`reference::linear_int8`](crate::reference::linear_int8).
    #[inline(always)]
    fn numbers(self, sums: Self::Sums, row: RowScale, columns: Self::Columns) -> <I::Simd as Simd>::F32 {
        // All are integers below 2²⁴, for a group is not longer, so this is their difference, rounded once.
        const { assert!(INT8_GROUP * 255 * 127 < 1 << 24) };
        let simd = self.simd();
        simd.mul_add(simd.splat(I::OFFSET - row.zero), columns.sums, simd.to_f32(sums))
    }

    #[inline(always)]
    fn add_numbers(
        self,
        before: <I::Simd as Simd>::F32,
        numbers: <I::Simd as Simd>::F32,
        row: RowScale,
        columns: Self::Columns,
    ) -> <I::Simd as Simd>::F32 {
        let simd = self.simd();
        simd.mul_add(numbers, simd.mul(simd.splat(row.scale), columns.scales), before)
    }
}
