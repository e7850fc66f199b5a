//! Activations in the precision of the weights that they are multiplied with.

use crate::aligned_buffer::AlignedBuffer;
use crate::dispatch::{Isa, Kernel};
use crate::math::ROUND;
use crate::packed_linear::PackedLinear;
use crate::precision::Precision;
use crate::reference::{LEAST_RANGE, RowScale};
use crate::rows::Rows;
use crate::simd::{LANES, Simd};

/// Rows of activations `[m][k]` as the weights want them that they are multiplied with: bf16, or bytes with a scale a row.
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
    /// Of each row, in int8.
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
        self.fill(isa, weight.precision(), x, weight.k());
        Activations::Narrow(self)
    }

    /// Becomes the activations x `[m][k]` in that precision: by [`reference::bf16_bits`](crate::reference::bf16_bits), or
    /// by [`reference::quantize_row`](crate::reference::quantize_row).
    ///
    /// # Panics
    ///
    /// If the precision is f32, k is 0 or x is not a multiple of k long.
    pub fn fill(&mut self, isa: Isa, precision: Precision, x: &[f32], k: usize) {
        assert!(precision != Precision::F32, "narrow: f32 stays as it is");
        assert!(k > 0, "narrow: rows of width 0");
        assert_eq!(x.len() % k, 0, "narrow: x has {} elements, no multiple of k = {k}", x.len());
        (self.precision, self.m, self.k) = (precision, x.len() / k, k);
        self.words.resize(self.m * self.stride());
        self.scales.clear();
        if precision == Precision::Int8 {
            self.scales.resize(self.m, RowScale::NONE);
        }
        isa.run(Narrow { x, rows: self });
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
    rows: &'a mut NarrowRows,
}

impl Kernel for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Narrow { x, rows } = self;
        let stride = rows.stride();
        let x = x.chunks_exact(rows.k);
        let words = rows.words.chunks_exact_mut(stride);
        match rows.precision {
            Precision::F32 => unreachable!("refused by `fill`"),
            Precision::Bf16 => {
                for (x, words) in x.zip(words) {
                    bf16_row(simd, x, bytemuck::cast_slice_mut(words));
                }
            }
            Precision::Int8 => {
                for ((x, words), scale) in x.zip(words).zip(&mut rows.scales) {
                    *scale = quantize_row(simd, x, bytemuck::cast_slice_mut(words));
                }
            }
        }
    }
}

#[inline(always)]
fn bf16_row<S: Simd>(simd: S, x: &[f32], to: &mut [u16]) {
    let (x, x_tail) = x.as_chunks::<LANES>();
    let (to, to_tail) = to.split_at_mut(x.len() * LANES);
    for (x, to) in x.iter().zip(to.as_chunks_mut().0) {
        simd.store_bf16(simd.load(x), to);
    }
    if !to_tail.is_empty() {
        let mut lanes = [0; LANES];
        simd.store_bf16(simd.load_partial(x_tail, 0.0), &mut lanes);
        to_tail.copy_from_slice(&lanes[..to_tail.len()]);
    }
}

/// See [`crate::reference::quantize_row`].
#[inline(always)]
fn quantize_row<S: Simd>(simd: S, x: &[f32], to: &mut [u8]) -> RowScale {
    let (x, x_tail) = x.as_chunks::<LANES>();
    let (mut low, mut high) = (simd.splat(0.0), simd.splat(0.0));
    for x in x {
        let x = simd.load(x);
        (low, high) = (simd.min(low, x), simd.max(high, x));
    }
    let last = simd.load_partial(x_tail, 0.0);
    // Lanes beyond the row are 0, which is within the range anyway.
    (low, high) = (simd.min(low, last), simd.max(high, last));
    // −(a < b ? a : b) is −a > −b ? −a : −b.
    let zero = simd.splat(0.0);
    let (low, high) = (-simd.reduce_max(simd.sub(zero, low)), simd.reduce_max(high));
    let range = high - low;
    if range < LEAST_RANGE {
        to.fill(0);
        return RowScale { scale: 0.0, zero: 0 };
    }
    let inverse = 254.0 / range;
    let shifted_zero = (-low).mul_add(inverse, ROUND);
    let (factor, addend) = (simd.splat(inverse), simd.splat(shifted_zero));
    let (to, to_tail) = to.split_at_mut(x.len() * LANES);
    for (x, to) in x.iter().zip(to.as_chunks_mut().0) {
        simd.store_low_bytes(simd.mul_add(simd.load(x), factor, addend), to);
    }
    if !to_tail.is_empty() {
        let mut lanes = [0; LANES];
        simd.store_low_bytes(simd.mul_add(last, factor, addend), &mut lanes);
        to_tail.copy_from_slice(&lanes[..to_tail.len()]);
        to_tail[x_tail.len()..].fill(0);
    }
    RowScale { scale: range / 254.0, zero: (shifted_zero.to_bits() & 0xff) as i32 }
}
