//! Products with packed weights: `x [m][k] · weightᵀ [k][n] + bias`, and the register tile that
//! attention uses too.
//!
//! # The tile
//!
//! Weights lie in *panels* of sixteen output columns: `panels[n / 16][k][16]`, so that one step of k is
//! one cache line. A tile is MR rows × NV panels of the output, held in registers for 128 steps of k:
//!
//! ```text
//!                     panel 0          panel 1     …     panel NV−1
//!            k:   w[k][0 … 15]     w[k][16 … 31]                          one load each
//!  row 0   a[k]   acc[0][0] +=     acc[0][1] +=           …
//!  row 1   a[k]   acc[1][0] +=     acc[1][1] +=           …               one broadcast a row,
//!    ⋮                                                                    one fma an accumulator
//!  row MR−1
//! ```
//!
//! Lanes are output columns, so each output element has its own chain of fused multiply-adds over k in
//! order, whatever MR and NV are: the tile shape can follow the machine without changing a bit. After
//! every [`K_BLOCK`] steps the chains are added to the tile's buffer, which is in L1, and start again from
//! zero: rounding errors grow with a chain's length, and this keeps them below those of other engines
//! (ARCHITECTURE.md has the figures). Activations are not packed: a panel streams from L2, a row of
//! activations stays in L1.
//!
//! Rows are split evenly (9 rows in tiles of at most 6 are 5 + 4, not 6 + 3), and a tile of few rows takes
//! more panels, so that enough independent chains hide the latency of the fma.
#![allow(unsafe_code, reason = "the tile's inner loop reads by pointer, after one check of the bounds")]

use crate::dispatch::{Isa, Kernel};
use crate::gelu::gelu_lanes;
use crate::reference::K_BLOCK;
use crate::simd::{LANES, Lanes, Simd};

/// The most rows of a tile on any instruction set.
pub(crate) const MAX_ROWS: usize = 8;

/// The most panels of a tile on any instruction set.
const MAX_PANELS: usize = 4;

/// What a tile computes: `tile[row][panel]`, before any bias.
type Tile = [[Lanes; MAX_PANELS]; MAX_ROWS];

/// Rows of activations: row i is `data[i · stride ..][..k]`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
}

impl<'a> Rows<'a> {
    /// The rows from `row` on.
    #[inline(always)]
    pub(crate) fn skip(self, row: usize) -> Rows<'a> {
        Rows { data: &self.data[row * self.stride..], stride: self.stride }
    }
}

/// Rows of output: row i is `data[i · stride ..][..columns]`.
pub(crate) struct RowsMut<'a> {
    pub(crate) data: &'a mut [f32],
    pub(crate) stride: usize,
    pub(crate) columns: usize,
}

/// Panels of sixteen columns: step k of panel p is `data[p · k + step]`.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    pub(crate) data: &'a [Lanes],
    pub(crate) k: usize,
}

impl<'a> Panels<'a> {
    /// The panels from `panel` on.
    #[inline(always)]
    fn skip(self, panel: usize) -> Panels<'a> {
        Panels { data: &self.data[panel * self.k..], k: self.k }
    }
}

/// MR × NV sums over all of k.
#[inline(always)]
fn tile<S: Simd, const MR: usize, const NV: usize>(simd: S, a: Rows<'_>, b: Panels<'_>, out: &mut Tile) {
    let k = b.k;
    // Checked: a product that wraps would let anything pass.
    let rows_end = (MR - 1).checked_mul(a.stride).and_then(|start| start.checked_add(k));
    assert!(
        rows_end.is_some_and(|end| end <= a.data.len()),
        "tile: {MR} rows of {k} are outside the activations"
    );
    let panels_end = NV.checked_mul(k);
    assert!(
        panels_end.is_some_and(|end| end <= b.data.len()),
        "tile: {NV} panels of {k} are outside the weights"
    );
    let rows = a.data.as_ptr();
    let panels = b.data.as_ptr();

    for first_step in (0..k).step_by(K_BLOCK) {
        let mut acc = [[simd.splat(0.0); NV]; MR];
        for step in first_step..k.min(first_step + K_BLOCK) {
            let mut w = [simd.splat(0.0); NV];
            for v in 0..NV {
                // SAFETY: v < NV and step < k, so v · k + step < NV · k, which the assertion above has
                // found to be inside `b.data`.
                w[v] = simd.load(unsafe { &(*panels.add(v * k + step)).0 });
            }
            for r in 0..MR {
                // SAFETY: r ≤ MR − 1 and step < k, so r · stride + step < (MR − 1) · stride + k, which
                // the assertion above has found to be inside `a.data`.
                let x = simd.splat(unsafe { *rows.add(r * a.stride + step) });
                for v in 0..NV {
                    acc[r][v] = simd.mul_add(x, w[v], acc[r][v]);
                }
            }
        }
        for r in 0..MR {
            for v in 0..NV {
                let so_far = &mut out[r][v].0;
                let sum = if first_step == 0 { acc[r][v] } else { simd.add(simd.load(so_far), acc[r][v]) };
                simd.store(sum, so_far);
            }
        }
    }
}

/// How many panels a tile of `rows` rows takes at once.
#[inline(always)]
fn panels_per_tile<S: Simd>(rows: usize) -> usize {
    (S::ACCUMULATORS / rows).clamp(1, MAX_PANELS)
}

/// The tile of that shape; `rows` at most [`Simd::TILE_ROWS`], `panels` at most what
/// [`panels_per_tile`] says.
///
/// Shapes that an instruction set has no registers for are never asked for and compile to nothing.
#[inline(always)]
fn run_tile<S: Simd>(simd: S, rows: usize, panels: usize, a: Rows<'_>, b: Panels<'_>, out: &mut Tile) {
    macro_rules! shapes {
        ($(($mr:literal, $nv:literal)),+ $(,)?) => {
            match (rows, panels) {
                $(($mr, $nv) if $mr <= S::TILE_ROWS && $nv <= panels_per_tile::<S>($mr) => {
                    tile::<S, $mr, $nv>(simd, a, b, out)
                })+
                _ => unreachable!("no tile of {rows} rows and {panels} panels"),
            }
        };
    }
    shapes!(
        (1, 1),
        (1, 2),
        (1, 3),
        (1, 4),
        (2, 1),
        (2, 2),
        (2, 3),
        (2, 4),
        (3, 1),
        (3, 2),
        (3, 3),
        (3, 4),
        (4, 1),
        (4, 2),
        (4, 3),
        (4, 4),
        (5, 1),
        (5, 2),
        (5, 3),
        (5, 4),
        (6, 1),
        (6, 2),
        (6, 3),
        (6, 4),
        (7, 1),
        (7, 2),
        (7, 3),
        (8, 1),
        (8, 2),
        (8, 3),
    );
}

/// `m` rows in as few tiles as possible, of sizes that differ by at most one: (first row, rows).
#[inline(always)]
pub(crate) fn row_tiles(m: usize, tile_rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = m.div_ceil(tile_rows).max(1);
    let (rows, larger) = (m / tiles, m % tiles);
    (0..tiles)
        .map(move |i| (i * rows + i.min(larger), rows + usize::from(i < larger)))
        .filter(|tile| tile.1 > 0)
}

/// What becomes of sixteen sums over k (the first `width` of them, if the matrix ends there) before they are
/// stored in that row, from that column on.
pub(crate) trait Finish: Copy {
    fn finish<S: Simd>(self, simd: S, sums: S::F32, row: usize, column: usize, width: usize) -> S::F32;
}

/// `m` rows of a · the panels of b, finished, → out.
#[inline(always)]
pub(crate) fn multiply<S: Simd, F: Finish>(
    simd: S,
    m: usize,
    a: Rows<'_>,
    b: Panels<'_>,
    finish: F,
    out: RowsMut<'_>,
) {
    const { assert!(S::TILE_ROWS <= MAX_ROWS && S::ACCUMULATORS / 7 <= 3, "run_tile lacks shapes") };
    let Some((_, most_rows)) = row_tiles(m, S::TILE_ROWS).next() else { return };
    let total_panels = out.columns.div_ceil(LANES);
    let step = panels_per_tile::<S>(most_rows);

    let mut tile = [[Lanes::ZERO; MAX_PANELS]; MAX_ROWS];
    // Panels outside, rows inside: a group of panels is read from memory once and then stays in L2.
    for first_panel in (0..total_panels).step_by(step) {
        let panels = step.min(total_panels - first_panel);
        for (first_row, rows) in row_tiles(m, S::TILE_ROWS) {
            run_tile(simd, rows, panels, a.skip(first_row), b.skip(first_panel), &mut tile);
            for (r, tile_row) in tile[..rows].iter().enumerate() {
                for (v, sums) in tile_row[..panels].iter().enumerate() {
                    let (row, column) = (first_row + r, (first_panel + v) * LANES);
                    let width = LANES.min(out.columns - column);
                    let y = finish.finish(simd, simd.load(&sums.0), row, column, width);
                    simd.store_partial(y, &mut out.data[row * out.stride + column..][..width]);
                }
            }
        }
    }
}

/// A weight matrix with its bias, packed once into panels for [`linear`].
pub struct PackedLinear {
    /// `[⌈n / 16⌉][k][16]`; columns from n on are zero.
    panels: Vec<Lanes>,
    /// `[⌈n / 16⌉][16]`
    bias: Vec<Lanes>,
    n: usize,
    k: usize,
}

impl PackedLinear {
    /// Packs parts, each a weight `[n_i][k]` (row-major, as PyTorch's `nn.Linear` keeps it) with its bias
    /// `[n_i]`, into one matrix of n = Σ n_i outputs: their outputs stand side by side.
    ///
    /// # Panics
    ///
    /// If k is 0 or a weight's length is not k times its bias's.
    pub fn pack(parts: &[(&[f32], &[f32])], k: usize) -> PackedLinear {
        assert!(k > 0, "pack: k is 0");
        for (weight, bias) in parts {
            let n = bias.len();
            assert_eq!(Some(weight.len()), n.checked_mul(k), "pack: a weight for {n} outputs of k = {k}");
        }
        let n = parts.iter().map(|(_, bias)| bias.len()).sum::<usize>();
        let mut panels = vec![Lanes::ZERO; n.div_ceil(LANES) * k];
        let mut packed_bias = vec![Lanes::ZERO; n.div_ceil(LANES)];
        let mut column = 0;
        for (weight, bias) in parts {
            for (row, &b) in weight.chunks_exact(k).zip(*bias) {
                let (panel, lane) = (column / LANES, column % LANES);
                for (step, &w) in panels[panel * k..][..k].iter_mut().zip(row) {
                    step.0[lane] = w;
                }
                packed_bias[panel].0[lane] = b;
                column += 1;
            }
        }
        PackedLinear { panels, bias: packed_bias, n, k }
    }

    /// The number of outputs.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The number of inputs.
    pub fn k(&self) -> usize {
        self.k
    }
}

/// What [`linear`] makes of each element's sum over k.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    /// sum + bias
    Bias,
    /// gelu(sum + bias), the erf form
    Gelu,
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
    assert_eq!(out.len(), m * n, "linear: out has {} elements for m = {m}, n = {n}", out.len());
    if let Epilogue::Residual(residual) = epilogue {
        assert_eq!(
            residual.len(),
            m * n,
            "linear: the residual has {} elements for m = {m}, n = {n}",
            residual.len()
        );
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
        let Linear { x, weight, epilogue, out, m } = self;
        let a = Rows { data: x, stride: weight.k };
        let b = Panels { data: &weight.panels, k: weight.k };
        let finish = BiasAndEpilogue { bias: &weight.bias, epilogue, n: weight.n };
        multiply(simd, m, a, b, finish, RowsMut { data: out, stride: weight.n, columns: weight.n });
    }
}

#[derive(Clone, Copy)]
struct BiasAndEpilogue<'a> {
    bias: &'a [Lanes],
    epilogue: Epilogue<'a>,
    n: usize,
}

impl Finish for BiasAndEpilogue<'_> {
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, sums: S::F32, row: usize, column: usize, width: usize) -> S::F32 {
        let biased = simd.add(sums, simd.load(&self.bias[column / LANES].0));
        match self.epilogue {
            Epilogue::Bias => biased,
            Epilogue::Gelu => gelu_lanes(simd, biased),
            Epilogue::Residual(residual) => {
                simd.add(biased, simd.load_partial(&residual[row * self.n + column..][..width], 0.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::row_tiles;

    #[test]
    fn rows_are_split_evenly_and_wholly() {
        assert_eq!(row_tiles(9, 6).collect::<Vec<_>>(), [(0, 5), (5, 4)]);
        assert_eq!(row_tiles(0, 6).count(), 0);
        for m in 1..100 {
            for tile_rows in 1..=8 {
                let tiles: Vec<_> = row_tiles(m, tile_rows).collect();
                assert_eq!(tiles.len(), m.div_ceil(tile_rows));
                let mut next = 0;
                for &(first, rows) in &tiles {
                    assert_eq!(first, next);
                    assert!(rows <= tile_rows && rows + 1 >= tiles[0].1);
                    next += rows;
                }
                assert_eq!(next, m);
            }
        }
    }
}
