//! Every operation, on every instruction set of this machine, has the bits of the reference.
//!
//! Never only the best instruction set: a test that dispatches by itself would leave the others untested.

use minilm_kernels::{
    AttentionScratch, AttentionShape, Epilogue, Isa, LayerNorm, PackedLinear, attention, embedding_sum, gelu,
    l2_normalize, layer_norm, linear, max_pool, mean_pool, reference, softmax,
};

/// Numbers of mixed magnitude in about ±4, a few zeros of both signs, denormals and large ones among them,
/// the same in every run (xorshift).
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let unit = (state >> 40) as f32 / (1u64 << 24) as f32;
            match state % 97 {
                0 => 0.0,
                1 => -0.0,
                2 => unit * 1e-39,
                3 => unit * 300.0,
                _ => (unit - 0.5) * 8.0,
            }
        })
        .collect()
}

#[track_caller]
fn assert_bits(what: &str, isa: Isa, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what} on {isa}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert_eq!(
            f.to_bits(),
            e.to_bits(),
            "{what} on {isa}: element {i} is {f:e}, the reference says {e:e}"
        );
    }
}

/// 0 … 33 crosses two vectors and their tails; then the real sizes and an odd one.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=33).chain([40, 100, 128, 256, 384, 1536])
}

#[test]
fn elementwise_and_row_operations() {
    for isa in Isa::available() {
        for n in lengths() {
            let x = numbers(n, n as u64 + 1);

            let mut y = x.clone();
            gelu(isa, &mut y);
            let expected: Vec<f32> = x.iter().map(|&x| reference::gelu(x)).collect();
            assert_bits("gelu", isa, &y, &expected);

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
            let x = numbers(3 * n, n as u64 + 2);
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

            let (token_type, positions) = (numbers(n, 5), numbers(3 * n, 6));
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

    linear(isa, &x, &packed, Epilogue::Gelu, &mut y);
    let with_gelu: Vec<f32> = expected.iter().map(|&x| reference::gelu(x)).collect();
    assert_bits(&format!("{what} with GELU"), isa, &y, &with_gelu);

    linear(isa, &x, &packed, Epilogue::Residual(&residual), &mut y);
    let with_residual: Vec<f32> = expected.iter().zip(&residual).map(|(y, r)| y + r).collect();
    assert_bits(&format!("{what} with residual"), isa, &y, &with_residual);
}

#[test]
fn linear_of_every_tile_shape_and_tail() {
    for isa in Isa::available() {
        for m in 0..=20 {
            for n in [1, 15, 16, 17, 31, 32, 33, 48, 64, 65, 100] {
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

/// One scratch for all, longer sequences before shorter ones, so that what one leaves behind would show.
#[test]
fn attention_of_all_lengths_and_head_sizes() {
    for isa in Isa::available() {
        let mut scratch = AttentionScratch::default();
        for (heads, head_size) in [(12, 32), (5, 8), (1, 1), (2, 17), (3, 48)] {
            let shape = AttentionShape { heads, head_size };
            let h = shape.hidden_size();
            for s in (0..=33).rev().chain([100, 128, 129]) {
                // Scores of softmaxes that are neither flat nor one-hot.
                let mut qkv = numbers(s * 3 * h, s as u64 + 14);
                qkv.iter_mut().for_each(|x| *x *= 0.5);
                let mut y = vec![f32::NAN; s * h];
                attention(isa, &qkv, shape, &mut scratch, &mut y);
                let what = format!("attention of {s} tokens, {heads} heads of {head_size}");
                assert_bits(&what, isa, &y, &reference::attention(&qkv, s, heads, head_size));
            }
        }
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
