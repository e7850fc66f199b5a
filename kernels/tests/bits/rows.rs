//! Operations on rows.

use minilm_kernels::{
    Isa, LayerNorm, cls_pool, embedding_sum, l2_normalize, last_token_pool, layer_norm, max_pool, mean_pool,
    mean_sqrt_len_pool, reference, softmax, weighted_mean_pool,
};

use crate::numbers::{assert_bits, lengths, numbers};

#[test]
fn row_operations() {
    for isa in Isa::available() {
        for n in lengths() {
            let x = numbers(n, n as u64 + 1);

            // Norms on both sides of the least one that is divided by, 1e-12, and ordinary ones.
            for scale in [1.0, 1e-11, 1e-12, 1e-13, 1e-15] {
                let mut y: Vec<f32> = x.iter().map(|x| x * scale).collect();
                let mut expected = y.clone();
                l2_normalize(isa, &mut y);
                reference::l2_normalize(&mut expected);
                assert_bits("l2_normalize", isa, &y, &expected);
            }

            if n == 0 {
                continue;
            }
            // Four rows are taken at once, and the last alone: twice four, and one.
            let x = numbers(9 * n, n as u64 + 2);
            let (mut y, mut expected) = (x.clone(), x.clone());
            softmax(isa, &mut y, n);
            expected.chunks_mut(n).for_each(reference::softmax);
            assert_bits("softmax", isa, &y, &expected);

            for eps in [0.0, 1e-12, 0.1] {
                let parameters = LayerNorm { gamma: numbers(n, 3), beta: numbers(n, 4), eps };
                // One element has no variance, which eps 0 cannot stand.
                if eps == 0.0 && n == 1 {
                    continue;
                }
                let (mut y, mut expected) = (x.clone(), x.clone());
                layer_norm(isa, &mut y, &parameters);
                for row in expected.chunks_mut(n) {
                    reference::layer_norm(row, &parameters.gamma, &parameters.beta, parameters.eps);
                }
                assert_bits("layer_norm", isa, &y, &expected);
            }

            let (token_type, positions) = (numbers(n, 5), numbers(9 * n, 6));
            let mut y = x.clone();
            embedding_sum(isa, &mut y, &token_type, &positions);
            let rows = x.chunks(n).zip(positions.chunks(n));
            let expected: Vec<f32> = rows
                .flat_map(|(word, position)| reference::embedding_sum(word, &token_type, position))
                .collect();
            assert_bits("embedding_sum", isa, &y, &expected);
        }
    }
}

#[test]
fn poolings_of_all_widths() {
    for isa in Isa::available() {
        for n in lengths().skip(1) {
            let all = numbers(9 * n, n as u64 + 3);
            for x in [1, 2, 3, 9].map(|tokens| &all[..tokens * n]) {
                let mut y = vec![f32::NAN; n];
                mean_pool(isa, x, &mut y);
                assert_bits("mean_pool", isa, &y, &reference::mean_pool(x, n));
                max_pool(isa, x, &mut y);
                assert_bits("max_pool", isa, &y, &reference::max_pool(x, n));
                mean_sqrt_len_pool(isa, x, &mut y);
                assert_bits("mean_sqrt_len_pool", isa, &y, &reference::mean_sqrt_len_pool(x, n));
                for first_weight in [1, 2, 11, 1 << 23, usize::MAX / 2] {
                    weighted_mean_pool(isa, x, first_weight, &mut y);
                    let expected = reference::weighted_mean_pool(x, n, first_weight);
                    assert_bits(&format!("weighted_mean_pool from {first_weight}"), isa, &y, &expected);
                }
                cls_pool(x, &mut y);
                assert_bits("cls_pool", isa, &y, &x[..n]);
                last_token_pool(x, &mut y);
                assert_bits("last_token_pool", isa, &y, &x[x.len() - n..]);
            }
        }
    }
}

/// By hand: tokens 6, −3 and 12, and tokens without a number.
#[test]
fn poolings_are_what_their_names_say() {
    let x = [6.0, f32::NAN, -3.0, f32::INFINITY, 12.0, 0.0];
    for isa in Isa::available() {
        let mut y = [0.0; 2];
        let of_nan_and_infinity = |y: [f32; 2]| assert!(y[1].is_nan(), "{isa}: {y:?}");
        mean_sqrt_len_pool(isa, &x, &mut y);
        assert_eq!(y[0], 15.0 / 3f32.sqrt());
        of_nan_and_infinity(y);
        weighted_mean_pool(isa, &x, 1, &mut y);
        assert_eq!(y[0], (6.0 - 2.0 * 3.0 + 3.0 * 12.0) / 6.0);
        of_nan_and_infinity(y);
        // Behind two tokens that are not pooled.
        weighted_mean_pool(isa, &x, 3, &mut y);
        assert_eq!(y[0], (3.0 * 6.0 - 4.0 * 3.0 + 5.0 * 12.0) / 12.0);
        // The last two alone.
        weighted_mean_pool(isa, &x[2..], 2, &mut y);
        assert_eq!(y, [(2.0 * -3.0 + 3.0 * 12.0) / 5.0, f32::INFINITY]);
        last_token_pool(&x, &mut y);
        assert_eq!(y, [12.0, 0.0]);
    }
}

/// From 5793 tokens on the weights' sum is no f32: it is rounded once, and not in every step.
#[test]
fn a_sum_of_weights_is_rounded_once() {
    let s = 6001;
    let x: Vec<f32> = (0..s).map(|t| if t == 0 { 18_009_001.0 } else { 0.0 }).collect();
    for isa in Isa::available() {
        let mut y = [0.0];
        weighted_mean_pool(isa, &x, 1, &mut y);
        // 6001 · 6002 / 2 = 18,009,001; both are rounded to 18,009,000.
        assert_eq!(y, [1.0], "{isa}");
        assert_bits("weighted_mean_pool", isa, &y, &reference::weighted_mean_pool(&x, 1, 1));
    }
}

#[test]
#[should_panic(expected = "weighted_mean_pool: the first weight is 0")]
fn a_weight_of_0_is_named() {
    weighted_mean_pool(Isa::SCALAR, &[1.0], 0, &mut [0.0]);
}

#[test]
#[should_panic(expected = "last_token_pool: x has 3 elements, not one or more rows of 2")]
fn half_a_token_is_named() {
    last_token_pool(&[1.0; 3], &mut [0.0; 2]);
}

/// No rows are softmaxed to none, however wide they would be.
#[test]
fn softmax_of_no_rows() {
    for isa in Isa::available() {
        softmax(isa, &mut [], usize::MAX);
    }
}

#[test]
fn softmax_of_equal_and_of_extreme_scores() {
    for isa in Isa::available() {
        for n in 1..=33 {
            let mut y = vec![-3.0e38; n];
            softmax(isa, &mut y, n);
            let mut expected = vec![-3.0e38; n];
            reference::softmax(&mut expected);
            assert_bits("softmax of equal scores", isa, &y, &expected);
            assert_eq!(y[0], 1.0 / n as f32);

            let mut y = vec![-1.0e30; n];
            y[n - 1] = 1.0e30;
            softmax(isa, &mut y, n);
            assert_eq!(y[n - 1], 1.0);
            assert!(y[..n - 1].iter().all(|&p| p == 0.0));
        }
    }
}

/// LayerNorm with so many elements of x, gamma and beta.
fn layer_norm_of([x, gamma, beta]: [usize; 3]) {
    let parameters = LayerNorm { gamma: vec![1.0; gamma], beta: vec![0.0; beta], eps: 1e-12 };
    layer_norm(Isa::SCALAR, &mut vec![0.0; x], &parameters);
}

#[test]
#[should_panic(expected = "layer_norm: beta has 3 elements, gamma 4")]
fn a_beta_of_another_length_is_named() {
    layer_norm_of([8, 4, 3]);
}

#[test]
#[should_panic(expected = "layer_norm: x has 9 elements, no multiple of 4")]
fn rows_of_another_width_are_named() {
    layer_norm_of([9, 4, 4]);
}

/// A row of zeros has no variance, so eps alone divides; a vector of zeros has no length.
#[test]
fn rows_of_zeros() {
    for isa in Isa::available() {
        let parameters = LayerNorm { gamma: vec![2.0; 20], beta: vec![0.5; 20], eps: 1e-12 };
        let mut y = vec![0.0; 20];
        layer_norm(isa, &mut y, &parameters);
        assert_eq!(y, vec![0.5; 20]);

        let mut y = vec![0.0; 20];
        l2_normalize(isa, &mut y);
        assert_eq!(y, vec![0.0; 20]);
    }
}
