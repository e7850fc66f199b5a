//! Products with packed weights.

use minilm_kernels::{Epilogue, Isa, LayerNorm, PackedLinear, linear, reference};

use crate::activations::ACTIVATIONS;
use crate::numbers::{assert_bits, numbers};

fn check_linear(isa: Isa, m: usize, n: usize, k: usize) {
    let (x, weight, bias) = (numbers(m * k, 7), numbers(n * k, 8), numbers(n, 9));
    let residual = numbers(m * n, 10);
    let packed = PackedLinear::pack(&[(&weight, &bias)], k);
    assert_eq!((packed.n(), packed.k()), (n, k));
    let expected = reference::linear(&x, &weight, &bias, m, n, k);

    let mut y = vec![f32::NAN; m * n];
    let what = format!("linear {m}×{n}×{k}");
    linear(isa, &x, &packed, Epilogue::Bias, &mut y);
    assert_bits(&what, isa, &y, &expected);

    for (activation, specified) in ACTIVATIONS {
        linear(isa, &x, &packed, Epilogue::Activation(activation), &mut y);
        let activated: Vec<f32> = expected.iter().map(|&x| specified(x)).collect();
        assert_bits(&format!("{what} with {activation:?}"), isa, &y, &activated);
    }

    linear(isa, &x, &packed, Epilogue::Residual(&residual), &mut y);
    let with_residual = reference::residual_sum(&expected, &residual);
    assert_bits(&format!("{what} with residual"), isa, &y, &with_residual);

    if n > 0 {
        let norm = LayerNorm { gamma: numbers(n, 11), beta: numbers(n, 12), eps: 1e-12 };
        linear(isa, &x, &packed, Epilogue::ResidualLayerNorm(&residual, &norm), &mut y);
        let mut normalized = with_residual;
        for row in normalized.chunks_mut(n) {
            reference::layer_norm(row, &norm.gamma, &norm.beta, norm.eps);
        }
        assert_bits(&format!("{what} with residual and LayerNorm"), isa, &y, &normalized);
    }
}

#[test]
fn linear_of_every_tile_shape_and_tail() {
    for isa in Isa::available() {
        for m in 0..=20 {
            for n in [0, 1, 15, 16, 17, 31, 32, 33, 48, 64, 65, 100] {
                for k in [1, 2, 17, 129] {
                    check_linear(isa, m, n, k);
                }
            }
        }
    }
}

#[test]
fn linear_of_the_real_shapes() {
    for isa in Isa::available() {
        for (n, k) in [(1152, 384), (384, 384), (1536, 384), (384, 1536)] {
            for m in [1, 9, 40] {
                check_linear(isa, m, n, k);
            }
        }
    }
}

#[test]
fn packing_in_parts_is_packing_the_whole() {
    let (weight, bias) = (numbers(50 * 7, 11), numbers(50, 12));
    let x = numbers(3 * 7, 13);
    for isa in Isa::available() {
        let parts = PackedLinear::pack(
            &[
                (&weight[..20 * 7], &bias[..20]),
                (&weight[20 * 7..33 * 7], &bias[20..33]),
                (&weight[33 * 7..], &bias[33..]),
            ],
            7,
        );
        let mut y = vec![0.0; 3 * 50];
        linear(isa, &x, &parts, Epilogue::Bias, &mut y);
        assert_bits("packed parts", isa, &y, &reference::linear(&x, &weight, &bias, 3, 50, 7));
    }
}

/// The contract lives on IEEE fused multiply-adds; this is what an unfused one would get wrong.
#[test]
fn multiply_adds_are_fused() {
    let a = 1.0 + f32::EPSILON;
    for isa in Isa::available() {
        let packed = PackedLinear::pack(&[(&[1.0, a], &[0.0])], 2);
        let mut y = [0.0];
        linear(isa, &[-(a * a), a], &packed, Epilogue::Bias, &mut y);
        assert_eq!(y[0], a.mul_add(a, -(a * a)));
        assert_ne!(y[0], 0.0);
    }
}

#[test]
#[should_panic(expected = "linear: x has 5 elements, no multiple of k = 3")]
fn a_wrong_length_is_named() {
    let packed = PackedLinear::pack(&[(&[1.0, 2.0, 3.0], &[0.0])], 3);
    linear(Isa::SCALAR, &[0.0; 5], &packed, Epilogue::Bias, &mut [0.0]);
}
