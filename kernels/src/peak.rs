//! How fast this machine can go at best, to judge kernels by.
//!
//! Each function here does a known amount of one kind of work, as fast as a core can do it, and says how
//! much it was; the caller takes the time. Divided by that, a kernel's rate becomes a fraction of what is
//! possible, which can be compared between machines where seconds cannot.
//!
//! - [`f32_fma`]: fused multiply-adds in registers, on any instruction set. No product can be faster.
//! - [`bf16_dot`], [`int8_dot`]: dot products of narrower types, where the machine has them.
//! - [`read`]: loads of f32 in order. The length of the slice decides which level of the memory answers.
//! - [`integer_chain`]: a chain of known latency, which measures the core's clock.
//!
//! Clocks and neighbours drift: take the time of a peak just before and just after that of the kernel.
#![allow(unsafe_code, reason = "dot products of narrow types are leaves whose features are detected here")]

use std::hint::black_box;

use crate::dispatch::{Isa, Kernel};
use crate::dot::F32;
#[cfg(target_arch = "x86_64")]
use crate::simd::Avx512;
use crate::simd::{LANES, Simd};
use crate::tile::panels_per_tile;

/// Does `steps` fused multiply-adds on each of enough independent vectors to hide the latency, all in
/// registers. Returns the number of floating-point operations done, two for each multiply-add of a lane.
///
/// The peak of plain Rust is that of the vector instructions which the compiler makes of it: with FMA the
/// same as AVX2's.
pub fn f32_fma(isa: Isa, steps: u64) -> u64 {
    let Chains { sum, operations } = isa.run(F32Fma { steps });
    black_box(sum);
    operations
}

/// What chains came to, and the operations it took.
struct Chains {
    sum: f32,
    operations: u64,
}

struct F32Fma {
    steps: u64,
}

impl Kernel for F32Fma {
    type Output = Chains;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Chains {
        // As many as the tallest tile of a product has, which is what the registers hold.
        match S::TILE_ROWS * panels_per_tile::<F32<S>>(S::TILE_ROWS) {
            24.. => fma_chains::<S, 24>(simd, self.steps),
            6.. => fma_chains::<S, 6>(simd, self.steps),
            _ => fma_chains::<S, 4>(simd, self.steps),
        }
    }
}

/// x ← x / 2 + 1 in N vectors: the numbers stay ordinary, however long it goes on.
#[inline(always)]
fn fma_chains<S: Simd, const N: usize>(simd: S, steps: u64) -> Chains {
    let (factor, addend) = black_box((0.5, 1.0));
    let (factor, addend) = (simd.splat(factor), simd.splat(addend));
    let mut chains = [simd.splat(0.0); N];
    for _ in 0..steps {
        for chain in &mut chains {
            *chain = simd.mul_add(*chain, factor, addend);
        }
    }
    // Through memory, so that how plain Rust is vectorised follows the chains and not the final tree.
    let chains = black_box(chains);
    Chains { sum: total(simd, &chains), operations: steps * (N * LANES * 2) as u64 }
}

#[inline(always)]
fn total<S: Simd>(simd: S, vectors: &[S::F32]) -> f32 {
    let mut sum = simd.splat(0.0);
    for &v in vectors {
        sum = simd.add(sum, v);
    }
    simd.reduce_add(sum)
}

/// The sum of `data`, by the widest loads of the instruction set. Nothing but the memory should hold it up.
///
/// Unlike every other sum of this crate it has no promised order: it is there for its time.
pub fn read(isa: Isa, data: &[f32]) -> f32 {
    isa.run(Read { data })
}

struct Read<'a> {
    data: &'a [f32],
}

impl Kernel for Read<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        // Enough to hide the latency of an addition.
        match S::ACCUMULATORS {
            8.. => read_chains::<S, 8>(simd, self.data),
            _ => read_chains::<S, 4>(simd, self.data),
        }
    }
}

#[inline(always)]
fn read_chains<S: Simd, const N: usize>(simd: S, data: &[f32]) -> f32 {
    // From a cache line on: a load across two of them is two.
    let to_line = data.as_ptr().align_offset(LANES * size_of::<f32>());
    let (head, data) = data.split_at(to_line.min(data.len()));
    let (vectors, tail) = data.as_chunks::<LANES>();
    let (groups, rest) = vectors.as_chunks::<N>();
    let mut chains = [simd.splat(0.0); N];
    for group in groups {
        for i in 0..N {
            chains[i] = simd.add(chains[i], simd.load(&group[i]));
        }
    }
    for vector in rest {
        chains[0] = simd.add(chains[0], simd.load(vector));
    }
    // Both are shorter than a vector.
    chains[0] = simd.add(chains[0], simd.load_partial(head, 0.0));
    chains[0] = simd.add(chains[0], simd.load_partial(tail, 0.0));
    total(simd, &black_box(chains))
}

/// Cycles that one step of [`integer_chain`] takes.
const CYCLES_PER_STEP: u64 = 2;

/// Runs a chain of `steps` dependent pairs of an exclusive or and an addition of 64-bit registers. Returns
/// how many cycles of the core that takes: each has a latency of one cycle on every x86-64 core since 2006
/// and every 64-bit Arm application core, and neither can be folded into the next.
///
/// It needs no cycle counter, which virtual machines seldom have.
pub fn integer_chain(steps: u64) -> u64 {
    // Behind a black box, or the compiler would know them and simplify.
    let (mut x, mask, addend) = black_box((1u64, 0x5555_5555_5555_5555u64, 0x9e37_79b9_7f4a_7c15u64));
    // Unrolled, so that the loop's own branch is never what is waited for.
    const UNROLLED: u64 = 16;
    let rounds = steps.div_ceil(UNROLLED);
    for _ in 0..rounds {
        for _ in 0..UNROLLED {
            x = (x ^ mask).wrapping_add(addend);
        }
    }
    black_box(x);
    rounds * UNROLLED * CYCLES_PER_STEP
}

/// Like [`f32_fma`], for dot products of pairs of bf16 that are added to f32 (`vdpbf16ps` of AVX-512).
/// `None` if the machine lacks them.
pub fn bf16_dot(steps: u64) -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    if Avx512::detect().is_some()
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
    {
        // SAFETY: the features that the function is compiled with have just been detected, with those that the
        // compiler takes to be implied: AVX-512BW by BF16, the others by AVX-512F.
        return Some(unsafe { x86::bf16_dot(steps) });
    }
    let _ = steps;
    None
}

/// Like [`f32_fma`], for dot products of four unsigned with four signed bytes that are added to 32-bit
/// integers (`vpdpbusd` of AVX-512 VNNI); an operation is one multiplication or addition of integers.
/// `None` if the machine lacks them.
pub fn int8_dot(steps: u64) -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    if Avx512::detect().is_some() && is_x86_feature_detected!("avx512vnni") {
        // SAFETY: the features that the function is compiled with have just been detected, with those that the
        // compiler takes to be implied by AVX-512F.
        return Some(unsafe { x86::int8_dot(steps) });
    }
    let _ = steps;
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    /// Of the 32 zmm registers; the latency of these instructions is up to 6 cycles, two a cycle at most.
    const CHAINS: usize = 24;

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn bf16_dot(steps: u64) -> u64 {
        let ones = _mm512_set1_ps(black_box(1.0));
        let factors = _mm512_cvtne2ps_pbh(ones, ones);
        let mut chains = [_mm512_setzero_ps(); CHAINS];
        for _ in 0..steps {
            for chain in &mut chains {
                *chain = _mm512_dpbf16_ps(*chain, factors, factors);
            }
        }
        black_box(chains);
        // 16 lanes, each two products and two additions.
        steps * CHAINS as u64 * 16 * 4
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn int8_dot(steps: u64) -> u64 {
        let factors = _mm512_set1_epi8(black_box(1));
        let mut chains = [_mm512_setzero_si512(); CHAINS];
        for _ in 0..steps {
            for chain in &mut chains {
                *chain = _mm512_dpbusd_epi32(*chain, factors, factors);
            }
        }
        black_box(chains);
        // 16 lanes, each four products and four additions.
        steps * CHAINS as u64 * 16 * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counted_multiply_add_is_done() {
        for isa in Isa::available() {
            // x ← x / 2 + 1 from 0: 1, then 1.5, then 1.75; after 30 steps it is 2, rounded.
            for (steps, x) in [(1, 1.0), (2, 1.5), (3, 1.75), (30, 2.0)] {
                let Chains { sum, operations } = isa.run(F32Fma { steps });
                let lanes = operations / steps / 2;
                assert_eq!(lanes % LANES as u64, 0, "{isa}");
                assert_eq!(sum, lanes as f32 * x, "{steps} steps on {isa}");
                assert_eq!(f32_fma(isa, steps), operations, "{isa}");
            }
        }
    }

    #[test]
    fn every_number_is_read_once() {
        for isa in Isa::available() {
            for n in (0..300).chain([1000, 4099]) {
                // Whole numbers, whose sum is exact in any order.
                let data: Vec<f32> = (1..=n).map(|i| i as f32).collect();
                assert_eq!(read(isa, &data), (n * (n + 1) / 2) as f32, "{n} numbers on {isa}");
                // Without the first: another place within a cache line.
                if n > 0 {
                    assert_eq!(read(isa, &data[1..]), (n * (n + 1) / 2 - 1) as f32, "{n} - 1 on {isa}");
                }
            }
        }
    }

    #[test]
    fn operations_are_counted_by_lanes_and_factors() {
        assert_eq!(integer_chain(0), 0);
        assert_eq!(integer_chain(16), 32);
        assert_eq!(integer_chain(17), 64);
        // 24 registers of 512 bits: 32 pairs of bf16 or 64 bytes in each, a product and an addition for each.
        assert!(bf16_dot(3).is_none_or(|operations| operations == 3 * 24 * 32 * 2));
        assert!(int8_dot(3).is_none_or(|operations| operations == 3 * 24 * 64 * 2));
    }
}
