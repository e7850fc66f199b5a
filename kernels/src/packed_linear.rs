//! A dense layer's weights, packed into panels of sixteen output columns.

use std::fmt;
use std::ops::{Deref, Range};
use std::slice::ChunksExactMut;
use std::sync::Arc;

use crate::dot::ColumnScales;
use crate::precision::Precision;
use crate::reference::{self, INT8_GROUP};
use crate::simd::{LANES, Lanes};
use crate::tile::Panels;

/// Some output columns of a [`PackedLinear`], in whole panels: see [`PackedLinear::columns`].
#[derive(Clone, Copy, Debug)]
pub struct WeightColumns<'a> {
    pub(crate) weight: &'a PackedLinear,
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl<'a> WeightColumns<'a> {
    /// Their panels `[⌈count / 16⌉][lines][16]`.
    pub(crate) fn panels(self) -> Panels<'a> {
        let (first, count) = (self.first / LANES, self.count.div_ceil(LANES));
        let k = lines(self.weight.precision, self.weight.k);
        let data = if count == 0 { &[] } else { &self.weight.panels[first * k..][..count * k] };
        Panels { data, k }
    }
}

/// Memory with packed weights that several layers, models or processes share: see [`PackedLinear::from_region`].
pub type SharedRegion = Arc<dyn AsRef<[f32]> + Send + Sync>;

/// A weight matrix with its bias, packed once into panels for [`linear`](crate::linear()), in a [`Precision`].
///
/// Packed, it is lines of 64 bytes: panels of sixteen output columns, then what there is of each column. Columns from n on are
/// zero, as are steps from k on. The layout is the same for every instruction set:
///
/// | | panels | of each column |
/// |---|---|---|
/// | f32 | `[⌈n / 16⌉][k][16]` | bias `[⌈n / 16⌉][16]` |
/// | bf16 | `[⌈n / 16⌉][⌈k / 2⌉][16][2]` | bias |
/// | int8 | `[⌈n / 16⌉][⌈k / 4⌉][16][4]` | bias; for each [group](crate::reference::INT8_GROUP) of inputs the scale, f32; for each the sum of the column's bytes, f32 |
///
/// Behind that, int8 has a factor for each input, `[⌈k / 16⌉][16]`: activations are multiplied by it before they are
/// quantised, and weights are divided by it, which changes nothing but how well both can be quantised.
///
/// What a weight becomes, [`reference::bf16_bits`] and
/// [`reference::quantize_weights`] say.
#[derive(Debug)]
pub struct PackedLinear {
    pub(crate) precision: Precision,
    /// `[⌈n / 16⌉][steps of a panel][16]`
    pub(crate) panels: PackedLanes,
    /// `[of each column: bias, scales, sums][⌈n / 16⌉][16]`, as many of them as the precision has.
    pub(crate) columns: PackedLanes,
    /// `[⌈k / 16⌉][16]`, in int8.
    factors: PackedLanes,
    /// Whether a factor is another number than 1.
    has_factors: bool,
    pub(crate) n: usize,
    pub(crate) k: usize,
}

/// How many lines a panel has, one for each word of activations.
fn lines(precision: Precision, k: usize) -> usize {
    k.div_ceil(precision.steps_a_word())
}

/// How many numbers there are of each column.
fn numbers_of_columns(precision: Precision, k: usize) -> usize {
    match precision {
        Precision::F32 | Precision::Bf16 => 1,
        Precision::Int8 => 1 + 2 * k.div_ceil(INT8_GROUP),
    }
}

/// How many lines there are for the factors of inputs.
fn lines_of_factors(precision: Precision, k: usize) -> usize {
    if precision == Precision::Int8 { k.div_ceil(LANES) } else { 0 }
}

impl PackedLinear {
    /// Packs parts, each a weight `[n_i][k]` (row-major, as PyTorch's `nn.Linear` keeps it) with its bias
    /// `[n_i]`, into one matrix of n = Σ n_i outputs: their outputs stand side by side.
    ///
    /// # Panics
    ///
    /// If k is 0 or a weight's length is not k times its bias's.
    pub fn pack(precision: Precision, parts: &[(&[f32], &[f32])], k: usize) -> PackedLinear {
        PackedLinear::pack_parts(precision, parts, k, None)
    }

    /// As [`pack`](Self::pack) in int8, with the factors `[k]` of the inputs.
    ///
    /// # Panics
    ///
    /// If there are no factors or a weight's length is not k times its bias's.
    pub fn pack_with_factors(parts: &[(&[f32], &[f32])], factors: &[f32]) -> PackedLinear {
        PackedLinear::pack_parts(Precision::Int8, parts, factors.len(), Some(factors))
    }

    fn pack_parts(
        precision: Precision,
        parts: &[(&[f32], &[f32])],
        k: usize,
        factors: Option<&[f32]>,
    ) -> PackedLinear {
        assert!(k > 0, "pack: k is 0");
        for (weight, bias) in parts {
            let n = bias.len();
            assert_eq!(Some(weight.len()), n.checked_mul(k), "pack: a weight for {n} outputs of k = {k}");
        }
        let rows: Vec<&[f32]> = parts.iter().flat_map(|(weight, _)| weight.chunks_exact(k)).collect();
        let biases: Vec<f32> = parts.iter().flat_map(|(_, bias)| *bias).copied().collect();
        let n = rows.len();
        let len = PackedLinear::packed_len(precision, n, k).expect("as large as its parts");
        let mut packed = vec![Lanes::ZERO; len / LANES];
        let places =
            PackedLinear::panels_mut(precision, [n, k], factors, bytemuck::cast_slice_mut(&mut packed));
        for ((place, rows), biases) in places.zip(rows.chunks(LANES)).zip(biases.chunks(LANES)) {
            place.pack(rows, biases);
        }
        PackedLinear::from_region(precision, Arc::new(OwnedLanes(packed)), 0, n, k)
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

    /// How many `f32`, or as many bytes, n outputs of k inputs are when packed; `None` if that overflows.
    pub fn packed_len(precision: Precision, n: usize, k: usize) -> Option<usize> {
        let of_a_panel = lines(precision, k).checked_add(numbers_of_columns(precision, k))?;
        let of_all = n.div_ceil(LANES).checked_mul(of_a_panel)?;
        of_all.checked_add(lines_of_factors(precision, k))?.checked_mul(LANES)
    }

    /// The panels of n outputs of k inputs in room for [`packed_len`](Self::packed_len) elements, to be packed one by one.
    ///
    /// `factors` `[k]` are what activations are multiplied with before they are quantised, in int8; all 1 without them.
    ///
    /// # Panics
    ///
    /// If k is 0, there are not as many elements, or there are factors but not k, or not for int8.
    pub fn panels_mut<'a>(
        precision: Precision,
        [n, k]: [usize; 2],
        factors: Option<&[f32]>,
        packed: &'a mut [f32],
    ) -> impl Iterator<Item = PanelMut<'a>> {
        assert!(k > 0, "panels: k is 0");
        let len = packed.len();
        assert_eq!(PackedLinear::packed_len(precision, n, k), Some(len), "panels: n = {n}, k = {k}");
        let (packed, room_of_factors) = packed.split_at_mut(len - lines_of_factors(precision, k) * LANES);
        room_of_factors.fill(1.0);
        if let Some(factors) = factors {
            assert!(precision == Precision::Int8 && factors.len() == k, "panels: {} factors", factors.len());
            room_of_factors[..k].copy_from_slice(factors);
        }
        let factors = &*room_of_factors;
        let (lines, columns) = packed.split_at_mut(n.div_ceil(LANES) * lines(precision, k) * LANES);
        PanelsMut {
            precision,
            k,
            factors,
            lines,
            columns: by_panels(columns, numbers_of_columns(precision, k)),
        }
    }

    /// Weights that were packed before and begin at `offset` of a region: [`packed_len`](Self::packed_len) elements.
    /// Nothing is copied.
    ///
    /// The region must give the same slice whenever it is asked.
    ///
    /// # Panics
    ///
    /// If k is 0, the elements are not all inside the region, or the first is not aligned to 64 bytes.
    pub fn from_region(
        precision: Precision,
        region: SharedRegion,
        offset: usize,
        n: usize,
        k: usize,
    ) -> PackedLinear {
        assert!(k > 0, "from_region: k is 0");
        let available = (*region).as_ref().len();
        let end = PackedLinear::packed_len(precision, n, k).and_then(|len| offset.checked_add(len));
        let Some(end) = end.filter(|&end| end <= available) else {
            panic!("from_region: n = {n}, k = {k} at {offset} is outside the region ({available} elements)");
        };
        let factors_start = end - lines_of_factors(precision, k) * LANES;
        let columns_start = factors_start - n.div_ceil(LANES) * numbers_of_columns(precision, k) * LANES;
        let piece = |range: Range<usize>| {
            let elements = &(*region).as_ref()[range.clone()];
            let aligned = bytemuck::try_cast_slice::<f32, Lanes>(elements).is_ok();
            assert!(aligned, "from_region: element {} is not aligned to 64 bytes", range.start);
            PackedLanes { region: Arc::clone(&region), range }
        };
        let (panels, columns) = (piece(offset..columns_start), piece(columns_start..factors_start));
        let factors = piece(factors_start..end);
        let has_factors = factors.iter().any(|lanes| lanes.0 != [1.0; LANES]);
        PackedLinear { precision, panels, columns, factors, has_factors, n, k }
    }

    /// What the products are computed in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The number of outputs.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The number of inputs.
    pub fn k(&self) -> usize {
        self.k
    }

    /// What each of the k inputs is multiplied with before it is quantised, if that is not 1.
    pub fn factors(&self) -> Option<&[f32]> {
        self.has_factors.then(|| &bytemuck::cast_slice(&self.factors)[..self.k])
    }

    /// The bias, sixteen columns a panel.
    pub(crate) fn bias(&self) -> &[Lanes] {
        &self.columns[..self.n.div_ceil(LANES)]
    }

    /// The scales of the columns, if they have any.
    pub(crate) fn scales(&self) -> Option<ColumnScales<'_>> {
        let panels = self.n.div_ceil(LANES);
        (self.precision == Precision::Int8).then(|| {
            let (scales, sums) = self.columns[panels..].split_at((self.columns.len() - panels) / 2);
            ColumnScales { scales, sums, stride: panels }
        })
    }
}

/// Rows of sixteen a panel: one iterator a row.
fn by_panels(columns: &mut [f32], rows: usize) -> Vec<ChunksExactMut<'_, f32>> {
    let len = (columns.len() / rows).max(1);
    columns.chunks_exact_mut(len).map(|row| row.chunks_exact_mut(LANES)).collect()
}

/// See [`PackedLinear::panels_mut`].
struct PanelsMut<'a> {
    precision: Precision,
    k: usize,
    factors: &'a [f32],
    /// Of the panels that are left.
    lines: &'a mut [f32],
    columns: Vec<ChunksExactMut<'a, f32>>,
}

impl<'a> Iterator for PanelsMut<'a> {
    type Item = PanelMut<'a>;

    fn next(&mut self) -> Option<PanelMut<'a>> {
        let len = lines(self.precision, self.k) * LANES;
        let (lines, rest) = std::mem::take(&mut self.lines).split_at_mut_checked(len)?;
        self.lines = rest;
        let columns = self.columns.iter_mut().map(|row| row.next()).collect::<Option<_>>()?;
        Some(PanelMut { precision: self.precision, k: self.k, factors: self.factors, lines, columns })
    }
}

/// The place of a panel and of its columns' numbers in packed weights: see [`PackedLinear::panels_mut`].
#[derive(Debug)]
pub struct PanelMut<'a> {
    precision: Precision,
    k: usize,
    /// `[k]`, or nothing.
    factors: &'a [f32],
    /// `[lines][16]`
    lines: &'a mut [f32],
    /// `[16]` each: bias, scales, sums.
    columns: Vec<&'a mut [f32]>,
}

impl PanelMut<'_> {
    /// Packs rows of a weight `[≤ 16][k]`, the outputs of this panel, with their biases.
    ///
    /// # Panics
    ///
    /// If there are more than sixteen rows, one is not k long, or there are not as many biases as rows.
    pub fn pack(self, rows: &[&[f32]], biases: &[f32]) {
        assert!(rows.len() <= LANES, "pack: {} rows, a panel has {LANES} columns", rows.len());
        assert_eq!(biases.len(), rows.len(), "pack: biases for {} rows", rows.len());
        for row in rows {
            assert_eq!(row.len(), self.k, "pack: the length of a row");
        }
        let PanelMut { lines, mut columns, factors, .. } = self;
        columns.iter_mut().for_each(|column| column.fill(0.0));
        columns[0][..biases.len()].copy_from_slice(biases);
        let lines = lines.as_chunks_mut().0;
        let narrow: Vec<Vec<f32>> = match self.precision {
            Precision::F32 => return transpose(rows, lines),
            Precision::Bf16 => rows.iter().map(|row| bf16_words(row)).collect(),
            Precision::Int8 => {
                let (scales, sums) = columns[1..].split_at_mut(self.k.div_ceil(INT8_GROUP));
                let mut quantize = |(i, row): (usize, &&[f32])| {
                    let row: Vec<f32> = row.iter().zip(factors).map(|(w, factor)| w / factor).collect();
                    let mut all = Vec::with_capacity(row.len());
                    for ((group, scales), sums) in row.chunks(INT8_GROUP).zip(&mut *scales).zip(&mut *sums) {
                        let (bytes, scale) = reference::quantize_weights(group);
                        let sum: i32 = bytes.iter().map(|&byte| i32::from(byte)).sum();
                        (scales[i], sums[i]) = (scale, sum as f32);
                        all.extend(bytes);
                    }
                    int8_words(&all)
                };
                rows.iter().enumerate().map(&mut quantize).collect()
            }
        };
        transpose(&narrow.iter().map(Vec::as_slice).collect::<Vec<_>>(), lines);
    }
}

/// Two bf16 a word, the first in its lower half; an f32 is nothing but 32 bits here.
fn bf16_words(row: &[f32]) -> Vec<f32> {
    let bits = |x: f32| u32::from(reference::bf16_bits(x));
    let word = |two: &[f32]| bits(two[0]) | two.get(1).map_or(0, |&x| bits(x)) << 16;
    row.chunks(2).map(|two| f32::from_bits(word(two))).collect()
}

/// Four bytes a word, the first in its lowest.
fn int8_words(bytes: &[i8]) -> Vec<f32> {
    let word = |four: &[i8]| {
        let mut word = [0; 4];
        for (to, byte) in word.iter_mut().zip(four) {
            *to = byte.cast_unsigned();
        }
        f32::from_bits(u32::from_le_bytes(word))
    };
    bytes.chunks(4).map(word).collect()
}

/// Rows `[≤ 16][steps]` → `[steps][16]`, 0 where there is no row. In blocks of 16 × 16, so that each cache line of the source
/// and of the panel is touched once.
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

/// Packed weights that are nobody else's.
struct OwnedLanes(Vec<Lanes>);

impl AsRef<[f32]> for OwnedLanes {
    fn as_ref(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }
}

/// A range of elements of a region.
pub(crate) struct PackedLanes {
    region: SharedRegion,
    range: Range<usize>,
}

impl Deref for PackedLanes {
    type Target = [Lanes];

    fn deref(&self) -> &[Lanes] {
        bytemuck::cast_slice(&(*self.region).as_ref()[self.range.clone()])
    }
}

impl fmt::Debug for PackedLanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "elements {:?} of a region", self.range)
    }
}
