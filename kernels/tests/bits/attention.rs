//! Attention of one sequence.

use minilm_kernels::{AttentionScratch, AttentionShape, Isa, attention, reference};

use crate::numbers::{assert_bits, numbers};

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
