//! Operations on elements and rows. Their data lies in L1, as it does where they are fused with a product; LayerNorm, mean
//! pooling and narrowing read what the encoder has left in L2.

use std::hint::black_box;

use minilm_kernels::{
    Activation, Isa, LayerNorm, NarrowRows, Precision, activate, embedding_sum, l2_normalize, layer_norm,
    mean_pool, softmax,
};

use super::linear::{ATTENTION_OUTPUT, FEED_FORWARD_OUT, Layer, QKV};
use super::{Case, HIDDEN, INTERMEDIATE, PIECE, Work, bytes};
use crate::measure::{batch, each};
use crate::{aligned, numbers, weights};

/// Widths of the rows of a softmax: one for each token of a sequence.
pub const SOFTMAX_WIDTHS: [usize; 3] = [16, 48, 256];

/// Numbers that a softmax or a GELU is timed on: 16 KiB, half of the smallest L1 in use.
const ELEMENTS: usize = 4096;

/// Rows of a block of hidden states: 12 KiB.
const ROWS: usize = 8;

/// All of them that an encoder with products of these precisions has.
pub fn cases(precisions: &[Precision]) -> Vec<Case> {
    let narrow: Vec<Precision> = precisions.iter().copied().filter(|&p| p != Precision::F32).collect();
    let mut cases = Vec::new();
    if precisions.contains(&Precision::F32) {
        cases.push(gelu_case(Precision::F32));
    }
    cases.extend(narrow.first().map(|&precision| gelu_case(precision)));
    for precision in narrow {
        // Its rows are even, or are evened out by factors, in int8 alone.
        let layers = [QKV, ATTENTION_OUTPUT, FEED_FORWARD_OUT];
        let layers =
            layers.into_iter().filter(|layer| !layer.follows_layer_norm || precision == Precision::Int8);
        cases.extend(layers.map(|layer| narrow_case(precision, layer)));
    }
    cases.extend(SOFTMAX_WIDTHS.map(softmax_case));
    cases.extend([layer_norm_case(), embedding_sum_case(), l2_normalize_case()]);
    cases.extend([16, 256].map(mean_pool_case));
    cases
}

/// A kernel that overwrites `rows` rows of `width` numbers, which are put back before each call. `work` is that
/// of an element: operations, and numbers read beside it.
fn in_place(
    operation: &'static str,
    (rows, width): (usize, usize),
    (operations, also_read): (Option<u64>, usize),
    kernel: impl Fn(Isa, &mut [f32]) + 'static,
) -> Case {
    // Scores and activations are larger than the weights that `numbers` is for.
    let input: Vec<f32> = numbers(rows * width, 1).iter().map(|x| 8.0 * x).collect();
    let mut x = aligned(&input);
    Case {
        operation,
        shape: format!("rows of {width}"),
        size: format!("{rows} rows"),
        work: Work {
            operations: operations.map(|operations| operations * (rows * width) as u64),
            bytes: bytes(2 * rows * width + also_read),
            elements: (rows * width) as u64,
        },
        run: Box::new(move |isa, calls| {
            each(calls, &mut x, |x| x.copy_from_slice(&input), |x| kernel(isa, x))
        }),
    }
}

/// GELU of two rows of an intermediate layer, as beside products of that precision.
pub fn gelu_case(precision: Precision) -> Case {
    let operation = if precision == Precision::F32 { "GELU" } else { "GELU by a polynomial" };
    in_place(operation, (2, INTERMEDIATE), (None, 0), move |isa, x| {
        activate(isa, x, Activation::gelu(precision))
    })
}

/// A piece's rows of activations in that precision, as that layer wants them: what lies before each of its products.
fn narrow_case(precision: Precision, layer: Layer) -> Case {
    let weight = weights::packed(precision, layer, 1.0, 1);
    let (k, factors) = (layer.k, weight.factors().map_or(0, <[f32]>::len));
    let x = aligned(&numbers(PIECE * k, 1));
    let mut rows = NarrowRows::default();
    Case {
        operation: match precision {
            Precision::Int8 if factors > 0 => "quantising to int8, with factors",
            Precision::Int8 => "quantising to int8",
            _ => "rounding to bf16",
        },
        shape: format!("rows of {k}"),
        size: format!("{PIECE} rows"),
        // How many operations rounding takes, the instruction set decides.
        work: Work {
            operations: None,
            bytes: bytes(PIECE * k + factors) + (PIECE * k * precision.bytes()) as u64,
            elements: (PIECE * k) as u64,
        },
        run: Box::new(move |isa, calls| {
            batch(calls, || _ = black_box(rows.narrow(isa, black_box(&x), &weight)))
        }),
    }
}

/// Softmax of rows of that width, as many as fill a block.
pub fn softmax_case(width: usize) -> Case {
    in_place("softmax", (ELEMENTS / width, width), (None, 0), move |isa, x| softmax(isa, x, width))
}

/// LayerNorm of a piece's rows of hidden states, 96 KiB. Counted are a sum for the mean; a difference, a square and a sum
/// for the variance; the difference again, two products and a sum: eight an element.
fn layer_norm_case() -> Case {
    let parameters = LayerNorm { gamma: numbers(HIDDEN, 2), beta: numbers(HIDDEN, 3), eps: 1e-12 };
    in_place("LayerNorm", (PIECE, HIDDEN), (Some(8), 2 * HIDDEN), move |isa, x| {
        layer_norm(isa, x, &parameters);
    })
}

/// Two sums an element.
fn embedding_sum_case() -> Case {
    let (token_type, positions) = (numbers(HIDDEN, 2), numbers(ROWS * HIDDEN, 3));
    in_place("embedding sum", (ROWS, HIDDEN), (Some(2), HIDDEN + ROWS * HIDDEN), move |isa, x| {
        embedding_sum(isa, x, &token_type, &positions);
    })
}

/// A square, a sum and a division an element.
fn l2_normalize_case() -> Case {
    in_place("L2 normalise", (ROWS, HIDDEN), (Some(3), 0), |isa, x| {
        x.chunks_exact_mut(HIDDEN).for_each(|row| l2_normalize(isa, row));
    })
}

/// One sum for each number that is read.
fn mean_pool_case(tokens: usize) -> Case {
    let x = aligned(&numbers(tokens * HIDDEN, 1));
    let mut out = vec![0.0; HIDDEN];
    let read = (tokens * HIDDEN) as u64;
    Case {
        operation: "mean pooling",
        shape: format!("rows of {HIDDEN}"),
        size: format!("{tokens} rows"),
        work: Work { operations: Some(read), bytes: bytes(tokens * HIDDEN + HIDDEN), elements: read },
        run: Box::new(move |isa, calls| batch(calls, || mean_pool(isa, black_box(&x), black_box(&mut out)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_by_hand() {
        let work = |operation: &str, size: &str| {
            let mut cases = cases(&Precision::ALL).into_iter();
            let found = cases.find(|case| case.operation == operation && case.size == size);
            found.expect("the operation has a case").work
        };
        assert_eq!(work("GELU", "2 rows"), Work { operations: None, bytes: 2 * 12_288, elements: 3072 });
        // 8 rows of 384: read and written; the positions and the type are read.
        assert_eq!(
            work("embedding sum", "8 rows"),
            Work { operations: Some(6144), bytes: 3 * 12_288 + 1536, elements: 3072 }
        );
        // 64 rows of 384: read and written; gamma and beta are read.
        assert_eq!(
            work("LayerNorm", "64 rows"),
            Work { operations: Some(196_608), bytes: 2 * 98_304 + 2 * 1536, elements: 24_576 }
        );
        assert_eq!(
            work("mean pooling", "16 rows"),
            Work { operations: Some(6144), bytes: 16 * 1536 + 1536, elements: 6144 }
        );
        // 64 rows of 384, the first that is found; in int8 with a factor for each of 384.
        let (rows, elements) = (98_304, 24_576);
        assert_eq!(
            work("rounding to bf16", "64 rows"),
            Work { operations: None, bytes: rows + rows / 2, elements }
        );
        assert_eq!(
            work("quantising to int8, with factors", "64 rows"),
            Work { operations: None, bytes: rows + 1536 + rows / 4, elements }
        );
    }

    #[test]
    fn what_a_precision_does_not_need_is_not_timed() {
        let operations = |precisions: &[Precision]| {
            let mut found: Vec<_> = cases(precisions).iter().map(|case| case.operation).collect();
            found.retain(|name| ["GELU", "to bf16", "to int8"].iter().any(|part| name.contains(part)));
            found
        };
        assert_eq!(operations(&[Precision::F32]), ["GELU"]);
        // Rows of 384 and of 1536.
        let bf16 = ["GELU by a polynomial", "rounding to bf16", "rounding to bf16"];
        assert_eq!(operations(&[Precision::Bf16]), bf16);
        let int8 = "quantising to int8";
        assert_eq!(
            operations(&[Precision::Int8]),
            ["GELU by a polynomial", "quantising to int8, with factors", int8, int8]
        );
    }

    /// A softmax of a softmax is another one, so a block that is not put back would be timed on other numbers.
    #[test]
    fn every_call_sees_the_same_numbers() {
        use std::cell::RefCell;
        use std::rc::Rc;

        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&seen);
        let mut case = in_place("halve", (1, 16), (None, 0), move |_, x| {
            log.borrow_mut().push(x.to_vec());
            x.iter_mut().for_each(|x| *x /= 2.0);
        });
        case.run(Isa::SCALAR, 3);
        let seen = seen.borrow();
        // More, if they were interrupted and had to be repeated.
        assert!(seen.len() >= 3);
        assert!(seen.iter().all(|x| *x == seen[0]));
    }
}
