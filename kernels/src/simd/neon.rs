//! Sixteen lanes as four `q` registers: NEON, which every 64-bit Arm processor has.
#![allow(unsafe_code, reason = "an instruction set is its intrinsics")]

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::{LANES, Simd};
use crate::dispatch::Kernel;
use crate::reference::BF16_LEAST;

/// The proof that this machine has NEON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neon {
    _detected: (),
}

impl Neon {
    /// The proof, if this machine can give it.
    pub(crate) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Neon { _detected: () })
    }
}

/// # Safety
///
/// The machine must have NEON, which `token` proves.
#[inline(never)]
#[target_feature(enable = "neon")]
unsafe fn trampoline<K: Kernel>(token: Neon, kernel: K) -> K::Output {
    kernel.run(token)
}

/// Lanes 0 … 3, 4 … 7, 8 … 11 and 12 … 15.
#[derive(Clone, Copy)]
pub(crate) struct F32x16(float32x4_t, float32x4_t, float32x4_t, float32x4_t);

/// Lanes 0 … 3, 4 … 7, 8 … 11 and 12 … 15.
#[derive(Clone, Copy)]
pub(crate) struct I32x16(
    pub(crate) int32x4_t,
    pub(crate) int32x4_t,
    pub(crate) int32x4_t,
    pub(crate) int32x4_t,
);

/// Applies an intrinsic, or a function of the same kind, to all four quarters.
macro_rules! quarters {
    ($f:ident, $($v:expr),+) => {
        // SAFETY: `self` is the proof that the machine has NEON; the intrinsic touches registers alone.
        unsafe { F32x16($f($($v.0),+), $f($($v.1),+), $f($($v.2),+), $f($($v.3),+)) }
    };
}

/// The tree of the contract over the quarters: 16 → 8 → 4 → 2 → 1 lanes.
macro_rules! tree {
    ($v:expr, $wide:ident, $narrow:ident, $single:expr) => {{
        // SAFETY: as in `quarters`.
        let (lower, upper) = unsafe {
            let four = $wide($wide($v.0, $v.2), $wide($v.1, $v.3));
            let two = $narrow(vget_low_f32(four), vget_high_f32(four));
            (vget_lane_f32::<0>(two), vget_lane_f32::<1>(two))
        };
        $single(lower, upper)
    }};
}

// FMAX and FMIN give NaN for NaN and order the zeros. The trait's rule is a comparison and a selection,
// here for four lanes and for two.

#[inline]
#[target_feature(enable = "neon")]
fn max4(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    vbslq_f32(vcgtq_f32(a, b), a, b)
}

#[inline]
#[target_feature(enable = "neon")]
fn max2(a: float32x2_t, b: float32x2_t) -> float32x2_t {
    vbsl_f32(vcgt_f32(a, b), a, b)
}

#[inline]
#[target_feature(enable = "neon")]
fn select_less4(a: float32x4_t, b: float32x4_t, x: float32x4_t, y: float32x4_t) -> float32x4_t {
    vbslq_f32(vcltq_f32(a, b), x, y)
}

#[inline]
#[target_feature(enable = "neon")]
fn copy_sign4(a: float32x4_t, sign: float32x4_t) -> float32x4_t {
    vbslq_f32(vdupq_n_u32(1 << 31), sign, a)
}

/// The bits of each lane moved up from the low end of the mantissa into the exponent.
#[inline]
#[target_feature(enable = "neon")]
fn mantissa_to_exponent4(a: float32x4_t) -> float32x4_t {
    vreinterpretq_f32_u32(vshlq_n_u32::<23>(vreinterpretq_u32_f32(a)))
}

#[inline]
#[target_feature(enable = "neon")]
fn add_exponent4(p: float32x4_t, shifted: float32x4_t) -> float32x4_t {
    let exponent = vshlq_n_u32::<23>(vreinterpretq_u32_f32(shifted));
    vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(p), exponent))
}

#[inline]
#[target_feature(enable = "neon")]
fn low_bf16_4(pairs: float32x4_t) -> float32x4_t {
    vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_f32(pairs)))
}

#[inline]
#[target_feature(enable = "neon")]
fn high_bf16_4(pairs: float32x4_t) -> float32x4_t {
    vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(pairs), vdupq_n_u32(0xffff_0000)))
}

/// Four lanes rounded to bf16: see [`Simd::round_bf16`].
#[inline]
#[target_feature(enable = "neon")]
fn round_bf16_4(v: float32x4_t) -> float32x4_t {
    let bits = vreinterpretq_u32_f32(v);
    let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
    let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    let small = vcltq_f32(vabsq_f32(v), vdupq_n_f32(BF16_LEAST));
    let number = vceqq_f32(v, v);
    let quiet = vorrq_u32(bits, vdupq_n_u32(1 << 22));
    high_bf16_4(vreinterpretq_f32_u32(vbslq_u32(number, vbicq_u32(rounded, small), quiet)))
}

/// See [`Simd::join_bf16`].
#[inline]
#[target_feature(enable = "neon")]
fn join_bf16_4(low: float32x4_t, high: float32x4_t) -> float32x4_t {
    vreinterpretq_f32_u32(vsriq_n_u32::<16>(vreinterpretq_u32_f32(high), vreinterpretq_u32_f32(low)))
}

/// Four trees of the contract at once: lane i is the sum of vector i's sixteen lanes.
#[inline]
#[target_feature(enable = "neon")]
fn reduce_rows4(rows: [F32x16; 4]) -> float32x4_t {
    let mut fours = [vdupq_n_f32(0.0); 4];
    for (four, v) in fours.iter_mut().zip(rows) {
        *four = vaddq_f32(vaddq_f32(v.0, v.2), vaddq_f32(v.1, v.3));
    }
    let [a, b, c, d] = fours;
    // Lane j with j + 2: the halves of two rows.
    let ab = vaddq_f32(
        vcombine_f32(vget_low_f32(a), vget_low_f32(b)),
        vcombine_f32(vget_high_f32(a), vget_high_f32(b)),
    );
    let cd = vaddq_f32(
        vcombine_f32(vget_low_f32(c), vget_low_f32(d)),
        vcombine_f32(vget_high_f32(c), vget_high_f32(d)),
    );
    vaddq_f32(vuzp1q_f32(ab, cd), vuzp2q_f32(ab, cd))
}

/// As above, of integers, whose order is free.
#[inline]
#[target_feature(enable = "neon")]
fn reduce_rows4_i32(rows: [I32x16; 4]) -> int32x4_t {
    let mut fours = [vdupq_n_s32(0); 4];
    for (four, v) in fours.iter_mut().zip(rows) {
        *four = vaddq_s32(vaddq_s32(v.0, v.2), vaddq_s32(v.1, v.3));
    }
    let [a, b, c, d] = fours;
    vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d))
}

impl Simd for Neon {
    type F32 = F32x16;
    type I32 = I32x16;

    // 32 q registers: 6 rows × 4 accumulators, 4 of weights, 1 activation broadcast, 3 to spare; a seventh row
    // would need one register more than there are. Its 24 chains are enough for four pipes with a latency of
    // four. Fewer rows with more panels hold more weights at once, so they get 5 and not 6: tiles of 2 × 3 and
    // 3 × 2 would need 37 and 33 registers. A single row uses each vector of weights once, so it holds one at a time.
    const TILE_ROWS: usize = 6;
    const ACCUMULATORS: usize = 5;

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` is the proof that the machine has NEON.
        unsafe { trampoline(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F32x16 {
        // SAFETY: as in `quarters`.
        let quarter = unsafe { vdupq_n_f32(x) };
        F32x16(quarter, quarter, quarter, quarter)
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> F32x16 {
        let from = from.as_ptr();
        // SAFETY: `self` proves the feature; the reference is to sixteen readable f32, and the load asks for
        // no more alignment than they have.
        unsafe {
            F32x16(vld1q_f32(from), vld1q_f32(from.add(4)), vld1q_f32(from.add(8)), vld1q_f32(from.add(12)))
        }
    }

    #[inline(always)]
    fn store(self, v: F32x16, to: &mut [f32; LANES]) {
        let to = to.as_mut_ptr();
        // SAFETY: `self` proves the feature; the reference is to sixteen writable f32, and the store asks
        // for no more alignment than they have.
        unsafe {
            vst1q_f32(to, v.0);
            vst1q_f32(to.add(4), v.1);
            vst1q_f32(to.add(8), v.2);
            vst1q_f32(to.add(12), v.3);
        }
    }

    #[inline(always)]
    fn add(self, a: F32x16, b: F32x16) -> F32x16 {
        quarters!(vaddq_f32, a, b)
    }

    #[inline(always)]
    fn sub(self, a: F32x16, b: F32x16) -> F32x16 {
        quarters!(vsubq_f32, a, b)
    }

    #[inline(always)]
    fn mul(self, a: F32x16, b: F32x16) -> F32x16 {
        quarters!(vmulq_f32, a, b)
    }

    #[inline(always)]
    fn div(self, a: F32x16, b: F32x16) -> F32x16 {
        quarters!(vdivq_f32, a, b)
    }

    #[inline(always)]
    fn mul_add(self, a: F32x16, b: F32x16, c: F32x16) -> F32x16 {
        // The accumulator is the first operand.
        quarters!(vfmaq_f32, c, a, b)
    }

    #[inline(always)]
    fn max(self, a: F32x16, b: F32x16) -> F32x16 {
        quarters!(max4, a, b)
    }

    #[inline(always)]
    fn min(self, a: F32x16, b: F32x16) -> F32x16 {
        quarters!(select_less4, a, b, a, b)
    }

    #[inline(always)]
    fn select_less(self, a: F32x16, b: F32x16, x: F32x16, y: F32x16) -> F32x16 {
        quarters!(select_less4, a, b, x, y)
    }

    #[inline(always)]
    fn abs(self, a: F32x16) -> F32x16 {
        quarters!(vabsq_f32, a)
    }

    #[inline(always)]
    fn copy_sign(self, a: F32x16, sign: F32x16) -> F32x16 {
        quarters!(copy_sign4, a, sign)
    }

    #[inline(always)]
    fn exp2_integral(self, n: F32x16) -> F32x16 {
        // n + 127 in the low bits of the mantissa, then up into the exponent: see the reference.
        let biased = self.add(n, self.splat(8_388_608.0 + 127.0));
        quarters!(mantissa_to_exponent4, biased)
    }

    #[inline(always)]
    fn add_exponent(self, p: F32x16, shifted: F32x16) -> F32x16 {
        quarters!(add_exponent4, p, shifted)
    }

    #[inline(always)]
    fn low_bf16(self, pairs: F32x16) -> F32x16 {
        quarters!(low_bf16_4, pairs)
    }

    #[inline(always)]
    fn high_bf16(self, pairs: F32x16) -> F32x16 {
        quarters!(high_bf16_4, pairs)
    }

    #[inline(always)]
    fn round_bf16(self, v: F32x16) -> F32x16 {
        quarters!(round_bf16_4, v)
    }

    #[inline(always)]
    fn join_bf16(self, low: F32x16, high: F32x16) -> F32x16 {
        quarters!(join_bf16_4, low, high)
    }

    #[inline(always)]
    fn store_high_halves(self, v: F32x16, to: &mut [u16; LANES]) {
        let to = to.as_mut_ptr();
        // SAFETY: as in `quarters`; the reference is to sixteen writable u16.
        unsafe {
            let high = |v: float32x4_t| vshrn_n_u32::<16>(vreinterpretq_u32_f32(v));
            vst1q_u16(to, vcombine_u16(high(v.0), high(v.1)));
            vst1q_u16(to.add(8), vcombine_u16(high(v.2), high(v.3)));
        }
    }

    #[inline(always)]
    fn store_low_bytes(self, v: F32x16, to: &mut [u8; LANES]) {
        // SAFETY: as in `quarters`; the reference is to sixteen writable bytes.
        unsafe {
            let low = |v: float32x4_t| vmovn_u32(vreinterpretq_u32_f32(v));
            let first = vmovn_u16(vcombine_u16(low(v.0), low(v.1)));
            let second = vmovn_u16(vcombine_u16(low(v.2), low(v.3)));
            vst1q_u8(to.as_mut_ptr(), vcombine_u8(first, second));
        }
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> I32x16 {
        // SAFETY: as in `quarters`.
        let quarter = unsafe { vdupq_n_s32(x) };
        I32x16(quarter, quarter, quarter, quarter)
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32; LANES]) -> I32x16 {
        let from = from.as_ptr();
        // SAFETY: `self` proves the feature; the reference is to sixteen readable i32.
        unsafe {
            I32x16(vld1q_s32(from), vld1q_s32(from.add(4)), vld1q_s32(from.add(8)), vld1q_s32(from.add(12)))
        }
    }

    #[inline(always)]
    fn store_i32(self, v: I32x16, to: &mut [i32; LANES]) {
        let to = to.as_mut_ptr();
        // SAFETY: `self` proves the feature; the reference is to sixteen writable i32.
        unsafe {
            vst1q_s32(to, v.0);
            vst1q_s32(to.add(4), v.1);
            vst1q_s32(to.add(8), v.2);
            vst1q_s32(to.add(12), v.3);
        }
    }

    #[inline(always)]
    fn add_i32(self, a: I32x16, b: I32x16) -> I32x16 {
        // SAFETY: as in `quarters`.
        unsafe { I32x16(vaddq_s32(a.0, b.0), vaddq_s32(a.1, b.1), vaddq_s32(a.2, b.2), vaddq_s32(a.3, b.3)) }
    }

    #[inline(always)]
    fn any_not_less(self, a: F32x16, b: F32x16) -> bool {
        // SAFETY: as in `quarters`.
        unsafe {
            let low = vandq_u32(vcltq_f32(a.0, b.0), vcltq_f32(a.1, b.1));
            let high = vandq_u32(vcltq_f32(a.2, b.2), vcltq_f32(a.3, b.3));
            vminvq_u32(vandq_u32(low, high)) == 0
        }
    }

    #[inline(always)]
    fn any_not_less_i32(self, a: I32x16, b: I32x16) -> bool {
        // SAFETY: as in `quarters`.
        unsafe {
            let low = vandq_u32(vcltq_s32(a.0, b.0), vcltq_s32(a.1, b.1));
            let high = vandq_u32(vcltq_s32(a.2, b.2), vcltq_s32(a.3, b.3));
            vminvq_u32(vandq_u32(low, high)) == 0
        }
    }

    #[inline(always)]
    fn reduce_add_rows(self, rows: [F32x16; LANES]) -> F32x16 {
        let [a, b, c, d] = [0, 4, 8, 12].map(|first| {
            // SAFETY: as in `quarters`.
            unsafe { reduce_rows4([rows[first], rows[first + 1], rows[first + 2], rows[first + 3]]) }
        });
        F32x16(a, b, c, d)
    }

    #[inline(always)]
    fn reduce_add_rows_i32(self, rows: [I32x16; LANES]) -> I32x16 {
        let [a, b, c, d] = [0, 4, 8, 12].map(|first| {
            // SAFETY: as in `quarters`.
            unsafe { reduce_rows4_i32([rows[first], rows[first + 1], rows[first + 2], rows[first + 3]]) }
        });
        I32x16(a, b, c, d)
    }

    #[inline(always)]
    fn to_f32(self, v: I32x16) -> F32x16 {
        quarters!(vcvtq_f32_s32, v)
    }

    #[inline(always)]
    fn reduce_add(self, v: F32x16) -> f32 {
        tree!(v, vaddq_f32, vadd_f32, |a: f32, b: f32| a + b)
    }

    #[inline(always)]
    fn reduce_max(self, v: F32x16) -> f32 {
        tree!(v, max4, max2, |a: f32, b: f32| if a > b { a } else { b })
    }
}
