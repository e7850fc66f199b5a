//! int8 with NEON: by `sdot` where the machine has it (Armv8.2 with the dot product extension), else by multiplications
//! of bytes that give 16 bits.
//!
//! Both multiply signed bytes with signed bytes. So 128 is subtracted from each activation, by flipping its highest bit, and
//! the zero point of a row is that much less.
#![allow(unsafe_code, reason = "an instruction set is its intrinsics")]

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

use super::{Dot, DotKernel, Inside, Int8Sums, On, Ready};
use crate::reference::INT8_GROUP;
use crate::simd::{I32x16, Lanes, Neon, Simd};

/// The highest bit of each of four bytes.
const SIGNS: u32 = 0x8080_8080;

/// Applies a function to the sums and the line of each quarter.
macro_rules! quarters {
    ($f:ident, $sums:expr, $word:expr, $line:expr) => {
        // SAFETY: `self` is the proof that the machine has what the function needs; it touches registers alone.
        unsafe {
            I32x16(
                $f($sums.0, $word, $line.0),
                $f($sums.1, $word, $line.1),
                $f($sums.2, $word, $line.2),
                $f($sums.3, $word, $line.3),
            )
        }
    };
}

/// The proof that this machine has NEON with the dot product extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeonSdot {
    simd: Neon,
}

impl NeonSdot {
    /// The proof, if this machine can give it.
    pub(crate) fn detect(simd: Neon) -> Option<Self> {
        is_aarch64_feature_detected!("dotprod").then_some(NeonSdot { simd })
    }
}

/// # Safety
///
/// The machine must have NEON and the dot product extension, which `_token` proves.
#[inline(never)]
#[target_feature(enable = "neon,dotprod")]
unsafe fn sdot_trampoline<R: Ready>(_token: NeonSdot, ready: R) -> R::Output {
    ready.run()
}

impl NeonSdot {
    /// Runs what is ready as a function of its own, compiled for this instruction set.
    #[inline(always)]
    pub(super) fn run<R: Ready>(self, ready: R) -> R::Output {
        // SAFETY: `self` is the proof that the machine has these features.
        unsafe { sdot_trampoline(self, ready) }
    }
}

/// Products of signed bytes. The intrinsic is not in stable Rust yet.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn sdot(mut sums: int32x4_t, word: int32x4_t, line: int32x4_t) -> int32x4_t {
    // SAFETY: the function is compiled for machines that have the instruction, which touches these registers alone.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {line:v}.16b, {word:v}.16b",
            sums = inout(vreg) sums,
            line = in(vreg) line,
            word = in(vreg) word,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

impl Dot for NeonSdot {
    type Simd = Neon;
    type Line = I32x16;
    type Word = int32x4_t;
    type SumKind = Int8Sums;

    const TILE_ROWS: usize = Neon::TILE_ROWS;
    const ACCUMULATORS: usize = Neon::ACCUMULATORS;
    const BLOCK: usize = INT8_GROUP / 4;
    const BLOCKS_ARE_CHAINS: bool = true;
    const OFFSET: f32 = 128.0;

    #[inline(always)]
    fn simd(self) -> Neon {
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
    fn word(self, word: u32) -> int32x4_t {
        self.simd.splat_i32((word ^ SIGNS) as i32).0
    }

    #[inline(always)]
    fn dot(self, word: int32x4_t, line: I32x16, sums: I32x16) -> I32x16 {
        quarters!(sdot, sums, word, line)
    }
}

/// NEON without the dot product extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeonInt8(pub(crate) Neon);

/// Products of bytes, in 16 bits; of two neighbours the sum, at most 2 · 128 · 127, fits too; then in 32.
#[inline]
#[target_feature(enable = "neon")]
fn smull(sums: int32x4_t, word: int32x4_t, line: int32x4_t) -> int32x4_t {
    let (word, line) = (vreinterpretq_s8_s32(word), vreinterpretq_s8_s32(line));
    let first = vmull_s8(vget_low_s8(word), vget_low_s8(line));
    let second = vmull_high_s8(word, line);
    vpadalq_s16(sums, vpaddq_s16(first, second))
}

impl Dot for NeonInt8 {
    type Simd = Neon;
    type Line = I32x16;
    type Word = int32x4_t;
    type SumKind = Int8Sums;

    // Each product needs two registers for a moment.
    const TILE_ROWS: usize = 5;
    const ACCUMULATORS: usize = 5;
    const BLOCK: usize = INT8_GROUP / 4;
    const BLOCKS_ARE_CHAINS: bool = true;
    const OFFSET: f32 = 128.0;

    #[inline(always)]
    fn simd(self) -> Neon {
        self.0
    }

    #[inline(always)]
    fn call<K: DotKernel>(self, kernel: K) -> K::Output {
        self.0.call(Inside(On(kernel, self)))
    }

    #[inline(always)]
    fn line(self, line: &Lanes) -> I32x16 {
        self.0.load_i32(bytemuck::cast_ref(&line.0))
    }

    #[inline(always)]
    fn word(self, word: u32) -> int32x4_t {
        self.0.splat_i32((word ^ SIGNS) as i32).0
    }

    #[inline(always)]
    fn dot(self, word: int32x4_t, line: I32x16, sums: I32x16) -> I32x16 {
        quarters!(smull, sums, word, line)
    }
}
