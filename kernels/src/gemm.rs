//! Matrix products, cut into register tiles: `a [m][k]` · panels of `b [k][n]` → `out [m][n]`.
//!
//! ```text
//! for each group of panels:                      3, or one tile: with a block of k, 24 KB of weights, in L1
//!     for each block of K_BLOCK = 128 steps of k:
//!         for each row tile (MR rows):           its activations of this block, 4 KB, in L1
//!             for each tile of the group (MR × NV panels):
//!                 chains in registers over the block (tile.rs)
//!                 out = or += the chains; after the last block += bias
//!     finish the group's columns: activation, residual
//! finish the rows: LayerNorm                        (linear.rs)
//! ```
//!
//! Each whole panel is read from memory once and then, row tile after row tile, from L1; activations come from L2.
//! That every chain ends after 128 steps is the numerics contract: rounding errors grow with a chain's length
//! (ARCHITECTURE.md has the figures). The sums so far lie in `out` meanwhile.
//!
//! Rows are split evenly (9 rows in tiles of at most 6 are 5 + 4, not 6 + 3), and a tile of few rows takes more
//! panels, so that enough independent chains hide the latency of the fma.

use std::ops::Range;

use crate::reference::K_BLOCK;
use crate::simd::{LANES, Lanes, Simd};
use crate::tile::{MAX_ROWS, Panels, Rows, RowsMut, TileRun, panels_per_tile};

/// How many panels of [`K_BLOCK`] steps stay in L1 (8 KB each) while the row tiles run over them.
const L1_PANELS: usize = 3;

/// Rows in as few tiles as possible, of sizes that differ by at most one: first the taller tiles, then the others.
#[derive(Clone, Copy, Debug)]
struct RowSplit {
    /// Rows of a tall tile; the others have one less.
    tall_rows: usize,
    tall_tiles: usize,
    other_tiles: usize,
}

impl RowSplit {
    #[inline(always)]
    fn new(m: usize, tile_rows: usize) -> RowSplit {
        let tiles = m.div_ceil(tile_rows);
        let tall_rows = m.div_ceil(tiles.max(1));
        let other_tiles = tall_rows * tiles - m;
        RowSplit { tall_rows, tall_tiles: tiles - other_tiles, other_tiles }
    }

    /// The two runs of tiles of one height: (first row, tiles, rows of each).
    #[inline(always)]
    fn runs(self) -> [(usize, usize, usize); 2] {
        let tall_end = self.tall_tiles * self.tall_rows;
        [(0, self.tall_tiles, self.tall_rows), (tall_end, self.other_tiles, self.tall_rows.saturating_sub(1))]
    }
}

/// What becomes of the sums of all k, group of columns by group of columns, while they are in a cache.
pub(crate) trait Finish: Copy {
    /// Finishes `columns` of the `m` rows of `out`.
    fn finish<S: Simd>(self, simd: S, out: RowsMut<'_>, m: usize, columns: Range<usize>);
}

/// The sums are all that is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Unfinished;

impl Finish for Unfinished {
    #[inline(always)]
    fn finish<S: Simd>(self, _simd: S, _out: RowsMut<'_>, _m: usize, _columns: Range<usize>) {}
}

/// One product: `m` rows of `a` · the panels of `b`, plus `bias`, → `n` columns of as many rows of `out`.
pub(crate) struct Product<'a> {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) a: Rows<'a>,
    /// ⌈n / 16⌉ panels of k steps.
    pub(crate) b: Panels<'a>,
    /// Sixteen lanes a panel.
    pub(crate) bias: Option<&'a [Lanes]>,
    pub(crate) out: RowsMut<'a>,
}

impl Product<'_> {
    #[inline(always)]
    pub(crate) fn run<S: Simd, F: Finish>(mut self, simd: S, finish: F) {
        let split = RowSplit::new(self.m, S::TILE_ROWS);
        if self.m == 0 {
            return;
        }
        let nv = panels_per_tile::<S>(split.tall_rows);
        let whole_panels = self.n / LANES;
        let mut panel = 0;
        while panel < whole_panels {
            // Groups of whole tiles; what remains behind the last is a tile of fewer panels.
            let left = whole_panels - panel;
            let (nv, tiles) =
                if left < nv { (left, 1) } else { (nv, (left / nv).min((L1_PANELS / nv).max(1))) };
            self.group(simd, split, panel, nv, tiles);
            let end = panel + tiles * nv;
            finish.finish(simd, self.out.skip(0, 0), self.m, panel * LANES..end * LANES);
            panel = end;
        }
        if whole_panels * LANES < self.n {
            self.last_columns(simd, split);
            finish.finish(simd, self.out.skip(0, 0), self.m, whole_panels * LANES..self.n);
        }
    }

    /// All sums of `tiles` tiles of `nv` whole panels.
    #[inline(always)]
    fn group<S: Simd>(&mut self, simd: S, split: RowSplit, first_panel: usize, nv: usize, tiles: usize) {
        let k = self.b.k;
        let bias = self.bias.map(|bias| &bias[first_panel..]);
        for first_step in (0..k).step_by(K_BLOCK) {
            let steps = K_BLOCK.min(k - first_step);
            for (first_row, row_tiles, rows) in split.runs() {
                if row_tiles > 0 {
                    let run = TileRun {
                        a: self.a.skip(first_row, first_step),
                        b: self.b.skip(first_panel, first_step),
                        out: self.out.skip(first_row, first_panel * LANES),
                        steps,
                        row_tiles,
                        panel_tiles: tiles,
                        add: first_step > 0,
                        bias: bias.filter(|_| first_step + steps == k),
                        // The same panels' next steps, or the first steps of the panels behind the group's last.
                        next_block: (first_row == 0).then_some(if first_step + steps < k {
                            steps
                        } else {
                            (tiles * nv - 1) * k + steps
                        }),
                    };
                    run.run(simd, rows, nv);
                }
            }
        }
    }

    /// The columns behind the last whole panel. Their tiles are computed aside, sixteen columns wide.
    #[inline(always)]
    fn last_columns<S: Simd>(&mut self, simd: S, split: RowSplit) {
        let panel = self.n / LANES;
        let bias = self.bias.map(|bias| &bias[panel..]);
        for (first_row, row_tiles, rows) in split.runs() {
            for first_row in (first_row..first_row + row_tiles * rows).step_by(rows.max(1)) {
                let mut aside = [0.0; MAX_ROWS * LANES];
                let mut whole = Product {
                    m: rows,
                    n: LANES,
                    a: self.a.skip(first_row, 0),
                    b: self.b.skip(panel, 0),
                    bias,
                    out: RowsMut { data: &mut aside, stride: LANES },
                };
                whole.group(simd, RowSplit { tall_rows: rows, tall_tiles: 1, other_tiles: 0 }, 0, 1, 1);
                let width = self.n - panel * LANES;
                for (r, sums) in aside.chunks_exact(LANES).take(rows).enumerate() {
                    self.out.skip(first_row + r, panel * LANES).data[..width].copy_from_slice(&sums[..width]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RowSplit;

    #[test]
    fn rows_are_split_evenly_and_wholly() {
        assert_eq!(RowSplit::new(9, 6).runs(), [(0, 1, 5), (5, 1, 4)]);
        assert!(RowSplit::new(0, 6).runs().iter().all(|&(_, tiles, _)| tiles == 0));
        for m in 1..100 {
            for tile_rows in 1..=8 {
                let [(first, tall_tiles, tall_rows), (other_first, other_tiles, other_rows)] =
                    RowSplit::new(m, tile_rows).runs();
                assert_eq!(tall_tiles + other_tiles, m.div_ceil(tile_rows));
                assert!(tall_tiles > 0 && tall_rows <= tile_rows && other_rows + 1 == tall_rows);
                assert_eq!((first, other_first), (0, tall_tiles * tall_rows));
                assert_eq!(other_first + other_tiles * other_rows, m);
            }
        }
    }
}
