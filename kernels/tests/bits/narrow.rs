//! Activations in bf16 and int8: lengths that are no whole words, rows of special numbers, and what is refused.

use minilm_kernels::{
    Activations, Epilogue, Isa, NarrowRows, PackedLinear, Precision, RowsMut, linear, linear_columns,
    reference,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::linear::specified;
use crate::numbers::{assert_bits, numbers};

const NARROW: [Precision; 2] = [Precision::Bf16, Precision::Int8];

/// What a product of these rows comes to on every instruction set.
fn products(precision: Precision, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<(Isa, Vec<f32>)> {
    let k = weight.len() / bias.len();
    let packed = PackedLinear::pack(precision, &[(weight, bias)], k);
    let mut narrow = NarrowRows::default();
    let product = |isa| {
        let mut y = vec![f32::NAN; x.len() / k * bias.len()];
        linear(isa, narrow.narrow(isa, x, &packed), &packed, Epilogue::Bias, &mut y);
        (isa, y)
    };
    Isa::available().into_iter().map(product).collect()
}

/// Every length around words, lanes and groups. The same rows are filled again and again, longer ones first, so that
/// what one leaves behind would show; and as one row, as four, which are narrowed at once, and as seven.
#[test]
fn products_of_every_length() {
    let lengths = (1..=70).chain(380..=390).chain([766, 767, 768, 769, 1151, 1153]);
    for k in lengths.rev() {
        for precision in NARROW {
            let n = 17;
            let (weight, bias) = (numbers(n * k, 51), numbers(n, 52));
            for m in [7, 4, 1] {
                let x = numbers(m * k, 53);
                let expected = specified(precision, &x, &weight, &bias, [m, n, k]);
                for (isa, y) in products(precision, &x, &weight, &bias) {
                    assert_bits(&format!("{precision} {m}×{n}×{k}"), isa, &y, &expected);
                }
            }
        }
    }
}

/// Zeros of both signs, and what counts as zeros, are the bias alone.
#[test]
fn rows_of_zeros_are_the_bias() {
    for k in [1, 16, 50, 384, 800] {
        let (weight, bias) = (numbers(20 * k, 54), numbers(20, 55));
        let tiny = 2f32.powi(-61);
        for precision in NARROW {
            for x in [0.0, -0.0, 1e-40, tiny, -tiny] {
                for (isa, y) in products(precision, &vec![x; 5 * k], &weight, &bias) {
                    assert_eq!(y, bias.repeat(5), "{precision} on {isa}, rows of {x:e}, k = {k}");
                }
            }
        }
    }
}

/// A number that is the least or the largest of its row is exactly a byte, so a row of it has the error of the weights.
#[test]
fn constant_rows_are_exact() {
    let k = 384;
    // Weights that are bytes, of scale 1, and bf16.
    let weight: Vec<f32> = (0..17 * k).map(|i| (i * 7 % 255) as f32 - 127.0).collect();
    let sums: Vec<f64> = weight.chunks(k).map(|row| row.iter().copied().map(f64::from).sum()).collect();
    for x in [1.0, -1.0, 0.5, -1024.0, 2f32.powi(60)] {
        for precision in NARROW {
            for (isa, y) in products(precision, &vec![x; 5 * k], &weight, &[0.0; 17]) {
                for (y, exact) in
                    y.chunks(17).flatten().zip(sums.iter().cycle().map(|sum| sum * f64::from(x)))
                {
                    let off = (f64::from(*y) - exact).abs();
                    assert!(
                        off <= exact.abs() * 1e-6,
                        "{precision} on {isa}, rows of {x}: {y} is not {exact}"
                    );
                }
            }
        }
    }
}

/// The rows beside it have what they would have had.
#[test]
fn a_row_that_is_not_finite_has_no_finite_product() {
    let (n, k) = (20, 401);
    let (weight, bias) = (numbers(n * k, 56), numbers(n, 57));
    let rows = numbers(5 * k, 58);
    for precision in Precision::ALL {
        let expected = specified(precision, &rows, &weight, &bias, [5, n, k]);
        for special in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            for at in [0..1, 1..2, 15..16, 16..17, 100..101, 383..384, 384..385, 399..400, 400..401, 0..k] {
                if special.is_nan() && at.len() == 1 {
                    continue;
                }
                let what = format!("{precision}, {special} at {at:?}");
                let mut x = rows.clone();
                x[2 * k..][at].fill(special);
                for (isa, y) in products(precision, &x, &weight, &bias) {
                    let row = &y[2 * n..3 * n];
                    assert!(row.iter().all(|y| !y.is_finite()), "{what} on {isa}: {row:?}");
                    assert_bits(&what, isa, &y[..2 * n], &expected[..2 * n]);
                    assert_bits(&what, isa, &y[3 * n..], &expected[3 * n..]);
                }
            }
        }
    }
}

/// Numbers that a row may have, or a whole row from one side of zero.
fn finite_row() -> impl Strategy<Value = Vec<f32>> {
    let number =
        prop_oneof![6 => -8.0f32..8.0, 1 => -1e18f32..1e18, 1 => prop::num::f32::SUBNORMAL, 1 => Just(0.0)];
    (vec(number, 1..70), 0..3).prop_map(|(mut row, side)| {
        match side {
            0 => row.iter_mut().for_each(|x| *x = x.abs()),
            1 => row.iter_mut().for_each(|x| *x = -x.abs()),
            _ => {}
        }
        row
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    /// What bytes stand for is never more than half a step from what they were made of, and 0 is 0.
    #[test]
    fn bytes_of_a_row_stand_for_its_numbers(row in finite_row()) {
        let (bytes, of_row) = reference::quantize_row(&row);
        let zero = f64::from(of_row.zero);
        prop_assert!((0.0..=254.0).contains(&zero) && zero.fract() == 0.0, "the zero point is {}", zero);
        for (&x, &byte) in row.iter().zip(&bytes) {
            let stands_for = f64::from(of_row.scale) * (f64::from(byte) - zero);
            // Of the range, in f32; a row that counts as zeros is off by what it was.
            let slack = (f64::from(of_row.scale) * 0.500_05).max(2f64.powi(-60));
            prop_assert!((stands_for - f64::from(x)).abs() <= slack, "{} became {}", x, stands_for);
            prop_assert!(x != 0.0 || stands_for == 0.0, "0 became {}", stands_for);
        }
    }

    #[test]
    fn bytes_of_weights_stand_for_them(weights in finite_row()) {
        let (bytes, scale) = reference::quantize_weights(&weights);
        for (&weight, &byte) in weights.iter().zip(&bytes) {
            prop_assert!(byte != i8::MIN, "{} became {}", weight, byte);
            let stands_for = f64::from(scale) * f64::from(byte);
            let slack = (f64::from(scale) * 0.500_05).max(2f64.powi(-60));
            prop_assert!((stands_for - f64::from(weight)).abs() <= slack, "{} became {}", weight, stands_for);
        }
    }
}

/// A weight of 40 outputs and k inputs.
fn small_weight(precision: Precision, k: usize) -> PackedLinear {
    PackedLinear::pack(precision, &[(&vec![1.0; 40 * k], &[0.0; 40])], k)
}

/// Two rows of k, narrowed for one weight and multiplied with another.
fn narrowed_for_another([narrow_for, multiplied_with]: [Precision; 2], k: [usize; 2]) {
    let (first, second) = (small_weight(narrow_for, k[0]), small_weight(multiplied_with, k[1]));
    let x = vec![1.0; 2 * k[0]];
    let mut narrow = NarrowRows::default();
    let x = narrow.narrow(Isa::SCALAR, &x, &first);
    linear(Isa::SCALAR, x, &second, Epilogue::Bias, &mut [0.0; 80]);
}

#[test]
#[should_panic(expected = "linear: activations of f32 for a weight of another precision")]
fn activations_of_f32_for_a_narrow_weight() {
    narrowed_for_another([Precision::F32, Precision::Bf16], [6, 6]);
}

#[test]
#[should_panic(expected = "linear: activations of another precision than the weight")]
fn activations_of_bf16_for_a_weight_of_int8() {
    narrowed_for_another([Precision::Bf16, Precision::Int8], [6, 6]);
}

#[test]
#[should_panic(expected = "linear: activations of another precision than the weight")]
fn narrow_activations_for_a_weight_of_f32() {
    narrowed_for_another([Precision::Int8, Precision::F32], [6, 6]);
}

/// As many words, but not as many activations.
#[test]
#[should_panic(expected = "linear: x has m = 2, k = 6")]
fn narrow_activations_of_another_length() {
    narrowed_for_another([Precision::Int8, Precision::Int8], [6, 7]);
}

#[test]
#[should_panic(expected = "linear: out has 120 elements for m = 2, n = 40")]
fn an_output_of_more_rows() {
    let weight = small_weight(Precision::Int8, 6);
    let mut narrow = NarrowRows::default();
    let x = narrow.narrow(Isa::SCALAR, &[1.0; 12], &weight);
    linear(Isa::SCALAR, x, &weight, Epilogue::Bias, &mut [0.0; 120]);
}

#[test]
#[should_panic(expected = "linear: x has m = 2, k = 6")]
fn an_output_of_more_rows_by_columns() {
    let weight = small_weight(Precision::Bf16, 6);
    let mut narrow = NarrowRows::default();
    let x: Activations<'_> = narrow.narrow(Isa::SCALAR, &[1.0; 12], &weight);
    let (mut y, columns) = ([0.0; 48], weight.columns(0..16));
    linear_columns(Isa::SCALAR, x, columns, None, Epilogue::Bias, RowsMut::new(&mut y, 16));
}

#[test]
#[should_panic(expected = "narrow: x has 13 elements, no multiple of k = 6")]
fn a_part_of_a_row() {
    NarrowRows::default().narrow(Isa::SCALAR, &[1.0; 13], &small_weight(Precision::Int8, 6));
}

/// Room for sixteen outputs of five inputs, with factors.
fn panels_with_factors(precision: Precision, factors: &[f32]) {
    let mut room = vec![0.0; PackedLinear::packed_len(precision, 16, 5).expect("it is small")];
    let _ = PackedLinear::panels_mut(precision, [16, 5], Some(factors), &mut room).count();
}

#[test]
#[should_panic(expected = "panels: 4 factors")]
fn too_few_factors() {
    panels_with_factors(Precision::Int8, &[1.0; 4]);
}

#[test]
#[should_panic(expected = "panels: 16 factors")]
fn factors_of_the_lanes_behind_the_last_input() {
    panels_with_factors(Precision::Int8, &[1.0; 16]);
}

#[test]
#[should_panic(expected = "panels: 5 factors")]
fn factors_for_a_weight_of_bf16() {
    panels_with_factors(Precision::Bf16, &[1.0; 5]);
}

#[test]
#[should_panic(expected = "panels: 5 factors")]
fn factors_for_a_weight_of_f32() {
    panels_with_factors(Precision::F32, &[1.0; 5]);
}

/// What was narrowed tells what it is; a weight of f32 leaves activations as they are, and takes no room.
#[test]
fn narrowed_rows_say_what_they_are() {
    let mut narrow = NarrowRows::default();
    let x = [1.0; 12];
    let as_they_are = narrow.narrow(Isa::best(), &x, &small_weight(Precision::F32, 6));
    assert!(matches!(as_they_are, Activations::F32(same) if same.as_ptr() == x.as_ptr() && same.len() == 12));
    for precision in NARROW {
        for k in [6, 4, 1] {
            let weight = small_weight(precision, k);
            let Activations::Narrow(rows) = narrow.narrow(Isa::best(), &x, &weight) else {
                panic!("{precision} is narrow");
            };
            assert_eq!((rows.precision(), rows.m(), rows.k()), (precision, 12 / k, k));
        }
    }
}
