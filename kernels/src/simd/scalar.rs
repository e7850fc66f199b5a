//! Sixteen lanes in plain Rust: what any machine can run, and the shape of the others.

use super::{LANES, Simd};

/// Plain Rust. Needs no proof: every machine has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scalar;

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

impl Simd for Scalar {
    type F32 = [f32; LANES];

    const TILE_ROWS: usize = 4;
    const ACCUMULATORS: usize = 4;

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
        each(|j| a[j].mul_add(b[j], c[j]))
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
    fn reduce_add(self, v: Self::F32) -> f32 {
        tree(v, |a, b| a + b)
    }

    #[inline(always)]
    fn reduce_max(self, v: Self::F32) -> f32 {
        tree(v, |a, b| if a > b { a } else { b })
    }
}
