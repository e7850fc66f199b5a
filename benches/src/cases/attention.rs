//! Attention of one sequence with the heads of all-MiniLM-L6-v2.

use std::hint::black_box;

use minilm_kernels::{AttentionParameters, AttentionScratch, Precision, attention};

use super::{Case, HIDDEN, Work, bytes};
use crate::measure::batch;
use crate::{aligned, numbers};

/// Tokens of a sequence: a question, a sentence, a paragraph, the longest text.
pub const TOKENS: [usize; 4] = [16, 48, 128, 256];

/// The heads of all-MiniLM-L6-v2 beside dense layers of that precision.
pub fn parameters(precision: Precision) -> AttentionParameters<'static> {
    AttentionParameters { heads: 12, head_size: 32, precision, position_bias: None }
}

/// What attention's own products are computed in beside dense layers of these precisions, each once.
pub fn precisions(of_dense_layers: &[Precision]) -> Vec<Precision> {
    let mut precisions = Vec::new();
    for &precision in of_dense_layers {
        let own = precision.of_attention();
        if !precisions.contains(&own) {
            precisions.push(own);
        }
    }
    precisions
}

/// One sequence of `s` tokens.
pub fn case(precision: Precision, s: usize) -> Case {
    let parameters = parameters(precision);
    let qkv = aligned(&numbers(3 * s * HIDDEN, 1));
    let mut out = aligned(&vec![0.0; s * HIDDEN]);
    let mut scratch = AttentionScratch::default();
    Case {
        operation: "attention",
        shape: format!("{} heads of {}", parameters.heads, parameters.head_size),
        size: format!("s = {s}"),
        work: work(s),
        run: Box::new(move |isa, calls| {
            batch(calls, || attention(isa, black_box(&qkv), parameters, &mut scratch, black_box(&mut out)))
        }),
    }
}

/// The two products are counted, 2 · s · s · head_size each a head; not the softmax between them. What goes in and comes out
/// is f32 in every precision.
fn work(s: usize) -> Work {
    Work {
        operations: Some((2 * 2 * s * s * HIDDEN) as u64),
        bytes: bytes(3 * s * HIDDEN + s * HIDDEN),
        elements: (s * HIDDEN) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_by_hand() {
        // 12 heads, each [256][32] · [32][256] and [256][256] · [256][32].
        let found = work(256);
        assert_eq!(found.operations, Some(12 * (2 * 256 * 32 * 256 + 2 * 256 * 256 * 32)));
        // [256][1152] in, [256][384] out.
        assert_eq!(found.bytes, 4 * (294_912 + 98_304));
        assert_eq!(found.intensity(), Some(64.0));
        assert_eq!(parameters(Precision::F32).hidden_size(), HIDDEN);
    }

    #[test]
    fn int8_has_the_attention_of_bf16() {
        assert_eq!(precisions(&Precision::ALL), [Precision::F32, Precision::Bf16]);
        assert_eq!(precisions(&[Precision::Int8]), [Precision::Bf16]);
    }
}
