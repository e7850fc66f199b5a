//! Attention of one sequence with the heads of all-MiniLM-L6-v2.

use std::hint::black_box;

use minilm_kernels::{AttentionScratch, AttentionShape, attention};

use super::{Case, Work, bytes};
use crate::measure::batch;
use crate::{aligned, numbers};

/// Tokens of a sequence: a question, a sentence, a paragraph, the longest text.
pub const TOKENS: [usize; 4] = [16, 48, 128, 256];

/// The heads of all-MiniLM-L6-v2.
pub const SHAPE: AttentionShape = AttentionShape { heads: 12, head_size: 32 };

/// One sequence of `s` tokens.
pub fn case(s: usize) -> Case {
    let qkv = aligned(&numbers(3 * s * SHAPE.hidden_size(), 1));
    let mut out = aligned(&vec![0.0; s * SHAPE.hidden_size()]);
    let mut scratch = AttentionScratch::default();
    Case {
        operation: "attention",
        shape: format!("{} heads of {}", SHAPE.heads, SHAPE.head_size),
        size: format!("s = {s}"),
        work: work(s),
        run: Box::new(move |isa, calls| {
            batch(calls, || attention(isa, black_box(&qkv), SHAPE, &mut scratch, black_box(&mut out)))
        }),
    }
}

/// The two products are counted, 2 · s · s · head_size each a head; not the softmax between them.
fn work(s: usize) -> Work {
    let h = SHAPE.hidden_size();
    Work {
        flops: Some((2 * 2 * s * s * h) as u64),
        bytes: bytes(3 * s * h + s * h),
        elements: (s * h) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_by_hand() {
        // 12 heads, each [256][32] · [32][256] and [256][256] · [256][32].
        let found = work(256);
        assert_eq!(found.flops, Some(12 * (2 * 256 * 32 * 256 + 2 * 256 * 256 * 32)));
        // [256][1152] in, [256][384] out.
        assert_eq!(found.bytes, 4 * (294_912 + 98_304));
        assert_eq!(found.intensity(), Some(64.0));
    }
}
