//! Matrix products, cut into register tiles: `a [m][k]` · panels of `b [k][n]` → `out [m][n]`.
//!
//! ```text
//! for each NV panels:                      their weights, NV · k · 64 bytes, come from memory into L2 …
//!     for each row tile (MR rows):         … once, and from there for each row tile
//!         chains over all k, bias, residual, activation             (tile.rs)
//!         meanwhile weights that are used later are fetched into L2
//! ```
//!
//! A tile reads NV cache lines of weights for MR · NV fused multiply-adds of sixteen lanes each: with eight rows that is
//! 8 bytes a cycle, which L2 delivers at ease, so weights need not stay in L1.
//!
//! Rows are split evenly (9 rows in tiles of at most 6 are 5 + 4, not 6 + 3), and a tile of few rows takes more
//! panels, so that enough independent chains hide the latency of the fma.

use std::ops::Range;

use crate::rows::{Rows, RowsMut};
use crate::simd::{LANES, Lanes, Simd};
use crate::tile::{Finish, MAX_ROWS, Panels, TileRun, Upcoming, panels_per_tile};

/// Rows, or panels, in as few tiles as possible, of sizes that differ by at most one: first the larger, then the others.
#[derive(Clone, Copy, Debug)]
struct Split {
    /// Of a large tile; the others have one less.
    size: usize,
    large_tiles: usize,
    other_tiles: usize,
}

impl Split {
    #[inline(always)]
    fn new(len: usize, most: usize) -> Split {
        let tiles = len.div_ceil(most);
        let size = len.div_ceil(tiles.max(1));
        let other_tiles = size * tiles - len;
        Split { size, large_tiles: tiles - other_tiles, other_tiles }
    }

    #[inline(always)]
    fn tiles(self) -> usize {
        self.large_tiles + self.other_tiles
    }

    /// The two runs of tiles of one size: (where it begins, how many tiles, the size of each).
    #[inline(always)]
    fn runs(self) -> [(usize, usize, usize); 2] {
        let end = self.large_tiles * self.size;
        [(0, self.large_tiles, self.size), (end, self.other_tiles, self.size.saturating_sub(1))]
    }
}

/// How many lines of weights are fetched ahead of their use, for each panel of a tile: with four panels 384 KB, as much as
/// the longest that are used at once.
const AHEAD: usize = 1536;

/// Where a product's weights are, and what follows.
#[derive(Clone, Copy)]
pub(crate) enum Fetch<'a> {
    /// All is in a near cache: there is nothing to fetch.
    Nothing,
    /// Weights from memory, except for the first lines, which whoever came before has fetched. After them these
    /// are used.
    Then(&'a [Lanes]),
}

/// One product: rows of `a` · the panels of `b` → as many rows of `out`, finished.
pub(crate) struct Product<'a> {
    pub(crate) a: Rows<'a>,
    /// ⌈n / 16⌉ panels of k steps, for the n columns of `out`.
    pub(crate) b: Panels<'a>,
    pub(crate) finish: Finish<'a>,
    pub(crate) out: RowsMut<'a>,
    pub(crate) fetch: Fetch<'a>,
}

impl Product<'_> {
    #[inline(always)]
    pub(crate) fn run<S: Simd>(mut self, simd: S) {
        let (m, n) = (self.out.rows(), self.out.columns());
        if m == 0 {
            return;
        }
        let split = Split::new(m, S::TILE_ROWS);
        let whole_panels = n / LANES;
        for (first, tiles, panels) in Split::new(whole_panels, panels_per_tile::<S>(split.size)).runs() {
            for tile in 0..tiles {
                let first = first + tile * panels;
                self.panels(simd, split, first..first + panels);
            }
        }
        if whole_panels * LANES < n {
            self.last_columns(simd, split, whole_panels);
        }
    }

    /// All rows of a tile's whole panels.
    #[inline(always)]
    fn panels<S: Simd>(&mut self, simd: S, split: Split, panels: Range<usize>) {
        let columns = panels.start * LANES..panels.end * LANES;
        let mut upcoming = self.upcoming::<S>(&panels, split);
        let Product { a, b, finish, out, .. } = self;
        let b = b.skip(panels.start);
        for (first_row, row_tiles, rows) in split.runs() {
            if row_tiles > 0 {
                let run = TileRun {
                    a: a.skip(first_row, 0),
                    b,
                    out: out.part(first_row..first_row + row_tiles * rows, columns.clone()),
                    row_tiles,
                    finish: finish.skip(first_row, panels.start),
                    upcoming: &mut upcoming,
                };
                run.run(simd, rows, panels.len());
            }
        }
    }

    /// What is fetched during the tiles of these panels.
    ///
    /// Seen as one row of lines, this product's weights and those that follow, it is as many as are used, [`AHEAD`] of them.
    #[inline(always)]
    fn upcoming<S: Simd>(&self, panels: &Range<usize>, split: Split) -> Upcoming {
        let Fetch::Then(then) = self.fetch else {
            return Upcoming::nothing();
        };
        let (k, own) = (self.b.k, self.b.data);
        let ahead = AHEAD * panels_per_tile::<S>(split.size);
        let last = own.len() + ahead.min(then.len());
        let start = if panels.start == 0 { ahead.min(own.len()) } else { last.min(panels.start * k + ahead) };
        let end = last.min(panels.end * k + ahead);
        let (from, to) = (start.min(own.len()), end.min(own.len()));
        let (then_from, then_to) = (start - from, end - to);
        Upcoming::spread(&own[from..to], &then[then_from..then_to], split.tiles() * k)
    }

    /// The columns behind the last whole panel. Their tiles are computed aside, sixteen columns wide.
    #[inline(always)]
    fn last_columns<S: Simd>(&mut self, simd: S, split: Split, panel: usize) {
        let columns = panel * LANES..self.out.columns();
        for (first_row, row_tiles, rows) in split.runs() {
            for first_row in (first_row..first_row + row_tiles * rows).step_by(rows.max(1)) {
                let mut aside = [0.0; MAX_ROWS * LANES];
                let mut residual = [0.0; MAX_ROWS * LANES];
                if let Some(from) = self.finish.residual {
                    for r in 0..rows {
                        let from = &from.skip(first_row + r, columns.start).data[..columns.len()];
                        residual[r * LANES..][..columns.len()].copy_from_slice(from);
                    }
                }
                let mut finish = self.finish.skip(first_row, panel);
                finish.residual = finish.residual.map(|_| Rows { data: &residual, stride: LANES });
                let whole = TileRun {
                    a: self.a.skip(first_row, 0),
                    b: self.b.skip(panel),
                    out: RowsMut::new(&mut aside[..rows * LANES], LANES),
                    row_tiles: 1,
                    finish,
                    upcoming: &mut Upcoming::nothing(),
                };
                whole.run(simd, rows, 1);
                let mut out = self.out.part(first_row..first_row + rows, columns.clone());
                for (r, sums) in aside.chunks_exact(LANES).take(rows).enumerate() {
                    out.row_mut(r).copy_from_slice(&sums[..columns.len()]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Split;

    #[test]
    fn tiles_are_even_and_leave_nothing_out() {
        assert_eq!(Split::new(9, 6).runs(), [(0, 1, 5), (5, 1, 4)]);
        assert!(Split::new(0, 6).runs().iter().all(|&(_, tiles, _)| tiles == 0));
        for m in 1..100 {
            for tile_rows in 1..=8 {
                let [(first, large_tiles, large), (other_first, other_tiles, other)] =
                    Split::new(m, tile_rows).runs();
                assert_eq!(large_tiles + other_tiles, m.div_ceil(tile_rows));
                assert!(large_tiles > 0 && large <= tile_rows && other + 1 == large);
                assert_eq!((first, other_first), (0, large_tiles * large));
                assert_eq!(other_first + other_tiles * other, m);
            }
        }
    }
}
