//! Products with packed weights.

use minilm_kernels::{
    Activation, Epilogue, Isa, NarrowRows, PackedLinear, Precision, RowsMut, linear, linear_columns,
    reference,
};

use crate::activations::ACTIVATIONS;
use crate::numbers::{assert_bits, numbers};

/// The specification of a product in that precision.
pub(crate) fn specified(
    precision: Precision,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    [m, n, k]: [usize; 3],
) -> Vec<f32> {
    match precision {
        Precision::Bf16 => reference::linear_bf16(x, weight, bias, m, n, k),
        Precision::Int8 => reference::linear_int8(x, weight, bias, &vec![1.0; k]),
        Precision::F32 => reference::linear(x, weight, bias, m, n, k),
    }
}

fn check_linear(precision: Precision, [m, n, k]: [usize; 3]) {
    let (x, weight, bias) = (numbers(m * k, 7), numbers(n * k, 8), numbers(n, 9));
    let residual = numbers(m * n, 10);
    let packed = PackedLinear::pack(precision, &[(&weight, &bias)], k);
    assert_eq!((packed.precision(), packed.n(), packed.k()), (precision, n, k));
    let expected = specified(precision, &x, &weight, &bias, [m, n, k]);
    let with_residual = reference::residual_sum(&expected, &residual);
    let what = format!("{precision} linear {m}×{n}×{k}");
    let mut narrow = NarrowRows::default();
    for isa in Isa::available() {
        let x = narrow.narrow(isa, &x, &packed);
        let mut y = vec![f32::NAN; m * n];
        linear(isa, x, &packed, Epilogue::Bias, &mut y);
        assert_bits(&what, isa, &y, &expected);

        for (activation, specified) in ACTIVATIONS {
            linear(isa, x, &packed, Epilogue::Activation(activation), &mut y);
            let activated: Vec<f32> = expected.iter().map(|&x| specified(x)).collect();
            assert_bits(&format!("{what} with {activation:?}"), isa, &y, &activated);
        }

        linear(isa, x, &packed, Epilogue::Residual(&residual), &mut y);
        assert_bits(&format!("{what} with residual"), isa, &y, &with_residual);
    }
}

#[test]
fn linear_of_every_tile_shape_and_tail() {
    for precision in Precision::ALL {
        for m in 0..=20 {
            for n in [0, 1, 15, 16, 17, 31, 32, 33, 48, 64, 65, 100] {
                for k in [1, 2, 3, 17, 129] {
                    check_linear(precision, [m, n, k]);
                }
            }
        }
    }
}

#[test]
fn linear_of_the_real_shapes() {
    for precision in Precision::ALL {
        for (n, k) in [(1152, 384), (384, 384), (1536, 384), (384, 1536)] {
            for m in [1, 9, 40] {
                check_linear(precision, [m, n, k]);
            }
        }
    }
}

/// BERT-base's and -large's, and hidden sizes that are no multiple of 16: of TinyBERT, and odd ones, with a k that ends
/// within the words of bf16 and int8, and the groups of int8.
#[test]
fn linear_of_the_shapes_of_other_models() {
    let multiples = [(2304, 768), (768, 3072), (1024, 4096)];
    let others = [(936, 312), (312, 1200), (301, 602), (1203, 301), (100, 385), (50, 767)];
    for precision in Precision::ALL {
        for (n, k) in multiples.into_iter().chain(others) {
            for m in [1, 9] {
                check_linear(precision, [m, n, k]);
            }
        }
    }
}

/// int8 whose inputs have factors.
#[test]
fn factors_of_inputs_are_in_both_sides_of_a_product() {
    for (m, n, k) in [(3, 17, 5), (9, 48, 384), (4, 33, 130), (5, 40, 900)] {
        let (x, weight, bias) = (numbers(m * k, 7), numbers(n * k, 8), numbers(n, 9));
        let factors: Vec<f32> = (0..k).map(|i| 0.25 + (i % 7) as f32).collect();
        let packed = PackedLinear::pack_with_factors(&[(&weight, &bias)], &factors);
        assert_eq!(packed.factors(), Some(&factors[..]));
        let expected = reference::linear_int8(&x, &weight, &bias, &factors);
        for isa in Isa::available() {
            let mut y = vec![f32::NAN; m * n];
            let mut narrow = NarrowRows::default();
            linear(isa, narrow.narrow(isa, &x, &packed), &packed, Epilogue::Bias, &mut y);
            assert_bits(&format!("int8 {m}×{n}×{k} with factors"), isa, &y, &expected);
        }
    }
}

/// A product that threads share by its columns, and what the reference makes of it.
struct SharedProduct {
    what: String,
    x: Vec<f32>,
    weight: PackedLinear,
    residual: Vec<f32>,
    biased: Vec<f32>,
    n: usize,
    /// Another weight, to say that it comes next.
    next: PackedLinear,
}

impl SharedProduct {
    fn new(precision: Precision, [m, n, k]: [usize; 3]) -> SharedProduct {
        let (x, weight, bias) = (numbers(m * k, 7), numbers(n * k, 8), numbers(n, 9));
        SharedProduct {
            what: format!("columns of {precision} linear {m}×{n}×{k}"),
            weight: PackedLinear::pack(precision, &[(&weight, &bias)], k),
            residual: numbers(m * n, 10),
            biased: specified(precision, &x, &weight, &bias, [m, n, k]),
            n,
            next: PackedLinear::pack(precision, &[(&numbers(33 * 5, 11), &numbers(33, 12))], 5),
            x,
        }
    }

    fn epilogues(&self) -> [(Epilogue<'_>, Vec<f32>); 3] {
        let gelu = self.biased.iter().map(|&x| reference::gelu(x)).collect();
        [
            (Epilogue::Bias, self.biased.clone()),
            (Epilogue::Activation(Activation::Gelu), gelu),
            (Epilogue::Residual(&self.residual), reference::residual_sum(&self.biased, &self.residual)),
        ]
    }

    /// Each part on a thread of its own, at once. Something may come next or not.
    fn check(&self, isa: Isa, parts: usize, (epilogue, expected): &(Epilogue<'_>, Vec<f32>), then: bool) {
        let mut narrow = NarrowRows::default();
        let x = narrow.narrow(isa, &self.x, &self.weight);
        let mut y = vec![f32::NAN; expected.len()];
        let shares = RowsMut::new(&mut y, self.n).share_columns(16, parts);
        std::thread::scope(|scope| {
            for i in 0..parts {
                let shares = &shares;
                scope.spawn(move || {
                    let columns = self.weight.columns(shares.range(i));
                    let then = then.then_some(self.next.columns(0..16));
                    linear_columns(isa, x, columns, then, *epilogue, shares.take(i));
                });
            }
        });
        let what = format!("{} in {parts} parts, {then}", self.what);
        assert_bits(&what, isa, &y, expected);
    }
}

/// Of large products not all combinations, which would take minutes: each cut, and each epilogue.
fn check_shared_by_columns(precision: Precision, shape: [usize; 3]) {
    let product = SharedProduct::new(precision, shape);
    let epilogues = product.epilogues();
    let [m, n, k] = shape;
    let every = if m * n * k > 1_000_000 { 8 } else { 1 };
    for isa in Isa::available() {
        for case in (m % every..24).step_by(every) {
            let (parts, epilogue, then) = ([1, 2, 3, 5][case % 4], case / 8, case / 4 % 2 == 1);
            product.check(isa, parts, &epilogues[epilogue], then);
        }
    }
}

/// With 40 columns in five parts, some parts have none.
#[test]
fn linear_shared_by_columns() {
    for (n, k) in [40, 384, 1152].into_iter().flat_map(|n| [1, 127, 128, 129, 384, 1536].map(|k| (n, k))) {
        for m in [0, 1, 5, 8, 9, 17, 64] {
            check_shared_by_columns(Precision::F32, [m, n, k]);
        }
    }
}

/// With lengths of k that are whole words and groups and that are not.
#[test]
fn narrow_linear_shared_by_columns() {
    for precision in [Precision::Bf16, Precision::Int8] {
        for (n, k) in [40, 384].into_iter().flat_map(|n| [1, 3, 34, 383, 384, 385, 1536].map(|k| (n, k))) {
            for m in [0, 1, 4, 7, 9, 17] {
                check_shared_by_columns(precision, [m, n, k]);
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
            Precision::F32,
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
        let packed = PackedLinear::pack(Precision::F32, &[(&[1.0, a], &[0.0])], 2);
        let mut y = [0.0];
        linear(isa, &[-(a * a), a], &packed, Epilogue::Bias, &mut y);
        assert_eq!(y[0], a.mul_add(a, -(a * a)));
        assert_ne!(y[0], 0.0);
    }
}

#[test]
#[should_panic(expected = "linear: x has 5 elements, no multiple of k = 3")]
fn a_wrong_length_is_named() {
    let packed = PackedLinear::pack(Precision::F32, &[(&[1.0, 2.0, 3.0], &[0.0])], 3);
    linear(Isa::SCALAR, &[0.0; 5], &packed, Epilogue::Bias, &mut [0.0]);
}

/// Of a product 2 × 40 × 3, as many columns as the width says.
fn columns_of_a_small_product(first: usize, width: usize, epilogue: Epilogue<'_>) {
    let packed = PackedLinear::pack(Precision::F32, &[(&[1.0; 40 * 3], &[0.0; 40])], 3);
    let columns = packed.columns(first..first + width);
    let mut y = vec![0.0; 2 * width];
    linear_columns(Isa::SCALAR, (&[1.0; 2 * 3]).into(), columns, None, epilogue, RowsMut::new(&mut y, width));
}

#[test]
#[should_panic(expected = "columns 8..40 of 40 are not whole panels of 16")]
fn columns_from_the_middle_of_a_panel() {
    columns_of_a_small_product(8, 32, Epilogue::Bias);
}

#[test]
#[should_panic(expected = "columns 16..24 of 40 are not whole panels of 16")]
fn columns_to_the_middle_of_a_panel() {
    columns_of_a_small_product(16, 8, Epilogue::Bias);
}

#[test]
#[should_panic(expected = "columns 32..48 of 40 are not whole panels of 16")]
fn columns_behind_the_last() {
    columns_of_a_small_product(32, 16, Epilogue::Bias);
}

#[test]
#[should_panic(expected = "linear: out has 32 columns for 16 of the weight")]
fn an_output_of_other_columns() {
    let packed = PackedLinear::pack(Precision::F32, &[(&[1.0; 40 * 3], &[0.0; 40])], 3);
    let mut y = [0.0; 2 * 32];
    let out = RowsMut::new(&mut y, 32);
    linear_columns(Isa::SCALAR, (&[1.0; 2 * 3]).into(), packed.columns(0..16), None, Epilogue::Bias, out);
}

#[test]
#[should_panic(expected = "linear: the residual has 16 elements for m = 2, n = 40")]
fn a_residual_of_some_columns() {
    columns_of_a_small_product(32, 8, Epilogue::Residual(&[0.0; 2 * 8]));
}
