//! Sixteen lanes in plain Rust: what any machine can run, and the shape of the others.
#![allow(unsafe_code, reason = "plain Rust is compiled a second time, with the FMA feature")]

use super::{LANES, Simd};
use crate::dispatch::Kernel;

/// Plain Rust. Needs no proof: every machine has it.
///
/// Where it is known that the compiler has the FMA feature, that is inside of [`with_fma`], kernels are told: they are smaller
/// if they call a function where they multiply and add without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scalar<const FMA: bool = false>;

#[inline(always)]
fn each(f: impl Fn(usize) -> f32) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    for (j, lane) in out.iter_mut().enumerate() {
        *lane = f(j);
    }
    out
}

#[inline(always)]
fn tree(mut v: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for j in 0..half {
            v[j] = f(v[j], v[j + half]);
        }
        half /= 2;
    }
    v[0]
}

/// # Safety
///
/// The machine must have FMA, and AVX, which the compiler takes to be implied.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "fma")]
unsafe fn with_fma<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Scalar::<true>)
}

/// For the machines that have no FMA, or have it always.
#[inline(never)]
fn as_it_is<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Scalar::<{ cfg!(not(target_arch = "x86_64")) || cfg!(target_feature = "fma") }>)
}

/// Sixteen calls into the C library, in one place and not wherever a kernel multiplies and adds.
#[inline(never)]
fn mul_add_by_calls(a: &[f32; LANES], b: &[f32; LANES], c: &[f32; LANES]) -> [f32; LANES] {
    each(|j| a[j].mul_add(b[j], c[j]))
}

impl<const FMA: bool> Simd for Scalar<FMA> {
    type F32 = [f32; LANES];
    type I32 = [i32; LANES];

    const TILE_ROWS: usize = 4;
    const ACCUMULATORS: usize = 4;

    /// On x86-64 without the FMA feature `f32::mul_add` is a call into the C library. Where the machine has
    /// the instruction, the same plain Rust is compiled with it: the same bits, about twenty times the speed.
    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("fma") && is_x86_feature_detected!("avx") {
            // SAFETY: FMA and AVX have just been detected.
            return unsafe { with_fma(kernel) };
        }
        as_it_is(kernel)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F32 {
        *from
    }

    #[inline(always)]
    fn store(self, v: Self::F32, to: &mut [f32; LANES]) {
        *to = v;
    }

    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each(|j| a[j] + b[j])
    }

    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each(|j| a[j] - b[j])
    }

    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each(|j| a[j] * b[j])
    }

    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each(|j| a[j] / b[j])
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        if FMA { each(|j| a[j].mul_add(b[j], c[j])) } else { mul_add_by_calls(&a, &b, &c) }
    }

    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each(|j| if a[j] > b[j] { a[j] } else { b[j] })
    }

    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each(|j| if a[j] < b[j] { a[j] } else { b[j] })
    }

    #[inline(always)]
    fn select_less(self, a: Self::F32, b: Self::F32, x: Self::F32, y: Self::F32) -> Self::F32 {
        each(|j| if a[j] < b[j] { x[j] } else { y[j] })
    }

    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        each(|j| a[j].abs())
    }

    #[inline(always)]
    fn copy_sign(self, a: Self::F32, sign: Self::F32) -> Self::F32 {
        each(|j| a[j].copysign(sign[j]))
    }

    #[inline(always)]
    fn exp2_integral(self, n: Self::F32) -> Self::F32 {
        each(|j| crate::reference::exp2_integral(n[j]))
    }

    #[inline(always)]
    fn add_exponent(self, p: Self::F32, shifted: Self::F32) -> Self::F32 {
        each(|j| f32::from_bits(p[j].to_bits().wrapping_add(shifted[j].to_bits() << 23)))
    }

    #[inline(always)]
    fn low_bf16(self, pairs: Self::F32) -> Self::F32 {
        each(|j| f32::from_bits(pairs[j].to_bits() << 16))
    }

    #[inline(always)]
    fn high_bf16(self, pairs: Self::F32) -> Self::F32 {
        each(|j| f32::from_bits(pairs[j].to_bits() & 0xffff_0000))
    }

    #[inline(always)]
    fn round_bf16(self, v: Self::F32) -> Self::F32 {
        each(|j| crate::reference::bf16(v[j]))
    }

    #[inline(always)]
    fn join_bf16(self, low: Self::F32, high: Self::F32) -> Self::F32 {
        each(|j| f32::from_bits(low[j].to_bits() >> 16 | high[j].to_bits() & 0xffff_0000))
    }

    #[inline(always)]
    fn store_high_halves(self, v: Self::F32, to: &mut [u16; LANES]) {
        for (to, v) in to.iter_mut().zip(v) {
            *to = (v.to_bits() >> 16) as u16;
        }
    }

    #[inline(always)]
    fn store_low_bytes(self, v: Self::F32, to: &mut [u8; LANES]) {
        for (to, v) in to.iter_mut().zip(v) {
            *to = v.to_bits() as u8;
        }
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I32 {
        [x; LANES]
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32; LANES]) -> Self::I32 {
        *from
    }

    #[inline(always)]
    fn store_i32(self, v: Self::I32, to: &mut [i32; LANES]) {
        *to = v;
    }

    #[inline(always)]
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        std::array::from_fn(|j| a[j].wrapping_add(b[j]))
    }

    #[inline(always)]
    fn any_not_less(self, a: Self::F32, b: Self::F32) -> bool {
        // All lanes, without a branch for each.
        !a.iter().zip(b).fold(true, |all, (a, b)| all & (*a < b))
    }

    #[inline(always)]
    fn any_not_less_i32(self, a: Self::I32, b: Self::I32) -> bool {
        a.iter().zip(b).fold(false, |any, (a, b)| any | (*a >= b))
    }

    #[inline(always)]
    fn to_f32(self, v: Self::I32) -> Self::F32 {
        each(|j| v[j] as f32)
    }

    #[inline(always)]
    fn reduce_add(self, v: Self::F32) -> f32 {
        tree(v, |a, b| a + b)
    }

    #[inline(always)]
    fn reduce_max(self, v: Self::F32) -> f32 {
        tree(v, |a, b| if a > b { a } else { b })
    }
}
