//! What a case computes, and of which shape.

use arbitrary::Arbitrary;
use minilm_kernels::{Activation, Precision, reference};

use crate::number::Number;

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Operation {
    Linear {
        m: Size<0, 20>,
        n: Size<1, 70>,
        k: Size<1, 270>,
        split: u8,
        then: Then,
        precision: Weights,
    },
    /// So long that int8 has several groups of INT8_GROUP inputs.
    LongLinear {
        m: Size<1, 9>,
        n: Size<1, 40>,
        k: Size<300, 900>,
        then: Then,
        precision: Weights,
    },
    Attention {
        precision: Weights,
        heads: Size<1, 4>,
        head_size: Size<1, 40>,
        s: Size<0, 40>,
        longer: Size<0, 40>,
        bias: Bias,
    },
    /// So long that p · v has more than one block of K_BLOCK.
    LongAttention {
        precision: Weights,
        head_size: Size<1, 20>,
        s: Size<100, 170>,
        bias: Bias,
    },
    Softmax {
        rows: Size<0, 5>,
        width: Size<1, 270>,
    },
    LayerNorm {
        rows: Size<0, 9>,
        h: Size<1, 270>,
        eps: Number,
    },
    Activate {
        n: Size<0, 100>,
        function: Function,
    },
    EmbeddingSum {
        s: Size<0, 5>,
        h: Size<1, 100>,
    },
    MeanPool {
        s: Size<1, 40>,
        h: Size<1, 100>,
    },
    MaxPool {
        s: Size<1, 40>,
        h: Size<1, 100>,
    },
    MeanSqrtLenPool {
        s: Size<1, 40>,
        h: Size<1, 100>,
    },
    WeightedMeanPool {
        s: Size<1, 40>,
        h: Size<1, 100>,
        first_weight: Size<1, 300>,
    },
    LastTokenPool {
        s: Size<1, 5>,
        h: Size<1, 100>,
    },
    ClsPool {
        s: Size<1, 5>,
        h: Size<1, 100>,
    },
    L2Normalize {
        n: Size<0, 270>,
    },
    Dot {
        k: Size<0, 270>,
    },
    SimilarityMatrix {
        m: Size<0, 10>,
        n: Size<0, 40>,
        k: Size<1, 100>,
    },
    EuclideanDistance {
        k: Size<0, 270>,
    },
    EuclideanDistanceMatrix {
        m: Size<0, 10>,
        n: Size<0, 40>,
        k: Size<1, 100>,
    },
    ManhattanDistance {
        k: Size<0, 270>,
    },
    ManhattanDistanceMatrix {
        m: Size<0, 10>,
        n: Size<0, 40>,
        k: Size<1, 100>,
    },
    /// In two blocks.
    TopK {
        n: Size<0, 400>,
        k: Size<0, 20>,
        split: u8,
    },
}

/// Whether attention has a bias of the positions.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Bias {
    None,
    /// For sequences that are longer by so many tokens.
    Position(Size<0, 9>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Weights {
    F32,
    Bf16,
    Int8,
    /// Of inputs that have factors.
    ScaledInt8,
}

impl Weights {
    pub(crate) fn precision(self) -> Precision {
        match self {
            Weights::F32 => Precision::F32,
            Weights::Bf16 => Precision::Bf16,
            Weights::Int8 | Weights::ScaledInt8 => Precision::Int8,
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Function {
    Gelu,
    GeluTanh,
    GeluPolynomial,
    Relu,
    Tanh,
    Sigmoid,
    Silu,
}

impl Function {
    /// The kernel's name for it, and its specification.
    pub(crate) fn both(self) -> (Activation, fn(f32) -> f32) {
        match self {
            Function::Gelu => (Activation::Gelu, reference::gelu),
            Function::GeluTanh => (Activation::GeluTanh, reference::gelu_tanh),
            Function::GeluPolynomial => (Activation::GeluPolynomial, reference::gelu_polynomial),
            Function::Relu => (Activation::Relu, reference::relu),
            Function::Tanh => (Activation::Tanh, reference::tanh),
            Function::Sigmoid => (Activation::Sigmoid, reference::sigmoid),
            Function::Silu => (Activation::Silu, reference::silu),
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Then {
    Bias,
    Activation(Function),
    Residual,
}

/// LEAST … MOST.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size<const LEAST: usize, const MOST: usize>(pub(crate) usize);

impl<'a, const LEAST: usize, const MOST: usize> Arbitrary<'a> for Size<LEAST, MOST> {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Size(u.int_in_range(LEAST..=MOST)?))
    }

    fn size_hint(_: usize) -> (usize, Option<usize>) {
        (0, Some(2))
    }
}
