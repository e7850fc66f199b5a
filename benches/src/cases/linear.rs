//! The products with weights: every dense layer of the network, from one token to a full text.

use std::hint::black_box;

use minilm_kernels::{Activation, Activations, Epilogue, Isa, NarrowRows, Precision, linear};

use super::{Case, HIDDEN, INTERMEDIATE, Work, bytes};
use crate::measure::batch;
use crate::{aligned, numbers, weights};

/// Rows, which are tokens: from one to the longest text.
pub const ROWS: [usize; 8] = [1, 4, 8, 16, 32, 64, 128, 256];

/// One of the network's dense layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it is in the network, and what is fused with it.
    pub operation: &'static str,
    /// Inputs.
    pub k: usize,
    /// Outputs.
    pub n: usize,
    /// Whether its input comes out of a LayerNorm, whose channels int8 evens out by a factor each.
    pub follows_layer_norm: bool,
    fused: Fused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fused {
    Bias,
    Gelu,
    Residual,
}

/// Queries, keys and values.
pub const QKV: Layer =
    Layer { operation: "qkv", k: HIDDEN, n: 3 * HIDDEN, follows_layer_norm: true, fused: Fused::Bias };

/// Attention's dense layer.
pub const ATTENTION_OUTPUT: Layer = Layer {
    operation: "attention output",
    k: HIDDEN,
    n: HIDDEN,
    follows_layer_norm: false,
    fused: Fused::Bias,
};

/// The feed-forward's first dense layer.
pub const FEED_FORWARD_IN: Layer = Layer {
    operation: "intermediate",
    k: HIDDEN,
    n: INTERMEDIATE,
    follows_layer_norm: true,
    fused: Fused::Bias,
};

/// The feed-forward's second dense layer.
pub const FEED_FORWARD_OUT: Layer =
    Layer { operation: "output", k: INTERMEDIATE, n: HIDDEN, follows_layer_norm: false, fused: Fused::Bias };

/// The product of every dense layer of `BertLayer` with its bias, in the order of the forward pass.
pub const PRODUCTS: [Layer; 4] = [QKV, ATTENTION_OUTPUT, FEED_FORWARD_IN, FEED_FORWARD_OUT];

/// The same with what the forward pass fuses with them.
pub const FUSED: [Layer; 3] = [
    Layer { operation: "attention output + residual", fused: Fused::Residual, ..ATTENTION_OUTPUT },
    Layer { operation: "intermediate + GELU", fused: Fused::Gelu, ..FEED_FORWARD_IN },
    Layer { operation: "output + residual", fused: Fused::Residual, ..FEED_FORWARD_OUT },
];

/// That layer for `m` tokens, whose activations are in that precision already.
pub fn case(precision: Precision, layer: Layer, m: usize) -> Case {
    let Layer { operation, k, n, fused, .. } = layer;
    let packed = weights::packed(precision, layer, 1.0, 1);
    let x = aligned(&numbers(m * k, 3));
    let residual = aligned(&if fused == Fused::Residual { numbers(m * n, 4) } else { Vec::new() });
    let work = work(precision, layer, m);
    let mut out = aligned(&vec![0.0; m * n]);
    let mut narrow = NarrowRows::default();
    // The same on every instruction set.
    narrow.narrow(Isa::best(), &x, &packed);
    Case {
        operation,
        shape: format!("{k} → {n}"),
        size: format!("m = {m}"),
        work,
        run: Box::new(move |isa, calls| {
            let x = if precision == Precision::F32 { (&x).into() } else { (&narrow).into() };
            batch(calls, || {
                let epilogue = match fused {
                    Fused::Bias => Epilogue::Bias,
                    Fused::Gelu => Epilogue::Activation(Activation::gelu(precision)),
                    Fused::Residual => Epilogue::Residual(&residual),
                };
                linear(isa, black_box::<Activations<'_>>(x), &packed, epilogue, black_box(&mut out));
            })
        }),
    }
}

/// The product alone is counted: 2 · m · n · k. Read are x and the weight in that precision, the bias and the residual.
fn work(precision: Precision, Layer { k, n, fused, .. }: Layer, m: usize) -> Work {
    let residual = if fused == Fused::Residual { m * n } else { 0 };
    Work {
        operations: Some((2 * m * n * k) as u64),
        bytes: ((m * k + n * k) * precision.bytes()) as u64 + bytes(n + residual + m * n),
        elements: (m * n) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_by_hand() {
        // 256 rows: 2 · 256 · 384 · 1536 operations; 98304 of x, 589824 of weights, 1536 of bias, 393216 out.
        let found = work(Precision::F32, FUSED[1], 256);
        assert_eq!(found.operations, Some(301_989_888));
        assert_eq!(found.bytes, 4 * (98_304 + 589_824 + 1_536 + 393_216));
        assert_eq!(found.elements, 393_216);
        assert!((found.intensity().expect("a product's operations are counted") - 69.72).abs() < 0.01);

        let residual = Layer { fused: Fused::Residual, ..FEED_FORWARD_IN };
        assert_eq!(work(Precision::F32, residual, 256).bytes, found.bytes + 4 * 393_216);

        let factors = 98_304 + 589_824;
        for (precision, width) in [(Precision::Bf16, 2), (Precision::Int8, 1)] {
            let narrow = work(precision, FUSED[1], 256);
            assert_eq!(narrow.operations, found.operations);
            assert_eq!(narrow.bytes, width * factors + 4 * (1_536 + 393_216), "{precision}");
        }
    }

    #[test]
    fn a_layer_of_the_network_has_the_operations_of_its_parameters() {
        let operations = PRODUCTS.iter().filter_map(|&layer| work(Precision::F32, layer, 1).operations);
        // The weights of one layer of all-MiniLM-L6-v2: 4 · 384² + 2 · 384 · 1536, each used once a token.
        assert_eq!(operations.sum::<u64>(), 2 * 1_769_472);
    }

    #[test]
    fn every_case_runs_in_every_precision() {
        for precision in Precision::ALL {
            for layer in PRODUCTS.into_iter().chain(FUSED) {
                let mut case = case(precision, layer, 3);
                assert!(case.run(Isa::best(), 1) > std::time::Duration::ZERO, "{layer:?} {precision}");
            }
        }
    }
}
