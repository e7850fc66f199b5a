//! Dense layers: products with packed weights.

use crate::activation::Activation;
use crate::dispatch::{Isa, Kernel};
use crate::gemm::{Product, Then};
use crate::layer_norm::{LayerNorm, layer_norm};
use crate::packed_linear::PackedLinear;
use crate::rows::{Rows, RowsMut};
use crate::simd::{LANES, Simd};
use crate::tile::{Finish, Panels};

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
    if let Epilogue::ResidualLayerNorm(_, norm) = epilogue {
        norm.assert_width(n);
    }
    if out.is_empty() {
        return;
    }
    let elementwise = match epilogue {
        Epilogue::ResidualLayerNorm(residual, _) => Epilogue::Residual(residual),
        other => other,
    };
    linear_columns(isa, x, weight, Columns::default(), elementwise, RowsMut::new(out, n));
    if let Epilogue::ResidualLayerNorm(_, norm) = epilogue {
        layer_norm(isa, out, norm);
    }
}

/// Which columns [`linear_columns`] computes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Columns<'a> {
    /// The first, a multiple of 16.
    pub first: usize,
    /// What this thread will compute next: these columns of this weight, a multiple of 16 again. Its first panels are
    /// prefetched meanwhile. If it is not said, what lies behind the panels in memory is.
    pub then: Option<(&'a PackedLinear, usize)>,
}

/// Some columns of [`linear`]'s output, with the same bits: as many as `out` has. Threads share a product by its columns
/// so.
///
/// # Panics
///
/// If x is not m rows of k for the m rows of out, the first column is not a multiple of 16, the weight has fewer columns,
/// the columns end neither with the weight's last nor at a multiple of 16, the residual is not `[m][n]`, or the epilogue
/// is a LayerNorm, which needs whole rows.
pub fn linear_columns(
    isa: Isa,
    x: &[f32],
    weight: &PackedLinear,
    columns: Columns<'_>,
    epilogue: Epilogue<'_>,
    out: RowsMut<'_>,
) {
    let Columns { first, then } = columns;
    let (n, k, m) = (weight.n, weight.k, out.rows());
    assert_eq!(Some(x.len()), m.checked_mul(k), "linear: x has {} elements for m = {m}, k = {k}", x.len());
    let end = first.saturating_add(out.columns());
    assert!(
        first.is_multiple_of(LANES) && end <= n && (end == n || end.is_multiple_of(LANES)),
        "linear: columns {first}..{end} of {n} are not whole panels of {LANES}"
    );
    let (mut residual, mut activation) = (None, None);
    match epilogue {
        Epilogue::Bias => {}
        Epilogue::Activation(a) => activation = Some(a),
        Epilogue::Residual(data) => {
            let len = data.len();
            assert_eq!(
                Some(len),
                m.checked_mul(n),
                "linear: the residual has {len} elements for m = {m}, n = {n}"
            );
            residual = Some(Rows { data, stride: n });
        }
        Epilogue::ResidualLayerNorm(..) => panic!("linear: a LayerNorm of a part of the columns"),
    }
    // Without rows, a residual has no element to begin at.
    if m == 0 || out.columns() == 0 {
        return;
    }
    let bias = Some(&weight.bias[..]);
    isa.run(Linear {
        product: Product {
            a: Rows { data: x, stride: k },
            b: Panels { data: &weight.panels, k }.skip(first / LANES),
            finish: Finish { bias, residual, activation }.skip(0, first / LANES),
            out,
            then: match then {
                Some((weight, column)) => {
                    Then::Weights(weight.panels.get(column / LANES * weight.k..).unwrap_or_default())
                }
                None => Then::Behind,
            },
        },
    });
}

struct Linear<'a> {
    product: Product<'a>,
}

impl Kernel for Linear<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.product.run(simd);
    }
}
