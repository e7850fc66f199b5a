//! Attention of one sequence.

use minilm_kernels::{
    AttentionScratch, AttentionShape, Isa, Precision, RowsMut, attention, attention_heads, reference,
};

use crate::numbers::{assert_bits, numbers};

/// What there is to compute attention in; int8 has it in bf16.
pub(crate) const ATTENTION_PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// The specification of attention in the precision of the shape.
pub(crate) fn specified(qkv: &[f32], s: usize, shape: AttentionShape) -> Vec<f32> {
    let AttentionShape { heads, head_size, precision, .. } = shape;
    match precision {
        Precision::F32 => reference::attention(qkv, s, heads, head_size),
        _ => reference::attention_bf16(qkv, s, heads, head_size),
    }
}

/// One scratch for all, longer sequences before shorter ones, so that what one leaves behind would show.
#[test]
fn attention_of_all_lengths_and_head_sizes() {
    for precision in ATTENTION_PRECISIONS {
        let mut isas =
            Isa::available().into_iter().map(|isa| (isa, AttentionScratch::default())).collect::<Vec<_>>();
        for (heads, head_size) in [(12, 32), (5, 8), (1, 1), (2, 17), (3, 48)] {
            let shape = AttentionShape { heads, head_size, precision };
            let h = shape.hidden_size();
            for s in (0..=33).rev().chain([100, 128, 129]) {
                // Scores of softmaxes that are neither flat nor one-hot.
                let mut qkv = numbers(s * 3 * h, s as u64 + 14);
                qkv.iter_mut().for_each(|x| *x *= 0.5);
                let expected = specified(&qkv, s, shape);
                let what = format!("{precision} attention of {s} tokens, {heads} heads of {head_size}");
                for (isa, scratch) in &mut isas {
                    let mut y = vec![f32::NAN; s * h];
                    attention(*isa, &qkv, shape, scratch, &mut y);
                    assert_bits(&what, *isa, &y, &expected);
                }
            }
        }
    }
}

/// Around where the scores of a single query are all that is computed at a time.
#[test]
fn attention_over_more_keys_than_fit() {
    for s in [4096, 4097] {
        let qkv = numbers(3 * s, s as u64);
        for precision in ATTENTION_PRECISIONS {
            let shape = AttentionShape { heads: 1, head_size: 1, precision };
            let expected = specified(&qkv, s, shape);
            for isa in Isa::available() {
                let mut y = vec![f32::NAN; s];
                attention(isa, &qkv, shape, &mut AttentionScratch::default(), &mut y);
                assert_bits(&format!("{precision} attention of {s} tokens"), isa, &y, &expected);
            }
        }
    }
}

/// Scores so large that their last place is far from their neighbour's, infinities and NaN, in whole vectors and in tails.
#[test]
fn attention_of_extreme_scores() {
    let extremes = (20..=40)
        .flat_map(|exponent| [1.0, 1.0 + f32::EPSILON, 1.9].map(|m| m * 2f32.powi(exponent)))
        .chain([1e30, f32::MAX, f32::INFINITY, f32::NAN, 0.0]);
    for (size, s) in extremes.flat_map(|size| [1, 16, 17, 64].map(|s| (size, s))) {
        for (query, sign) in [(1.0, 1.0), (15.0, 1.0), (1.0, -1.0)] {
            // Of one component: a score is query · key.
            let mut qkv: Vec<f32> = numbers(3 * s, s as u64);
            for (t, token) in qkv.chunks_exact_mut(3).enumerate() {
                let key = if t % 3 == 0 { size } else { size * (1.0 - 1.0 / (1 << (t % 20)) as f32) };
                (token[0], token[1]) = (query, sign * key);
            }
            for precision in ATTENTION_PRECISIONS {
                let shape = AttentionShape { heads: 1, head_size: 1, precision };
                // Which NaN it is is not specified.
                let some_nan = |y: Vec<f32>| {
                    y.into_iter().map(|y| if y.is_nan() { f32::NAN } else { y }).collect::<Vec<_>>()
                };
                let expected = some_nan(specified(&qkv, s, shape));
                for isa in Isa::available() {
                    let mut y = vec![0.0; s];
                    attention(isa, &qkv, shape, &mut AttentionScratch::default(), &mut y);
                    let what =
                        format!("{precision} attention of {s} tokens, scores of {}", sign * query * size);
                    assert_bits(&what, isa, &some_nan(y), &expected);
                }
            }
        }
    }
}

/// The largest weight is one of the largest score, whatever was rounded.
#[test]
fn scores_that_are_equal_have_a_mean_of_values() {
    for s in [16, 17, 64] {
        // 245760 · 16384 · log₂ e is rounded down by 160, and 2¹⁶⁰ has no f32.
        let qkv: Vec<f32> = (0..s).flat_map(|_| [245_760.0, 16_384.0, 1.0]).collect();
        let shape = AttentionShape { heads: 1, head_size: 1, precision: Precision::Bf16 };
        for isa in Isa::available() {
            let mut y = vec![0.0; s];
            attention(isa, &qkv, shape, &mut AttentionScratch::default(), &mut y);
            assert_bits(&format!("equal scores of {s} tokens"), isa, &y, &vec![1.0; s]);
        }
    }
}

/// Two sequences in one matrix, some heads of both on each thread.
fn check_heads(shape: AttentionShape, lengths: [usize; 2], parts: usize) {
    let AttentionShape { heads, head_size, precision, .. } = shape;
    let (h, s) = (shape.hidden_size(), lengths[0] + lengths[1]);
    let mut qkv = numbers(s * 3 * h, s as u64 + 15);
    qkv.iter_mut().for_each(|x| *x *= 0.5);
    let (first_qkv, second_qkv) = qkv.split_at(lengths[0] * 3 * h);
    let mut expected = specified(first_qkv, lengths[0], shape);
    expected.extend(specified(second_qkv, lengths[1], shape));
    for isa in Isa::available() {
        let mut y = vec![f32::NAN; s * h];
        let shares = RowsMut::new(&mut y, h).share_columns(head_size, parts);
        std::thread::scope(|scope| {
            for i in 0..parts {
                let shares = &shares;
                scope.spawn(move || {
                    let (columns, mut out) = (shares.range(i), shares.take(i));
                    let scratch = &mut AttentionScratch::default();
                    for (qkv, rows) in [(first_qkv, 0..lengths[0]), (second_qkv, lengths[0]..s)] {
                        let out = out.part(rows, 0..columns.len());
                        attention_heads(isa, qkv, shape, columns.start / head_size, scratch, out);
                    }
                });
            }
        });
        let what = format!(
            "{precision} attention of {lengths:?} tokens, {heads} heads of {head_size}, in {parts} parts"
        );
        assert_bits(&what, isa, &y, &expected);
    }
}

/// With more parts than heads, some parts have none.
#[test]
fn attention_shared_by_heads() {
    for precision in ATTENTION_PRECISIONS {
        for (heads, head_size) in [(12, 32), (5, 8), (1, 1), (2, 17), (3, 48)] {
            let shape = AttentionShape { heads, head_size, precision };
            for lengths in [[0, 1], [3, 0], [16, 7], [129, 33]] {
                for parts in [1, 2, 3, 5] {
                    check_heads(shape, lengths, parts);
                }
            }
        }
    }
}

/// Of 2 tokens with 4 heads of 8, as many columns as the width says.
fn heads_of_a_small_sequence(qkv: &[f32], first: usize, width: usize) {
    let shape = AttentionShape { heads: 4, head_size: 8, precision: Precision::F32 };
    let (mut scratch, mut y) = (AttentionScratch::default(), vec![0.0; 2 * width]);
    attention_heads(Isa::SCALAR, qkv, shape, first, &mut scratch, RowsMut::new(&mut y, width));
}

#[test]
#[should_panic(expected = "attention: 12 columns from head 1 on are no heads of")]
fn columns_of_half_a_head() {
    heads_of_a_small_sequence(&[0.0; 2 * 3 * 32], 1, 12);
}

#[test]
#[should_panic(expected = "attention: 16 columns from head 3 on are no heads of")]
fn heads_behind_the_last() {
    heads_of_a_small_sequence(&[0.0; 2 * 3 * 32], 3, 16);
}

#[test]
#[should_panic(expected = "attention: qkv has 48 elements for 2 tokens")]
fn queries_of_some_heads_alone() {
    heads_of_a_small_sequence(&[0.0; 2 * 3 * 8], 0, 8);
}
