//! int8 in plain Rust.

use super::{Dot, DotKernel, Inside, Int8Sums, On};
use crate::reference::INT8_GROUP;
use crate::simd::{LANES, Lanes, Scalar, Simd};

#[derive(Clone, Copy)]
pub(crate) struct ScalarInt8;

impl Dot for ScalarInt8 {
    type Simd = Scalar;
    type Line = [[i8; 4]; LANES];
    type Word = [u8; 4];
    type SumKind = Int8Sums;

    const TILE_ROWS: usize = 4;
    const ACCUMULATORS: usize = 4;
    const BLOCK: usize = INT8_GROUP / 4;
    const BLOCKS_ARE_CHAINS: bool = true;

    #[inline(always)]
    fn simd(self) -> Scalar {
        Scalar
    }

    #[inline(always)]
    fn call<K: DotKernel>(self, kernel: K) -> K::Output {
        Scalar::<false>.call(Inside(On(kernel, self)))
    }

    #[inline(always)]
    fn line(self, line: &Lanes) -> Self::Line {
        bytemuck::cast(line.0)
    }

    #[inline(always)]
    fn word(self, word: u32) -> [u8; 4] {
        bytemuck::cast(word)
    }

    #[inline(always)]
    fn dot(self, word: [u8; 4], line: Self::Line, sums: [i32; LANES]) -> [i32; LANES] {
        std::array::from_fn(|j| {
            (0..4).fold(sums[j], |sum, i| sum.wrapping_add(i32::from(word[i]) * i32::from(line[j][i])))
        })
    }
}
