//! The activation functions of BERT models and of sentence-transformers' `Dense` layers.

use crate::dispatch::{Isa, Kernel};
use crate::math::{erf, tanh};
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
    /// max(0, x), transformers' `"relu"`. See [`crate::reference::relu`].
    Relu,
    /// tanh, `torch.nn.Tanh`: what sentence-transformers' `Dense` applies by default. See
    /// [`crate::reference::tanh`].
    Tanh,
}

/// Each element of x, in place.
pub fn activate(isa: Isa, x: &mut [f32], activation: Activation) {
    if !x.is_empty() {
        let width = x.len();
        isa.run(ActivateRows { x: RowsMut::new(x, width), activation });
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
            Activation::Relu => self.each(simd, Activation::Relu),
            Activation::Tanh => self.each(simd, Activation::Tanh),
        }
    }
}

impl ActivateRows<'_> {
    #[inline(always)]
    fn each<S: Simd>(mut self, simd: S, activation: Activation) {
        for row in 0..self.x.rows() {
            for chunk in self.x.row_mut(row).chunks_mut(LANES) {
                let y = activation_lanes(simd, activation, simd.load_partial(chunk, 0.0));
                simd.store_partial(y, chunk);
            }
        }
    }
}

/// The activation of sixteen elements.
#[inline(always)]
fn activation_lanes<S: Simd>(simd: S, activation: Activation, x: S::F32) -> S::F32 {
    match activation {
        Activation::Gelu => {
            half_times_one_plus(simd, x, erf(simd, simd.mul(x, simd.splat(std::f32::consts::FRAC_1_SQRT_2))))
        }
        Activation::GeluTanh => {
            let cube = simd.mul(simd.mul(x, x), x);
            let inner = simd.mul_add(cube, simd.splat(GELU_CUBIC), x);
            half_times_one_plus(simd, x, tanh(simd, simd.mul(simd.splat(SQRT_2_OVER_PI), inner)))
        }
        Activation::Relu => simd.max(simd.splat(0.0), x),
        Activation::Tanh => tanh(simd, x),
    }
}

/// ½ x (1 + y), the frame of both forms of GELU.
#[inline(always)]
fn half_times_one_plus<S: Simd>(simd: S, x: S::F32, y: S::F32) -> S::F32 {
    simd.mul(simd.mul(simd.splat(0.5), x), simd.add(simd.splat(1.0), y))
}
