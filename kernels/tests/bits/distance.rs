//! Euclidean and Manhattan distances.

use minilm_kernels::{
    Isa, euclidean_distance, euclidean_distance_matrix, manhattan_distance, manhattan_distance_matrix,
    reference,
};

use crate::numbers::{assert_bits, lengths, numbers};

type Distance = fn(Isa, &[f32], &[f32]) -> f32;
type Specified = fn(&[f32], &[f32]) -> f32;
type SpecifiedMatrix = fn(&[f32], &[f32], usize) -> Vec<f32>;
type Matrix = fn(Isa, &[f32], &[f32], usize, &mut [f32]);

/// A distance with its matrix, and the specification of both.
struct Case {
    name: &'static str,
    distance: Distance,
    matrix: Matrix,
    specified: Specified,
    specified_matrix: SpecifiedMatrix,
}

const CASES: [Case; 2] = [
    Case {
        name: "euclidean",
        distance: euclidean_distance,
        matrix: euclidean_distance_matrix,
        specified: reference::euclidean_distance,
        specified_matrix: reference::euclidean_distance_matrix,
    },
    Case {
        name: "manhattan",
        distance: manhattan_distance,
        matrix: manhattan_distance_matrix,
        specified: reference::manhattan_distance,
        specified_matrix: reference::manhattan_distance_matrix,
    },
];

#[test]
fn distances_of_all_lengths() {
    for Case { name, distance, specified, .. } in CASES {
        for isa in Isa::available() {
            for k in lengths() {
                let (a, b) = (numbers(k, 50), numbers(k, 51));
                let what = format!("{name} of {k}");
                assert_bits(&what, isa, &[distance(isa, &a, &b)], &[specified(&a, &b)]);
                // Of differences that are all −0, too: no distance is −0.
                assert_bits(
                    &what,
                    isa,
                    &[distance(isa, &a, &a), distance(isa, &vec![-0.0; k], &vec![0.0; k])],
                    &[0.0; 2],
                );
            }
        }
    }
}

fn check_matrix(case: &Case, isa: Isa, m: usize, n: usize, k: usize) {
    let (a, b) = (numbers(m * k, 52), numbers(n * k, 53));
    let mut out = vec![f32::NAN; m * n];
    (case.matrix)(isa, &a, &b, k, &mut out);
    let what = format!("{} matrix {m}×{n}×{k}", case.name);
    assert_bits(&what, isa, &out, &(case.specified_matrix)(&a, &b, k));
    let one_by_one: Vec<f32> =
        a.chunks(k).flat_map(|a| b.chunks(k).map(move |b| (case.distance)(isa, a, b))).collect();
    assert_bits(&format!("{what} beside single ones"), isa, &out, &one_by_one);
}

#[test]
fn distance_matrix_of_every_tile_shape_and_tail() {
    for case in &CASES {
        for isa in Isa::available() {
            for m in 0..=10 {
                for n in [0, 1, 2, 3, 5, 9, 16, 17, 33] {
                    for k in [1, 15, 16, 17, 33, 384] {
                        check_matrix(case, isa, m, n, k);
                    }
                }
            }
            // Several blocks, and vectors longer than a block.
            for (m, n, k) in [(200, 7, 384), (200, 20, 384), (9, 3, 40_000)] {
                check_matrix(case, isa, m, n, k);
            }
        }
    }
}

#[test]
fn distances_are_what_they_are_called() {
    for isa in Isa::available() {
        for k in [2, 20, 400] {
            let (mut a, mut b) = (vec![0.5; k], vec![0.5; k]);
            (a[0], b[0], a[k - 1], b[k - 1]) = (1.0, 4.0, -1.5, 2.5);
            assert_eq!(euclidean_distance(isa, &a, &b), 5.0, "{isa}: {k}");
            assert_eq!(manhattan_distance(isa, &a, &b), 7.0, "{isa}: {k}");
        }
    }
}

/// Where the way by dot products would have lost all digits: large vectors, close to each other.
#[test]
fn the_distance_of_close_vectors_is_exact() {
    for isa in Isa::available() {
        let a = vec![4096.0; 384];
        let b: Vec<f32> = a.iter().map(|x| x + 1.0 / 2048.0).collect();
        let (euclidean, manhattan) = (384f64.sqrt() / 2048.0, 384.0 / 2048.0);
        assert!((f64::from(euclidean_distance(isa, &a, &b)) - euclidean).abs() < 1e-9, "{isa}");
        assert!((f64::from(manhattan_distance(isa, &a, &b)) - manhattan).abs() < 1e-9, "{isa}");
    }
}

#[test]
fn distances_of_denormals_infinities_and_nans() {
    for Case { name, distance, .. } in CASES {
        for isa in Isa::available() {
            for k in [1, 7, 16, 17, 40] {
                let far = |x: f32, y: f32| {
                    let (mut a, mut b) = (vec![0.0; k], vec![0.0; k]);
                    (a[k - 1], b[k - 1]) = (x, y);
                    distance(isa, &a, &b)
                };
                let what = format!("{name} of {k} on {isa}");
                for (x, y) in [(f32::INFINITY, 1.0), (f32::INFINITY, f32::NEG_INFINITY), (f32::MAX, f32::MIN)]
                {
                    assert_eq!(far(x, y), f32::INFINITY, "{what}");
                }
                assert!(far(f32::INFINITY, f32::INFINITY).is_nan(), "{what}");
                assert!(far(f32::NAN, 1.0).is_nan() && far(1.0, f32::NAN).is_nan(), "{what}");
            }
            assert_eq!(
                manhattan_distance(isa, &[1e-40, 0.0], &[-1e-40, 1e-40]),
                1e-40 + 1e-40 + 1e-40,
                "{isa}"
            );
        }
    }
}

#[test]
#[should_panic(expected = "euclidean_distance: a has 3 elements, b has 4")]
fn vectors_of_different_lengths_are_named() {
    euclidean_distance(Isa::SCALAR, &[0.0; 3], &[0.0; 4]);
}

#[test]
#[should_panic(expected = "manhattan_distance_matrix: out has 5 elements for m = 2, n = 2")]
fn a_wrong_length_of_out_is_named() {
    manhattan_distance_matrix(Isa::SCALAR, &[0.0; 6], &[0.0; 6], 3, &mut [0.0; 5]);
}
