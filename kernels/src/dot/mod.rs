//! Dot products of short words: what a step of a product's chain is, in each precision.
//!
//! In every precision a step multiplies 32 bits of a row of activations, a *word*, with 64 bytes of a panel of weights,
//! a *line*, and adds sixteen results to sixteen sums, one an output column:
//!
//! ```text
//!          word                  line                                        sums
//! f32      1 activation          w[k] of columns 0 … 15                      f32: fma
//! bf16     2 activations         w[k], w[k + 1] of columns 0 … 15            f32: fma of k + 1, then fma of k
//! int8     4 activations (u8)    w[k] … w[k + 3] of columns 0 … 15 (i8)      i32: exact
//! ```
//!
//! So one tile (`tile.rs`) serves all three, and panels differ in what their lines mean alone. A [`Dot`] is a precision
//! on an instruction set: `f32.rs` has it for all of them, `bf16.rs` for all by fused multiply-adds of f32 and for
//! AVX-512 BF16 by its own instruction, and every other file int8 of an instruction set. What the sums become is the same on all:
//! `sums.rs`. Products of vectors that lie side by side, unpacked, are another matter: `rows/`.

mod bf16;
mod f32;
#[cfg(target_arch = "x86_64")]
mod int8_avx2;
#[cfg(target_arch = "aarch64")]
mod int8_i8mm;
#[cfg(target_arch = "aarch64")]
mod int8_neon;
mod int8_scalar;
#[cfg(target_arch = "x86_64")]
mod int8_vnni;
pub(crate) mod rows;
mod sums;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
pub(crate) use bf16::Avx512Bf16;
pub(crate) use bf16::Bf16Fma;
pub(crate) use f32::F32;
#[cfg(target_arch = "x86_64")]
pub(crate) use int8_avx2::Avx2Int8;
#[cfg(target_arch = "aarch64")]
pub(crate) use int8_i8mm::NeonI8mm;
#[cfg(target_arch = "aarch64")]
pub(crate) use int8_neon::{NeonInt8, NeonSdot};
pub(crate) use int8_scalar::ScalarInt8;
#[cfg(target_arch = "x86_64")]
pub(crate) use int8_vnni::{Avx512Vnni, AvxVnni};
pub(crate) use sums::{ColumnScales, FloatSums, Int8Sums, SumKind};

use crate::dispatch::Kernel;
use crate::simd::{LANES, Lanes, Simd};

/// A precision on an instruction set. A value is the proof that the machine has it, as a [`Simd`] is.
pub(crate) trait Dot: Copy + Send + Sync + 'static {
    /// What everything around the products runs on.
    type Simd: Simd;

    /// A line of weights in registers.
    type Line: Copy;

    /// A word of activations, in all lanes.
    type Word: Copy;

    /// What its steps add to.
    type SumKind: SumKind<Self::Simd>;

    /// The most rows a product tile may have.
    const TILE_ROWS: usize;

    /// How many sums of sixteen columns a product tile of fewer rows may have: rows · panels. Not more than the registers
    /// hold beside the panels' lines and a word.
    const ACCUMULATORS: usize;

    /// How many steps a block has: after each a tile looks at what is to be fetched, and where
    /// [`BLOCKS_ARE_CHAINS`](Dot::BLOCKS_ARE_CHAINS) its sums become numbers.
    const BLOCK: usize;

    /// How many steps of a tile [`steps`](Dot::steps) takes at once. If not 1, blocks are chains of their own, and nothing
    /// is fetched ahead.
    const STEPS: usize = 1;

    /// Whether a block's sums are a chain of their own, to be added to those before as numbers. Else chains go on.
    const BLOCKS_ARE_CHAINS: bool;

    /// What is subtracted from each activation before it is multiplied.
    const OFFSET: f32 = 0.0;

    fn simd(self) -> Self::Simd;

    /// Runs `kernel` as a function of its own, compiled for this instruction set: as [`Simd::call`].
    fn call<K: DotKernel>(self, kernel: K) -> K::Output;

    fn line(self, line: &Lanes) -> Self::Line;

    fn word(self, word: u32) -> Self::Word;

    /// A step: `sums` and the products of `word` and `line`.
    fn dot(self, word: Self::Word, line: Self::Line, sums: Sums<Self>) -> Sums<Self>;

    /// Step `i` of every chain of a tile.
    ///
    /// # Safety
    ///
    /// From each pointer on, more than `i` elements can be read.
    #[allow(unsafe_code, reason = "a tile reads by pointer, after one check of the bounds")]
    #[inline(always)]
    unsafe fn step<const MR: usize, const NV: usize>(
        self,
        a: &[*const u32; MR],
        b: &[*const Lanes; NV],
        i: usize,
        acc: &mut [[Sums<Self>; NV]; MR],
    ) {
        // SAFETY: element i can be read, says the caller.
        let mut lines = [self.line(unsafe { &*b[0].add(i) }); NV];
        for v in 1..NV {
            // SAFETY: as above.
            lines[v] = self.line(unsafe { &*b[v].add(i) });
        }
        for r in 0..MR {
            // SAFETY: element i can be read, says the caller.
            let word = self.word(unsafe { *a[r].add(i) });
            for v in 0..NV {
                acc[r][v] = self.dot(word, lines[v], acc[r][v]);
            }
        }
    }

    /// [`STEPS`](Dot::STEPS) steps of every chain of a tile, from step `i` on. The sums need not lie in their rows and
    /// columns until [`settle`](Dot::settle) is called; before it no [`step`](Dot::step) is.
    ///
    /// # Safety
    ///
    /// From each pointer on, at least `i` + [`STEPS`](Dot::STEPS) elements can be read.
    #[allow(unsafe_code, reason = "a tile reads by pointer, after one check of the bounds")]
    #[inline(always)]
    unsafe fn steps<const MR: usize, const NV: usize>(
        self,
        a: &[*const u32; MR],
        b: &[*const Lanes; NV],
        i: usize,
        acc: &mut [[Sums<Self>; NV]; MR],
    ) {
        const { assert!(Self::STEPS == 1) };
        // SAFETY: element i can be read, says the caller.
        unsafe { self.step(a, b, i, acc) };
    }

    /// Puts the sums of all [`steps`](Dot::steps) of a chain into their rows and columns.
    #[inline(always)]
    fn settle<const MR: usize, const NV: usize>(self, _acc: &mut [[Sums<Self>; NV]; MR]) {}

    /// The instructions of [`steps`](Dot::steps) alone: adds [`STEPS`](Dot::STEPS) times as many products as
    /// [`dot`](Dot::dot) to sixteen sums of whatever rows and columns. How fast they are is the peak of all products.
    #[inline(always)]
    fn dot_steps(self, word: Self::Word, line: Self::Line, sums: Sums<Self>) -> Sums<Self> {
        const { assert!(Self::STEPS == 1) };
        self.dot(word, line, sums)
    }

    /// `to[j]` is lane j as a bf16: see [`reference::bf16_bits`](crate::reference::bf16_bits).
    #[inline(always)]
    fn store_bf16(self, v: <Self::Simd as Simd>::F32, to: &mut [u16; LANES]) {
        let simd = self.simd();
        simd.store_high_halves(simd.round_bf16(v), to);
    }

    /// As [`store_bf16`](Dot::store_bf16), for lanes that are NaN or not nearer to 0 than
    /// [`BF16_LEAST`](crate::reference::BF16_LEAST).
    #[inline(always)]
    fn store_bf16_not_tiny(self, v: <Self::Simd as Simd>::F32, to: &mut [u16; LANES]) {
        self.store_bf16(v, to);
    }
}

/// Sixteen sums of a [`Dot`].
pub(crate) type Sums<D> = <<D as Dot>::SumKind as SumKind<<D as Dot>::Simd>>::Sums;

/// What the sums of a [`Dot`] need to know of sixteen columns.
pub(crate) type Columns<D> = <<D as Dot>::SumKind as SumKind<<D as Dot>::Simd>>::Columns;

/// A kernel that multiplies, ready to run in any precision on any instruction set.
///
/// `run` must be `#[inline(always)]`, as must everything generic that it calls.
pub(crate) trait DotKernel {
    type Output;

    fn run<D: Dot>(self, dot: D) -> Self::Output;
}

/// A kernel that knows what it runs on.
pub(crate) trait Ready {
    type Output;

    fn run(self) -> Self::Output;
}

/// A [`DotKernel`] and what it runs on.
struct On<K, D>(K, D);

impl<D: Dot, K: DotKernel> Ready for On<K, D> {
    type Output = K::Output;

    #[inline(always)]
    fn run(self) -> K::Output {
        self.0.run(self.1)
    }
}

/// Runs what is [`Ready`] where a [`Kernel`] is wanted: on those instruction sets that need no more than a [`Simd`] does.
struct Inside<R>(R);

impl<R: Ready> Kernel for Inside<R> {
    type Output = R::Output;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> R::Output {
        self.0.run()
    }
}
