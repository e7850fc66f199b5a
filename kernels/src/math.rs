//! exp, erf and tanh over sixteen lanes, for bf16 and int8 the weights of attention and GELU by polynomials, and the
//! constants that the reference shares.
//!
//! They equal [`crate::reference::exp`], [`crate::reference::erf`], [`crate::reference::tanh`],
//! [`crate::reference::exp2_of_weight`] and [`crate::reference::gelu_polynomial`] bit for bit. Their coefficients come from
//! `fit/polynomials.py`; their errors are measured by `tests/ulp.rs`.

use crate::simd::Simd;

/// Adding and subtracting 1.5 · 2²³ rounds a number of magnitude below 2²² to an integer, half to even,
/// with nothing but additions: the same on every machine.
pub(crate) const ROUND: f32 = 12_582_912.0;

pub(crate) const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// ln 2 in two parts (Cody and Waite): n · LN2_HIGH is exact for |n| < 2⁹, because the last 9 bits of
/// LN2_HIGH are zero.
pub(crate) const LN2_HIGH: f32 = f32::from_bits(0x3f31_7200);
pub(crate) const LN2_LOW: f32 = f32::from_bits(0x35bf_be8e);

/// exp of anything below rounds to 0, of anything above overflows.
pub(crate) const EXP_LOW: f32 = -104.0;
pub(crate) const EXP_HIGH: f32 = 89.0;

/// q with exp(r) = 1 + r + r² q(r) for |r| ≤ ln 2 / 2; relative error 3.2e-9.
pub(crate) const EXP: [f32; 5] = [0.49999994, 0.16666521, 0.04166826, 0.008368669, 0.0013821304];

/// Below this |x|, erf(x) = x + x p(x²); from it on, erf(x) = ±(1 − exp(|x| q(|x|))).
pub(crate) const ERF_SPLIT: f32 = 0.9375;

/// From here on erf rounds to ±1.
pub(crate) const ERF_END: f32 = 4.0;

/// p; relative error of erf 2.0e-8.
pub(crate) const ERF_SMALL: [f32; 6] =
    [0.12837915, -0.3761248, 0.1128162, -0.02675871, 0.0049809692, -0.00059268135];

/// q; relative error of erf 6.5e-10.
pub(crate) const ERF_LARGE: [f32; 7] =
    [-1.1286585, -0.63511074, -0.10630367, 0.023819333, -0.0036694212, 0.00032940847, -1.1888705e-5];

/// Below this |x|, tanh(|x|) = |x| + |x| p(x²); from it on, 1 − 2 / (exp(2 |x|) + 1).
pub(crate) const TANH_SPLIT: f32 = 0.75;

/// p; relative error of tanh 2.9e-8.
pub(crate) const TANH: [f32; 6] =
    [-2.8986234e-8, -0.3333296, 0.13325405, -0.053344388, 0.019582825, -0.0047161994];

/// Beyond ± this, GELU by a polynomial is x or 0.
pub(crate) const GELU_END: f32 = 4.36;

/// P with Φ(x) ≈ ½ + x P(x²) for |x| ≤ [`GELU_END`], and ½ + x P(x²) = 1 at its end; x Φ(x) is at most 3.8e-5 off.
pub(crate) const GELU: [f32; 9] = [
    0.398_741_25,
    -0.066_041_49,
    0.009_622_883,
    -0.001_049_58,
    8.351_698e-5,
    -4.662_29e-6,
    1.712_624_7e-7,
    -3.688_399_1e-9,
    3.509_279_3e-11,
];

/// 2ᵗ of anything below is not needed where weights are bf16 and the largest is 1.
pub(crate) const WEIGHT_LOW: f32 = -49.0;

/// The largest score · scale, from which the others' weights are counted. Rounded, it may be less than the exact product by half
/// of its last place, which is ¼ at most below 2²³. Beyond it is not rounded down: else a weight could be any power of 2.
pub(crate) fn scaled_maximum(maximum: f32, scale: f32) -> f32 {
    let scaled = maximum * scale;
    let too_small = scaled.abs() >= 8_388_608.0 && maximum.mul_add(scale, -scaled) > 0.0;
    if too_small { scaled.next_up() } else { scaled }
}

/// A bias of a score whose weight is a power of 2. A NaN has nothing in its lower half, so that it makes the weight one.
pub(crate) fn scaled_bias(bias: f32) -> f32 {
    let scaled = bias * LOG2_E;
    if scaled.is_nan() { f32::NAN } else { scaled }
}

/// p with 2ᶠ ≈ p(f) for |f| ≤ ½; relative error 1.02e-4, a twentieth of a step of bf16.
pub(crate) const EXP2: [f32; 4] = [1.0, 0.693_282_9, 0.242_210_95, 0.055_008_94];

/// c₀ + x (c₁ + x (c₂ + …)): Horner's rule, one fused step a coefficient.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::F32, coefficients: &[f32; N]) -> S::F32 {
    polynomials(simd, [x], coefficients)[0]
}

/// [`polynomial`] of several vectors.
#[inline(always)]
fn polynomials<S: Simd, const U: usize, const N: usize>(
    simd: S,
    x: [S::F32; U],
    coefficients: &[f32; N],
) -> [S::F32; U] {
    let mut sums = [simd.splat(coefficients[N - 1]); U];
    for i in (0..N - 1).rev() {
        let coefficient = simd.splat(coefficients[i]);
        for u in 0..U {
            sums[u] = simd.mul_add(sums[u], x[u], coefficient);
        }
    }
    sums
}

/// eˣ, see [`crate::reference::exp`].
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    // The bound comes first: then a NaN stays one.
    exp_in_range(simd, simd.min(simd.splat(EXP_HIGH), simd.max(simd.splat(EXP_LOW), x)))
}

/// [`exp`] of what is 0 or less, with a bound less to look at.
#[inline(always)]
pub(crate) fn exp_not_positive<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    exp_in_range(simd, simd.max(simd.splat(EXP_LOW), x))
}

/// [`crate::reference::exp2_of_weight`] of several vectors.
#[inline(always)]
pub(crate) fn exp2_of_weights<S: Simd, const U: usize>(simd: S, t: [S::F32; U]) -> [S::F32; U] {
    let round = simd.splat(ROUND);
    let (mut shifted, mut f) = (t, t);
    for u in 0..U {
        let t = simd.max(simd.splat(WEIGHT_LOW), t[u]);
        shifted[u] = simd.add(t, round);
        f[u] = simd.sub(t, simd.sub(shifted[u], round));
    }
    let mut p = polynomials(simd, f, &EXP2);
    for u in 0..U {
        p[u] = simd.add_exponent(p[u], shifted[u]);
    }
    p
}

/// [`crate::reference::gelu_polynomial`] of several vectors.
#[inline(always)]
pub(crate) fn gelu_polynomial<S: Simd, const U: usize>(simd: S, x: [S::F32; U]) -> [S::F32; U] {
    let (mut t, mut square) = (x, x);
    for u in 0..U {
        t[u] = simd.max(simd.splat(-GELU_END), simd.min(simd.splat(GELU_END), x[u]));
        square[u] = simd.mul(t[u], t[u]);
    }
    let mut y = polynomials(simd, square, &GELU);
    for u in 0..U {
        y[u] = simd.mul(x[u], simd.mul_add(t[u], y[u], simd.splat(0.5)));
    }
    y
}

/// [`exp`] for [`EXP_LOW`] ≤ x ≤ [`EXP_HIGH`], or NaN.
#[inline(always)]
fn exp_in_range<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let ([p], [shifted]) = exp_parts(simd, [x]);
    simd.mul_exp2(p, simd.sub(shifted, simd.splat(ROUND)))
}

/// p in 1/√2 … √2 and [`ROUND`] + n with eˣ = p · 2ⁿ, for several vectors.
#[inline(always)]
fn exp_parts<S: Simd, const U: usize>(simd: S, x: [S::F32; U]) -> ([S::F32; U], [S::F32; U]) {
    let round = simd.splat(ROUND);
    let (mut shifted, mut r, mut square) = (x, x, x);
    for u in 0..U {
        shifted[u] = simd.mul_add(x[u], simd.splat(LOG2_E), round);
    }
    for u in 0..U {
        let n = simd.sub(shifted[u], round);
        r[u] = simd.mul_add(n, simd.splat(-LN2_HIGH), x[u]);
        r[u] = simd.mul_add(n, simd.splat(-LN2_LOW), r[u]);
        square[u] = simd.mul(r[u], r[u]);
    }
    let mut p = polynomials(simd, r, &EXP);
    for u in 0..U {
        p[u] = simd.add(simd.mul_add(square[u], p[u], r[u]), simd.splat(1.0));
    }
    (p, shifted)
}

/// erf of several vectors, see [`crate::reference::erf`].
///
/// A step is done for all vectors before the next: one vector is a chain of twenty dependent steps, and a processor looks
/// too few instructions ahead to fill their latencies with the vectors behind.
#[inline(always)]
pub(crate) fn erf<S: Simd, const U: usize>(simd: S, x: [S::F32; U]) -> [S::F32; U] {
    let one = simd.splat(1.0);
    let (mut square, mut t, mut t_bounded) = (x, x, x);
    for u in 0..U {
        square[u] = simd.mul(x[u], x[u]);
        t[u] = simd.abs(x[u]);
        t_bounded[u] = simd.min(simd.splat(ERF_END), t[u]);
    }
    let mut small = polynomials(simd, square, &ERF_SMALL);
    let mut power = polynomials(simd, t_bounded, &ERF_LARGE);
    for u in 0..U {
        small[u] = simd.mul_add(small[u], x[u], x[u]);
        // t q(t) is between −16 and 0 for t from 0 to ERF_END.
        power[u] = simd.mul(t_bounded[u], power[u]);
    }
    let (p, shifted) = exp_parts(simd, power);
    let mut y = x;
    for u in 0..U {
        // Between −16 and 0 exp is no denormal: 2ⁿ can be put into the exponent at once.
        let erfc = simd.add_exponent(p[u], shifted[u]);
        let large = simd.copy_sign(simd.sub(one, erfc), x[u]);
        // As `t < ERF_SPLIT ? small : large`, but that NaN takes the piece that keeps it one.
        y[u] = simd.select_less(simd.splat(ERF_SPLIT.next_down()), t[u], large, small[u]);
    }
    y
}

/// tanh(x), see [`crate::reference::tanh`].
#[inline(always)]
pub(crate) fn tanh<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let t = simd.abs(x);
    let small = simd.mul_add(polynomial(simd, simd.mul(t, t), &TANH), t, t);

    let one = simd.splat(1.0);
    let e = exp(simd, simd.add(t, t));
    let large = simd.sub(one, simd.div(simd.splat(2.0), simd.add(e, one)));

    simd.copy_sign(simd.select_less(t, simd.splat(TANH_SPLIT), small, large), x)
}

/// 1 / (1 + e⁻ˣ), see [`crate::reference::sigmoid`].
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let (zero, one) = (simd.splat(0.0), simd.splat(1.0));
    let e = exp_not_positive(simd, simd.sub(zero, simd.abs(x)));
    simd.div(simd.select_less(x, zero, e, one), simd.add(one, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{Isa, Kernel};
    use crate::reference;
    use crate::simd::LANES;

    enum Function {
        Exp,
        Erf,
        Tanh,
    }

    struct Apply<'a>(Function, &'a mut [f32; LANES]);

    impl Kernel for Apply<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let v = simd.load(self.1);
            let v = match self.0 {
                Function::Exp => exp(simd, v),
                Function::Erf => erf(simd, [v])[0],
                Function::Tanh => tanh(simd, v),
            };
            simd.store(v, self.1);
        }
    }

    /// Plain Rust as a machine without FMA would run it: `f32::mul_add` is then a function of the C library.
    #[test]
    fn plain_rust_without_the_fma_instruction_has_the_same_bits() {
        for start in (0..=u32::MAX).step_by(99_991 * LANES) {
            let x: [f32; LANES] =
                std::array::from_fn(|j| f32::from_bits(start.wrapping_add(99_991 * j as u32)));
            let (mut plain, mut dispatched) = (x, x);
            Apply(Function::Erf, &mut plain).run(crate::simd::Scalar::<false>);
            Isa::SCALAR.run(Apply(Function::Erf, &mut dispatched));
            for (p, d) in plain.iter().zip(dispatched) {
                assert!(p.to_bits() == d.to_bits() || p.is_nan() && d.is_nan(), "{p:e} is not {d:e}");
            }
        }
    }

    /// The places where a branch or a bound begins, and their neighbours.
    #[test]
    fn the_bits_at_the_edges_of_the_pieces_are_those_of_the_reference() {
        let edges = [0.0, ERF_SPLIT, ERF_END, EXP_LOW, EXP_HIGH, -87.33655, 88.72284, 0.5 / LOG2_E];
        let tanh_edges = [TANH_SPLIT, 9.010913, 44.36142, 0.25 / LOG2_E];
        let around = |x: f32| [x, -x, x.next_up(), -x.next_up(), x.next_down(), -x.next_down()];
        let mut inputs: Vec<f32> = edges.into_iter().chain(tanh_edges).flat_map(around).collect();
        inputs.resize(inputs.len().next_multiple_of(LANES), 1.0);
        for isa in Isa::available() {
            for chunk in inputs.as_chunks::<LANES>().0 {
                let (mut exps, mut erfs, mut tanhs) = (*chunk, *chunk, *chunk);
                isa.run(Apply(Function::Exp, &mut exps));
                isa.run(Apply(Function::Erf, &mut erfs));
                isa.run(Apply(Function::Tanh, &mut tanhs));
                for j in 0..LANES {
                    let x = chunk[j];
                    assert_eq!(exps[j].to_bits(), reference::exp(x).to_bits(), "{isa}: exp({x:e})");
                    assert_eq!(erfs[j].to_bits(), reference::erf(x).to_bits(), "{isa}: erf({x:e})");
                    assert_eq!(tanhs[j].to_bits(), reference::tanh(x).to_bits(), "{isa}: tanh({x:e})");
                }
            }
        }
    }

    /// Every 997th bit pattern of all 2³² (a prime, so that all exponents and low bits occur), infinities
    /// and NaNs among them.
    #[test]
    fn exp_erf_and_tanh_have_the_bits_of_the_reference() {
        for isa in Isa::available() {
            for start in (0..=u32::MAX).step_by(997 * LANES) {
                let x: [f32; LANES] =
                    std::array::from_fn(|j| f32::from_bits(start.wrapping_add(997 * j as u32)));
                for (function, expected) in [
                    (Function::Exp, x.map(reference::exp)),
                    (Function::Erf, x.map(reference::erf)),
                    (Function::Tanh, x.map(reference::tanh)),
                ] {
                    let mut found = x;
                    isa.run(Apply(function, &mut found));
                    for j in 0..LANES {
                        let same = found[j].to_bits() == expected[j].to_bits();
                        assert!(
                            same || x[j].is_nan() && found[j].is_nan(),
                            "{isa}: f({:e}) = {:e}, not {:e}",
                            x[j],
                            found[j],
                            expected[j]
                        );
                    }
                }
            }
        }
    }
}
