//! A dense layer's weights, packed into panels of sixteen output columns.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::simd::{LANES, Lanes};

/// Some output columns of a [`PackedLinear`], in whole panels: see [`PackedLinear::columns`].
#[derive(Clone, Copy, Debug)]
pub struct WeightColumns<'a> {
    pub(crate) weight: &'a PackedLinear,
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl<'a> WeightColumns<'a> {
    /// Their panels `[⌈count / 16⌉][k][16]`.
    pub(crate) fn panels(self) -> &'a [Lanes] {
        let (first, count) = (self.first / LANES, self.count.div_ceil(LANES));
        if count == 0 { &[] } else { &self.weight.panels[first * self.weight.k..][..count * self.weight.k] }
    }
}

/// Memory with packed weights that several layers, models or processes share: see [`PackedLinear::from_region`].
pub type SharedRegion = Arc<dyn AsRef<[f32]> + Send + Sync>;

/// A weight matrix with its bias, packed once into panels for [`linear`](crate::linear()).
///
/// Packed, it is `[⌈n / 16⌉][k][16]`, then the bias `[⌈n / 16⌉][16]`; columns from n on are zero. The layout is the
/// same for every instruction set.
#[derive(Debug)]
pub struct PackedLinear {
    /// `[⌈n / 16⌉][k][16]`
    pub(crate) panels: PackedLanes,
    /// `[⌈n / 16⌉][16]`
    pub(crate) bias: PackedLanes,
    pub(crate) n: usize,
    pub(crate) k: usize,
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
        let rows: Vec<&[f32]> = parts.iter().flat_map(|(weight, _)| weight.chunks_exact(k)).collect();
        let biases: Vec<f32> = parts.iter().flat_map(|(_, bias)| *bias).copied().collect();
        let n = rows.len();
        let mut panels = vec![Lanes::ZERO; n.div_ceil(LANES) * k];
        for (panel, rows) in panels.chunks_exact_mut(k).zip(rows.chunks(LANES)) {
            pack_rows(rows, panel);
        }
        let mut bias = vec![Lanes::ZERO; n.div_ceil(LANES)];
        bytemuck::cast_slice_mut(&mut bias)[..n].copy_from_slice(&biases);
        PackedLinear { panels: PackedLanes::Owned(panels), bias: PackedLanes::Owned(bias), n, k }
    }

    /// Some of the n output columns, for [`linear_columns`](crate::linear_columns()).
    ///
    /// # Panics
    ///
    /// If they are not all there, or do not begin and end where panels of sixteen columns do: the last column may be the
    /// end too, and no columns may lie anywhere.
    pub fn columns(&self, columns: Range<usize>) -> WeightColumns<'_> {
        let Range { start, end } = columns;
        let bound = |at: usize| at == self.n || at.is_multiple_of(LANES);
        assert!(
            start == end || start < end && end <= self.n && bound(start) && bound(end),
            "columns {start}..{end} of {} are not whole panels of {LANES}",
            self.n
        );
        WeightColumns { weight: self, first: start, count: end - start }
    }

    /// How many `f32` n outputs of k inputs are when packed; `None` if that overflows.
    pub fn packed_len(n: usize, k: usize) -> Option<usize> {
        n.div_ceil(LANES).checked_mul(k.checked_add(1)?)?.checked_mul(LANES)
    }

    /// Weights that were packed before and begin at `offset` of a region: [`packed_len`](Self::packed_len) elements.
    /// Nothing is copied.
    ///
    /// The region must give the same slice whenever it is asked.
    ///
    /// # Panics
    ///
    /// If k is 0, the elements are not all inside the region, or the first is not aligned to 64 bytes.
    pub fn from_region(region: SharedRegion, offset: usize, n: usize, k: usize) -> PackedLinear {
        assert!(k > 0, "from_region: k is 0");
        let available = (*region).as_ref().len();
        let end = PackedLinear::packed_len(n, k).and_then(|len| offset.checked_add(len));
        let Some(end) = end.filter(|&end| end <= available) else {
            panic!("from_region: n = {n}, k = {k} at {offset} is outside the region ({available} elements)");
        };
        let bias_start = end - n.div_ceil(LANES) * LANES;
        let piece = |range: Range<usize>| {
            let elements = &(*region).as_ref()[range.clone()];
            let aligned = bytemuck::try_cast_slice::<f32, Lanes>(elements).is_ok();
            assert!(aligned, "from_region: element {} is not aligned to 64 bytes", range.start);
            PackedLanes::Shared { region: Arc::clone(&region), range }
        };
        PackedLinear { panels: piece(offset..bias_start), bias: piece(bias_start..end), n, k }
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

/// Packs rows of a weight, sixteen or fewer and all of one length, into a panel or a run of its steps:
/// rows `[columns][steps]` → panel `[steps][16]`. Columns that have no row are zero.
///
/// # Panics
///
/// If there are more than sixteen rows, or one is not a sixteenth of the panel long.
pub fn pack_panel(rows: &[&[f32]], panel: &mut [f32]) {
    assert!(rows.len() <= LANES, "pack_panel: {} rows, a panel has {LANES} columns", rows.len());
    for row in rows {
        let (steps, len) = (row.len(), panel.len());
        assert_eq!(steps.checked_mul(LANES), Some(len), "pack_panel: rows of {steps}, a panel of {len}");
    }
    let (steps, rest) = panel.as_chunks_mut::<LANES>();
    assert!(rest.is_empty(), "pack_panel: the panel ends with {} of {LANES} columns", rest.len());
    transpose(rows, steps);
}

fn pack_rows(rows: &[&[f32]], panel: &mut [Lanes]) {
    transpose(rows, bytemuck::cast_slice_mut(panel));
}

/// In blocks of 16 × 16, so that each cache line of the source and of the panel is touched once.
fn transpose(rows: &[&[f32]], panel: &mut [[f32; LANES]]) {
    let (blocks, rest) = panel.as_chunks_mut::<LANES>();
    let whole_blocks = blocks.len();
    for (i, block) in blocks.iter_mut().enumerate() {
        for (column, row) in rows.iter().enumerate() {
            // Of lengths that are known, so that the loop is unrolled.
            let row: &[f32; LANES] =
                row[i * LANES..].first_chunk().expect("a row has all steps of the panel");
            for step in 0..LANES {
                block[step][column] = row[step];
            }
        }
        for step in block {
            step[rows.len()..].fill(0.0);
        }
    }
    for (i, step) in rest.iter_mut().enumerate() {
        *step = [0.0; LANES];
        for (column, row) in rows.iter().enumerate() {
            step[column] = row[whole_blocks * LANES + i];
        }
    }
}

/// Lanes that are owned, or a range of elements of a region that others share.
pub(crate) enum PackedLanes {
    Owned(Vec<Lanes>),
    Shared { region: SharedRegion, range: Range<usize> },
}

impl Deref for PackedLanes {
    type Target = [Lanes];

    fn deref(&self) -> &[Lanes] {
        match self {
            PackedLanes::Owned(lanes) => lanes,
            PackedLanes::Shared { region, range } => {
                bytemuck::cast_slice(&(**region).as_ref()[range.clone()])
            }
        }
    }
}

impl fmt::Debug for PackedLanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PackedLanes::Owned(lanes) => write!(f, "{} lanes", lanes.len()),
            PackedLanes::Shared { range, .. } => write!(f, "elements {range:?} of a region"),
        }
    }
}
