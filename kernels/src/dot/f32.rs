//! f32 on any instruction set: chains of fused multiply-adds of `K_BLOCK` steps.

use super::{Dot, DotKernel, FloatSums};
use crate::dispatch::Kernel;
use crate::reference::K_BLOCK;
use crate::simd::{Lanes, Simd};

#[derive(Clone, Copy)]
pub(crate) struct F32<S>(pub(crate) S);

/// Runs a [`DotKernel`] where a [`Kernel`] is wanted.
struct OnSimd<K>(K);

impl<K: DotKernel> Kernel for OnSimd<K> {
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
    type SumKind = FloatSums;

    const TILE_ROWS: usize = S::TILE_ROWS;
    const ACCUMULATORS: usize = S::ACCUMULATORS;
    const BLOCK: usize = K_BLOCK;
    const BLOCKS_ARE_CHAINS: bool = true;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    fn call<K: DotKernel>(self, kernel: K) -> K::Output {
        self.0.call(OnSimd(kernel))
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
}
