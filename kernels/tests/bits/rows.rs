//! Operations on rows.

use minilm_kernels::{
    Isa, LayerNorm, cls_pool, embedding_sum, l2_normalize, layer_norm, max_pool, mean_pool, reference,
    softmax,
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

            for tokens in 1..=3 {
                let mut y = vec![f32::NAN; n];
                mean_pool(isa, &x[..tokens * n], &mut y);
                assert_bits("mean_pool", isa, &y, &reference::mean_pool(&x[..tokens * n], n));
                max_pool(isa, &x[..tokens * n], &mut y);
                assert_bits("max_pool", isa, &y, &reference::max_pool(&x[..tokens * n], n));
            }
        }
    }
}

#[test]
fn cls_pooling_takes_the_first_token() {
    for n in lengths().skip(1) {
        let (x, mut y) = (numbers(3 * n, 50), vec![f32::NAN; n]);
        cls_pool(&x, &mut y);
        assert_eq!(
            y.iter().map(|y| y.to_bits()).collect::<Vec<_>>(),
            x[..n].iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        );
    }
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
