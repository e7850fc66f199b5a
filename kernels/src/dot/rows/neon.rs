//! Bytes and bits with NEON; bytes by `sdot` and `udot` where the machine has them (Armv8.2 with the dot product extension).
#![allow(unsafe_code, reason = "an instruction set is its intrinsics")]

use std::arch::aarch64::*;
use std::arch::asm;

use super::{BitCounts, ByteProducts, Inside, IntegerDot};
use crate::dot::{Dot, NeonInt8, NeonSdot, Ready, int8_neon};
use crate::simd::{I32x16, Neon, Simd};

/// Applies a function to the quarters of both lines and of the sums.
macro_rules! quarters {
    ($f:ident, $a:expr, $b:expr, $sums:expr) => {
        // SAFETY: `self` is the proof that the machine has what the function needs; it touches registers alone.
        unsafe {
            I32x16(
                $f($a.0, $b.0, $sums.0),
                $f($a.1, $b.1, $sums.1),
                $f($a.2, $b.2, $sums.2),
                $f($a.3, $b.3, $sums.3),
            )
        }
    };
}

/// Sixteen bytes each.
#[derive(Clone, Copy)]
pub(crate) struct U8x64(uint8x16_t, uint8x16_t, uint8x16_t, uint8x16_t);

/// 64 bytes, by a machine that has NEON: which every machine for this file has.
#[inline(always)]
fn load(chunk: &[u8; 64]) -> U8x64 {
    let from = chunk.as_ptr();
    // SAFETY: every processor of this architecture has NEON; the reference is to 64 readable bytes.
    unsafe { U8x64(vld1q_u8(from), vld1q_u8(from.add(16)), vld1q_u8(from.add(32)), vld1q_u8(from.add(48))) }
}

/// `sums` are the last argument here.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(a: uint8x16_t, b: uint8x16_t, sums: int32x4_t) -> int32x4_t {
    int8_neon::sdot(sums, vreinterpretq_s32_u8(a), vreinterpretq_s32_u8(b))
}

/// As `sdot`, of unsigned bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn udot(a: uint8x16_t, b: uint8x16_t, mut sums: int32x4_t) -> int32x4_t {
    // SAFETY: the function is compiled for machines that have the instruction, which touches these registers alone.
    unsafe {
        asm!(
            "udot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
            sums = inout(vreg) sums,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// Products in 16 bits, whose sums are in 32: of two products the sum, 2 · 128 · 128, would not fit in 16.
#[inline]
#[target_feature(enable = "neon")]
fn smull(a: uint8x16_t, b: uint8x16_t, sums: int32x4_t) -> int32x4_t {
    let (a, b) = (vreinterpretq_s8_u8(a), vreinterpretq_s8_u8(b));
    let sums = vpadalq_s16(sums, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    vpadalq_s16(sums, vmull_high_s8(a, b))
}

/// As above.
#[inline]
#[target_feature(enable = "neon")]
fn umull(a: uint8x16_t, b: uint8x16_t, sums: int32x4_t) -> int32x4_t {
    let sums = vreinterpretq_u32_s32(sums);
    let sums = vpadalq_u16(sums, vmull_u8(vget_low_u8(a), vget_low_u8(b)));
    vreinterpretq_s32_u32(vpadalq_u16(sums, vmull_high_u8(a, b)))
}

macro_rules! byte_products {
    ($token:ty, $signed:ident, $unsigned:ident, |$self:ident, $ready:ident| $call:expr) => {
        impl IntegerDot for $token {
            type Simd = Neon;

            // 32 q registers: 2 × 2 × 4 sums, 8 of queries, 4 of a row, two products.
            const QUERIES: usize = 2;
            const ROWS: usize = 2;
            const ROWS_OF_ONE: usize = 1;

            #[inline(always)]
            fn simd(self) -> Neon {
                Dot::simd(self)
            }

            #[inline(always)]
            fn call_ready<R: Ready>($self, $ready: R) -> R::Output {
                $call
            }
        }

        impl ByteProducts for $token {
            type Chunk = [u8; 64];
            type Line = U8x64;

            #[inline(always)]
            fn int8_query(self, chunk: &[u8; 64]) -> U8x64 {
                load(chunk)
            }

            #[inline(always)]
            fn int8_dot(self, query: U8x64, row: U8x64, sums: I32x16) -> I32x16 {
                quarters!($signed, query, row, sums)
            }

            #[inline(always)]
            fn uint8_dot(self, query: U8x64, row: U8x64, sums: I32x16) -> I32x16 {
                quarters!($unsigned, query, row, sums)
            }
        }
    };
}

byte_products!(NeonSdot, sdot, udot, |self, ready| self.run(ready));
byte_products!(NeonInt8, smull, umull, |self, ready| Simd::call(self.0, Inside(ready)));

/// `sums` and how many bits differ.
#[inline]
#[target_feature(enable = "neon")]
fn add_differing(a: uint8x16_t, b: uint8x16_t, sums: int32x4_t) -> int32x4_t {
    let pairs = vpaddlq_u8(vcntq_u8(veorq_u8(a, b)));
    vreinterpretq_s32_u32(vpadalq_u16(vreinterpretq_u32_s32(sums), pairs))
}

impl BitCounts for Neon {
    type Chunk = [u8; 64];
    type Line = U8x64;

    #[inline(always)]
    fn line(self, chunk: &[u8; 64]) -> U8x64 {
        load(chunk)
    }

    #[inline(always)]
    fn and(self, a: U8x64, b: U8x64) -> U8x64 {
        // SAFETY: `self` is the proof that the machine has NEON; the intrinsic touches registers alone.
        unsafe { U8x64(vandq_u8(a.0, b.0), vandq_u8(a.1, b.1), vandq_u8(a.2, b.2), vandq_u8(a.3, b.3)) }
    }

    #[inline(always)]
    fn add_differing(self, a: U8x64, b: U8x64, sums: I32x16) -> I32x16 {
        quarters!(add_differing, a, b, sums)
    }

    #[inline(always)]
    fn negate(self, sums: I32x16) -> I32x16 {
        // SAFETY: as above.
        unsafe { I32x16(vnegq_s32(sums.0), vnegq_s32(sums.1), vnegq_s32(sums.2), vnegq_s32(sums.3)) }
    }
}
