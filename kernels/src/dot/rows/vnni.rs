//! Bytes by `vpdpbusd`, which multiplies unsigned with signed ones: see [`ByteProducts`].
#![allow(unsafe_code, reason = "an instruction set is its intrinsics")]

use std::arch::x86_64::*;

use super::{ByteProducts, IntegerDot};
use crate::dot::{Avx512Vnni, AvxVnni, Dot, Ready};
use crate::simd::{Avx2, Avx512, I32x16};

/// The highest bit of each of four bytes.
const SIGNS: i32 = 0x8080_8080_u32 as i32;

impl IntegerDot for Avx512Vnni {
    type Simd = Avx512;

    const QUERIES: usize = 4;
    const ROWS: usize = 4;
    const ROWS_OF_ONE: usize = 1;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        Dot::simd(self)
    }

    #[inline(always)]
    fn call_ready<R: Ready>(self, ready: R) -> R::Output {
        self.run(ready)
    }
}

impl ByteProducts for Avx512Vnni {
    type Chunk = [u8; 64];
    type Line = __m512i;

    const INT8_OFFSET: i32 = 128;
    const UINT8_OFFSET: i32 = -128;

    #[inline(always)]
    fn int8_query(self, chunk: &[u8; 64]) -> __m512i {
        // SAFETY: `self` is the proof that the machine has AVX-512F; the reference is to 64 readable bytes, and the
        // unaligned load asks for no alignment.
        unsafe { _mm512_loadu_si512(chunk.as_ptr().cast()) }
    }

    #[inline(always)]
    fn int8_row(self, chunk: &[u8; 64]) -> __m512i {
        // SAFETY: as above; the others touch registers alone.
        unsafe { _mm512_xor_si512(self.int8_query(chunk), _mm512_set1_epi32(SIGNS)) }
    }

    #[inline(always)]
    fn int8_dot(self, query: __m512i, row: __m512i, sums: __m512i) -> __m512i {
        // SAFETY: `self` is the proof that the machine has AVX-512 VNNI; the instruction touches registers alone.
        unsafe { _mm512_dpbusd_epi32(sums, row, query) }
    }

    #[inline(always)]
    fn uint8_dot(self, query: __m512i, row: __m512i, sums: __m512i) -> __m512i {
        // SAFETY: as in `int8_dot`.
        unsafe { _mm512_dpbusd_epi32(sums, query, row) }
    }
}

impl IntegerDot for AvxVnni {
    type Simd = Avx2;

    // 16 ymm registers: 2 × 2 × 2 sums, 4 of queries, 2 of a row, the signs.
    const QUERIES: usize = 2;
    const ROWS: usize = 2;
    const ROWS_OF_ONE: usize = 1;

    #[inline(always)]
    fn simd(self) -> Avx2 {
        Dot::simd(self)
    }

    #[inline(always)]
    fn call_ready<R: Ready>(self, ready: R) -> R::Output {
        self.run(ready)
    }
}

impl ByteProducts for AvxVnni {
    type Chunk = [u8; 64];
    type Line = I32x16;

    const INT8_OFFSET: i32 = 128;
    const UINT8_OFFSET: i32 = -128;

    #[inline(always)]
    fn int8_query(self, chunk: &[u8; 64]) -> I32x16 {
        let from: *const __m256i = chunk.as_ptr().cast();
        // SAFETY: `self` is the proof that the machine has AVX2; the reference is to 64 readable bytes, and the unaligned
        // loads ask for no alignment.
        unsafe { I32x16(_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))) }
    }

    #[inline(always)]
    fn int8_row(self, chunk: &[u8; 64]) -> I32x16 {
        let I32x16(first, second) = self.int8_query(chunk);
        // SAFETY: `self` is the proof that the machine has AVX2; the instructions touch registers alone.
        unsafe {
            let signs = _mm256_set1_epi32(SIGNS);
            I32x16(_mm256_xor_si256(first, signs), _mm256_xor_si256(second, signs))
        }
    }

    #[inline(always)]
    fn int8_dot(self, query: I32x16, row: I32x16, sums: I32x16) -> I32x16 {
        // SAFETY: `self` is the proof that the machine has AVX-VNNI; the instruction touches registers alone.
        unsafe {
            I32x16(
                _mm256_dpbusd_avx_epi32(sums.0, row.0, query.0),
                _mm256_dpbusd_avx_epi32(sums.1, row.1, query.1),
            )
        }
    }

    #[inline(always)]
    fn uint8_dot(self, query: I32x16, row: I32x16, sums: I32x16) -> I32x16 {
        self.int8_dot(row, query, sums)
    }
}
