//! The activation functions of BERT models and of sentence-transformers' `Dense` layers.

use crate::dispatch::{Isa, Kernel};
use crate::math::{erf, gelu_polynomial, sigmoid, tanh};
use crate::precision::Precision;
use crate::reference::{GELU_CUBIC, SQRT_2_OVER_PI};
use crate::rows::RowsMut;
use crate::simd::{LANES, Simd};

/// A function of single elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// GELU in the erf form, transformers' `"gelu"`; all-MiniLM-L6-v2 was trained with it. See
    /// [`crate::reference::gelu`].
    Gelu,
    /// GELU in the tanh form, transformers' `"gelu_new"` and `"gelu_pytorch_tanh"`. See
    /// [`crate::reference::gelu_tanh`].
    GeluTanh,
    /// GELU by one polynomial, for products in bf16 and int8, whose own steps are larger than its error. See
    /// [`crate::reference::gelu_polynomial`].
    GeluPolynomial,
    /// max(0, x), transformers' `"relu"`. See [`crate::reference::relu`].
    Relu,
    /// tanh, `torch.nn.Tanh`: what sentence-transformers' `Dense` applies by default. See
    /// [`crate::reference::tanh`].
    Tanh,
    /// 1 / (1 + e⁻ˣ), `torch.nn.Sigmoid`. See [`crate::reference::sigmoid`].
    Sigmoid,
    /// x / (1 + e⁻ˣ), transformers' `"silu"` and `"swish"`. See [`crate::reference::silu`].
    Silu,
}

impl Activation {
    /// GELU in the erf form, no more exact than products of that precision need it.
    pub fn gelu(precision: Precision) -> Activation {
        match precision {
            Precision::F32 => Activation::Gelu,
            Precision::Bf16 | Precision::Int8 => Activation::GeluPolynomial,
        }
    }
}

/// Each element of x, in place.
pub fn activate(isa: Isa, x: &mut [f32], activation: Activation) {
    // As two rows, which are computed at once, and an element that may be left over.
    let width = x.len() / 2;
    let (rows, rest) = x.split_at_mut(2 * width);
    for (rows, width) in [(rows, width), (rest, 1)] {
        if !rows.is_empty() {
            isa.run(ActivateRows { x: RowsMut::new(rows, width), activation });
        }
    }
}

/// Each element of some rows, in place.
pub(crate) struct ActivateRows<'a> {
    pub(crate) x: RowsMut<'a>,
    pub(crate) activation: Activation,
}

impl Kernel for ActivateRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // A loop of its own for each: inside, the activation is a constant.
        match self.activation {
            Activation::Gelu => self.each(simd, Activation::Gelu),
            Activation::GeluTanh => self.each(simd, Activation::GeluTanh),
            Activation::GeluPolynomial => self.each(simd, Activation::GeluPolynomial),
            Activation::Relu => self.each(simd, Activation::Relu),
            Activation::Tanh => self.each(simd, Activation::Tanh),
            Activation::Sigmoid => self.each(simd, Activation::Sigmoid),
            Activation::Silu => self.each(simd, Activation::Silu),
        }
    }
}

impl ActivateRows<'_> {
    #[inline(always)]
    fn each<S: Simd>(mut self, simd: S, activation: Activation) {
        let rows = self.x.rows();
        for row in (0..rows - rows % 2).step_by(2) {
            self.at_once::<S, 2>(simd, activation, row);
        }
        if rows % 2 == 1 {
            self.at_once::<S, 1>(simd, activation, rows - 1);
        }
    }

    /// R rows from `row` on.
    #[inline(always)]
    fn at_once<S: Simd, const R: usize>(&mut self, simd: S, activation: Activation, row: usize) {
        let rows = self.x.rows_mut::<R>(row).map(|row| row.as_chunks_mut::<LANES>());
        let mut x = [simd.splat(0.0); R];
        for i in 0..rows[0].0.len() {
            for r in 0..R {
                x[r] = simd.load(&rows[r].0[i]);
            }
            let y = activation_lanes(simd, activation, x);
            for r in 0..R {
                simd.store(y[r], &mut rows[r].0[i]);
            }
        }
        if !rows[0].1.is_empty() {
            for r in 0..R {
                x[r] = simd.load_partial(rows[r].1, 0.0);
            }
            let y = activation_lanes(simd, activation, x);
            for r in 0..R {
                simd.store_partial(y[r], rows[r].1);
            }
        }
    }
}

/// The activation of sixteen elements each.
#[inline(always)]
fn activation_lanes<S: Simd, const U: usize>(simd: S, activation: Activation, x: [S::F32; U]) -> [S::F32; U] {
    let mut y = x;
    match activation {
        Activation::Gelu => {
            for u in 0..U {
                y[u] = simd.mul(x[u], simd.splat(std::f32::consts::FRAC_1_SQRT_2));
            }
            y = erf(simd, y);
            for u in 0..U {
                y[u] = half_times_one_plus(simd, x[u], y[u]);
            }
        }
        Activation::GeluTanh => {
            for u in 0..U {
                let cube = simd.mul(simd.mul(x[u], x[u]), x[u]);
                let inner = simd.mul_add(cube, simd.splat(GELU_CUBIC), x[u]);
                y[u] =
                    half_times_one_plus(simd, x[u], tanh(simd, simd.mul(simd.splat(SQRT_2_OVER_PI), inner)));
            }
        }
        Activation::GeluPolynomial => y = gelu_polynomial(simd, x),
        Activation::Relu => {
            for u in 0..U {
                y[u] = simd.max(simd.splat(0.0), x[u]);
            }
        }
        Activation::Tanh => {
            for u in 0..U {
                y[u] = tanh(simd, x[u]);
            }
        }
        Activation::Sigmoid => {
            for u in 0..U {
                y[u] = sigmoid(simd, x[u]);
            }
        }
        Activation::Silu => {
            for u in 0..U {
                y[u] = simd.mul(x[u], sigmoid(simd, x[u]));
            }
        }
    }
    y
}

/// ½ x (1 + y), the frame of both forms of GELU.
#[inline(always)]
fn half_times_one_plus<S: Simd>(simd: S, x: S::F32, y: S::F32) -> S::F32 {
    simd.mul(simd.mul(simd.splat(0.5), x), simd.add(simd.splat(1.0), y))
}
