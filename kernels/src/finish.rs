//! What becomes of a tile's sums: numbers at the end of a chain, then bias, residual and activation.

use crate::activation::Activation;
use crate::dot::{ColumnScales, Columns, Dot, SumKind, Sums};
use crate::reference::RowScale;
use crate::rows::Rows;
use crate::simd::{LANES, Lanes, Simd};

/// What becomes of the sums over all k.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a> {
    /// What makes numbers of the sums, where they are none, from the first tile's rows and panels on.
    pub(crate) scales: Option<Scales<'a>>,
    /// Added to each column: sixteen lanes a panel, from the first tile's panels on.
    pub(crate) bias: Option<&'a [Lanes]>,
    /// Then added to each element, from the first tile's on.
    pub(crate) residual: Option<Rows<'a>>,
    /// Then applied to each element.
    pub(crate) activation: Option<Activation>,
}

/// The scales of both factors of a product of integers.
#[derive(Clone, Copy)]
pub(crate) struct Scales<'a> {
    /// `[chains][rows]`
    pub(crate) rows: &'a [RowScale],
    /// From a chain to the next.
    pub(crate) stride: usize,
    pub(crate) columns: ColumnScales<'a>,
}

impl Finish<'_> {
    /// The sums are all that is wanted.
    pub(crate) const NOTHING: Self = Finish { scales: None, bias: None, residual: None, activation: None };

    /// What applies from that row and that panel on.
    #[inline(always)]
    pub(crate) fn skip(self, row: usize, panel: usize) -> Self {
        Finish {
            scales: self.scales.map(|Scales { rows, stride, columns }| Scales {
                rows: &rows[row..],
                stride,
                columns: columns.skip(panel),
            }),
            bias: self.bias.map(|bias| &bias[panel..]),
            residual: self.residual.map(|residual| residual.skip(row, panel * LANES)),
            activation: self.activation,
        }
    }
}

/// The end of a chain of a tile of MR rows and NV panels.
pub(crate) struct ChainEnd<'a, D: Dot, const MR: usize, const NV: usize> {
    rows: Option<&'a [RowScale; MR]>,
    columns: [Columns<D>; NV],
    bias: Option<&'a [Lanes; NV]>,
    /// What the first chain is added to where bias comes first: the bias, or zeros if there is none.
    start: &'a [Lanes; NV],
}

impl<'a, D: Dot, const MR: usize, const NV: usize> ChainEnd<'a, D, MR, NV> {
    /// That of chain `chain`, in the tile whose first row is `first_row`.
    ///
    /// # Panics
    ///
    /// If there are scales or biases, but not for all of the tile.
    #[inline(always)]
    pub(crate) fn new(dot: D, finish: &Finish<'a>, chain: usize, first_row: usize) -> Self {
        let rows = finish.scales.map(|Scales { rows, stride, .. }| {
            rows[chain * stride + first_row..].first_chunk().expect("a scale for each row")
        });
        let columns = D::SumKind::columns(dot.simd(), finish.scales.map(|scales| scales.columns), chain);
        let bias = finish.bias.map(|bias| bias.first_chunk().expect("a bias for each panel"));
        ChainEnd { rows, columns, bias, start: bias.unwrap_or(const { &[Lanes::ZERO; NV] }) }
    }

    /// Row r's sums as numbers, with those of the chains before.
    #[inline(always)]
    pub(crate) fn numbers(
        &self,
        dot: D,
        r: usize,
        sums: [Sums<D>; NV],
        before: Option<&[Lanes; NV]>,
    ) -> [<D::Simd as Simd>::F32; NV] {
        let simd = dot.simd();
        let mut row = self.rows.map_or(RowScale::NONE, |rows| rows[r]);
        row.zero -= D::OFFSET;
        let before = if D::SumKind::BIAS_FIRST { Some(before.unwrap_or(self.start)) } else { before };
        let mut numbers = [simd.splat(0.0); NV];
        for v in 0..NV {
            numbers[v] = D::SumKind::numbers(simd, sums[v], row, self.columns[v]);
            if let Some(before) = before {
                let before = simd.load(&before[v].0);
                numbers[v] = D::SumKind::add(simd, before, numbers[v], row, self.columns[v]);
            }
        }
        numbers
    }

    /// A row's numbers and the bias, where that comes last.
    #[inline(always)]
    pub(crate) fn add_bias(
        &self,
        dot: D,
        mut numbers: [<D::Simd as Simd>::F32; NV],
    ) -> [<D::Simd as Simd>::F32; NV] {
        let simd = dot.simd();
        if !D::SumKind::BIAS_FIRST
            && let Some(bias) = self.bias
        {
            for v in 0..NV {
                numbers[v] = simd.add(numbers[v], simd.load(&bias[v].0));
            }
        }
        numbers
    }
}
