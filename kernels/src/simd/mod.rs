//! The vector of sixteen `f32` lanes that every kernel is written over.
//!
//! One file an instruction set: its token, its trampoline, its [`Simd`]. A new one gets a variant in `dispatch.rs` and
//! runs the suite: every kernel test compares its bits with `reference.rs`. `kernels/README.md` walks through it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(test)]
pub(crate) mod narrow_tests;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(test)]
mod search_tests;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::{Avx2, I32x16};
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::{I32x16, Neon};
pub(crate) use scalar::Scalar;

use bytemuck::{Pod, Zeroable};

use crate::dispatch::Kernel;
use crate::math::ROUND;

/// How many `f32` a vector holds, on every machine.
pub(crate) use crate::reference::LANES;

/// Sixteen `f32` as one cache line.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub(crate) [f32; LANES]);

impl Lanes {
    pub(crate) const ZERO: Self = Lanes([0.0; LANES]);
}

/// An instruction set: operations on vectors of sixteen `f32`.
///
/// A value of an implementing type is the proof that the machine has the instruction set: the types (but for `Scalar`,
/// which needs no proof) have a private field, and only detection makes one. So every method is safe to call.
///
/// Each operation is the IEEE operation of each lane, rounded to nearest even, denormals kept. Nothing
/// here may be an estimate, and nothing may depend on the machine.
///
/// Implementations and the generic kernels above them are `#[inline(always)]`: they must end up inside
/// the trampoline that carries `#[target_feature]`, or each intrinsic becomes a call.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Sixteen lanes.
    type F32: Copy;

    /// Sixteen lanes of `i32`.
    type I32: Copy;

    /// The most rows a product tile may have.
    const TILE_ROWS: usize;

    /// How many accumulators, each of sixteen lanes, a product tile of fewer rows may have: rows · panels. Not more
    /// than the registers hold beside the panels' vectors of weights and a broadcast activation.
    const ACCUMULATORS: usize;

    /// Whether [`prefetch_l1`](Simd::prefetch_l1) and [`prefetch_l2`](Simd::prefetch_l2) do anything.
    const PREFETCHES: bool = false;

    /// Runs `kernel` as a function of its own, compiled for this instruction set: the way into it from outside
    /// ([`Isa::run`](crate::Isa)), and inside of it the way not to inline something large at every call.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;

    /// All lanes are `x`.
    fn splat(self, x: f32) -> Self::F32;

    /// Lane j is `from[j]`.
    fn load(self, from: &[f32; LANES]) -> Self::F32;

    /// `to[j]` is lane j.
    fn store(self, v: Self::F32, to: &mut [f32; LANES]);

    /// Lane j is `from[j]`, or `fill` where `from` (sixteen long or less) has ended.
    #[inline(always)]
    fn load_partial(self, from: &[f32], fill: f32) -> Self::F32 {
        debug_assert!(from.len() <= LANES, "{} lanes of {LANES}", from.len());
        match from.first_chunk() {
            Some(full) => self.load(full),
            None => {
                let mut lanes = [fill; LANES];
                lanes[..from.len()].copy_from_slice(from);
                self.load(&lanes)
            }
        }
    }

    /// `to[j]` is lane j, for as many lanes as `to` (sixteen long or less) has.
    #[inline(always)]
    fn store_partial(self, v: Self::F32, to: &mut [f32]) {
        debug_assert!(to.len() <= LANES, "{} lanes of {LANES}", to.len());
        match to.first_chunk_mut() {
            Some(full) => self.store(v, full),
            None => {
                let mut lanes = [0.0; LANES];
                self.store(v, &mut lanes);
                to.copy_from_slice(&lanes[..to.len()]);
            }
        }
    }

    /// A hint that the cache line at that address will be read or written at once. It changes no value, and the address
    /// may be any.
    #[inline(always)]
    fn prefetch_l1(self, _address: *const f32) {}

    /// A hint that the cache line at that address will be read later: it is brought as far as L2, where it pushes nothing
    /// out of L1 that is needed now.
    #[inline(always)]
    fn prefetch_l2(self, _address: *const f32) {}

    /// a + b
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// a − b
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// a · b
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// a / b
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// a · b + c, rounded once.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;

    /// a > b ? a : b. So the second operand if they are equal or either is NaN.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// a < b ? a : b. So the second operand if they are equal or either is NaN.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// a < b ? x : y
    fn select_less(self, a: Self::F32, b: Self::F32, x: Self::F32, y: Self::F32) -> Self::F32;

    /// |a|
    fn abs(self, a: Self::F32) -> Self::F32;

    /// The magnitude of `a` with the sign of `sign`.
    fn copy_sign(self, a: Self::F32, sign: Self::F32) -> Self::F32;

    /// 2ⁿ for integral n in −126 … 127; any bits, without a fault, for anything else.
    fn exp2_integral(self, n: Self::F32) -> Self::F32;

    /// p · 2ⁿ, rounded once, for 1/√2 ≤ p ≤ 2 and integral n in −152 … 128: two exact powers of two, of which the
    /// first product is exact. An instruction set that can scale at once does so.
    #[inline(always)]
    fn mul_exp2(self, p: Self::F32, n: Self::F32) -> Self::F32 {
        let round = self.splat(ROUND);
        let half = self.sub(self.mul_add(n, self.splat(0.5), round), round);
        let rest = self.sub(n, half);
        self.mul(self.mul(p, self.exp2_integral(half)), self.exp2_integral(rest))
    }

    /// p · 2ⁿ for `shifted` = 1.5 · 2²³ + n, n integral, where p and the product are normal: n, which is in the low bits
    /// of `shifted`, is added to the exponent of p. Any bits for anything else.
    fn add_exponent(self, p: Self::F32, shifted: Self::F32) -> Self::F32;

    /// The lower half of each lane's bits as a bf16, which is the upper half of an f32.
    fn low_bf16(self, pairs: Self::F32) -> Self::F32;

    /// The upper half of each lane's bits as a bf16.
    fn high_bf16(self, pairs: Self::F32) -> Self::F32;

    /// Each lane rounded to a bf16, as f32: see [`reference::bf16`](crate::reference::bf16).
    fn round_bf16(self, v: Self::F32) -> Self::F32;

    /// Two bf16 a lane: lane j of `low`, rounded before, in its lower half, lane j of `high` in its upper.
    fn join_bf16(self, low: Self::F32, high: Self::F32) -> Self::F32;

    /// `to[j]` is the upper half of lane j's bits: its bf16, if it has been rounded.
    fn store_high_halves(self, v: Self::F32, to: &mut [u16; LANES]);

    /// `to[j]` is the lowest byte of lane j's bits: of [`ROUND`] + n it is n modulo 256.
    fn store_low_bytes(self, v: Self::F32, to: &mut [u8; LANES]);

    /// All lanes are `x`.
    fn splat_i32(self, x: i32) -> Self::I32;

    /// Lane j is `from[j]`.
    fn load_i32(self, from: &[i32; LANES]) -> Self::I32;

    /// `to[j]` is lane j.
    fn store_i32(self, v: Self::I32, to: &mut [i32; LANES]);

    /// a + b, modulo 2³².
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;

    /// Each lane as an f32, rounded half to even.
    fn to_f32(self, v: Self::I32) -> Self::F32;

    /// Whether any lane of a is not less than b's: greater, equal, or one of the two is NaN.
    fn any_not_less(self, a: Self::F32, b: Self::F32) -> bool;

    /// Whether any lane of a is not less than b's.
    fn any_not_less_i32(self, a: Self::I32, b: Self::I32) -> bool;

    /// Lane j of vector i becomes lane i of vector j. Shuffles alone: a number's bits stay as they are.
    #[inline(always)]
    fn transpose(self, rows: [Self::F32; LANES]) -> [Self::F32; LANES] {
        let mut lanes = [[0.0; LANES]; LANES];
        for i in 0..LANES {
            self.store(rows[i], &mut lanes[i]);
        }
        std::array::from_fn(|j| self.load(&std::array::from_fn(|i| lanes[i][j])))
    }

    /// The sum of the lanes by the one tree of the contract: lane j adds lane j + 8, then j + 4,
    /// then j + 2, then j + 1.
    fn reduce_add(self, v: Self::F32) -> f32;

    /// Lane i is [`reduce_add`](Simd::reduce_add) of vector i. Sixteen trees at once share their shuffles: each step
    /// brings the lower halves of two vectors into one and the upper halves into another, and adds those.
    #[inline(always)]
    fn reduce_add_rows(self, rows: [Self::F32; LANES]) -> Self::F32 {
        let mut sums = [0.0; LANES];
        for i in 0..LANES {
            sums[i] = self.reduce_add(rows[i]);
        }
        self.load(&sums)
    }

    /// Lane i is the sum of the lanes of vector i, modulo 2³².
    #[inline(always)]
    fn reduce_add_rows_i32(self, rows: [Self::I32; LANES]) -> Self::I32 {
        let mut sums = [0; LANES];
        for i in 0..LANES {
            let mut lanes = [0; LANES];
            self.store_i32(rows[i], &mut lanes);
            sums[i] = lanes.iter().fold(0, |sum: i32, &lane| sum.wrapping_add(lane));
        }
        self.load_i32(&sums)
    }

    /// The maximum of the lanes by the same tree, each step [`Simd::max`] of the lower and the upper.
    fn reduce_max(self, v: Self::F32) -> f32;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Isa;

    /// Every pair of these meets in some lane: signs, zeros, denormals, infinities, neighbours.
    const NUMBERS: [f32; 19] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        1.5,
        -2.25,
        1e-40,
        -1e-40,
        f32::MIN_POSITIVE,
        3.0e38,
        -3.0e38,
        f32::INFINITY,
        f32::NEG_INFINITY,
        0.1,
        1.0 + f32::EPSILON,
        1e-20,
        -7.0,
        f32::NAN,
        2.5,
    ];

    /// All methods on one triple of vectors, in a fixed order.
    struct AllMethods {
        a: [f32; LANES],
        b: [f32; LANES],
        c: [f32; LANES],
    }

    impl Kernel for AllMethods {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<f32> {
            let (a, b, c) = (simd.load(&self.a), simd.load(&self.b), simd.load(&self.c));
            let mut out = Vec::new();
            for v in [
                simd.splat(self.a[3]),
                simd.add(a, b),
                simd.sub(a, b),
                simd.mul(a, b),
                simd.div(a, b),
                simd.mul_add(a, b, c),
                simd.max(a, b),
                simd.min(a, b),
                simd.select_less(a, b, c, a),
                simd.abs(a),
                simd.copy_sign(a, b),
            ] {
                let mut lanes = [0.0; LANES];
                simd.store(v, &mut lanes);
                out.extend(lanes);
            }
            // Also far from any memory of ours, where it may do no harm.
            for address in [self.a.as_ptr(), self.a.as_ptr().wrapping_add(usize::MAX / 2)] {
                simd.prefetch_l1(address);
                simd.prefetch_l2(address);
            }
            out.extend([simd.reduce_add(c), simd.reduce_max(a)]);
            for n in 0..=LANES {
                let mut lanes = [7.0; LANES];
                simd.store_partial(simd.load_partial(&self.a[..n], 2.0), &mut lanes);
                out.extend(lanes);
                let mut lanes = [7.0; LANES];
                simd.store_partial(a, &mut lanes[..n]);
                out.extend(lanes);
            }
            out
        }
    }

    struct PowersOfTwo(f32);

    impl Kernel for PowersOfTwo {
        type Output = [f32; LANES];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> [f32; LANES] {
            let mut lanes = [0.0; LANES];
            simd.store(simd.exp2_integral(simd.splat(self.0)), &mut lanes);
            lanes
        }
    }

    #[test]
    fn every_method_has_the_bits_of_plain_rust() {
        let n = NUMBERS.len();
        for isa in Isa::available() {
            for shift in 0..n * n {
                let from = |offset: usize| std::array::from_fn(|j| NUMBERS[(j + offset) % n]);
                // 16 of 19 lie in the lanes at once; moving all three brings each to every lane.
                let methods =
                    || AllMethods { a: from(shift), b: from(shift + shift % n), c: from(shift / n) };
                let (found, expected) = (isa.run(methods()), methods().run(Scalar::<false>));
                assert_eq!(found.len(), expected.len());
                for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
                    let same = f.to_bits() == e.to_bits() || f.is_nan() && e.is_nan();
                    assert!(same, "{isa}, shift {shift}, value {i}: {f:e} is not {e:e}");
                }
            }
        }
    }

    struct Transposed([[f32; LANES]; LANES]);

    impl Kernel for Transposed {
        type Output = [[f32; LANES]; LANES];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> [[f32; LANES]; LANES] {
            let mut out = [[0.0; LANES]; LANES];
            let columns = simd.transpose(std::array::from_fn(|i| simd.load(&self.0[i])));
            for j in 0..LANES {
                simd.store(columns[j], &mut out[j]);
            }
            out
        }
    }

    #[test]
    fn rows_become_columns() {
        let rows: [[f32; LANES]; LANES] =
            std::array::from_fn(|i| std::array::from_fn(|j| (100 * i + j) as f32));
        for isa in Isa::available() {
            let columns = isa.run(Transposed(rows));
            for (i, row) in rows.iter().enumerate() {
                for (j, &x) in row.iter().enumerate() {
                    assert_eq!(columns[j][i], x, "{isa}: row {i}, lane {j}");
                }
            }
        }
    }

    struct Reductions([f32; LANES]);

    impl Kernel for Reductions {
        type Output = [f32; 2];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> [f32; 2] {
            let v = simd.load(&self.0);
            [simd.reduce_add(v), simd.reduce_max(v)]
        }
    }

    /// Sums that another order would round otherwise, and every arrangement of zeros, NaN in one lane.
    #[test]
    fn reductions_follow_the_one_tree() {
        let thirds = (0..100).map(|n| std::array::from_fn(|j| 1.0 / (3 * (j + n) + 1) as f32));
        let zeros =
            (0..=u16::MAX).map(|signs| std::array::from_fn(|j| if signs >> j & 1 == 1 { -0.0 } else { 0.0 }));
        let nans = (0..LANES).map(|at| std::array::from_fn(|j| if j == at { f32::NAN } else { j as f32 }));
        let inputs: Vec<[f32; LANES]> = thirds.chain(zeros).chain(nans).collect();
        for isa in Isa::available() {
            for &input in &inputs {
                let (found, expected) = (isa.run(Reductions(input)), Reductions(input).run(Scalar::<false>));
                for (f, e) in found.into_iter().zip(expected) {
                    let same = f.to_bits() == e.to_bits() || f.is_nan() && e.is_nan();
                    assert!(same, "{isa}, {input:?}: {f:e} is not {e:e}");
                }
            }
        }
    }

    struct Scaled([f32; LANES], f32);

    impl Kernel for Scaled {
        type Output = [f32; LANES];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> [f32; LANES] {
            let mut lanes = [0.0; LANES];
            simd.store(simd.mul_exp2(simd.load(&self.0), simd.splat(self.1)), &mut lanes);
            lanes
        }
    }

    struct WithExponent([f32; LANES], f32);

    impl Kernel for WithExponent {
        type Output = [f32; LANES];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> [f32; LANES] {
            let mut lanes = [0.0; LANES];
            simd.store(simd.add_exponent(simd.load(&self.0), simd.splat(ROUND + self.1)), &mut lanes);
            lanes
        }
    }

    /// Where it is normal, which is where it is used.
    #[test]
    fn an_exponent_added_is_a_power_of_two() {
        let p: [f32; LANES] = std::array::from_fn(|j| 0.71 + 0.086 * j as f32);
        for isa in Isa::available() {
            for n in -125..=126 {
                let expected = p.map(|p| (f64::from(p) * 2f64.powi(n)) as f32);
                assert_eq!(isa.run(WithExponent(p, n as f32)), expected, "{isa}: 2^{n}");
            }
        }
    }

    /// From results that round to 0 to those that overflow, against float64, which represents all of them.
    #[test]
    fn scaling_by_a_power_of_two_rounds_once() {
        let p: [f32; LANES] = std::array::from_fn(|j| 0.71 + 0.086 * j as f32);
        for isa in Isa::available() {
            for n in -152..=128 {
                let expected = p.map(|p| (f64::from(p) * 2f64.powi(n)) as f32);
                assert_eq!(isa.run(Scaled(p, n as f32)), expected, "{isa}: 2^{n}");
            }
        }
    }

    #[test]
    fn powers_of_two_are_exact() {
        for isa in Isa::available() {
            for n in -126..=127 {
                assert_eq!(isa.run(PowersOfTwo(n as f32)), [2f32.powi(n); LANES], "{isa}: 2^{n}");
            }
        }
    }
}
