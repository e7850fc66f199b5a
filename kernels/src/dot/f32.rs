//! f32 on any instruction set: chains of fused multiply-adds of `K_BLOCK` steps.

use super::{ColumnScales, Dot, DotKernel, plus_bias};
use crate::dispatch::Kernel;
use crate::reference::{K_BLOCK, RowScale};
use crate::simd::{Lanes, Simd};

#[derive(Clone, Copy)]
pub(crate) struct F32<S>(pub(crate) S);

/// Runs a [`DotKernel`] where a [`Kernel`] is wanted.
struct Inside<K>(K);

impl<K: DotKernel> Kernel for Inside<K> {
    type Output = K::Output;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> K::Output {
        self.0.run(F32(simd))
    }
}

impl<S: Simd> Dot for F32<S> {
    type Simd = S;
    type Line = S::F32;
    type Word = S::F32;
    type Sums = S::F32;
    type Columns = ();

    const TILE_ROWS: usize = S::TILE_ROWS;
    const ACCUMULATORS: usize = S::ACCUMULATORS;
    const CHAIN: usize = K_BLOCK;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    fn call<K: DotKernel>(self, kernel: K) -> K::Output {
        self.0.call(Inside(kernel))
    }

    #[inline(always)]
    fn zero(self) -> S::F32 {
        self.0.splat(0.0)
    }

    #[inline(always)]
    fn line(self, line: &Lanes) -> S::F32 {
        self.0.load(&line.0)
    }

    #[inline(always)]
    fn word(self, word: u32) -> S::F32 {
        self.0.splat(f32::from_bits(word))
    }

    #[inline(always)]
    fn dot(self, word: S::F32, line: S::F32, sums: S::F32) -> S::F32 {
        self.0.mul_add(word, line, sums)
    }

    #[inline(always)]
    fn add_chain(self, before: &Lanes, chain: S::F32) -> S::F32 {
        self.0.add(self.0.load(&before.0), chain)
    }

    #[inline(always)]
    fn store_chain(self, sums: S::F32, to: &mut Lanes) {
        self.0.store(sums, &mut to.0);
    }

    #[inline(always)]
    fn columns(self, _scales: Option<ColumnScales<'_>>, _panel: usize) {}

    #[inline(always)]
    fn values(self, sums: S::F32, _row: RowScale, _columns: (), bias: Option<S::F32>) -> S::F32 {
        plus_bias(self.0, sums, bias)
    }
}
