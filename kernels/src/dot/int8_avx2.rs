//! int8 with AVX2 alone.
//!
//! `vpmaddubsw`, which multiplies bytes, adds pairs of products in 16 bits and saturates: 2 · 255 · 127 does not fit. Here
//! the bytes become 16 bits before `vpmaddwd` multiplies them and adds pairs in 32 bits, which is exact:
//!
//! ```text
//! word   q0 q1 q2 q3   →   even  q0 q2    odd  q1 q3      of 16 bits each, by a mask and a shift
//! line   v0 v1 v2 v3   →   even  v0 v2    odd  v1 v3      by shifts that keep the sign
//! sums += vpmaddwd(even, even) + vpmaddwd(odd, odd)
//! ```
#![allow(unsafe_code, reason = "an instruction set is its intrinsics")]

use std::arch::x86_64::*;

use super::{Dot, DotKernel, Inside, Int8Sums, On};
use crate::reference::INT8_GROUP;
use crate::simd::{Avx2, I32x16, Lanes, Simd};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2Int8(pub(crate) Avx2);

/// The bytes with even and with odd numbers, as 16 bits each.
#[derive(Clone, Copy)]
pub(crate) struct EvenOdd<V> {
    even: V,
    odd: V,
}

impl Dot for Avx2Int8 {
    type Simd = Avx2;
    type Line = EvenOdd<I32x16>;
    type Word = EvenOdd<__m256i>;
    type SumKind = Int8Sums;

    // 16 ymm registers: 4 rows × 2 sums, 4 of weights, 2 of activations, 2 to spare.
    const TILE_ROWS: usize = 4;
    const ACCUMULATORS: usize = 4;
    const BLOCK: usize = INT8_GROUP / 4;
    const BLOCKS_ARE_CHAINS: bool = true;

    #[inline(always)]
    fn simd(self) -> Avx2 {
        self.0
    }

    #[inline(always)]
    fn call<K: DotKernel>(self, kernel: K) -> K::Output {
        self.0.call(Inside(On(kernel, self)))
    }

    #[inline(always)]
    fn line(self, line: &Lanes) -> EvenOdd<I32x16> {
        let I32x16(first, second) = self.0.load_i32(bytemuck::cast_ref(&line.0));
        // SAFETY: the field is the proof that the machine has AVX2; the instructions touch registers alone.
        unsafe {
            let even = |v| _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(v));
            EvenOdd {
                even: I32x16(even(first), even(second)),
                odd: I32x16(_mm256_srai_epi16::<8>(first), _mm256_srai_epi16::<8>(second)),
            }
        }
    }

    #[inline(always)]
    fn word(self, word: u32) -> EvenOdd<__m256i> {
        let word = self.0.splat_i32(word as i32).0;
        // SAFETY: as above.
        unsafe {
            EvenOdd {
                even: _mm256_and_si256(word, _mm256_set1_epi16(0xff)),
                odd: _mm256_srli_epi16::<8>(word),
            }
        }
    }

    #[inline(always)]
    fn dot(self, word: EvenOdd<__m256i>, line: EvenOdd<I32x16>, sums: I32x16) -> I32x16 {
        // SAFETY: as above.
        let half = |sums, even, odd| unsafe {
            let sums = _mm256_add_epi32(sums, _mm256_madd_epi16(word.even, even));
            _mm256_add_epi32(sums, _mm256_madd_epi16(word.odd, odd))
        };
        I32x16(half(sums.0, line.even.0, line.odd.0), half(sums.1, line.even.1, line.odd.1))
    }
}
