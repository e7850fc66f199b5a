//! int8 by `vpdpbusd`: sixteen lanes as one `zmm` register with AVX-512 VNNI, as two `ymm` with AVX-VNNI.
//!
//! It multiplies four unsigned with four signed bytes and adds the products to an i32, nothing saturated or rounded.
#![allow(unsafe_code, reason = "an instruction set is its intrinsics")]

use std::arch::x86_64::*;

use super::{Dot, DotKernel, Int8Sums, On, Ready};
use crate::reference::INT8_GROUP;
use crate::simd::{Avx2, Avx512, I32x16, Lanes, Simd};

/// The proof that this machine has AVX-512F and AVX-512 VNNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512Vnni {
    simd: Avx512,
}

impl Avx512Vnni {
    /// The proof, if this machine can give it.
    pub(crate) fn detect(simd: Avx512) -> Option<Self> {
        is_x86_feature_detected!("avx512vnni").then_some(Avx512Vnni { simd })
    }
}

/// # Safety
///
/// The machine must have AVX-512F and AVX-512 VNNI, which `_token` proves.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn avx512_trampoline<R: Ready>(_token: Avx512Vnni, ready: R) -> R::Output {
    ready.run()
}

impl Avx512Vnni {
    /// Runs what is ready as a function of its own, compiled for this instruction set.
    #[inline(always)]
    pub(super) fn run<R: Ready>(self, ready: R) -> R::Output {
        // SAFETY: `self` is the proof that the machine has these features.
        unsafe { avx512_trampoline(self, ready) }
    }
}

impl Dot for Avx512Vnni {
    type Simd = Avx512;
    type Line = __m512i;
    type Word = __m512i;
    type SumKind = Int8Sums;

    const TILE_ROWS: usize = Avx512::TILE_ROWS;
    const ACCUMULATORS: usize = Avx512::ACCUMULATORS;
    const BLOCK: usize = INT8_GROUP / 4;
    const BLOCKS_ARE_CHAINS: bool = true;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.simd
    }

    #[inline(always)]
    fn call<K: DotKernel>(self, kernel: K) -> K::Output {
        self.run(On(kernel, self))
    }

    #[inline(always)]
    fn line(self, line: &Lanes) -> __m512i {
        self.simd.load_i32(bytemuck::cast_ref(&line.0))
    }

    #[inline(always)]
    fn word(self, word: u32) -> __m512i {
        self.simd.splat_i32(word as i32)
    }

    #[inline(always)]
    fn dot(self, word: __m512i, line: __m512i, sums: __m512i) -> __m512i {
        // SAFETY: `self` is the proof that the machine has AVX-512 VNNI; the instruction touches registers alone.
        unsafe { _mm512_dpbusd_epi32(sums, word, line) }
    }
}

/// The proof that this machine has AVX2, FMA and AVX-VNNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AvxVnni {
    simd: Avx2,
}

impl AvxVnni {
    /// The proof, if this machine can give it.
    pub(crate) fn detect(simd: Avx2) -> Option<Self> {
        is_x86_feature_detected!("avxvnni").then_some(AvxVnni { simd })
    }
}

/// # Safety
///
/// The machine must have AVX2, FMA and AVX-VNNI, which `_token` proves.
#[inline(never)]
#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn avx_trampoline<R: Ready>(_token: AvxVnni, ready: R) -> R::Output {
    ready.run()
}

impl AvxVnni {
    /// Runs what is ready as a function of its own, compiled for this instruction set.
    #[inline(always)]
    pub(super) fn run<R: Ready>(self, ready: R) -> R::Output {
        // SAFETY: `self` is the proof that the machine has these features.
        unsafe { avx_trampoline(self, ready) }
    }
}

impl Dot for AvxVnni {
    type Simd = Avx2;
    type Line = I32x16;
    type Word = __m256i;
    type SumKind = Int8Sums;

    const TILE_ROWS: usize = Avx2::TILE_ROWS;
    const ACCUMULATORS: usize = Avx2::ACCUMULATORS;
    const BLOCK: usize = INT8_GROUP / 4;
    const BLOCKS_ARE_CHAINS: bool = true;

    #[inline(always)]
    fn simd(self) -> Avx2 {
        self.simd
    }

    #[inline(always)]
    fn call<K: DotKernel>(self, kernel: K) -> K::Output {
        self.run(On(kernel, self))
    }

    #[inline(always)]
    fn line(self, line: &Lanes) -> I32x16 {
        self.simd.load_i32(bytemuck::cast_ref(&line.0))
    }

    #[inline(always)]
    fn word(self, word: u32) -> __m256i {
        self.simd.splat_i32(word as i32).0
    }

    #[inline(always)]
    fn dot(self, word: __m256i, line: I32x16, sums: I32x16) -> I32x16 {
        // SAFETY: `self` is the proof that the machine has AVX-VNNI; the instruction touches registers alone.
        unsafe {
            I32x16(
                _mm256_dpbusd_avx_epi32(sums.0, word, line.0),
                _mm256_dpbusd_avx_epi32(sums.1, word, line.1),
            )
        }
    }
}
