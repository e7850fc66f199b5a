//! The register tile of every product: MR rows × NV panels of the output, over all of k.
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
//! order, whatever MR and NV are: the tile shape can follow the machine without changing a bit. A chain ends after
//! [`K_BLOCK`] steps; what the blocks before have come to waits on the stack meanwhile, 1.5 KB that never leave L1.
//! Then bias, residual and activation follow while the tile is in L1, and the output is written once.
//!
//! Each step also prefetches a little of the weights that come next: [`Upcoming`].
//!
//! What surrounds the inner loop costs some hundred instructions, beside 3,000 of a block's loop. So that it stays
//! at that, one call runs over all row tiles of one height ([`TileRun`]): the shape is chosen and the bounds are
//! checked once.
#![allow(unsafe_code, reason = "the tile's inner loop reads by pointer, after one check of the bounds")]

use crate::activation::{ActivateRows, Activation};
use crate::dispatch::Kernel;
use crate::reference::K_BLOCK;
use crate::rows::{Rows, RowsMut};
use crate::simd::{LANES, Lanes, Simd};

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

/// Weights that will be read soon, to be fetched into L2 a few lines at a time while others are computed with.
///
/// Hardware prefetches no further than a page, and memory takes about as long to bring a tile's weights as a tile of
/// eight rows takes to use them: without this, short texts wait for memory most of the time. Fetching faster than
/// memory delivers would make the loads of this tile wait, so the lines are spread evenly over all row tiles.
pub(crate) struct Upcoming {
    /// The next line. A hint: the address may be any.
    next: *const Lanes,
    /// How many lines a step of k has to fetch on average, times `tiles`.
    panels: usize,
    tiles: usize,
    /// How many lines are behind that average, times `tiles`.
    owed: isize,
}

impl Upcoming {
    pub(crate) fn nothing() -> Upcoming {
        Upcoming::spread(std::ptr::null(), 0, 1)
    }

    /// As many lines from `first` on as `panels` panels have, fetched by `tiles` tiles of as many panels.
    #[inline(always)]
    pub(crate) fn spread(first: *const Lanes, panels: usize, tiles: usize) -> Upcoming {
        Upcoming { next: first, panels, tiles, owed: 0 }
    }

    /// How many lines each of the next `steps` steps should fetch: 0, 1, 2 or 4.
    #[inline(always)]
    fn pace(&mut self, steps: usize) -> usize {
        self.owed += (steps * self.panels) as isize;
        if self.owed <= 0 {
            return 0;
        }
        let pace = self.panels.div_ceil(self.tiles).next_power_of_two();
        self.owed -= (steps * pace * self.tiles) as isize;
        pace
    }
}

/// What becomes of the sums over all k.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a> {
    /// Added to each column: sixteen lanes a panel, from the first tile's panels on.
    pub(crate) bias: Option<&'a [Lanes]>,
    /// Then added to each element, from the first tile's on.
    pub(crate) residual: Option<Rows<'a>>,
    /// Then applied to each element.
    pub(crate) activation: Option<Activation>,
}

impl Finish<'_> {
    /// The sums are all that is wanted.
    pub(crate) const NOTHING: Self = Finish { bias: None, residual: None, activation: None };

    /// What applies from that row and that panel on.
    #[inline(always)]
    pub(crate) fn skip(self, row: usize, panel: usize) -> Self {
        Finish {
            bias: self.bias.map(|bias| &bias[panel..]),
            residual: self.residual.map(|residual| residual.skip(row, panel * LANES)),
            activation: self.activation,
        }
    }
}

/// `row_tiles` tiles of one height, one below the other, over all of k.
pub(crate) struct TileRun<'a> {
    pub(crate) a: Rows<'a>,
    pub(crate) b: Panels<'a>,
    /// As many rows as the tiles have and as many columns as the panels.
    pub(crate) out: RowsMut<'a>,
    pub(crate) row_tiles: usize,
    pub(crate) finish: Finish<'a>,
    pub(crate) upcoming: &'a mut Upcoming,
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
    /// If the tiles reach outside the activations, the weights, the bias, the residual or the output.
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

/// The tiles of a run, one below the other.
#[inline(always)]
fn tiles<S: Simd, const MR: usize, const NV: usize>(simd: S, run: TileRun<'_>) {
    let TileRun { a, b, mut out, row_tiles, finish, upcoming } = run;
    let (rows, k) = (row_tiles * MR, b.k);
    check_bounds("activations", rows, a.stride, k, a.data.len());
    check_bounds("weights", NV, k, k, b.data.len());
    assert!(out.rows() == rows && out.columns() == NV * LANES, "tiles: the output is of another size");
    if let Some(bias) = finish.bias {
        assert!(NV <= bias.len(), "tiles: {NV} panels are outside the bias");
    }
    if let Some(residual) = finish.residual {
        check_bounds("residual", rows, residual.stride, NV * LANES, residual.data.len());
    }
    // SAFETY: panel v < NV begins inside `b.data`: see `check_bounds`.
    let b: [_; NV] = std::array::from_fn(|v| unsafe { b.data.as_ptr().add(v * k) });

    let mut sums = [[Lanes::ZERO; NV]; MR];
    for row_tile in 0..row_tiles {
        let first_row = row_tile * MR;
        // SAFETY: first_row + r < rows, so each row begins inside `a.data`: see `check_bounds`.
        let a: [_; MR] = std::array::from_fn(|r| unsafe { a.data.as_ptr().add((first_row + r) * a.stride) });
        let mut out = out.part(first_row..first_row + MR, 0..NV * LANES);
        // Rows of output lie far apart, so their lines are in no near cache; the stores at the end would wait for them.
        for r in 0..MR {
            for line in out.row_mut(r).chunks(LANES) {
                simd.prefetch_l1(line.as_ptr());
            }
        }
        for first in (0..k.max(1)).step_by(K_BLOCK) {
            let steps = K_BLOCK.min(k - first);
            let pace = upcoming.pace(steps);
            let end = (first + steps == k).then(|| End {
                out: out.part(0..MR, 0..NV * LANES),
                bias: finish.bias,
                residual: finish.residual.map(|residual| residual.skip(first_row, 0)),
            });
            // From each pointer on, `check_bounds` has found k elements, so `steps` from `first` on.
            let block = Block {
                a: a.map(|a| a.wrapping_add(first)),
                b: b.map(|b| b.wrapping_add(first)),
                steps,
                fetch: upcoming.next,
                add: first > 0,
                sums: &mut sums,
                end,
            };
            upcoming.next = upcoming.next.wrapping_add(pace * steps);
            match pace {
                0 => simd.call(Fetching::<MR, NV, 0>(block)),
                1 => simd.call(Fetching::<MR, NV, 1>(block)),
                2 => simd.call(Fetching::<MR, NV, 2>(block)),
                _ => simd.call(Fetching::<MR, NV, 4>(block)),
            }
        }
        if let Some(activation) = finish.activation {
            simd.call(ActivateRows { x: out, activation });
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

/// MR × NV chains of fused multiply-adds, from zero, over `steps` steps of k, which are then added to the sums of the
/// blocks before.
struct Block<'a, const MR: usize, const NV: usize> {
    /// From each of these pointers on, `steps` elements can be read.
    a: [*const f32; MR],
    /// As `a`.
    b: [*const Lanes; NV],
    steps: usize,
    /// The first line to be prefetched.
    fetch: *const Lanes,
    /// Whether there are blocks before.
    add: bool,
    /// What the blocks before have come to, and then these too.
    sums: &'a mut [[Lanes; NV]; MR],
    /// For the last block, whose sums go on from the registers they are in.
    end: Option<End<'a>>,
}

/// What becomes of a tile's sums at once.
struct End<'a> {
    /// MR rows of NV · 16 columns.
    out: RowsMut<'a>,
    bias: Option<&'a [Lanes]>,
    /// From the tile's first element on.
    residual: Option<Rows<'a>>,
}

/// A block that prefetches so many lines a step. Each is a function of its own: the inner loop needs all registers, and
/// inside of something larger the compiler would not leave it as it is written.
struct Fetching<'a, const MR: usize, const NV: usize, const LINES: usize>(Block<'a, MR, NV>);

impl<const MR: usize, const NV: usize, const LINES: usize> Kernel for Fetching<'_, MR, NV, LINES> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Block { a, b, steps, fetch, add, sums, end } = self.0;
        let mut acc = [[simd.splat(0.0); NV]; MR];
        let unrolled = steps - steps % UNROLL;
        for first in (0..unrolled).step_by(UNROLL) {
            for i in first..first + UNROLL {
                for line in 0..LINES {
                    simd.prefetch_l2(fetch.wrapping_add(i * LINES + line).cast());
                }
                // SAFETY: i < unrolled ≤ steps.
                unsafe { step(simd, &a, &b, i, &mut acc) };
            }
        }
        for i in unrolled..steps {
            // SAFETY: i < steps.
            unsafe { step(simd, &a, &b, i, &mut acc) };
        }
        if add {
            for r in 0..MR {
                for v in 0..NV {
                    acc[r][v] = simd.add(simd.load(&sums[r][v].0), acc[r][v]);
                }
            }
        }
        let Some(End { mut out, bias, residual }) = end else {
            for r in 0..MR {
                for v in 0..NV {
                    simd.store(acc[r][v], &mut sums[r][v].0);
                }
            }
            return;
        };
        if let Some(bias) = bias {
            for v in 0..NV {
                let bias = simd.load(&bias[v].0);
                for r in 0..MR {
                    acc[r][v] = simd.add(acc[r][v], bias);
                }
            }
        }
        if let Some(residual) = residual {
            for r in 0..MR {
                let from = residual.data[r * residual.stride..][..NV * LANES].as_chunks::<LANES>().0;
                for v in 0..NV {
                    acc[r][v] = simd.add(acc[r][v], simd.load(&from[v]));
                }
            }
        }
        for r in 0..MR {
            let to = out.row_mut(r).as_chunks_mut::<LANES>().0;
            for v in 0..NV {
                simd.store(acc[r][v], &mut to[v]);
            }
        }
    }
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
