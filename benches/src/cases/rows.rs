//! Operations on elements and rows. Their data lies in L1, as it does where they are fused with a product; LayerNorm and
//! mean pooling read what the encoder has left in L2.

use std::hint::black_box;

use minilm_kernels::{
    Activation, Isa, LayerNorm, activate, embedding_sum, l2_normalize, layer_norm, mean_pool, softmax,
};

use super::{Case, HIDDEN, INTERMEDIATE, PIECE, Work, bytes};
use crate::measure::{batch, each};
use crate::{aligned, numbers};

/// Widths of the rows of a softmax: one for each token of a sequence.
pub const SOFTMAX_WIDTHS: [usize; 3] = [16, 48, 256];

/// Numbers that a softmax or a GELU is timed on: 16 KiB, half of the smallest L1 in use.
const ELEMENTS: usize = 4096;

/// Rows of a block of hidden states: 12 KiB.
const ROWS: usize = 8;

/// All of them.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![gelu_case()];
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
    (flops, also_read): (Option<u64>, usize),
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
            flops: flops.map(|flops| flops * (rows * width) as u64),
            bytes: bytes(2 * rows * width + also_read),
            elements: (rows * width) as u64,
        },
        run: Box::new(move |isa, calls| {
            each(calls, &mut x, |x| x.copy_from_slice(&input), |x| kernel(isa, x))
        }),
    }
}

/// GELU of two rows of an intermediate layer.
pub fn gelu_case() -> Case {
    in_place("GELU", (2, INTERMEDIATE), (None, 0), |isa, x| activate(isa, x, Activation::Gelu))
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
        work: Work { flops: Some(read), bytes: bytes(tokens * HIDDEN + HIDDEN), elements: read },
        run: Box::new(move |isa, calls| batch(calls, || mean_pool(isa, black_box(&x), black_box(&mut out)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_by_hand() {
        let work = |operation: &str, size: &str| {
            let found = cases().into_iter().find(|case| case.operation == operation && case.size == size);
            found.expect("the operation has a case").work
        };
        assert_eq!(work("GELU", "2 rows"), Work { flops: None, bytes: 2 * 12_288, elements: 3072 });
        // 8 rows of 384: read and written; the positions and the type are read.
        assert_eq!(
            work("embedding sum", "8 rows"),
            Work { flops: Some(6144), bytes: 3 * 12_288 + 1536, elements: 3072 }
        );
        // 64 rows of 384: read and written; gamma and beta are read.
        assert_eq!(
            work("LayerNorm", "64 rows"),
            Work { flops: Some(196_608), bytes: 2 * 98_304 + 2 * 1536, elements: 24_576 }
        );
        assert_eq!(
            work("mean pooling", "16 rows"),
            Work { flops: Some(6144), bytes: 16 * 1536 + 1536, elements: 6144 }
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
