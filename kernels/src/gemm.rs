//! Matrix products, cut into register tiles: `a [m][k]` · panels of `b [k][n]` → `out [m][n]`.
//!
//! ```text
//! for each NV panels:                      their weights, lines of 64 bytes, come from memory into L2 …
//!     for each row tile (MR rows):         … once, and from there for each row tile
//!         chains over all k, bias, residual, activation             (tile.rs)
//!         meanwhile weights that are used later are fetched into L2
//! ```
//!
//! A tile reads NV lines of weights for MR · NV instructions that multiply and add (in f32 fused multiply-adds of sixteen
//! lanes): with eight rows, and one such instruction a cycle, that is 8 bytes a cycle, which L2 delivers at ease. So weights
//! need not stay in L1.
//!
//! Rows are split evenly (9 rows in tiles of at most 6 are 5 + 4, not 6 + 3), and a tile of few rows takes more
//! panels, so that enough independent chains hide the latency of the fma.

use std::ops::Range;

use crate::dot::{Dot, DotKernel};
use crate::finish::Finish;
use crate::rows::{Rows, RowsMut};
use crate::simd::{LANES, Lanes};
use crate::tile::{MAX_ROWS, Panels, TileRun, panels_per_tile};
use crate::upcoming::Upcoming;

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

    /// How many tiles there are.
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

/// How many lines of weights are fetched ahead of their use, for each panel of a tile, of k lines of so many inputs.
///
/// The first rows read all panels of a tile at once, so not fewer than these have. And each product fetches the first weights of
/// the next, so they should agree: not fewer than the longest panels of all-MiniLM-L6-v2 have, of 1536 inputs. More
/// would not all stay in L2.
const fn lines_ahead(k: usize, inputs: usize) -> usize {
    let least = 1536 / inputs;
    if k > least { k } else { least }
}

/// Where a product's weights are, and what follows.
#[derive(Clone, Copy)]
pub(crate) enum Fetch<'a> {
    /// All is in a near cache: there is nothing to fetch.
    Nothing,
    /// The weights come from memory, and nothing is known of what was before or comes after.
    Alone,
    /// The first weights, [`lines_ahead`] a panel, have been fetched by the product before this one, as this one fetches
    /// those of the next, which are these. A line of them has so many inputs.
    Then(&'a [Lanes], usize),
}

/// One product: rows of `a` · the panels of `b` → as many rows of `out`, finished.
pub(crate) struct Product<'a> {
    pub(crate) a: Rows<'a, u32>,
    /// ⌈n / 16⌉ panels of k steps, for the n columns of `out`.
    pub(crate) b: Panels<'a>,
    pub(crate) finish: Finish<'a>,
    pub(crate) out: RowsMut<'a>,
    pub(crate) fetch: Fetch<'a>,
}

impl DotKernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(mut self, dot: D) {
        let (m, n) = (self.out.rows(), self.out.columns());
        if m == 0 {
            return;
        }
        let rows = Split::new(m, D::TILE_ROWS);
        let panels = Split::new(n / LANES, panels_per_tile::<D>(rows.size));
        let mut upcoming = self.upcoming(rows, panels);
        for (first, tiles, panels) in panels.runs() {
            for tile in 0..tiles {
                let first = first + tile * panels;
                self.panels(dot, rows, first..first + panels, &mut upcoming);
            }
        }
        if !n.is_multiple_of(LANES) {
            self.last_columns(dot, rows, n / LANES);
        }
    }
}

impl Product<'_> {
    /// All rows of a tile's whole panels.
    #[inline(always)]
    fn panels<D: Dot>(&mut self, dot: D, split: Split, panels: Range<usize>, upcoming: &mut Upcoming) {
        let Product { a, b, finish, out, .. } = self;
        let columns = panels.start * LANES..panels.end * LANES;
        let b = b.skip(panels.start);
        for (first_row, row_tiles, rows) in split.runs() {
            if row_tiles > 0 {
                let run = TileRun {
                    a: a.skip(first_row, 0),
                    b,
                    out: out.part(first_row..first_row + row_tiles * rows, columns.clone()),
                    row_tiles,
                    finish: finish.skip(first_row, panels.start),
                    upcoming,
                };
                run.run(dot, rows, panels.len());
            }
        }
    }

    /// What is fetched during this product: the weights that nobody has fetched yet, and the first of those that follow.
    #[inline(always)]
    fn upcoming(&self, rows: Split, panels: Split) -> Upcoming {
        let (k, own) = (self.b.k, self.b.data);
        let (ahead, then) = match self.fetch {
            Fetch::Nothing => return Upcoming::nothing(),
            Fetch::Alone => (k * panels.size, &[][..]),
            Fetch::Then(then, inputs) => (lines_ahead(k, inputs) * panels.size, then),
        };
        let (own, then) = (&own[ahead.min(own.len())..], &then[..ahead.min(then.len())]);
        Upcoming::spread(own, then, rows.tiles() * panels.tiles() * k)
    }

    /// The columns behind the last whole panel. Their tiles are computed aside, sixteen columns wide.
    #[inline(always)]
    fn last_columns<D: Dot>(&mut self, dot: D, split: Split, panel: usize) {
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
                whole.run(dot, rows, 1);
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
    use super::*;
    use crate::dot::{Bf16Fma, F32, ScalarInt8};
    use crate::simd::Scalar;

    /// How often each line is fetched during a product of m rows: of its own weights and of those that follow.
    fn fetched<D: Dot>(
        m: usize,
        k: usize,
        panels: usize,
        [then, inputs]: [usize; 2],
    ) -> (Vec<u32>, Vec<u32>) {
        let (own, then) = (vec![Lanes::ZERO; panels * k], vec![Lanes::ZERO; then]);
        let (x, mut out) = (vec![0; m * k], vec![0.0; m * panels * LANES]);
        let product = Product {
            a: Rows { data: &x, stride: k },
            b: Panels { data: &own, k },
            finish: Finish::NOTHING,
            out: RowsMut::new(&mut out, panels * LANES),
            fetch: Fetch::Then(&then, inputs),
        };
        let rows = Split::new(m, D::TILE_ROWS);
        let panels = Split::new(panels, panels_per_tile::<D>(rows.size));
        let mut upcoming = product.upcoming(rows, panels);
        let mut times = (vec![0; own.len()], vec![0; then.len()]);
        for (_, tiles, panels) in panels.runs() {
            for line in (0..tiles * rows.tiles()).flat_map(|_| upcoming.fetched_by_a_tile::<D>(k, panels)) {
                let index = |lines: &[Lanes]| {
                    lines.as_ptr_range().contains(&line).then(|| line.addr() - lines.as_ptr().addr())
                };
                if let Some(byte) = index(&own) {
                    times.0[byte / size_of::<Lanes>()] += 1;
                } else if let Some(byte) = index(&then) {
                    times.1[byte / size_of::<Lanes>()] += 1;
                }
            }
        }
        times
    }

    /// The products of the network and of BERT-base, whole and by columns on two threads: each line once, but for those that the product
    /// before has fetched, and for a few at the end, because the pace is kept by blocks. `steps` are those of k a line has.
    #[test]
    fn weights_are_fetched_once_and_before_they_are_used() {
        fn check<D: Dot>(steps: usize) {
            for (k, panels, next) in [
                (384, 72, 24 * 384),
                (384, 24, 96 * 384),
                (384, 96, 24 * 1536),
                (1536, 24, 72 * 384),
                (384, 12, 12 * 384),
                (384, 12, 48 * 384),
                (384, 48, 12 * 1536),
                (1536, 12, 12 * 384),
                (768, 192, 48 * 3072),
                (3072, 48, 144 * 768),
            ] {
                let (k, next) = (k / steps, next / steps);
                for m in [1, 7, 8, 12, 16, 64] {
                    let ahead =
                        lines_ahead(k, steps) * panels_per_tile::<D>(Split::new(m, D::TILE_ROWS).size);
                    let (own, then) = fetched::<D>(m, k, panels, [next, steps]);
                    let what = format!("m = {m}, k = {k}, {panels} panels, {next} lines to follow");
                    let ahead_of_own = ahead.min(own.len());
                    assert!(
                        own[..ahead_of_own].iter().all(|&n| n == 0),
                        "{what}: what the one before fetched"
                    );
                    assert!(own[ahead_of_own..].iter().all(|&n| n == 1), "{what}: its own lines");
                    let (due, later) = then.split_at(ahead.min(then.len()));
                    // Where the last block goes beyond its own lines, others may lie there.
                    let twice = due.iter().chain(later).filter(|&&n| n > 1).count();
                    assert!(twice <= 4 * D::BLOCK, "{what}: {twice} lines twice");
                    let missing = due.iter().filter(|&&n| n == 0).count();
                    // A tile fetches no more lines a step than it has panels.
                    let most = k * panels * Split::new(m, D::TILE_ROWS).tiles();
                    let capped = own.len() - ahead_of_own + due.len() > most;
                    assert!(capped || missing <= 4 * D::BLOCK, "{what}: {missing} lines are missing");
                    let beyond = later.iter().filter(|&&n| n == 1).count();
                    assert!(beyond <= 4 * D::BLOCK, "{what}: {beyond} lines too many");
                }
            }
        }
        check::<F32<Scalar>>(1);
        check::<Bf16Fma<Scalar>>(2);
        check::<ScalarInt8>(4);
        #[cfg(target_arch = "x86_64")]
        {
            use crate::dot::{Avx2Int8, Avx512Bf16, Avx512Vnni};
            use crate::simd::{Avx2, Avx512};
            check::<F32<Avx2>>(1);
            check::<Bf16Fma<Avx2>>(2);
            check::<Avx2Int8>(4);
            check::<F32<Avx512>>(1);
            check::<Avx512Bf16>(2);
            check::<Avx512Vnni>(4);
        }
        #[cfg(target_arch = "aarch64")]
        {
            use crate::dot::{NeonInt8, NeonSdot};
            use crate::simd::Neon;
            check::<F32<Neon>>(1);
            check::<Bf16Fma<Neon>>(2);
            check::<NeonInt8>(4);
            check::<NeonSdot>(4);
        }
    }

    #[test]
    fn tiles_are_even_and_leave_nothing_out() {
        assert_eq!(Split::new(9, 6).runs(), [(0, 1, 5), (5, 1, 4)]);
        assert!(Split::new(0, 6).runs().iter().all(|&(_, tiles, _)| tiles == 0));
        for m in 1..100 {
            for tile_rows in 1..=MAX_ROWS {
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
