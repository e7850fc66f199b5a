//! Bytes and bits with AVX2 alone.
#![allow(unsafe_code, reason = "an instruction set is its intrinsics")]

use std::arch::x86_64::*;

use super::{BitCounts, ByteProducts};
use crate::simd::{Avx2, I32x16};

/// Intrinsics that touch registers alone.
macro_rules! register {
    ($($call:tt)+) => {
        // SAFETY: `self` is the proof that the machine has AVX2; the intrinsics touch registers alone.
        unsafe { $($call)+ }
    };
}

impl Avx2 {
    /// Bytes 0 … 15 and 16 … 31.
    #[inline(always)]
    fn load_bytes(self, chunk: &[u8; 32]) -> (__m128i, __m128i) {
        let from: *const __m128i = chunk.as_ptr().cast();
        // SAFETY: `self` proves the feature; the reference is to 32 readable bytes, and the unaligned loads ask for no
        // alignment.
        unsafe { (_mm_loadu_si128(from), _mm_loadu_si128(from.add(1))) }
    }

    /// `vpmaddwd`: products of 16 bits, and sums of two neighbours, which are exact in 32.
    #[inline(always)]
    fn multiply_words(self, a: I32x16, b: I32x16, sums: I32x16) -> I32x16 {
        register!(I32x16(
            _mm256_add_epi32(sums.0, _mm256_madd_epi16(a.0, b.0)),
            _mm256_add_epi32(sums.1, _mm256_madd_epi16(a.1, b.1)),
        ))
    }

    #[inline(always)]
    fn signed_words(self, chunk: &[u8; 32]) -> I32x16 {
        let (first, second) = self.load_bytes(chunk);
        register!(I32x16(_mm256_cvtepi8_epi16(first), _mm256_cvtepi8_epi16(second)))
    }

    #[inline(always)]
    fn unsigned_words(self, chunk: &[u8; 32]) -> I32x16 {
        let (first, second) = self.load_bytes(chunk);
        register!(I32x16(_mm256_cvtepu8_epi16(first), _mm256_cvtepu8_epi16(second)))
    }
}

/// `vpmaddubsw`, which multiplies bytes, saturates. Here bytes become 16 bits before they are multiplied.
impl ByteProducts for Avx2 {
    type Chunk = [u8; 32];
    type Line = I32x16;

    #[inline(always)]
    fn int8_query(self, chunk: &[u8; 32]) -> I32x16 {
        self.signed_words(chunk)
    }

    #[inline(always)]
    fn int8_dot(self, query: I32x16, row: I32x16, sums: I32x16) -> I32x16 {
        self.multiply_words(query, row, sums)
    }

    #[inline(always)]
    fn uint8_query(self, chunk: &[u8; 32]) -> I32x16 {
        self.unsigned_words(chunk)
    }

    #[inline(always)]
    fn uint8_row(self, chunk: &[u8; 32]) -> I32x16 {
        self.unsigned_words(chunk)
    }

    #[inline(always)]
    fn uint8_dot(self, query: I32x16, row: I32x16, sums: I32x16) -> I32x16 {
        self.multiply_words(query, row, sums)
    }
}

/// How many bits each of eight times eight bytes has, in 64 bits: the table of half bytes of Muła, Kurz and Lemire, "Faster
/// Population Counts Using AVX2 Instructions", <https://arxiv.org/abs/1611.07612>.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn bit_counts(v: __m256i) -> __m256i {
    let counts = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    let half = _mm256_set1_epi8(0x0f);
    let low = _mm256_shuffle_epi8(counts, _mm256_and_si256(v, half));
    let high = _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16::<4>(v), half));
    _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256())
}

impl BitCounts for Avx2 {
    type Chunk = [u8; 64];
    type Line = I32x16;

    #[inline(always)]
    fn line(self, chunk: &[u8; 64]) -> I32x16 {
        let from: *const __m256i = chunk.as_ptr().cast();
        // SAFETY: `self` proves the feature; the reference is to 64 readable bytes, and the unaligned loads ask for no
        // alignment.
        unsafe { I32x16(_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))) }
    }

    #[inline(always)]
    fn and(self, a: I32x16, b: I32x16) -> I32x16 {
        register!(I32x16(_mm256_and_si256(a.0, b.0), _mm256_and_si256(a.1, b.1)))
    }

    #[inline(always)]
    fn add_differing(self, a: I32x16, b: I32x16, sums: I32x16) -> I32x16 {
        register!(I32x16(
            _mm256_add_epi32(sums.0, bit_counts(_mm256_xor_si256(a.0, b.0))),
            _mm256_add_epi32(sums.1, bit_counts(_mm256_xor_si256(a.1, b.1))),
        ))
    }

    #[inline(always)]
    fn negate(self, sums: I32x16) -> I32x16 {
        register!({
            let zero = _mm256_setzero_si256();
            I32x16(_mm256_sub_epi32(zero, sums.0), _mm256_sub_epi32(zero, sums.1))
        })
    }
}
