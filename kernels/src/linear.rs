//! Dense layers: products with packed weights.

use crate::activation::Activation;
use crate::dispatch::Isa;
use crate::gemm::{Fetch, Product};
use crate::packed_linear::{PackedLinear, WeightColumns};
use crate::rows::{Rows, RowsMut};
use crate::simd::LANES;
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
}

/// x `[m][k]` · weightᵀ + bias, then the epilogue → out `[m][n]`. See [`crate::reference::linear`].
///
/// # Panics
///
/// If x is not a multiple of k long, or out or the residual is not m · n long.
pub fn linear(isa: Isa, x: &[f32], weight: &PackedLinear, epilogue: Epilogue<'_>, out: &mut [f32]) {
    let (n, k) = (weight.n, weight.k);
    assert_eq!(x.len() % k, 0, "linear: x has {} elements, no multiple of k = {k}", x.len());
    let m = x.len() / k;
    let elements = m.checked_mul(n);
    assert_eq!(Some(out.len()), elements, "linear: out has {} elements for m = {m}, n = {n}", out.len());
    if !out.is_empty() {
        linear_columns(isa, x, weight.columns(0..n), None, epilogue, RowsMut::new(out, n));
    }
}

/// Some columns of [`linear`]'s output, with the same bits. Threads share a product by its columns so.
///
/// `then` is what the same thread computes next: its first weights, a few hundred kilobytes, are fetched from memory
/// meanwhile, and those of this product are expected to have been fetched in the same way. Without it the product stands
/// alone. That changes its time and nothing else.
///
/// # Panics
///
/// If x is not m rows of k for the m rows of out, out does not have as many columns, or the residual is not `[m][n]`.
pub fn linear_columns(
    isa: Isa,
    x: &[f32],
    columns: WeightColumns<'_>,
    then: Option<WeightColumns<'_>>,
    epilogue: Epilogue<'_>,
    out: RowsMut<'_>,
) {
    let WeightColumns { weight, first, count } = columns;
    let (n, k, m) = (weight.n, weight.k, out.rows());
    assert_eq!(Some(x.len()), m.checked_mul(k), "linear: x has {} elements for m = {m}, k = {k}", x.len());
    assert_eq!(out.columns(), count, "linear: out has {} columns for {count} of the weight", out.columns());
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
    }
    // Without rows, a residual has no element to begin at.
    if m == 0 || count == 0 {
        return;
    }
    let bias = Some(&weight.bias[..]);
    isa.run(Product {
        a: Rows { data: x, stride: k },
        b: Panels { data: columns.panels(), k },
        finish: Finish { bias, residual, activation }.skip(0, first / LANES),
        out,
        fetch: then.map_or(Fetch::Alone, |then| Fetch::Then(then.panels())),
    });
}
