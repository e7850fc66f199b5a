//! Dense layers: products with packed weights.

use std::ops::Range;

use crate::activation::{ActivateRows, Activation};
use crate::dispatch::{Isa, Kernel};
use crate::gemm::{Finish, Product, Unfinished};
use crate::layer_norm::{LayerNorm, normalize_rows};
use crate::packed_linear::PackedLinear;
use crate::simd::{LANES, Simd};
use crate::tile::{Panels, Rows, RowsMut};

/// What [`linear`] makes of each element's sum over k.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    /// sum + bias
    Bias,
    /// activation(sum + bias)
    Activation(Activation),
    /// (sum + bias) + residual, which is `[m][n]`
    Residual(&'a [f32]),
    /// LayerNorm of the rows of (sum + bias) + residual, which is `[m][n]`
    ResidualLayerNorm(&'a [f32], &'a LayerNorm),
}

/// x `[m][k]` · weightᵀ + bias, then the epilogue → out `[m][n]`. See [`crate::reference::linear`].
///
/// # Panics
///
/// If x is not a multiple of k long, out or the residual is not m · n long, or the LayerNorm is not of rows of n > 0.
pub fn linear(isa: Isa, x: &[f32], weight: &PackedLinear, epilogue: Epilogue<'_>, out: &mut [f32]) {
    let (n, k) = (weight.n, weight.k);
    assert_eq!(x.len() % k, 0, "linear: x has {} elements, no multiple of k = {k}", x.len());
    let m = x.len() / k;
    let elements = m.checked_mul(n);
    assert_eq!(Some(out.len()), elements, "linear: out has {} elements for m = {m}, n = {n}", out.len());
    if let Epilogue::Residual(residual) | Epilogue::ResidualLayerNorm(residual, _) = epilogue {
        let len = residual.len();
        assert_eq!(Some(len), elements, "linear: the residual has {len} elements for m = {m}, n = {n}");
    }
    if let Epilogue::ResidualLayerNorm(_, norm) = epilogue {
        norm.assert_width(n);
    }
    isa.run(Linear { x, weight, epilogue, out, m });
}

struct Linear<'a> {
    x: &'a [f32],
    weight: &'a PackedLinear,
    epilogue: Epilogue<'a>,
    out: &'a mut [f32],
    m: usize,
}

impl Kernel for Linear<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Linear { x, weight: PackedLinear { panels, bias, n, k }, epilogue, out, m } = self;
        let product = Product {
            m,
            n: *n,
            a: Rows { data: x, stride: *k },
            b: Panels { data: panels, k: *k },
            bias: Some(bias),
            out: RowsMut { data: &mut *out, stride: *n },
        };
        match epilogue {
            Epilogue::Bias => product.run(simd, Unfinished),
            Epilogue::Activation(activation) => product.run(simd, Activate(activation)),
            Epilogue::Residual(residual) => product.run(simd, AddResidual(residual)),
            Epilogue::ResidualLayerNorm(residual, norm) => {
                product.run(simd, AddResidual(residual));
                normalize_rows(simd, out, norm);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Activate(Activation);

impl Finish for Activate {
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, mut out: RowsMut<'_>, m: usize, columns: Range<usize>) {
        let RowsMut { data, stride } = out.skip(0, columns.start);
        simd.call(ActivateRows { x: data, rows: m, stride, width: columns.len(), activation: self.0 });
    }
}

#[derive(Clone, Copy)]
struct AddResidual<'a>(&'a [f32]);

impl Finish for AddResidual<'_> {
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, mut out: RowsMut<'_>, m: usize, columns: Range<usize>) {
        for row in 0..m {
            let residual = &self.0[row * out.stride..][columns.clone()];
            let out = &mut out.skip(row, columns.start).data[..columns.len()];
            for (chunk, residual) in out.chunks_mut(LANES).zip(residual.chunks(LANES)) {
                let y = simd.add(simd.load_partial(chunk, 0.0), simd.load_partial(residual, 0.0));
                simd.store_partial(y, chunk);
            }
        }
    }
}
