//! The products with weights: every dense layer of the network, from one token to a full text.

use std::hint::black_box;

use minilm_kernels::{Activation, Epilogue, PackedLinear, Precision, linear};

use super::{Case, HIDDEN, INTERMEDIATE, Work, bytes};
use crate::measure::batch;
use crate::{aligned, numbers};

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
    fused: Fused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fused {
    Bias,
    Gelu,
    Residual,
}

/// The product of every dense layer of `BertLayer` with its bias, in the order of the forward pass.
pub const PRODUCTS: [Layer; 4] = [
    Layer { operation: "qkv", k: HIDDEN, n: 3 * HIDDEN, fused: Fused::Bias },
    Layer { operation: "attention output", k: HIDDEN, n: HIDDEN, fused: Fused::Bias },
    Layer { operation: "intermediate", k: HIDDEN, n: INTERMEDIATE, fused: Fused::Bias },
    Layer { operation: "output", k: INTERMEDIATE, n: HIDDEN, fused: Fused::Bias },
];

/// The same with what the forward pass fuses with them.
pub const FUSED: [Layer; 3] = [
    Layer { operation: "attention output + residual", k: HIDDEN, n: HIDDEN, fused: Fused::Residual },
    Layer { operation: "intermediate + GELU", k: HIDDEN, n: INTERMEDIATE, fused: Fused::Gelu },
    Layer { operation: "output + residual", k: INTERMEDIATE, n: HIDDEN, fused: Fused::Residual },
];

/// That layer for `m` tokens.
pub fn case(layer: Layer, m: usize) -> Case {
    let Layer { operation, k, n, fused } = layer;
    let (weight, bias) = (numbers(n * k, 1), numbers(n, 2));
    let packed = PackedLinear::pack(Precision::F32, &[(&weight, &bias)], k);
    let x = aligned(&numbers(m * k, 3));
    let residual = aligned(&if fused == Fused::Residual { numbers(m * n, 4) } else { Vec::new() });
    let work = work(layer, m);
    let mut out = aligned(&vec![0.0; m * n]);
    Case {
        operation,
        shape: format!("{k} → {n}"),
        size: format!("m = {m}"),
        work,
        run: Box::new(move |isa, calls| {
            batch(calls, || {
                let epilogue = match fused {
                    Fused::Bias => Epilogue::Bias,
                    Fused::Gelu => Epilogue::Activation(Activation::Gelu),
                    Fused::Residual => Epilogue::Residual(&residual),
                };
                linear(isa, black_box(&x), &packed, epilogue, black_box(&mut out));
            })
        }),
    }
}

/// The product alone is counted: 2 · m · n · k. Read are x, the weight, the bias and the residual.
fn work(Layer { k, n, fused, .. }: Layer, m: usize) -> Work {
    let residual = if fused == Fused::Residual { m * n } else { 0 };
    Work {
        flops: Some((2 * m * n * k) as u64),
        bytes: bytes(m * k + n * k + n + residual + m * n),
        elements: (m * n) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_by_hand() {
        let layer = |fused| Layer { operation: "", k: 384, n: 1536, fused };
        // 256 rows: 2 · 256 · 384 · 1536 operations; 98304 of x, 589824 of weights, 1536 of bias, 393216 out.
        let found = work(layer(Fused::Gelu), 256);
        assert_eq!(found.flops, Some(301_989_888));
        assert_eq!(found.bytes, 4 * (98_304 + 589_824 + 1_536 + 393_216));
        assert_eq!(found.elements, 393_216);
        assert_eq!(work(layer(Fused::Residual), 256).bytes, found.bytes + 4 * 393_216);
        assert!((found.intensity().expect("a product's operations are counted") - 69.72).abs() < 0.01);
    }

    #[test]
    fn a_layer_of_the_network_has_the_operations_of_its_parameters() {
        let found: u64 = PRODUCTS.iter().filter_map(|&layer| work(layer, 1).flops).sum();
        // The weights of one layer of all-MiniLM-L6-v2: 4 · 384² + 2 · 384 · 1536, each used once a token.
        assert_eq!(found, 2 * 1_769_472);
    }
}
