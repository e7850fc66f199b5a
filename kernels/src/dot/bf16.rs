//! bf16: the product of two bf16 is exact in f32, so a step is two additions, each rounded once, of k + 1 first.
//!
//! That is what `vdpbf16ps` does, but that it takes denormals for zero and makes none. They do not occur: bf16 activations and
//! weights are 0 or at least 2⁻⁵⁰ ([`crate::reference::BF16_LEAST`]), so a product is a multiple of 2⁻¹¹⁴ and so
//! is every sum. At the other end its steps are fused as well: a product beyond the largest f32 counts in full, infinities and
//! NaN are those of the IEEE operations. `tests.rs` looks at all of that on the machine that it runs on.
#![cfg_attr(target_arch = "x86_64", allow(unsafe_code, reason = "an instruction set is its intrinsics"))]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use super::{Dot, DotKernel, FloatSums};
use crate::dispatch::Kernel;
#[cfg(target_arch = "x86_64")]
use crate::simd::Avx512;
use crate::simd::{Lanes, Simd};
#[cfg(target_arch = "x86_64")]
use crate::{reference::BF16_LEAST, simd::LANES};

/// bf16 by fused multiply-adds of f32, on any instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Bf16Fma<S>(pub(crate) S);

/// Runs a [`DotKernel`] where a [`Kernel`] is wanted.
struct OnSimd<K>(K);

impl<K: DotKernel> Kernel for OnSimd<K> {
    type Output = K::Output;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> K::Output {
        self.0.run(Bf16Fma(simd))
    }
}

/// The two bf16 of each lane, as f32.
#[derive(Clone, Copy)]
pub(crate) struct Pair<V> {
    low: V,
    high: V,
}

impl<S: Simd> Dot for Bf16Fma<S> {
    type Simd = S;
    type Line = Pair<S::F32>;
    type Word = Pair<S::F32>;
    type SumKind = FloatSums;

    // A pair is two vectors, so fewer sums fit beside it than in f32.
    const TILE_ROWS: usize = S::TILE_ROWS - 2;
    const ACCUMULATORS: usize = S::ACCUMULATORS - S::ACCUMULATORS / 4;
    const BLOCK: usize = 128;
    const BLOCKS_ARE_CHAINS: bool = false;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    fn call<K: DotKernel>(self, kernel: K) -> K::Output {
        self.0.call(OnSimd(kernel))
    }

    #[inline(always)]
    fn line(self, line: &Lanes) -> Pair<S::F32> {
        let pairs = self.0.load(&line.0);
        Pair { low: self.0.low_bf16(pairs), high: self.0.high_bf16(pairs) }
    }

    #[inline(always)]
    fn word(self, word: u32) -> Pair<S::F32> {
        let pairs = self.0.splat(f32::from_bits(word));
        Pair { low: self.0.low_bf16(pairs), high: self.0.high_bf16(pairs) }
    }

    #[inline(always)]
    fn dot(self, word: Pair<S::F32>, line: Pair<S::F32>, sums: S::F32) -> S::F32 {
        self.0.mul_add(word.low, line.low, self.0.mul_add(word.high, line.high, sums))
    }
}

/// bf16 by `vdpbf16ps`.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512Bf16 {
    /// A part of the proof.
    simd: Avx512,
}

#[cfg(target_arch = "x86_64")]
impl Avx512Bf16 {
    /// The proof, if this machine can give it.
    pub(crate) fn detect(simd: Avx512) -> Option<Self> {
        // AVX-512 BF16 implies AVX-512BW for the compiler.
        (is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw"))
            .then_some(Avx512Bf16 { simd })
    }
}

/// # Safety
///
/// The machine must have AVX-512F, AVX-512BW and AVX-512 BF16, which `token` proves.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn trampoline<K: DotKernel>(token: Avx512Bf16, kernel: K) -> K::Output {
    kernel.run(token)
}

#[cfg(target_arch = "x86_64")]
impl Dot for Avx512Bf16 {
    type Simd = Avx512;
    type Line = __m512;
    type Word = __m512;
    type SumKind = FloatSums;

    const TILE_ROWS: usize = Avx512::TILE_ROWS;
    const ACCUMULATORS: usize = Avx512::ACCUMULATORS;
    const BLOCK: usize = 128;
    const BLOCKS_ARE_CHAINS: bool = false;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.simd
    }

    #[inline(always)]
    fn call<K: DotKernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` is the proof that the machine has these features.
        unsafe { trampoline(self, kernel) }
    }

    #[inline(always)]
    fn line(self, line: &Lanes) -> __m512 {
        self.simd.load(&line.0)
    }

    #[inline(always)]
    fn word(self, word: u32) -> __m512 {
        self.simd.splat(f32::from_bits(word))
    }

    #[inline(always)]
    fn dot(self, word: __m512, line: __m512, sums: __m512) -> __m512 {
        // SAFETY: `self` is the proof that the machine has AVX-512 BF16; sixteen f32 and thirty-two bf16 are both 512 bits
        // of which every pattern is a value; the instruction touches registers alone.
        unsafe {
            let [word, line] = [word, line].map(|v| std::mem::transmute::<__m512, __m512bh>(v));
            _mm512_dpbf16_ps(sums, word, line)
        }
    }

    #[inline(always)]
    fn store_bf16(self, v: __m512, to: &mut [u16; LANES]) {
        // Greater or equal, or NaN, of which the instruction makes a quiet one.
        // SAFETY: `self` is the proof that the machine has AVX-512; the comparison touches registers alone.
        let kept = unsafe { _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(_mm512_abs_ps(v), _mm512_set1_ps(BF16_LEAST)) };
        // SAFETY: as above.
        self.store_bf16_not_tiny(unsafe { _mm512_maskz_mov_ps(kept, v) }, to);
    }

    #[inline(always)]
    fn store_bf16_not_tiny(self, v: __m512, to: &mut [u16; LANES]) {
        // SAFETY: `self` is the proof that the machine has AVX-512 BF16; sixteen bf16 are 256 bits; the reference is to sixteen
        // writable u16, and the unaligned store asks for no alignment.
        unsafe {
            let narrow: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(v));
            _mm256_storeu_si256(to.as_mut_ptr().cast(), narrow);
        }
    }
}
