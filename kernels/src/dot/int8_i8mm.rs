//! int8 by `usmmla`: NEON of machines with the int8 matrix multiplication extension (Armv8.6, some of Armv8.2).
//!
//! An instruction multiplies a matrix of two rows of activations with one of two columns of weights, over eight inputs, and
//! adds the four results to four sums, exact in i32. Eight inputs are two steps:
//!
//! ```text
//!                                    quarter of line i          c0    c1    c2    c3
//!                                    quarter of line i + 1      c0'   c1'   c2'   c3'
//!
//!                                    left               right
//!                                    c0 c0'  c1 c1'     c2 c2'  c3 c3'
//! row r,      words i, i + 1          Σ       Σ          Σ       Σ
//! row r + 1,  words i, i + 1          Σ       Σ          Σ       Σ
//! ```
//!
//! So the sums of two rows lie in blocks of two by two, the left ones where the upper row's belong and the right ones where
//! the lower row's do, until `settle` makes rows of them. The last row of an odd number has no other to share a block with.
//! It takes the two steps one by one, as all rows do what is left of a chain, by `usdot` and `sudot`, which the extension has
//! too.
#![allow(unsafe_code, reason = "an instruction set is its intrinsics")]

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

use super::{Dot, DotKernel, Int8Sums};
use crate::reference::INT8_GROUP;
use crate::simd::{I32x16, Lanes, Neon, Simd};

/// The proof that this machine has NEON with the int8 matrix multiplication extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeonI8mm {
    simd: Neon,
}

impl NeonI8mm {
    /// The proof, if this machine can give it.
    pub(crate) fn detect(simd: Neon) -> Option<Self> {
        is_aarch64_feature_detected!("i8mm").then_some(NeonI8mm { simd })
    }
}

/// # Safety
///
/// The machine must have NEON and the int8 matrix multiplication extension, which `token` proves.
#[inline(never)]
#[target_feature(enable = "neon,i8mm")]
unsafe fn trampoline<K: DotKernel>(token: NeonI8mm, kernel: K) -> K::Output {
    kernel.run(token)
}

// The intrinsics are not in stable Rust yet. Those of `steps` do not say that they leave memory alone: over such ones the
// compiler would move the loads of all a tile's weights to the front, and of the registers there is but one to spare.

/// `sums` and the products of `rows`, two of eight unsigned bytes, with `columns`, two of eight signed bytes.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn usmmla(mut sums: int32x4_t, rows: int32x4_t, columns: int32x4_t) -> int32x4_t {
    // SAFETY: the function is compiled for machines that have the instruction, which touches these registers alone.
    unsafe {
        asm!(
            "usmmla {sums:v}.4s, {rows:v}.16b, {columns:v}.16b",
            sums = inout(vreg) sums,
            rows = in(vreg) rows,
            columns = in(vreg) columns,
            options(nostack, preserves_flags),
        );
    }
    sums
}

/// `sums` and the products of each lane's four unsigned bytes of `word` and four signed bytes of `line`.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn usdot(mut sums: int32x4_t, word: int32x4_t, line: int32x4_t) -> int32x4_t {
    // SAFETY: as in `usmmla`.
    unsafe {
        asm!(
            "usdot {sums:v}.4s, {word:v}.16b, {line:v}.16b",
            sums = inout(vreg) sums,
            word = in(vreg) word,
            line = in(vreg) line,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// As [`usdot`], of word `INDEX` of `words` in all lanes.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn sudot<const INDEX: usize>(mut sums: int32x4_t, line: int32x4_t, words: int32x4_t) -> int32x4_t {
    // SAFETY: as in `usmmla`.
    unsafe {
        asm!(
            "sudot {sums:v}.4s, {line:v}.16b, {words:v}.4b[{index}]",
            sums = inout(vreg) sums,
            line = in(vreg) line,
            words = in(vreg) words,
            index = const INDEX,
            options(nostack, preserves_flags),
        );
    }
    sums
}

/// The upper and the lower row of two neighbouring blocks.
#[inline]
#[target_feature(enable = "neon")]
fn rows_of_blocks(left: int32x4_t, right: int32x4_t) -> (int32x4_t, int32x4_t) {
    let (left, right) = (vreinterpretq_s64_s32(left), vreinterpretq_s64_s32(right));
    (vreinterpretq_s32_s64(vzip1q_s64(left, right)), vreinterpretq_s32_s64(vzip2q_s64(left, right)))
}

impl Dot for NeonI8mm {
    type Simd = Neon;
    type Line = I32x16;
    type Word = int32x4_t;
    type SumKind = Int8Sums;

    // 32 registers: 6 rows × 4 accumulators, 3 pairs of rows of activations; of the weights a quarter at a time, 2 as they
    // lie and 2 as columns. That is one to spare, with more panels too: a tile holds no more of them at once.
    const TILE_ROWS: usize = 6;
    const ACCUMULATORS: usize = 6;
    const BLOCK: usize = INT8_GROUP / 4;
    const BLOCKS_ARE_CHAINS: bool = true;
    const STEPS: usize = 2;

    #[inline(always)]
    fn simd(self) -> Neon {
        self.simd
    }

    #[inline(always)]
    fn call<K: DotKernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` is the proof that the machine has these features.
        unsafe { trampoline(self, kernel) }
    }

    #[inline(always)]
    fn line(self, line: &Lanes) -> I32x16 {
        self.simd.load_i32(bytemuck::cast_ref(&line.0))
    }

    #[inline(always)]
    fn word(self, word: u32) -> int32x4_t {
        self.simd.splat_i32(word as i32).0
    }

    #[inline(always)]
    fn dot(self, word: int32x4_t, line: I32x16, sums: I32x16) -> I32x16 {
        // SAFETY: `self` is the proof that the machine has the instruction, which touches registers alone.
        unsafe {
            I32x16(
                usdot(sums.0, word, line.0),
                usdot(sums.1, word, line.1),
                usdot(sums.2, word, line.2),
                usdot(sums.3, word, line.3),
            )
        }
    }

    #[inline(always)]
    unsafe fn steps<const MR: usize, const NV: usize>(
        self,
        a: &[*const u32; MR],
        b: &[*const Lanes; NV],
        i: usize,
        acc: &mut [[I32x16; NV]; MR],
    ) {
        let mut words = [self.word(0); MR];
        for r in (0..MR).step_by(2) {
            // The last row of an odd number twice.
            let other = if r + 1 < MR { r + 1 } else { r };
            // SAFETY: elements i and i + 1 can be read, says the caller; `self` proves the feature.
            words[r] =
                unsafe { vcombine_s32(vld1_s32(a[r].add(i).cast()), vld1_s32(a[other].add(i).cast())) };
        }
        macro_rules! quarter {
            ($v:ident, $q:tt) => {{
                // SAFETY: as above; a line is four quarters. `self` proves the features of all that follows, which
                // touches registers alone.
                unsafe {
                    let line = b[$v].add(i).cast::<i32>();
                    let (first, second) = (vld1q_s32(line.add(4 * $q)), vld1q_s32(line.add(16 + 4 * $q)));
                    let (left, right) = (vzip1q_s32(first, second), vzip2q_s32(first, second));
                    for r in (0..MR - MR % 2).step_by(2) {
                        acc[r][$v].$q = usmmla(acc[r][$v].$q, words[r], left);
                        acc[r + 1][$v].$q = usmmla(acc[r + 1][$v].$q, words[r], right);
                    }
                    if MR % 2 == 1 {
                        let sums = sudot::<0>(acc[MR - 1][$v].$q, first, words[MR - 1]);
                        acc[MR - 1][$v].$q = sudot::<1>(sums, second, words[MR - 1]);
                    }
                }
            }};
        }
        for v in 0..NV {
            quarter!(v, 0);
            quarter!(v, 1);
            quarter!(v, 2);
            quarter!(v, 3);
        }
    }

    #[inline(always)]
    fn settle<const MR: usize, const NV: usize>(self, acc: &mut [[I32x16; NV]; MR]) {
        for r in (0..MR - MR % 2).step_by(2) {
            for v in 0..NV {
                let (left, right) = (acc[r][v], acc[r + 1][v]);
                // SAFETY: `self` is the proof that the machine has NEON; registers alone are touched.
                unsafe {
                    (acc[r][v].0, acc[r + 1][v].0) = rows_of_blocks(left.0, right.0);
                    (acc[r][v].1, acc[r + 1][v].1) = rows_of_blocks(left.1, right.1);
                    (acc[r][v].2, acc[r + 1][v].2) = rows_of_blocks(left.2, right.2);
                    (acc[r][v].3, acc[r + 1][v].3) = rows_of_blocks(left.3, right.3);
                }
            }
        }
    }

    #[inline(always)]
    fn dot_steps(self, word: int32x4_t, line: I32x16, sums: I32x16) -> I32x16 {
        // SAFETY: as in `dot`.
        unsafe {
            I32x16(
                usmmla(sums.0, word, line.0),
                usmmla(sums.1, word, line.1),
                usmmla(sums.2, word, line.2),
                usmmla(sums.3, word, line.3),
            )
        }
    }
}
