//! The register tile of every product: MR rows × NV panels of the output, held in registers for one block of k.
//!
//! Weights lie in *panels* of sixteen output columns, `panels[⌈n / 16⌉][k][16]`, so that one step of k is one
//! cache line of a panel:
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
//! order, whatever MR and NV are: the tile shape can follow the machine without changing a bit.
//!
//! The first row tile of a run prefetches the weights of the next block: otherwise each block begins with waiting for
//! memory, since hardware prefetches no further than a page.
//!
//! What surrounds the inner loop costs about 100 instructions, beside some 3,000 of the loop. So that it stays
//! at that, one call runs over many tiles ([`TileRun`]): the shape is chosen and the bounds are checked once.
#![allow(unsafe_code, reason = "the tile's inner loop reads by pointer, after one check of the bounds")]

use crate::dispatch::Kernel;
use crate::simd::{LANES, Lanes, Simd};

/// The most rows of a tile on any instruction set.
pub(crate) const MAX_ROWS: usize = 8;

/// The most panels of a tile on any instruction set.
pub(crate) const MAX_PANELS: usize = 4;

/// How many steps of k the inner loop takes at once.
const UNROLL: usize = 4;

/// Rows of activations: row i begins at `data[i · stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
}

impl<'a> Rows<'a> {
    /// The rows from `row` on, their elements from `step` on.
    #[inline(always)]
    pub(crate) fn skip(self, row: usize, step: usize) -> Rows<'a> {
        Rows { data: &self.data[row * self.stride + step..], stride: self.stride }
    }
}

/// Rows of output: row i begins at `data[i · stride]`.
pub(crate) struct RowsMut<'a> {
    pub(crate) data: &'a mut [f32],
    pub(crate) stride: usize,
}

impl RowsMut<'_> {
    /// The rows from `row` on, their elements from `column` on.
    #[inline(always)]
    pub(crate) fn skip(&mut self, row: usize, column: usize) -> RowsMut<'_> {
        RowsMut { data: &mut self.data[row * self.stride + column..], stride: self.stride }
    }
}

/// Panels of sixteen columns: step i of panel p is `data[p · k + i]`.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    pub(crate) data: &'a [Lanes],
    pub(crate) k: usize,
}

impl<'a> Panels<'a> {
    /// The panels from `panel` on, their steps from `step` on.
    #[inline(always)]
    pub(crate) fn skip(self, panel: usize, step: usize) -> Panels<'a> {
        Panels { data: &self.data[panel * self.k + step..], k: self.k }
    }
}

/// `row_tiles` × `panel_tiles` tiles of one shape over one block of k.
pub(crate) struct TileRun<'a> {
    /// The first tile's rows, from the block's first step on.
    pub(crate) a: Rows<'a>,
    /// The first tile's panels, from the block's first step on.
    pub(crate) b: Panels<'a>,
    /// Where the first tile's sums go; all sixteen columns of each panel.
    pub(crate) out: RowsMut<'a>,
    /// The length of the block.
    pub(crate) steps: usize,
    pub(crate) row_tiles: usize,
    pub(crate) panel_tiles: usize,
    /// Whether the sums are added to what is in `out` (the blocks before) or replace it.
    pub(crate) add: bool,
    /// What is added to each column after that, from the first tile's panels on.
    pub(crate) bias: Option<&'a [Lanes]>,
    /// How far behind this block's weights the next block's begin, if they are to be prefetched while the first row
    /// tile reads these.
    pub(crate) next_block: Option<usize>,
}

/// How many panels a tile of `rows` rows takes at once.
#[inline(always)]
pub(crate) fn panels_per_tile<S: Simd>(rows: usize) -> usize {
    (S::ACCUMULATORS / rows).clamp(1, MAX_PANELS)
}

impl TileRun<'_> {
    /// Runs tiles of `rows` rows, at most [`Simd::TILE_ROWS`], and `panels` panels, at most what
    /// [`panels_per_tile`] says.
    ///
    /// Shapes that an instruction set has no registers for are never asked for and compile to nothing.
    ///
    /// # Panics
    ///
    /// If the tiles reach outside the activations, the weights, the bias or the output.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(self, simd: S, rows: usize, panels: usize) {
        simd.call(Shaped { run: self, rows, panels });
    }
}

/// A run with its tile shape.
struct Shaped<'a> {
    run: TileRun<'a>,
    rows: usize,
    panels: usize,
}

impl Kernel for Shaped<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        const { assert!(S::TILE_ROWS <= MAX_ROWS && S::ACCUMULATORS / 7 <= 3, "the table lacks shapes") };
        let Shaped { run, rows, panels } = self;
        macro_rules! shapes {
            ($(($mr:literal, $($nv:literal),+)),+ $(,)?) => {
                match (rows, panels) {
                    $($(($mr, $nv) if $mr <= S::TILE_ROWS && $nv <= panels_per_tile::<S>($mr) => {
                        tiles::<S, $mr, $nv>(simd, run)
                    })+)+
                    _ => unreachable!("no tile of {rows} rows and {panels} panels"),
                }
            };
        }
        shapes!(
            (1, 1, 2, 3, 4),
            (2, 1, 2, 3, 4),
            (3, 1, 2, 3, 4),
            (4, 1, 2, 3, 4),
            (5, 1, 2, 3, 4),
            (6, 1, 2, 3, 4),
            (7, 1, 2, 3),
            (8, 1, 2, 3),
        );
    }
}

/// The tiles of a run, all panels of one row tile before the next: its activations stay in L1.
#[inline(always)]
fn tiles<S: Simd, const MR: usize, const NV: usize>(simd: S, run: TileRun<'_>) {
    let TileRun { a, b, out, steps, row_tiles, panel_tiles, add, bias, next_block } = run;
    let (rows, panels) = (row_tiles * MR, panel_tiles * NV);
    check_bounds("activations", rows, a.stride, steps, a.data.len());
    check_bounds("weights", panels, b.k, steps, b.data.len());
    check_bounds("output", rows, out.stride, panels * LANES, out.data.len());
    if let Some(bias) = bias {
        assert!(panels <= bias.len(), "tiles: {panels} panels are outside the bias");
    }
    let (a_start, b_start, out_start) = (a.data.as_ptr(), b.data.as_ptr(), out.data.as_mut_ptr());

    for row_tile in 0..row_tiles {
        // SAFETY: row_tile · MR + r < rows, so each row begins inside `a.data`: see `check_bounds`.
        let a: [_; MR] = std::array::from_fn(|r| unsafe { a_start.add((row_tile * MR + r) * a.stride) });
        for panel_tile in 0..panel_tiles {
            let first_panel = panel_tile * NV;
            // SAFETY: first_panel + v < panels, so each panel begins inside `b.data`: see `check_bounds`.
            let b: [_; NV] = std::array::from_fn(|v| unsafe { b_start.add((first_panel + v) * b.k) });

            let mut acc = match next_block {
                // SAFETY: `check_bounds` has found `steps` elements from each of these pointers on.
                Some(ahead) if row_tile == 0 => unsafe { block::<S, MR, NV, true>(simd, a, b, steps, ahead) },
                // SAFETY: as above.
                _ => unsafe { block::<S, MR, NV, false>(simd, a, b, steps, 0) },
            };

            // SAFETY: row_tile · MR + r < rows and first_panel + v < panels, so these sixteen f32 are inside
            // `out.data`: see `check_bounds`; f32 arrays have the alignment of f32, and no other reference to
            // `out.data` is alive.
            let at = |r: usize, v: usize| unsafe {
                let row = out_start.add((row_tile * MR + r) * out.stride);
                &mut *row.add((first_panel + v) * LANES).cast::<[f32; LANES]>()
            };
            if add {
                for r in 0..MR {
                    for v in 0..NV {
                        acc[r][v] = simd.add(simd.load(at(r, v)), acc[r][v]);
                    }
                }
            }
            if let Some(bias) = bias {
                for v in 0..NV {
                    let bias = simd.load(&bias[first_panel + v].0);
                    for r in 0..MR {
                        acc[r][v] = simd.add(acc[r][v], bias);
                    }
                }
            }
            for r in 0..MR {
                for v in 0..NV {
                    simd.store(acc[r][v], at(r, v));
                }
            }
        }
    }
}

/// Asserts that `count` pieces of `len` elements, each beginning `stride` after the one before, lie inside
/// `available` elements. Checked arithmetic: a product that wraps would let anything pass.
#[inline(always)]
fn check_bounds(what: &str, count: usize, stride: usize, len: usize, available: usize) {
    let end = count.saturating_sub(1).checked_mul(stride).and_then(|last| last.checked_add(len));
    assert!(
        count == 0 || end.is_some_and(|end| end <= available),
        "tiles: {count} times {len} elements, {stride} apart, are outside the {what} ({available} elements)"
    );
}

/// MR × NV chains of fused multiply-adds, from zero, over `steps` steps of k. With PREFETCH, each step also prefetches
/// the weights `ahead` steps later: memory is slower than a tile, and hardware stops at the end of a page.
///
/// # Safety
///
/// From each pointer on, `steps` elements can be read.
#[inline(always)]
unsafe fn block<S: Simd, const MR: usize, const NV: usize, const PREFETCH: bool>(
    simd: S,
    a: [*const f32; MR],
    b: [*const Lanes; NV],
    steps: usize,
    ahead: usize,
) -> [[S::F32; NV]; MR] {
    let mut acc = [[simd.splat(0.0); NV]; MR];
    let unrolled = steps - steps % UNROLL;
    for first in (0..unrolled).step_by(UNROLL) {
        for u in 0..UNROLL {
            if PREFETCH {
                for v in 0..NV {
                    simd.prefetch(b[v].wrapping_add(first + u + ahead).cast());
                }
            }
            // SAFETY: first + u < unrolled ≤ steps.
            unsafe { step(simd, &a, &b, first + u, &mut acc) };
        }
    }
    for i in unrolled..steps {
        // SAFETY: i < steps.
        unsafe { step(simd, &a, &b, i, &mut acc) };
    }
    acc
}

/// Step `i` of every chain.
///
/// # Safety
///
/// From each pointer on, more than `i` elements can be read.
#[inline(always)]
unsafe fn step<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    a: &[*const f32; MR],
    b: &[*const Lanes; NV],
    i: usize,
    acc: &mut [[S::F32; NV]; MR],
) {
    let mut w = [simd.splat(0.0); NV];
    for v in 0..NV {
        // SAFETY: element i can be read, says the caller.
        w[v] = simd.load(unsafe { &(*b[v].add(i)).0 });
    }
    for r in 0..MR {
        // SAFETY: element i can be read, says the caller.
        let x = simd.splat(unsafe { *a[r].add(i) });
        for v in 0..NV {
            acc[r][v] = simd.mul_add(x, w[v], acc[r][v]);
        }
    }
}
