//! Attention of one sequence.

use minilm_kernels::{
    AttentionParameters, AttentionScratch, Isa, PositionBias, Precision, RowsMut, attention, attention_heads,
    reference,
};

use crate::numbers::{assert_bits, numbers};

/// What there is to compute attention in; int8 has it in bf16.
pub(crate) const ATTENTION_PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// The specification of attention in the precision of the parameters.
pub(crate) fn specified(qkv: &[f32], s: usize, parameters: AttentionParameters<'_>) -> Vec<f32> {
    let AttentionParameters { heads, head_size, precision, position_bias } = parameters;
    match precision {
        Precision::F32 => reference::attention(qkv, s, heads, head_size, position_bias),
        _ => reference::attention_bf16(qkv, s, heads, head_size, position_bias),
    }
}

/// Without a bias, and with one for these heads and so many tokens, whose values are the last argument's.
pub(crate) fn with_and_without_bias(
    heads: usize,
    max_tokens: usize,
    values: &[f32],
) -> [Option<PositionBias<'_>>; 2] {
    [None, Some(PositionBias::new(&values[..heads * (2 * max_tokens - 1)], heads, max_tokens))]
}

/// Which NaN it is is not specified.
fn some_nan(y: Vec<f32>) -> Vec<f32> {
    y.into_iter().map(|y| if y.is_nan() { f32::NAN } else { y }).collect()
}

/// One scratch for all, longer sequences before shorter ones, so that what one leaves behind would show.
#[test]
fn attention_of_all_lengths_and_head_sizes() {
    for precision in ATTENTION_PRECISIONS {
        let mut isas =
            Isa::available().into_iter().map(|isa| (isa, AttentionScratch::default())).collect::<Vec<_>>();
        for (heads, head_size) in [(12, 32), (5, 8), (1, 1), (2, 17), (3, 48), (2, 64)] {
            let h = heads * head_size;
            for s in (0..=33).rev().chain([100, 128, 129]) {
                // Scores of softmaxes that are neither flat nor one-hot.
                let mut qkv = numbers(s * 3 * h, s as u64 + 14);
                qkv.iter_mut().for_each(|x| *x *= 0.5);
                // For the longest sequence that it may be, and for a longer one.
                let max_tokens = s.max(1) + s % 3;
                let values = numbers(heads * (2 * max_tokens - 1), s as u64 + 15);
                for position_bias in with_and_without_bias(heads, max_tokens, &values) {
                    let parameters = AttentionParameters { heads, head_size, precision, position_bias };
                    let expected = specified(&qkv, s, parameters);
                    let what = format!("attention of {s} tokens, {parameters:?}");
                    for (isa, scratch) in &mut isas {
                        let mut y = vec![f32::NAN; s * h];
                        attention(*isa, &qkv, parameters, scratch, &mut y);
                        assert_bits(&what, *isa, &y, &expected);
                    }
                }
            }
        }
    }
}

/// Whole words of bf16 and not, whole vectors and not.
#[test]
fn attention_of_every_head_size() {
    for head_size in 1..=80 {
        for s in [3, 18, 35] {
            let qkv: Vec<f32> = numbers(s * 3 * 2 * head_size, 17).iter().map(|x| x * 0.5).collect();
            let values = numbers(2 * (2 * s - 1), 18);
            for position_bias in with_and_without_bias(2, s, &values) {
                for precision in ATTENTION_PRECISIONS {
                    let parameters = AttentionParameters { heads: 2, head_size, precision, position_bias };
                    assert_attention(&format!("{s} tokens"), &qkv, s, parameters);
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
        let values = numbers(2 * s - 1, s as u64 + 1);
        for precision in ATTENTION_PRECISIONS {
            for position_bias in with_and_without_bias(1, s, &values) {
                let parameters = AttentionParameters { heads: 1, head_size: 1, precision, position_bias };
                let expected = specified(&qkv, s, parameters);
                for isa in Isa::available() {
                    let mut y = vec![f32::NAN; s];
                    attention(isa, &qkv, parameters, &mut AttentionScratch::default(), &mut y);
                    assert_bits(&format!("attention of {s} tokens, {parameters:?}"), isa, &y, &expected);
                }
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
            let values = numbers(2 * s - 1, s as u64 + 1);
            for precision in ATTENTION_PRECISIONS {
                for position_bias in with_and_without_bias(1, s, &values) {
                    let parameters = AttentionParameters { heads: 1, head_size: 1, precision, position_bias };
                    let what = format!("scores of {}, {s} tokens", sign * query * size);
                    assert_attention(&what, &qkv, s, parameters);
                }
            }
        }
    }
}

/// Bits on every instruction set, where any NaN is one.
fn assert_attention(what: &str, qkv: &[f32], s: usize, parameters: AttentionParameters<'_>) {
    let expected = some_nan(specified(qkv, s, parameters));
    for isa in Isa::available() {
        let mut y = vec![0.0; expected.len()];
        attention(isa, qkv, parameters, &mut AttentionScratch::default(), &mut y);
        assert_bits(&format!("{what}, {parameters:?}"), isa, &some_nan(y), &expected);
    }
}

/// Biases that leave nothing of the score, infinities, and NaNs with any bits, at one distance and at all.
#[test]
fn attention_of_extreme_biases() {
    let nans = [0x7fc0_0000, 0x7f80_0001, 0xffc0_1234, 0xffff_ffff].map(f32::from_bits);
    let extremes = [1e-40, 1e10, -1e10, 1e38, f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY];
    for extreme in extremes.into_iter().chain(nans) {
        for s in [1, 16, 17, 64] {
            let qkv = numbers(3 * 2 * s, s as u64);
            let mut values = numbers(2 * (2 * s - 1), s as u64 + 1);
            for at in [0..1, s - 1..s, 2 * s - 2..2 * s - 1, 0..2 * s - 1] {
                let before = values.clone();
                values[at.clone()].fill(extreme);
                for precision in ATTENTION_PRECISIONS {
                    let position_bias = Some(PositionBias::new(&values, 2, s));
                    let parameters = AttentionParameters { heads: 2, head_size: 1, precision, position_bias };
                    let what = format!("biases of {extreme:e} at {at:?}, {s} tokens");
                    assert_attention(&what, &qkv, s, parameters);
                    // A token's own distance is in every row of the head, and in none of the other's.
                    if extreme.is_nan() && at.contains(&(s - 1)) {
                        let y = specified(&qkv, s, parameters);
                        assert!(
                            y.chunks(2).all(|token| token[0].is_nan() && !token[1].is_nan()),
                            "{what}: {y:?}"
                        );
                    }
                }
                values = before;
            }
        }
    }
}

/// A bias is added to the scaled score: by hand, of one query that has only its biases to tell keys apart.
#[test]
fn weights_are_powers_of_biases() {
    // Two tokens without scores, their values 0 and 1; a bias of ln 3 for the next token, and for the one before.
    let qkv = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    let values = [3f32.ln(), 0.0, 3f32.ln()];
    for precision in ATTENTION_PRECISIONS {
        let position_bias = Some(PositionBias::new(&values, 1, 2));
        let parameters = AttentionParameters { heads: 1, head_size: 1, precision, position_bias };
        for isa in Isa::available() {
            let mut y = [0.0; 2];
            attention(isa, &qkv, parameters, &mut AttentionScratch::default(), &mut y);
            for (y, exact) in y.into_iter().zip([0.75, 0.25]) {
                let bound = if precision == Precision::F32 { 1e-6 } else { 2e-3 };
                assert!((y - exact).abs() < bound, "{precision} on {isa}: {y} is not {exact}");
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
        let parameters =
            AttentionParameters { heads: 1, head_size: 1, precision: Precision::Bf16, position_bias: None };
        for isa in Isa::available() {
            let mut y = vec![0.0; s];
            attention(isa, &qkv, parameters, &mut AttentionScratch::default(), &mut y);
            assert_bits(&format!("equal scores of {s} tokens"), isa, &y, &vec![1.0; s]);
        }
    }
}

/// Two sequences in one matrix, some heads of both on each thread.
fn check_heads(parameters: AttentionParameters<'_>, lengths: [usize; 2], parts: usize) {
    let (head_size, h, s) = (parameters.head_size, parameters.hidden_size(), lengths[0] + lengths[1]);
    let mut qkv = numbers(s * 3 * h, s as u64 + 15);
    qkv.iter_mut().for_each(|x| *x *= 0.5);
    let (first_qkv, second_qkv) = qkv.split_at(lengths[0] * 3 * h);
    let mut expected = specified(first_qkv, lengths[0], parameters);
    expected.extend(specified(second_qkv, lengths[1], parameters));
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
                        attention_heads(isa, qkv, parameters, columns.start / head_size, scratch, out);
                    }
                });
            }
        });
        let what = format!("attention of {lengths:?} tokens in {parts} parts, {parameters:?}");
        assert_bits(&what, isa, &y, &expected);
    }
}

/// With more parts than heads, some parts have none.
#[test]
fn attention_shared_by_heads() {
    for precision in ATTENTION_PRECISIONS {
        for (heads, head_size) in [(12, 32), (5, 8), (1, 1), (2, 17), (3, 48)] {
            let values = numbers(heads * (2 * 129 - 1), 16);
            for position_bias in with_and_without_bias(heads, 129, &values) {
                let parameters = AttentionParameters { heads, head_size, precision, position_bias };
                for lengths in [[0, 1], [3, 0], [16, 7], [129, 33]] {
                    for parts in [1, 2, 3, 5] {
                        check_heads(parameters, lengths, parts);
                    }
                }
            }
        }
    }
}

/// Of 2 tokens with 4 heads of 8, as many columns as the width says.
fn heads_of_a_small_sequence(qkv: &[f32], first: usize, width: usize) {
    let parameters =
        AttentionParameters { heads: 4, head_size: 8, precision: Precision::F32, position_bias: None };
    let (mut scratch, mut y) = (AttentionScratch::default(), vec![0.0; 2 * width]);
    attention_heads(Isa::SCALAR, qkv, parameters, first, &mut scratch, RowsMut::new(&mut y, width));
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

/// Of 3 tokens with 4 heads of 8.
fn a_small_sequence_with(bias: PositionBias<'_>) {
    let (precision, position_bias) = (Precision::F32, Some(bias));
    let parameters = AttentionParameters { heads: 4, head_size: 8, precision, position_bias };
    let mut y = [0.0; 3 * 32];
    attention(Isa::SCALAR, &[0.0; 3 * 3 * 32], parameters, &mut AttentionScratch::default(), &mut y);
}

#[test]
#[should_panic(expected = "attention: a bias of 2 heads for 4")]
fn a_bias_of_other_heads() {
    a_small_sequence_with(PositionBias::new(&[0.0; 2 * 5], 2, 3));
}

#[test]
#[should_panic(expected = "attention: a bias of 2 tokens for 3")]
fn a_bias_for_shorter_sequences() {
    a_small_sequence_with(PositionBias::new(&[0.0; 4 * 3], 4, 2));
}
