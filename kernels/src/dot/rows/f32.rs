//! f32 on any [`Simd`]: the bits of [`reference::dot`](crate::reference::dot).

use super::{RowDot, RowKernel};
use crate::dispatch::Kernel;
use crate::simd::{LANES, Simd};

/// The number of each lane.
const LANE_NUMBERS: [f32; LANES] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];

#[derive(Clone, Copy)]
pub(crate) struct F32Rows<S>(pub(crate) S);

/// Runs a [`RowKernel`] of f32 where a [`Kernel`] is wanted.
struct Inside<K>(K);

impl<K: RowKernel<f32>> Kernel for Inside<K> {
    type Output = K::Output;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> K::Output {
        self.0.run(F32Rows(simd))
    }
}

impl<S: Simd> RowDot for F32Rows<S> {
    type Simd = S;
    type Component = f32;
    type Chunk = [f32; LANES];
    type Query = S::F32;
    type Row = S::F32;
    type Constant = ();

    const QUERIES: usize = match S::ACCUMULATORS {
        16.. => 4,
        6.. => 3,
        _ => 2,
    };
    const ROWS: usize = if S::ACCUMULATORS >= 16 { 4 } else { 2 };
    const ROWS_OF_ONE: usize = 1;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    fn call<K: RowKernel<f32>>(self, kernel: K) -> K::Output {
        self.0.call(Inside(kernel))
    }

    #[inline(always)]
    fn constant(self, _query: &[f32]) {}

    #[inline(always)]
    fn query(self, chunk: &[f32; LANES]) -> S::F32 {
        self.0.load(chunk)
    }

    #[inline(always)]
    fn row(self, chunk: &[f32; LANES]) -> S::F32 {
        self.0.load(chunk)
    }

    /// Lanes beyond the end add 0 · −0 = −0, which leaves every sum as it is; +0 would not leave −0.
    #[inline(always)]
    fn last_row(self, chunk: &[f32; LANES], components: usize) -> S::F32 {
        let (lanes, end) = (self.0.load(&LANE_NUMBERS), self.0.splat(components as f32));
        self.0.select_less(lanes, end, self.0.load(chunk), self.0.splat(-0.0))
    }

    #[inline(always)]
    fn zero(self) -> S::F32 {
        self.0.splat(0.0)
    }

    #[inline(always)]
    fn dot(self, query: S::F32, row: S::F32, sums: S::F32) -> S::F32 {
        self.0.mul_add(query, row, sums)
    }

    #[inline(always)]
    fn scores(self, sums: [S::F32; LANES], _constant: ()) -> S::F32 {
        self.0.reduce_add_rows(sums)
    }
}
