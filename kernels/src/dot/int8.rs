//! int8: what is common to all instruction sets.
//!
//! Activations are unsigned bytes with a zero point a row, weights signed bytes. With activation a = scale · (q − zero)
//! and weight w = column_scale · v,
//!
//! ```text
//! Σ a · w = scale · column_scale · (Σ q · v − zero · Σ v)
//! ```
//!
//! where Σ q · v is what the instructions sum up, exactly, and Σ v is known since the weight was packed.

use super::{ColumnScales, Dot, DotKernel};
use crate::reference::RowScale;
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
    const OFFSET: i32 = 0;

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
    sums: S::I32,
}

impl<I: Int8Step> Dot for Int8<I> {
    type Simd = I::Simd;
    type Line = I::Line;
    type Word = I::Word;
    type Sums = <I::Simd as Simd>::I32;
    type Columns = Int8Columns<I::Simd>;

    const TILE_ROWS: usize = I::TILE_ROWS;
    const ACCUMULATORS: usize = I::ACCUMULATORS;
    const CHAIN: usize = usize::MAX;

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
    fn columns(self, scales: Option<ColumnScales<'_>>, panel: usize) -> Self::Columns {
        let ColumnScales { scales, sums } = scales.expect("weights of int8 have scales");
        Int8Columns {
            scales: self.simd().load(&scales[panel].0),
            sums: self.simd().load_i32(bytemuck::cast_ref(&sums[panel].0)),
        }
    }

    /// See [`reference::linear_int8`](crate::reference::linear_int8).
    #[inline(always)]
    fn values(
        self,
        sums: Self::Sums,
        row: RowScale,
        columns: Self::Columns,
        bias: Option<<I::Simd as Simd>::F32>,
    ) -> <I::Simd as Simd>::F32 {
        let simd = self.simd();
        let zero = simd.splat_i32(row.zero - I::OFFSET);
        let sums = simd.to_f32(simd.sub_product_i32(sums, zero, columns.sums));
        let scale = simd.mul(simd.splat(row.scale), columns.scales);
        match bias {
            Some(bias) => simd.mul_add(sums, scale, bias),
            None => simd.mul(sums, scale),
        }
    }
}
