//! Dot products and similarity matrices.

use minilm_kernels::{Isa, dot, l2_normalize, reference, similarity_matrix};

use crate::numbers::{assert_bits, lengths, numbers};

#[test]
fn dot_of_all_lengths() {
    for isa in Isa::available() {
        for k in lengths() {
            let (a, b) = (numbers(k, 20), numbers(k, 21));
            assert_bits(&format!("dot of {k}"), isa, &[dot(isa, &a, &b)], &[reference::dot(&a, &b)]);
        }
    }
}

/// A product that underflows leaves −0 in its lane, and what pads the last step must not make +0 of it: the sum
/// of sixteen −0 is −0.
#[test]
fn a_sum_of_negative_zeros_stays_one() {
    for isa in Isa::available() {
        for k in 0..=48 {
            let (a, b) = (vec![-1e-30; k], vec![1e-30; k]);
            let expected = if k < 16 { 0.0 } else { -0.0 };
            assert_bits(
                &format!("dot of {k}"),
                isa,
                &[dot(isa, &a, &b), reference::dot(&a, &b)],
                &[expected; 2],
            );
        }
    }
}

#[test]
fn dot_of_denormals_infinities_and_nans() {
    for isa in Isa::available() {
        for k in 1..=40 {
            let mut x = vec![0.5; k];
            for (special, expected) in [
                (1e-40, 0.5 * (k - 1) as f32),
                (f32::INFINITY, f32::INFINITY),
                (f32::NEG_INFINITY, f32::NEG_INFINITY),
            ] {
                x[k - 1] = special;
                assert_eq!(
                    dot(isa, &x, &vec![1.0; k]),
                    if k == 1 { special } else { expected },
                    "{isa}: {k}"
                );
            }
            x[k - 1] = f32::NAN;
            assert!(dot(isa, &x, &vec![1.0; k]).is_nan(), "{isa}: {k}");
            x[k - 1] = f32::INFINITY;
            assert!(dot(isa, &x, &vec![0.0; k]).is_nan(), "{isa}: {k}");
        }
    }
}

fn check_matrix(isa: Isa, m: usize, n: usize, k: usize) {
    let (a, b) = (numbers(m * k, 22), numbers(n * k, 23));
    let mut out = vec![f32::NAN; m * n];
    similarity_matrix(isa, &a, &b, k, &mut out);
    let what = format!("similarity matrix {m}×{n}×{k}");
    assert_bits(&what, isa, &out, &reference::similarity_matrix(&a, &b, k));
    let dots: Vec<f32> = a.chunks(k).flat_map(|a| b.chunks(k).map(move |b| dot(isa, a, b))).collect();
    assert_bits(&format!("{what} beside dot"), isa, &out, &dots);
}

#[test]
fn similarity_matrix_of_every_tile_shape_and_tail() {
    for isa in Isa::available() {
        for m in 0..=10 {
            for n in [0, 1, 2, 3, 5, 9, 16, 17, 33] {
                for k in [1, 15, 16, 17, 33, 384] {
                    check_matrix(isa, m, n, k);
                }
            }
        }
    }
}

/// More rows of a than one block holds, the last block of fewer, and vectors longer than a block.
#[test]
fn similarity_matrix_of_several_blocks() {
    for isa in Isa::available() {
        for (m, n, k) in [(200, 7, 384), (86, 20, 384), (9, 3, 40_000)] {
            check_matrix(isa, m, n, k);
        }
    }
}

#[test]
fn normalised_vectors_have_their_cosines() {
    for isa in Isa::available() {
        let (mut a, mut b) = (vec![3.0, 4.0], vec![4.0, 3.0]);
        l2_normalize(isa, &mut a);
        l2_normalize(isa, &mut b);
        let mut out = [f32::NAN; 2];
        similarity_matrix(isa, &a, &[a.clone(), b].concat(), 2, &mut out);
        assert!((out[0] - 1.0).abs() < 1e-6 && (out[1] - 0.96).abs() < 1e-6, "{isa}: {out:?}");
    }
}

#[test]
#[should_panic(expected = "dot: a has 3 elements, b has 4")]
fn vectors_of_different_lengths_are_named() {
    dot(Isa::SCALAR, &[0.0; 3], &[0.0; 4]);
}

#[test]
#[should_panic(expected = "similarity_matrix: b has 5 elements, no multiple of k = 3")]
fn a_wrong_length_is_named() {
    similarity_matrix(Isa::SCALAR, &[0.0; 6], &[0.0; 5], 3, &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "similarity_matrix: out has 5 elements for m = 2, n = 2")]
fn a_wrong_length_of_out_is_named() {
    similarity_matrix(Isa::SCALAR, &[0.0; 6], &[0.0; 6], 3, &mut [0.0; 5]);
}
