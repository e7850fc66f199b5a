//! How fast this machine can go at best, to judge kernels by.
//!
//! Each function here does a known amount of one kind of work, as fast as a core can do it, and says how
//! much it was; the caller takes the time. Divided by that, a kernel's rate becomes a fraction of what is
//! possible, which can be compared between machines where seconds cannot.
//!
//! - [`products`]: the steps of products in registers, in any precision on any instruction set. No product can be faster.
//! - [`read`]: loads of f32 in order. The length of the slice decides which level of the memory answers.
//! - [`integer_chain`]: a chain of known latency, which measures the core's clock.
//!
//! Clocks and neighbours drift: take the time of a peak just before and just after that of the kernel.

use std::hint::black_box;

use crate::dispatch::{Isa, Kernel};
use crate::dot::{ColumnScales, Dot, DotKernel, SumKind};
use crate::precision::Precision;
use crate::reference::RowScale;
use crate::simd::{LANES, Lanes, Simd};
use crate::tile::panels_per_tile;

/// Does `steps` steps of products in that precision, or twice as many where instructions take two at once (`usmmla`), on
/// each of enough independent sums to hide the latency, all in registers: fused multiply-adds, `vdpbf16ps`, `vpdpbusd`, or
/// whatever the instruction set has in their place. Returns the number of operations done, a multiplication or an addition
/// each, of integers in int8.
///
/// The peak of plain Rust is that of the vector instructions which the compiler makes of it: in f32 with FMA the same as
/// AVX2's.
pub fn products(isa: Isa, precision: Precision, steps: u64) -> u64 {
    let Chains { sum, operations } = isa.multiply(precision, Products { precision, steps });
    black_box(sum);
    operations
}

/// What chains came to, and the operations it took.
struct Chains {
    sum: f32,
    operations: u64,
}

struct Products {
    precision: Precision,
    steps: u64,
}

impl DotKernel for Products {
    type Output = Chains;

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) -> Chains {
        // As many as the tallest tile of a product has, which is what the registers hold.
        match D::TILE_ROWS * panels_per_tile::<D>(D::TILE_ROWS) {
            24.. => self.chains::<D, 24>(dot),
            6.. => self.chains::<D, 6>(dot),
            _ => self.chains::<D, 4>(dot),
        }
    }
}

impl Products {
    /// Sums of ones.
    #[inline(always)]
    fn chains<D: Dot, const N: usize>(self, dot: D) -> Chains {
        let Products { precision, steps } = self;
        let ones = match precision {
            Precision::F32 => 0x3f80_0000,
            Precision::Bf16 => 0x3f80_3f80,
            Precision::Int8 => 0x0101_0101_u32,
        };
        let (word, line) = black_box((ones, Lanes([f32::from_bits(ones); LANES])));
        let (simd, word, line) = (dot.simd(), dot.word(word), dot.line(&line));
        let mut chains = [D::SumKind::zero(simd); N];
        for _ in 0..steps {
            for chain in &mut chains {
                *chain = dot.dot_steps(word, line, *chain);
            }
        }
        // Through memory, so that how plain Rust is vectorised follows the chains and not the final tree.
        let chains = black_box(chains);
        let products = steps * (D::STEPS * precision.steps_a_word()) as u64;
        let lanes = [Lanes([products as f32; LANES])];
        let scales = ColumnScales { scales: &lanes, sums: &lanes, stride: 1 };
        let [columns] = D::SumKind::columns(simd, Some(scales), 0);
        let row = RowScale { zero: -D::OFFSET, ..RowScale::NONE };
        let mut sum = simd.splat(0.0);
        for chain in chains {
            sum = simd.add(sum, D::SumKind::numbers(simd, chain, row, columns));
        }
        Chains { sum: simd.reduce_add(sum), operations: products * (N * LANES * 2) as u64 }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counted_multiply_add_is_done() {
        for isa in Isa::available() {
            for precision in Precision::ALL {
                for steps in [1, 2, 3, 30] {
                    let Chains { sum, operations } = isa.multiply(precision, Products { precision, steps });
                    // A product and an addition each, and each product is 1.
                    assert_eq!(sum, (operations / 2) as f32, "{steps} steps of {precision} on {isa}");
                    let of_a_vector = steps * (precision.steps_a_word() * LANES * 2) as u64;
                    assert!(operations >= 4 * of_a_vector, "{steps} steps of {precision} on {isa}");
                    assert_eq!(operations % of_a_vector, 0, "{steps} steps of {precision} on {isa}");
                    assert_eq!(products(isa, precision, steps), operations, "{precision} on {isa}");
                }
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
    fn cycles_of_the_chain_are_two_a_step() {
        assert_eq!(integer_chain(0), 0);
        assert_eq!(integer_chain(16), 32);
        assert_eq!(integer_chain(17), 64);
    }
}
