//! Activation functions.

use minilm_kernels::{Activation, Isa, activate, reference};

use crate::numbers::{assert_bits, lengths, numbers};

type Function = fn(f32) -> f32;

/// Every activation with its specification.
pub(crate) const ACTIVATIONS: [(Activation, Function); 7] = [
    (Activation::Gelu, reference::gelu),
    (Activation::GeluTanh, reference::gelu_tanh),
    (Activation::GeluPolynomial, reference::gelu_polynomial),
    (Activation::Relu, reference::relu),
    (Activation::Tanh, reference::tanh),
    (Activation::Sigmoid, reference::sigmoid),
    (Activation::Silu, reference::silu),
];

#[test]
fn activations_of_all_lengths() {
    for isa in Isa::available() {
        for n in lengths() {
            let x = numbers(n, n as u64 + 1);
            for (activation, specified) in ACTIVATIONS {
                let mut y = x.clone();
                activate(isa, &mut y, activation);
                let expected: Vec<f32> = x.iter().map(|&x| specified(x)).collect();
                assert_bits(&format!("{activation:?}"), isa, &y, &expected);
            }
        }
    }
}

/// Every 9973rd of all bit patterns: denormals, infinities and NaNs among them.
#[test]
fn activations_of_all_kinds_of_numbers() {
    let x: Vec<f32> = (0..=u32::MAX).step_by(9973).map(f32::from_bits).collect();
    for isa in Isa::available() {
        for (activation, specified) in ACTIVATIONS {
            let mut y = x.clone();
            activate(isa, &mut y, activation);
            for (&x, y) in x.iter().zip(y) {
                let expected = specified(x);
                assert!(
                    y.to_bits() == expected.to_bits() || y.is_nan() && expected.is_nan(),
                    "{activation:?}({x:e}) on {isa} is {y:e}, the reference says {expected:e}"
                );
            }
        }
    }
}

/// Zeros, denormals, infinities and NaN.
#[test]
fn activations_at_the_ends() {
    let tiny = f32::from_bits(1);
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let x = [0.0, -0.0, tiny, -tiny, inf, -inf, nan, 1e38, -1e38];
    let expected = [
        (Activation::Gelu, [0.0, -0.0, 0.0, -0.0, inf, nan, nan, 1e38, -0.0]),
        (Activation::GeluTanh, [0.0, -0.0, 0.0, -0.0, inf, nan, nan, 1e38, -0.0]),
        (Activation::Relu, [0.0, -0.0, tiny, 0.0, inf, 0.0, nan, 1e38, 0.0]),
        (Activation::Tanh, [0.0, -0.0, tiny, -tiny, 1.0, -1.0, nan, 1.0, -1.0]),
        (Activation::Sigmoid, [0.5, 0.5, 0.5, 0.5, 1.0, 0.0, nan, 1.0, 0.0]),
        (Activation::Silu, [0.0, -0.0, 0.0, -0.0, inf, nan, nan, 1e38, -0.0]),
    ];
    for isa in Isa::available() {
        for (activation, expected) in expected {
            let mut y = x;
            activate(isa, &mut y, activation);
            for i in 0..x.len() {
                assert!(
                    y[i].to_bits() == expected[i].to_bits() || y[i].is_nan() && expected[i].is_nan(),
                    "{activation:?}({:e}) on {isa} is {:e}, not {:e}",
                    x[i],
                    y[i],
                    expected[i]
                );
            }
        }
    }
}
