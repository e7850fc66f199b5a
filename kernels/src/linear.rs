//! Dense layers: products with packed weights.

use crate::activation::Activation;
use crate::dispatch::Isa;
use crate::finish::{Finish, Scales};
use crate::gemm::{Fetch, Product};
use crate::narrow_rows::Activations;
use crate::packed_linear::{PackedLinear, WeightColumns};
use crate::precision::Precision;
use crate::reference::RowScale;
use crate::rows::{Rows, RowsMut};
use crate::simd::LANES;

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

/// x `[m][k]` · weightᵀ + bias, then the epilogue → out `[m][n]`, in the precision of the weight. See
/// [`reference::linear`](crate::reference::linear), [`linear_bf16`](crate::reference::linear_bf16) and
/// [`linear_int8`](crate::reference::linear_int8).
///
/// # Panics
///
/// If x is not `[m][k]` in the precision of the weight, or out or the residual is not m · n long.
pub fn linear<'a>(
    isa: Isa,
    x: impl Into<Activations<'a>>,
    weight: &PackedLinear,
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) {
    let (x, n, k) = (x.into(), weight.n, weight.k);
    let m = match x {
        Activations::F32(x) => {
            assert_eq!(x.len() % k, 0, "linear: x has {} elements, no multiple of k = {k}", x.len());
            x.len() / k
        }
        Activations::Narrow(x) => x.m(),
    };
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
/// If x is not m rows of k for the m rows of out, in the precision of the weight, out does not have as many columns, or the
/// residual is not `[m][n]`.
pub fn linear_columns(
    isa: Isa,
    x: Activations<'_>,
    columns: WeightColumns<'_>,
    then: Option<WeightColumns<'_>>,
    epilogue: Epilogue<'_>,
    out: RowsMut<'_>,
) {
    let WeightColumns { weight, first, count } = columns;
    let (n, m, precision) = (weight.n, out.rows(), weight.precision);
    let (a, row_scales) = words_and_scales(x, weight, m);
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
    let bias = Some(weight.bias());
    let scales = weight.scales().map(|columns| Scales { rows: row_scales, stride: m, columns });
    let product = Product {
        a,
        b: columns.panels(),
        finish: Finish { scales, bias, residual, activation }.skip(0, first / LANES),
        out,
        fetch: then.map_or(Fetch::Alone, |then| Fetch::Then(then.panels().data, precision.steps_a_word())),
    };
    isa.multiply(precision, product);
}

/// The words of m rows for a product with that weight, and the scales of the rows.
fn words_and_scales<'a>(
    x: Activations<'a>,
    weight: &PackedLinear,
    m: usize,
) -> (Rows<'a, u32>, &'a [RowScale]) {
    let (k, precision) = (weight.k, weight.precision);
    match x {
        Activations::F32(x) => {
            assert_eq!(
                precision,
                Precision::F32,
                "linear: activations of f32 for a weight of another precision"
            );
            assert_eq!(
                Some(x.len()),
                m.checked_mul(k),
                "linear: x has {} elements for m = {m}, k = {k}",
                x.len()
            );
            (Rows { data: bytemuck::cast_slice(x), stride: k }, &[])
        }
        Activations::Narrow(x) => {
            assert_eq!(x.precision(), precision, "linear: activations of another precision than the weight");
            let found = (x.m(), x.k());
            assert_eq!(found, (m, k), "linear: x has m = {}, k = {}", found.0, found.1);
            (x.words(), x.scales())
        }
    }
}
