//! What becomes of a tile's sums: numbers at the end of a chain, then bias, residual and activation.
use crate::activation::Activation;
use crate::dot::{ColumnScales, Dot, SumKind, Sums};
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
    /// `[rows][chains]`
    pub(crate) rows: &'a [RowScale],
    /// How many chains there are.
    pub(crate) chains: usize,
    pub(crate) columns: ColumnScales<'a>,
}

impl Finish<'_> {
    /// The sums are all that is wanted.
    pub(crate) const NOTHING: Self = Finish { scales: None, bias: None, residual: None, activation: None };

    /// What applies from that row and that panel on.
    #[inline(always)]
    pub(crate) fn skip(self, row: usize, panel: usize) -> Self {
        Finish {
            scales: self.scales.map(|Scales { rows, chains, columns }| Scales {
                rows: &rows[row * chains..],
                chains,
                columns: columns.skip(panel),
            }),
            bias: self.bias.map(|bias| &bias[panel..]),
            residual: self.residual.map(|residual| residual.skip(row, panel * LANES)),
            activation: self.activation,
        }
    }
}

/// The end of a chain of a tile whose first row is `first_row`.
pub(crate) struct ChainEnd<'a> {
    pub(crate) finish: &'a Finish<'a>,
    pub(crate) chain: usize,
    pub(crate) first_row: usize,
}

impl ChainEnd<'_> {
    /// The tile's sums as numbers, with those of the chains before.
    ///
    /// In loops of few operations each: those of a longer body are not unrolled, and then the compiler keeps the sums in
    /// memory all the time.
    #[inline(always)]
    pub(crate) fn numbers<D: Dot, const MR: usize, const NV: usize>(
        &self,
        dot: D,
        sums: &[[Sums<D>; NV]; MR],
        before: Option<&[[Lanes; NV]; MR]>,
    ) -> [[<D::Simd as Simd>::F32; NV]; MR] {
        let (simd, finish) = (dot.simd(), self.finish);
        let mut row_scales = [RowScale::NONE; MR];
        if let Some(Scales { rows, chains, .. }) = finish.scales {
            for r in 0..MR {
                row_scales[r] = rows[(self.first_row + r) * chains + self.chain];
                row_scales[r].zero -= D::OFFSET;
            }
        }
        let scales = finish.scales.map(|scales| scales.columns);
        let mut columns = [D::SumKind::columns(simd, scales, 0, self.chain); NV];
        for v in 1..NV {
            columns[v] = D::SumKind::columns(simd, scales, v, self.chain);
        }
        let mut numbers = [[simd.splat(0.0); NV]; MR];
        for v in 0..NV {
            for r in 0..MR {
                numbers[r][v] = D::SumKind::numbers(simd, sums[r][v], row_scales[r], columns[v]);
            }
        }
        if let Some(before) = before {
            for v in 0..NV {
                for r in 0..MR {
                    let before = simd.load(&before[r][v].0);
                    numbers[r][v] = D::SumKind::add(simd, before, numbers[r][v], row_scales[r], columns[v]);
                }
            }
        } else if D::SumKind::BIAS_FIRST {
            for v in 0..NV {
                let bias = finish.bias.map_or(simd.splat(0.0), |bias| simd.load(&bias[v].0));
                for r in 0..MR {
                    numbers[r][v] = D::SumKind::add(simd, bias, numbers[r][v], row_scales[r], columns[v]);
                }
            }
        }
        numbers
    }
}
