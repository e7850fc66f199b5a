//! The methods for bf16 and for integers, on every instruction set, against plain Rust.

use super::*;
use crate::dispatch::Isa;
use crate::reference::BF16_LEAST;

/// Every upper half there is, each with lower halves at which rounding to bf16 changes its mind: all exponents, both
/// signs, zeros, denormals, infinities, NaNs, ties, what rounds to infinity.
pub(crate) fn around_every_bf16() -> impl Iterator<Item = [f32; LANES]> + Clone {
    let lower = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x2345, 0xdcba];
    let pairs = (0..=u16::MAX).step_by(2);
    pairs.map(move |upper| {
        std::array::from_fn(|j| {
            let upper = u32::from(upper) + (j / lower.len()) as u32;
            f32::from_bits(upper << 16 | lower[j % lower.len()])
        })
    })
}

/// What bf16 is, said in another way than the reference does: of the two neighbours with nothing in the lower half the
/// nearer, and of two that are equally near the one whose last bit is 0; beyond the largest lies 2¹²⁸, which is infinity.
fn nearest_bf16(x: f32) -> f32 {
    if x.abs() < BF16_LEAST {
        return 0.0;
    }
    if x.is_nan() || x.is_infinite() {
        return x;
    }
    let toward_zero = x.to_bits() & 0xffff_0000;
    let away = toward_zero + 0x1_0000;
    let value = |bits: u32| match f32::from_bits(bits & 0x7fff_ffff) {
        f32::INFINITY => 2f64.powi(128),
        magnitude => f64::from(magnitude),
    };
    let magnitude = f64::from(x.abs());
    let (down, up) = (magnitude - value(toward_zero), value(away) - magnitude);
    let is_even = toward_zero >> 16 & 1 == 0;
    f32::from_bits(if down < up || down == up && is_even { toward_zero } else { away })
}

#[test]
fn the_reference_rounds_to_the_nearest_bf16() {
    for x in around_every_bf16().flatten() {
        let (found, expected) = (crate::reference::bf16(x), nearest_bf16(x));
        let same = found.to_bits() == expected.to_bits() || found.is_nan() && x.is_nan();
        assert!(same, "{x:e} becomes {found:e}, not {expected:e}");
    }
}

struct Bf16Methods([f32; LANES], [f32; LANES]);

#[derive(Debug, PartialEq)]
struct OfBf16 {
    low: [u32; LANES],
    high: [u32; LANES],
    rounded: [f32; LANES],
    joined: [u32; LANES],
    halves: [u16; LANES],
    bytes: [u8; LANES],
}

impl Kernel for Bf16Methods {
    type Output = OfBf16;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> OfBf16 {
        let (a, b) = (simd.load(&self.0), simd.load(&self.1));
        let [mut low, mut high, mut joined] = [[0.0; LANES]; 3];
        let mut found = OfBf16 {
            low: [0; LANES],
            high: [0; LANES],
            rounded: [0.0; LANES],
            joined: [0; LANES],
            halves: [0; LANES],
            bytes: [0; LANES],
        };
        simd.store(simd.low_bf16(a), &mut low);
        simd.store(simd.high_bf16(a), &mut high);
        // The upper half may be anything; the lower must have been rounded.
        simd.store(simd.join_bf16(simd.high_bf16(a), b), &mut joined);
        [found.low, found.high, found.joined] = [low, high, joined].map(|lanes| lanes.map(f32::to_bits));
        simd.store(simd.round_bf16(a), &mut found.rounded);
        simd.store_high_halves(a, &mut found.halves);
        simd.store_low_bytes(a, &mut found.bytes);
        found
    }
}

#[test]
fn methods_of_bf16_have_the_bits_of_plain_rust() {
    for isa in Isa::available() {
        for (a, b) in around_every_bf16().zip(around_every_bf16().skip(12_345).cycle()) {
            let found = isa.run(Bf16Methods(a, b));
            for j in 0..LANES {
                let (bits, upper) = (a[j].to_bits(), a[j].to_bits() >> 16);
                let what = || format!("{isa}, lane {j}, {:e} and {:e}", a[j], b[j]);
                assert_eq!(found.low[j], bits << 16, "low_bf16, {}", what());
                assert_eq!(found.high[j], upper << 16, "high_bf16, {}", what());
                assert_eq!(found.joined[j], upper | b[j].to_bits() >> 16 << 16, "join_bf16, {}", what());
                assert_eq!(u32::from(found.halves[j]), upper, "store_high_halves, {}", what());
                assert_eq!(found.bytes[j], bits as u8, "store_low_bytes, {}", what());
                let (rounded, expected) = (found.rounded[j], nearest_bf16(a[j]));
                let same = rounded.to_bits() == expected.to_bits() || rounded.is_nan() && a[j].is_nan();
                assert!(same, "round_bf16, {}: {rounded:e} is not {expected:e}", what());
                assert_eq!(rounded.to_bits() as u16, 0, "round_bf16, {}: the lower half", what());
            }
        }
    }
}

/// The byte of an integer that was rounded by [`ROUND`].
#[test]
fn low_bytes_are_those_of_rounded_integers() {
    for isa in Isa::available() {
        for first in (-512..512).step_by(LANES) {
            let n: [i32; LANES] = std::array::from_fn(|j| first + j as i32);
            let rounded = n.map(|n| ROUND + n as f32);
            assert_eq!(
                isa.run(Bf16Methods(rounded, rounded)).bytes,
                n.map(|n| n as u8),
                "{isa}: from {first}"
            );
        }
    }
}

/// Ends, and where f32 begins to round: between 2²⁴ and 2²⁵ odd numbers are ties.
const INTEGERS: [i32; 23] = [
    0,
    1,
    -1,
    127,
    -127,
    255,
    -32_768,
    65_535,
    46_341,
    // The largest sum of a group in int8.
    384 * 255 * 127,
    -384 * 255 * 127,
    (1 << 24) - 1,
    (1 << 24) + 1,
    -(1 << 24) - 3,
    (1 << 25) + 2,
    (1 << 25) + 6,
    123_456_789,
    i32::MAX,
    i32::MAX - 1,
    i32::MAX - 63,
    i32::MAX - 64,
    i32::MIN,
    i32::MIN + 1,
];

struct IntegerMethods([i32; LANES]);

impl Kernel for IntegerMethods {
    type Output = [[f32; LANES]; 2];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> [[f32; LANES]; 2] {
        let mut found = [[0.0; LANES]; 2];
        simd.store(simd.to_f32(simd.load_i32(&self.0)), &mut found[0]);
        simd.store(simd.to_f32(simd.splat_i32(self.0[3])), &mut found[1]);
        found
    }
}

#[test]
fn methods_of_integers_have_the_bits_of_plain_rust() {
    let n = INTEGERS.len();
    for isa in Isa::available() {
        for shift in 0..n {
            let v: [i32; LANES] = std::array::from_fn(|j| INTEGERS[(j + shift) % n]);
            let found = isa.run(IntegerMethods(v));
            assert_eq!(found[0], v.map(|x| x as f32), "{isa}: to_f32 of {v:?}");
            assert_eq!(found[1], [v[3] as f32; LANES], "{isa}: splat_i32({})", v[3]);
        }
    }
}
