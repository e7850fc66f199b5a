//! The register tile of every product: MR rows × NV panels of the output, over all of k.
//!
//! Weights lie in *panels* of sixteen output columns. A panel is lines of 64 bytes, one cache line each: sixteen columns by
//! one step of k in f32, by two in bf16, by four in int8. A row of activations has a word of 32 bits with as many steps for
//! each line, and a [`Dot`] multiplies a word by a line. Here `i` counts lines and words, and is called a step:
//!
//! ```text
//!                     panel 0               panel 1          …     panel NV−1
//!            i:   line[i], 0 … 15       line[i], 16 … 31                     one load each
//!  row 0   a[i]   acc[0][0] +=          acc[0][1] +=          …
//!  row 1   a[i]   acc[1][0] +=          acc[1][1] +=          …              one broadcast a row,
//!    ⋮                                                                       one product an accumulator
//!  row MR−1
//! ```
//!
//! Lanes are output columns, so each output element has its own chains of steps in order, whatever MR and NV are: the
//! tile shape can follow the machine without changing a bit. Where [`Dot::BLOCKS_ARE_CHAINS`], a chain ends after [`Dot::BLOCK`] steps,
//! 128 inputs in f32 and 384 in int8, and what the chains before have come to waits on the stack meanwhile, 1.5 KB that
//! never leave L1; in bf16 one chain runs over all of k. The bias is added after the last chain; in int8 it comes first,
//! and each chain's sum, scaled, is added to it ([`SumKind::BIAS_FIRST`]). Then residual and activation follow while
//! the tile is in L1, and the output is written once.
//!
//! Each step also prefetches a little of the weights that come next: [`Upcoming`].
//!
//! While the last fused multiply-adds of a block wait for their turn, the processor must already see the first of the
//! next; it looks some hundred instructions ahead. So what lies between two blocks has to be short, and must not compute
//! an address by vector instructions, which would queue up behind the multiply-adds: one function runs over all row tiles
//! of one height and all their blocks ([`TileRun`]), chooses the shape and checks the bounds once, and keeps to pointers
//! from there on.
#![allow(unsafe_code, reason = "the tile's inner loop reads by pointer, after one check of the bounds")]

use std::hint::black_box;
use std::mem::MaybeUninit;

use crate::activation::ActivateRows;
use crate::dot::{Dot, DotKernel, SumKind};
use crate::finish::{ChainEnd, Finish};
use crate::rows::{Rows, RowsMut};
use crate::simd::{LANES, Lanes, Simd};
use crate::upcoming::Upcoming;

/// The most rows of a tile on any instruction set.
pub(crate) const MAX_ROWS: usize = 8;

/// The most panels of a tile on any instruction set.
pub(crate) const MAX_PANELS: usize = 4;

/// How many steps of k the inner loop takes at once.
const UNROLL: usize = 4;

/// Panels of sixteen columns: step i of panel p is `data[p · k + i]`.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    pub(crate) data: &'a [Lanes],
    pub(crate) k: usize,
}

impl<'a> Panels<'a> {
    /// The panels from `panel` on.
    #[inline(always)]
    pub(crate) fn skip(self, panel: usize) -> Panels<'a> {
        Panels { data: &self.data[panel * self.k..], k: self.k }
    }
}

/// `row_tiles` tiles of one height, one below the other, over all of k.
pub(crate) struct TileRun<'a> {
    pub(crate) a: Rows<'a, u32>,
    pub(crate) b: Panels<'a>,
    /// As many rows as the tiles have and as many columns as the panels.
    pub(crate) out: RowsMut<'a>,
    pub(crate) row_tiles: usize,
    pub(crate) finish: Finish<'a>,
    pub(crate) upcoming: &'a mut Upcoming,
}

/// How many panels a tile of `rows` rows takes at once.
#[inline(always)]
pub(crate) const fn panels_per_tile<D: Dot>(rows: usize) -> usize {
    let panels = D::ACCUMULATORS / rows;
    if panels == 0 { 1 } else { smaller(panels, MAX_PANELS) }
}

impl TileRun<'_> {
    /// Runs tiles of `rows` rows, at most [`Dot::TILE_ROWS`], and `panels` panels, at most what
    /// [`panels_per_tile`] says.
    ///
    /// # Panics
    ///
    /// If the tiles reach outside the activations, the weights, the bias, the scales, the residual or the output.
    #[inline(always)]
    pub(crate) fn run<D: Dot>(self, dot: D, rows: usize, panels: usize) {
        dot.call(Shaped { run: self, rows, panels });
    }
}

/// The smaller one, as a constant: shapes that would be the same are compiled once.
const fn smaller(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

/// The body for each row of a tile of `$rows` rows, as straight code. A loop might not be unrolled, and then the sums would
/// lie in memory all the time.
macro_rules! each_row {
    ($r:ident in $rows:expr, $body:block) => {
        each_row!(@ $r in $rows, $body, 0 1 2 3 4 5 6 7)
    };
    (@ $r:ident in $rows:expr, $body:block, $($row:literal)+) => {
        const { assert!($rows <= MAX_ROWS && MAX_ROWS == 8) };
        $({
            #[allow(non_upper_case_globals, reason = "named as a variable")]
            const $r: usize = $row;
            if $r < $rows $body
        })+
    };
}

/// A run with its tile shape.
struct Shaped<'a> {
    run: TileRun<'a>,
    rows: usize,
    panels: usize,
}

impl DotKernel for Shaped<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        const { assert!(D::TILE_ROWS <= MAX_ROWS && D::ACCUMULATORS / 7 <= 3, "the table lacks shapes") };
        let Shaped { run, rows, panels } = self;
        macro_rules! shapes {
            ($(($mr:literal, $($nv:literal),+)),+ $(,)?) => {
                match (rows, panels) {
                    $($(($mr, $nv) => {
                        // What is behind a condition that is known to be false is not compiled.
                        if const { $mr <= D::TILE_ROWS && $nv <= panels_per_tile::<D>($mr) } {
                            if D::Simd::PREFETCHES {
                                match run.upcoming.lines_a_step($nv) {
                                    0 => dot.call(Tiles::<$mr, $nv, 0>(run)),
                                    1 => dot.call(Tiles::<$mr, $nv, 1>(run)),
                                    2 => dot.call(Tiles::<$mr, $nv, { smaller($nv, 2) }>(run)),
                                    3 => dot.call(Tiles::<$mr, $nv, { smaller($nv, 3) }>(run)),
                                    _ => dot.call(Tiles::<$mr, $nv, { smaller($nv, 4) }>(run)),
                                }
                            } else {
                                dot.call(Tiles::<$mr, $nv, 0>(run))
                            }
                        } else {
                            unreachable!("no tile of {rows} rows and {panels} panels")
                        }
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

/// The tiles of a run, one below the other, whose steps prefetch so many lines.
///
/// Each shape is a function of its own: the inner loop needs all registers, and inside of something larger the compiler
/// would not leave it as it is written.
struct Tiles<'a, const MR: usize, const NV: usize, const LINES: usize>(TileRun<'a>);

impl<const MR: usize, const NV: usize, const LINES: usize> DotKernel for Tiles<'_, MR, NV, LINES> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        // Steps fetch ahead one by one, and sums that are settled begin anew.
        const {
            let several = UNROLL.is_multiple_of(D::STEPS) && D::BLOCKS_ARE_CHAINS && !D::Simd::PREFETCHES;
            assert!(D::STEPS == 1 || several, "steps at once");
        }
        let simd = dot.simd();
        let TileRun { a, b, mut out, row_tiles, finish, upcoming } = self.0;
        let (rows, k) = (row_tiles * MR, b.k);
        check_bounds("activations", rows, a.stride, k, a.data.len());
        check_bounds("weights", NV, k, k, b.data.len());
        assert!(out.rows() == rows && out.columns() == NV * LANES, "tiles: the output is of another size");
        if let Some(bias) = finish.bias {
            assert!(NV <= bias.len(), "tiles: {NV} panels are outside the bias");
        }
        if let Some(scales) = finish.scales {
            let chains = k.div_ceil(D::BLOCK);
            check_bounds("scales of rows", chains, scales.stride, rows, scales.rows.len());
        }
        if let Some(residual) = finish.residual {
            check_bounds("residual", rows, residual.stride, NV * LANES, residual.data.len());
        }

        let mut sums = MaybeUninit::<[[Lanes; NV]; MR]>::uninit();
        if D::BLOCKS_ARE_CHAINS && k > D::BLOCK {
            // Where one chain is all, they are never used, and filling them would take as long as a good part of it.
            sums.write([[Lanes::ZERO; NV]; MR]);
        }
        // Opaque, so that the compiler leaves in memory what waits there, instead of keeping it in registers that the
        // inner loop needs, and does not merge the loads of several rows' activations.
        let sums: *mut [[Lanes; NV]; MR] = black_box(sums.as_mut_ptr());
        let b: [_; NV] = std::array::from_fn(|v| black_box(b.data.as_ptr().wrapping_add(v * k)));
        for row_tile in 0..row_tiles {
            let first_row = row_tile * MR;
            let mut out = out.part(first_row..first_row + MR, 0..NV * LANES);
            // Rows of output lie far apart, so their lines are in no near cache, where weights come from memory; the stores
            // at the end would wait for them.
            if LINES > 0 {
                for r in 0..MR {
                    for v in 0..NV {
                        simd.prefetch_l1(out.row_ptr(r).wrapping_add(v * LANES));
                    }
                }
            }
            let first_a = a.data.as_ptr().wrapping_add(first_row * a.stride);
            let a: [_; MR] = std::array::from_fn(|r| black_box(first_a.wrapping_add(r * a.stride)));
            let mut acc = [[D::SumKind::zero(simd); NV]; MR];
            let mut block = 0;
            loop {
                let steps = D::BLOCK.min(k - block);
                let (mut fetch, fetch_step) = match upcoming.turn(steps, LINES) {
                    Some(first) => (first, LINES),
                    // The same line again and again: no more than a load.
                    None => (b[0], 0),
                };
                let unrolled = block + (steps - steps % UNROLL);
                let mut i = block;
                while i < unrolled {
                    for _ in 0..UNROLL / D::STEPS {
                        for line in 0..LINES {
                            simd.prefetch_l2(fetch.wrapping_add(line).cast());
                        }
                        fetch = fetch.wrapping_add(fetch_step);
                        // SAFETY: `check_bounds` has found k elements from each pointer on, and i + STEPS ≤ unrolled ≤ k,
                        // for there is a multiple of UNROLL steps from `block` to `unrolled`, and STEPS divides it.
                        unsafe { dot.steps(&a, &b, i, &mut acc) };
                        i += D::STEPS;
                    }
                }
                dot.settle(&mut acc);
                while i < block + steps {
                    // SAFETY: as above, with i < block + steps ≤ k.
                    unsafe { dot.step(&a, &b, i, &mut acc) };
                    i += 1;
                }
                if block + steps == k {
                    break;
                }
                if D::BLOCKS_ARE_CHAINS {
                    let end = ChainEnd::<D, MR, NV>::new(dot, &finish, block / D::BLOCK, first_row);
                    // SAFETY: `sums` lives, is nobody else's, and has been filled, because this is not the only chain.
                    let waiting = unsafe { &mut *sums };
                    each_row!(r in MR, {
                        let before = (block > 0).then_some(&waiting[r]);
                        let numbers = end.numbers(dot, r, acc[r], before);
                        for v in 0..NV {
                            simd.store(numbers[v], &mut waiting[r][v].0);
                            acc[r][v] = D::SumKind::zero(simd);
                        }
                    });
                }
                block += steps;
            }
            let chain = if D::BLOCKS_ARE_CHAINS { block / D::BLOCK } else { 0 };
            let end = ChainEnd::<D, MR, NV>::new(dot, &finish, chain, first_row);
            // SAFETY: as above.
            let before = (chain > 0).then(|| unsafe { &*sums });
            each_row!(r in MR, {
                let numbers = end.numbers(dot, r, acc[r], before.map(|before| &before[r]));
                let mut numbers = end.add_bias(dot, numbers);
                if let Some(residual) = finish.residual {
                    let row = residual.data.as_ptr().wrapping_add((first_row + r) * residual.stride);
                    for v in 0..NV {
                        // SAFETY: `check_bounds` has found NV · 16 elements in each of these rows of the residual.
                        let residual = simd.load(unsafe { &*row.wrapping_add(v * LANES).cast() });
                        numbers[v] = simd.add(numbers[v], residual);
                    }
                }
                for v in 0..NV {
                    let lanes = out.row_ptr(r).wrapping_add(v * LANES).cast();
                    // SAFETY: `out` has MR rows of NV · 16 columns, which nobody else reads or writes.
                    simd.store(numbers[v], unsafe { &mut *lanes });
                }
            });
            if let Some(activation) = finish.activation {
                simd.call(ActivateRows { x: out, activation });
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
