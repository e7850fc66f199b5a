//! Bits by `vpopcntd`: AVX-512 VPOPCNTDQ.
#![allow(unsafe_code, reason = "an instruction set is its intrinsics")]

use std::arch::x86_64::*;

use super::{BitCounts, IntegerDot};
use crate::dot::Ready;
use crate::simd::Avx512;

/// The proof that this machine has AVX-512F and AVX-512 VPOPCNTDQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512Vpopcntdq {
    simd: Avx512,
}

impl Avx512Vpopcntdq {
    /// The proof, if this machine can give it.
    pub(crate) fn detect(simd: Avx512) -> Option<Self> {
        is_x86_feature_detected!("avx512vpopcntdq").then_some(Avx512Vpopcntdq { simd })
    }
}

/// # Safety
///
/// The machine must have AVX-512F and AVX-512 VPOPCNTDQ, which `_token` proves.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
unsafe fn trampoline<R: Ready>(_token: Avx512Vpopcntdq, ready: R) -> R::Output {
    ready.run()
}

/// An intrinsic that touches registers alone.
macro_rules! register {
    ($($call:tt)+) => {
        // SAFETY: `self` is the proof that the machine has these features; the intrinsics touch registers alone.
        unsafe { $($call)+ }
    };
}

impl IntegerDot for Avx512Vpopcntdq {
    type Simd = Avx512;

    const QUERIES: usize = 4;
    const ROWS: usize = 4;
    const ROWS_OF_ONE: usize = 16;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.simd
    }

    #[inline(always)]
    fn call_ready<R: Ready>(self, ready: R) -> R::Output {
        // SAFETY: `self` is the proof that the machine has these features.
        unsafe { trampoline(self, ready) }
    }
}

impl BitCounts for Avx512Vpopcntdq {
    type Chunk = [u8; 64];
    type Line = __m512i;

    #[inline(always)]
    fn line(self, chunk: &[u8; 64]) -> __m512i {
        // SAFETY: `self` proves the feature; the reference is to 64 readable bytes, and the unaligned load asks for no
        // alignment.
        unsafe { _mm512_loadu_si512(chunk.as_ptr().cast()) }
    }

    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        register!(_mm512_and_si512(a, b))
    }

    #[inline(always)]
    fn add_differing(self, a: __m512i, b: __m512i, sums: __m512i) -> __m512i {
        register!(_mm512_add_epi32(sums, _mm512_popcnt_epi32(_mm512_xor_si512(a, b))))
    }

    #[inline(always)]
    fn negate(self, sums: __m512i) -> __m512i {
        register!(_mm512_sub_epi32(_mm512_setzero_si512(), sums))
    }
}
