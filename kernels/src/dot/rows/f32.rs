//! f32 on any [`Simd`]: the bits of [`reference::dot`](crate::reference::dot), or of another [`Metric`].

use std::marker::PhantomData;

use super::{RowDot, RowKernel};
use crate::dispatch::Kernel;
use crate::simd::{LANES, Simd};

/// The number of each lane.
const LANE_NUMBERS: [f32; LANES] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];

/// How two vectors become a number: what sixteen of their elements do to sixteen lanes, and what the sum of the lanes
/// becomes.
pub(crate) trait Metric: Copy + Send + Sync + 'static {
    /// What the second vector has beyond its end, where the first has 0: lanes that leave every sum as it is.
    const BEYOND: f32;

    /// How many vectors a step holds beside a, b and the sums.
    const BETWEEN: usize;

    /// The lanes with sixteen elements more.
    fn step<S: Simd>(simd: S, a: S::F32, b: S::F32, sums: S::F32) -> S::F32;

    /// The number.
    fn finish(sum: f32) -> f32;
}

/// The dot product.
#[derive(Clone, Copy)]
pub(crate) struct Product;

impl Metric for Product {
    // 0 · −0 = −0, which leaves every sum as it is; +0 would not leave −0.
    const BEYOND: f32 = -0.0;
    const BETWEEN: usize = 0;

    #[inline(always)]
    fn step<S: Simd>(simd: S, a: S::F32, b: S::F32, sums: S::F32) -> S::F32 {
        simd.mul_add(a, b, sums)
    }

    #[inline(always)]
    fn finish(sum: f32) -> f32 {
        sum
    }
}

/// Scores are the sums of a metric, not finished.
#[derive(Clone, Copy)]
pub(crate) struct F32Rows<S, M>(S, PhantomData<M>);

impl<S, M> F32Rows<S, M> {
    pub(crate) fn new(simd: S) -> Self {
        F32Rows(simd, PhantomData)
    }
}

/// Runs a [`RowKernel`] of f32 where a [`Kernel`] is wanted.
struct OnSimd<K, M>(K, PhantomData<M>);

impl<K: RowKernel<f32>, M: Metric> Kernel for OnSimd<K, M> {
    type Output = K::Output;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> K::Output {
        self.0.run(F32Rows::<S, M>(simd, PhantomData))
    }
}

impl<S: Simd, M: Metric> RowDot for F32Rows<S, M> {
    type Simd = S;
    type Component = f32;
    type Chunk = [f32; LANES];
    type Query = S::F32;
    type Row = S::F32;
    type Constant = ();

    const QUERIES: usize = match S::ACCUMULATORS {
        16.. => 4,
        // A step's own registers are those of the third query.
        6.. if M::BETWEEN == 0 => 3,
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
        self.0.call(OnSimd(kernel, self.1))
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

    #[inline(always)]
    fn last_row(self, chunk: &[f32; LANES], components: usize) -> S::F32 {
        let (lanes, end) = (self.0.load(&LANE_NUMBERS), self.0.splat(components as f32));
        self.0.select_less(lanes, end, self.0.load(chunk), self.0.splat(M::BEYOND))
    }

    #[inline(always)]
    fn zero(self) -> S::F32 {
        self.0.splat(0.0)
    }

    #[inline(always)]
    fn dot(self, query: S::F32, row: S::F32, sums: S::F32) -> S::F32 {
        M::step(self.0, query, row, sums)
    }

    #[inline(always)]
    fn scores(self, sums: [S::F32; LANES], _constant: ()) -> S::F32 {
        self.0.reduce_add_rows(sums)
    }
}
