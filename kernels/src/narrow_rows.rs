//! Activations in the precision of the weights that they are multiplied with.

use crate::aligned_buffer::AlignedBuffer;
use crate::dispatch::Isa;
use crate::dot::{Dot, DotKernel};
use crate::math::ROUND;
use crate::packed_linear::PackedLinear;
use crate::precision::Precision;
use crate::reference::{INT8_GROUP, LEAST_RANGE, RowScale};
use crate::rows::Rows;
use crate::simd::{LANES, Simd};

/// Rows of activations `[m][k]` as the weights want them that they are multiplied with: bf16, or bytes with a scale for each
/// [384](crate::reference::INT8_GROUP) of a row.
///
/// A row is whole words of 32 bits, two bf16 or four bytes; what lies behind its last activation is 0. It grows to the
/// most it has met and never gives memory back.
#[derive(Debug, Default)]
pub struct NarrowRows {
    precision: Precision,
    m: usize,
    k: usize,
    /// `[m][⌈k / activations of a word⌉]`
    words: AlignedBuffer,
    /// `[groups][m]`, in int8.
    scales: Vec<RowScale>,
}

/// What a product multiplies with its weights: activations `[m][k]`.
#[derive(Clone, Copy, Debug)]
pub enum Activations<'a> {
    /// For weights of f32.
    F32(&'a [f32]),
    /// For weights of bf16 and int8.
    Narrow(&'a NarrowRows),
}

impl<'a> From<&'a [f32]> for Activations<'a> {
    fn from(x: &'a [f32]) -> Self {
        Activations::F32(x)
    }
}

impl<'a> From<&'a AlignedBuffer> for Activations<'a> {
    fn from(x: &'a AlignedBuffer) -> Self {
        Activations::F32(x)
    }
}

impl<'a> From<&'a Vec<f32>> for Activations<'a> {
    fn from(x: &'a Vec<f32>) -> Self {
        Activations::F32(x)
    }
}

impl<'a, const N: usize> From<&'a [f32; N]> for Activations<'a> {
    fn from(x: &'a [f32; N]) -> Self {
        Activations::F32(x)
    }
}

impl<'a> From<&'a NarrowRows> for Activations<'a> {
    fn from(rows: &'a NarrowRows) -> Self {
        Activations::Narrow(rows)
    }
}

impl NarrowRows {
    /// Activations `[m][k]` as `weight` wants them: as they are for f32, else narrowed into this.
    ///
    /// # Panics
    ///
    /// If x is not a multiple of the weight's k long.
    pub fn narrow<'a>(&'a mut self, isa: Isa, x: &'a [f32], weight: &PackedLinear) -> Activations<'a> {
        if weight.precision() == Precision::F32 {
            return Activations::F32(x);
        }
        self.fill(isa, x, weight);
        Activations::Narrow(self)
    }

    /// Becomes the activations x `[m][k]` as the weight wants them: by [`reference::bf16_bits`](crate::reference::bf16_bits),
    /// or multiplied by its factors and quantised by [`reference::quantize_row`](crate::reference::quantize_row).
    fn fill(&mut self, isa: Isa, x: &[f32], weight: &PackedLinear) {
        let (precision, k) = (weight.precision(), weight.k());
        assert_eq!(x.len() % k, 0, "narrow: x has {} elements, no multiple of k = {k}", x.len());
        (self.precision, self.m, self.k) = (precision, x.len() / k, k);
        self.words.resize(self.m * self.stride());
        self.scales.clear();
        if precision == Precision::Int8 {
            self.scales.resize(self.m * k.div_ceil(INT8_GROUP), RowScale::NONE);
        }
        isa.multiply(precision, Narrow { x, factors: weight.factors(), rows: self });
    }

    /// The precision.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The number of rows.
    pub fn m(&self) -> usize {
        self.m
    }

    /// The number of activations of a row.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The scales of the rows, if they have any.
    pub(crate) fn scales(&self) -> &[RowScale] {
        &self.scales
    }

    pub(crate) fn words(&self) -> Rows<'_, u32> {
        Rows { data: bytemuck::cast_slice(&self.words), stride: self.stride() }
    }

    fn stride(&self) -> usize {
        self.k.div_ceil(self.precision.steps_a_word())
    }
}

struct Narrow<'a> {
    x: &'a [f32],
    factors: Option<&'a [f32]>,
    rows: &'a mut NarrowRows,
}

impl DotKernel for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        let Narrow { x, factors, rows } = self;
        let (k, stride) = (rows.k, rows.stride());
        match rows.precision {
            Precision::F32 => unreachable!("f32 stays as it is"),
            Precision::Bf16 => {
                for (x, words) in x.chunks_exact(k).zip(rows.words.chunks_exact_mut(stride)) {
                    bf16_row(dot, x, bytemuck::cast_slice_mut(words));
                }
            }
            Precision::Int8 => {
                let (simd, m) = (dot.simd(), rows.m);
                let whole = m - m % ROWS_AT_ONCE;
                let (x, x_rest) = x.split_at(whole * k);
                let (words, words_rest) = rows.words.split_at_mut(whole * stride);
                let firsts = (0..whole).step_by(ROWS_AT_ONCE);
                let several =
                    x.chunks_exact(ROWS_AT_ONCE * k).zip(words.chunks_exact_mut(ROWS_AT_ONCE * stride));
                for (first, (x, words)) in firsts.zip(several) {
                    let scales = &mut rows.scales[first..];
                    quantize_rows::<D::Simd, ROWS_AT_ONCE>(simd, x, factors, words, scales, m);
                }
                let single = x_rest.chunks_exact(k).zip(words_rest.chunks_exact_mut(stride));
                for (row, (x, words)) in (whole..m).zip(single) {
                    quantize_rows::<D::Simd, 1>(simd, x, factors, words, &mut rows.scales[row..], m);
                }
            }
        }
    }
}

#[inline(always)]
pub(crate) fn bf16_row<D: Dot>(dot: D, x: &[f32], to: &mut [u16]) {
    let simd = dot.simd();
    let (x, x_tail) = x.as_chunks::<LANES>();
    let (to, to_tail) = to.split_at_mut(x.len() * LANES);
    for (x, to) in x.iter().zip(to.as_chunks_mut().0) {
        dot.store_bf16(simd.load(x), to);
    }
    if !to_tail.is_empty() {
        let mut lanes = [0; LANES];
        dot.store_bf16(simd.load_partial(x_tail, 0.0), &mut lanes);
        to_tail.copy_from_slice(&lanes[..to_tail.len()]);
    }
}

/// How many rows are quantised at once: a row is a chain of extremes, then divisions, whose latencies the other rows hide.
const ROWS_AT_ONCE: usize = 4;

/// x `[R][k]` → words `[R][⌈k / 4⌉]` and scales, group by group: those of a group begin `scales_stride` after those of the one
/// before.
#[inline(always)]
fn quantize_rows<S: Simd, const R: usize>(
    simd: S,
    x: &[f32],
    factors: Option<&[f32]>,
    words: &mut [f32],
    scales: &mut [RowScale],
    scales_stride: usize,
) {
    let (k, stride) = (x.len() / R, words.len() / R);
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
    let mut bytes = bytes.chunks_exact_mut(4 * stride);
    let mut bytes: [_; R] = std::array::from_fn(|_| bytes.next().expect("R rows"));
    for group in 0..k.div_ceil(INT8_GROUP) {
        let inputs = group * INT8_GROUP..k.min((group + 1) * INT8_GROUP);
        let x: [_; R] = std::array::from_fn(|r| &x[r * k..][inputs.clone()]);
        let to = bytes.each_mut().map(|bytes| &mut bytes[inputs.start..4 * inputs.end.div_ceil(4)]);
        // With and without factors apart, so that the loops inside do not ask again and again.
        let of_group = match factors {
            Some(factors) => quantize_group(simd, x, Some(&factors[inputs]), to),
            None => quantize_group(simd, x, None, to),
        };
        scales[group * scales_stride..][..R].copy_from_slice(&of_group);
    }
}

/// R rows of a group, each by [`crate::reference::quantize_row`]. To four bytes a word, so to more than there are
/// activations, perhaps: those are 0.
#[inline(always)]
fn quantize_group<S: Simd, const R: usize>(
    simd: S,
    x: [&[f32]; R],
    factors: Option<&[f32]>,
    to: [&mut [u8]; R],
) -> [RowScale; R] {
    let (full, rest) = (x[0].len() / LANES, x[0].len() % LANES);
    let x = x.map(|x| x.as_chunks::<LANES>());
    let factors = factors.map(|factors| factors.as_chunks::<LANES>());
    let scaled = |v: S::F32, i: usize| match factors {
        Some((factors, _)) => simd.mul(v, simd.load(&factors[i])),
        None => v,
    };
    let scaled_last = |v: S::F32| match factors {
        Some((_, tail)) => simd.mul(v, simd.load_partial(tail, 0.0)),
        None => v,
    };

    let zero = simd.splat(0.0);
    let (mut lows, mut highs) = ([zero; R], [zero; R]);
    // Σ x · 0: 0, or NaN if one of them is not finite, which a maximum would forget.
    let mut nothing = [zero; R];
    for i in 0..full {
        for r in 0..R {
            let v = scaled(simd.load(&x[r].0[i]), i);
            lows[r] = simd.min(lows[r], v);
            highs[r] = simd.max(highs[r], v);
            nothing[r] = simd.mul_add(v, zero, nothing[r]);
        }
    }
    if rest > 0 {
        for r in 0..R {
            // Lanes beyond the row are 0, which is within the range anyway.
            let v = scaled_last(simd.load_partial(x[r].1, 0.0));
            lows[r] = simd.min(lows[r], v);
            highs[r] = simd.max(highs[r], v);
            nothing[r] = simd.mul_add(v, zero, nothing[r]);
        }
    }

    let mut scales = [RowScale { scale: 0.0, zero: 0.0 }; R];
    let (mut steps, mut zeros) = ([zero; R], [zero; R]);
    for r in 0..R {
        // −(a < b ? a : b) is −a > −b ? −a : −b.
        let low = -simd.reduce_max(simd.sub(zero, lows[r]));
        let range = simd.reduce_max(highs[r]) - low;
        // A row of zeros becomes zeros: with a step and a zero point of 0. Not so one that is not a number.
        let inverse = if range < LEAST_RANGE { 0.0 } else { 254.0 / range };
        let scale = if range < LEAST_RANGE { 0.0 } else { range / 254.0 };
        let shifted_zero = (-low).mul_add(inverse, ROUND);
        let scale = scale + simd.reduce_add(nothing[r]);
        scales[r] = RowScale { scale, zero: shifted_zero - ROUND };
        (steps[r], zeros[r]) = (simd.splat(inverse), simd.splat(shifted_zero));
    }

    let to = to.map(|to| to.split_at_mut(full * LANES));
    for i in 0..full {
        for r in 0..R {
            let v = scaled(simd.load(&x[r].0[i]), i);
            let to = &mut to[r].0.as_chunks_mut().0[i];
            simd.store_low_bytes(simd.mul_add(v, steps[r], zeros[r]), to);
        }
    }
    if rest > 0 {
        for r in 0..R {
            let v = scaled_last(simd.load_partial(x[r].1, 0.0));
            let mut lanes = [0; LANES];
            simd.store_low_bytes(simd.mul_add(v, steps[r], zeros[r]), &mut lanes);
            to[r].1.copy_from_slice(&lanes[..to[r].1.len()]);
            to[r].1[rest..].fill(0);
        }
    }
    scales
}
