//! What the sums of a product's chains are, and how they become numbers.

use crate::reference::{INT8_GROUP, RowScale};
use crate::simd::{Lanes, Simd};

/// A kind of sums. Its types have no values: a [`Dot`](super::Dot) names the kind that its steps add to.
pub(crate) trait SumKind<S: Simd> {
    /// Sixteen sums.
    type Sums: Copy;

    /// What is known of sixteen columns.
    type Columns: Copy;

    /// Whether the bias comes first, and the chains are added to it. Else it comes last, and the first chain is added to
    /// nothing.
    const BIAS_FIRST: bool;

    /// The sums of nothing.
    fn zero(simd: S) -> Self::Sums;

    /// What is known of the columns of the first NV panels in chain `chain`, if they have scales.
    fn columns<const NV: usize>(
        simd: S,
        scales: Option<ColumnScales<'_>>,
        chain: usize,
    ) -> [Self::Columns; NV];

    /// The sums of a row's chain as numbers, but for their scale. `row` is the scale of the row, if rows have any.
    fn numbers(simd: S, sums: Self::Sums, row: RowScale, columns: Self::Columns) -> S::F32;

    /// `before` and the numbers of a row's chain.
    fn add(simd: S, before: S::F32, numbers: S::F32, row: RowScale, columns: Self::Columns) -> S::F32;
}

/// Sums of `f32`, which are numbers already.
pub(crate) enum FloatSums {}

impl<S: Simd> SumKind<S> for FloatSums {
    type Sums = S::F32;
    type Columns = ();

    const BIAS_FIRST: bool = false;

    #[inline(always)]
    fn zero(simd: S) -> S::F32 {
        simd.splat(0.0)
    }

    #[inline(always)]
    fn columns<const NV: usize>(_simd: S, _scales: Option<ColumnScales<'_>>, _chain: usize) -> [(); NV] {
        [(); NV]
    }

    #[inline(always)]
    fn numbers(_simd: S, sums: S::F32, _row: RowScale, _columns: ()) -> S::F32 {
        sums
    }

    #[inline(always)]
    fn add(simd: S, before: S::F32, numbers: S::F32, _row: RowScale, _columns: ()) -> S::F32 {
        simd.add(before, numbers)
    }
}

/// Sums of products of bytes, exact in `i32`.
///
/// Activations are unsigned bytes with a zero point a row, weights signed bytes. With activation a = scale · (q − zero)
/// and weight w = column_scale · v,
///
/// ```text
/// Σ a · w = scale · column_scale · (Σ q · v − zero · Σ v)
/// ```
///
/// where Σ q · v is what the instructions sum up, and Σ v is known since the weight was packed. Rows of more than
/// [`INT8_GROUP`] activations are several groups, each with scales of its own: a chain of sums ends with its group. See
/// [`reference::linear_int8`](crate::reference::linear_int8).
pub(crate) enum Int8Sums {}

/// What is known of sixteen columns of bytes.
#[derive(Clone, Copy)]
pub(crate) struct Int8Columns<S: Simd> {
    scales: S::F32,
    /// −Σ v
    minus_sums: S::F32,
}

impl<S: Simd> SumKind<S> for Int8Sums {
    type Sums = S::I32;
    type Columns = Int8Columns<S>;

    const BIAS_FIRST: bool = true;

    #[inline(always)]
    fn zero(simd: S) -> S::I32 {
        simd.splat_i32(0)
    }

    #[inline(always)]
    fn columns<const NV: usize>(
        simd: S,
        scales: Option<ColumnScales<'_>>,
        chain: usize,
    ) -> [Int8Columns<S>; NV] {
        let ColumnScales { scales, sums, stride } = scales.expect("weights of int8 have scales");
        let [scales, sums] = [scales, sums]
            .map(|all| all[chain * stride..].first_chunk::<NV>().expect("scales and sums of each panel"));
        let zero = simd.splat(0.0);
        let mut columns = [Int8Columns { scales: zero, minus_sums: zero }; NV];
        for v in 0..NV {
            let minus_sums = simd.sub(zero, simd.load(&sums[v].0));
            columns[v] = Int8Columns { scales: simd.load(&scales[v].0), minus_sums };
        }
        columns
    }

    #[inline(always)]
    fn numbers(simd: S, sums: S::I32, row: RowScale, columns: Int8Columns<S>) -> S::F32 {
        // All are integers below 2²⁴, for a group is not longer, so this is their difference, rounded once.
        const { assert!(INT8_GROUP * 255 * 127 < 1 << 24) };
        simd.mul_add(simd.splat(row.zero), columns.minus_sums, simd.to_f32(sums))
    }

    #[inline(always)]
    fn add(simd: S, before: S::F32, numbers: S::F32, row: RowScale, columns: Int8Columns<S>) -> S::F32 {
        simd.mul_add(numbers, simd.mul(simd.splat(row.scale), columns.scales), before)
    }
}

/// The scales of a weight's columns, sixteen a panel, for each chain.
#[derive(Clone, Copy)]
pub(crate) struct ColumnScales<'a> {
    pub(crate) scales: &'a [Lanes],
    /// The sum of each column's weights.
    pub(crate) sums: &'a [Lanes],
    /// From a chain to the next.
    pub(crate) stride: usize,
}

impl ColumnScales<'_> {
    /// Those from that panel on.
    #[inline(always)]
    pub(crate) fn skip(self, panel: usize) -> Self {
        ColumnScales { scales: &self.scales[panel..], sums: &self.sums[panel..], stride: self.stride }
    }
}
