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
    /// `[m][groups]`, in int8.
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
        let stride = rows.stride();
        let x = x.chunks_exact(rows.k);
        let words = rows.words.chunks_exact_mut(stride);
        match rows.precision {
            Precision::F32 => unreachable!("f32 stays as it is"),
            Precision::Bf16 => {
                for (x, words) in x.zip(words) {
                    bf16_row(dot, x, bytemuck::cast_slice_mut(words));
                }
            }
            Precision::Int8 => {
                let chains = rows.k.div_ceil(INT8_GROUP);
                for ((x, words), scales) in x.zip(words).zip(rows.scales.chunks_exact_mut(chains)) {
                    let groups = x.chunks(INT8_GROUP).zip(words.chunks_mut(INT8_GROUP / 4)).zip(scales);
                    for (i, ((x, words), scale)) in groups.enumerate() {
                        let (simd, to) = (dot.simd(), bytemuck::cast_slice_mut(words));
                        *scale = match factors {
                            Some(factors) => {
                                let factors = &factors[i * INT8_GROUP..][..x.len()];
                                quantize_row(Scaled { simd, x, factors }, to)
                            }
                            None => quantize_row(AsIs { simd, x }, to),
                        };
                    }
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

/// A row of activations that is read vector by vector.
trait Row: Copy {
    type Simd: Simd;

    fn simd(self) -> Self::Simd;

    fn len(self) -> usize;

    /// Sixteen from number 16 i on.
    fn chunk(self, i: usize) -> <Self::Simd as Simd>::F32;

    /// What is left behind the last whole vector, and zeros.
    fn tail(self) -> <Self::Simd as Simd>::F32;
}

/// Activations as they are.
#[derive(Clone, Copy)]
struct AsIs<'a, S> {
    simd: S,
    x: &'a [f32],
}

impl<S: Simd> Row for AsIs<'_, S> {
    type Simd = S;

    #[inline(always)]
    fn simd(self) -> S {
        self.simd
    }

    #[inline(always)]
    fn len(self) -> usize {
        self.x.len()
    }

    #[inline(always)]
    fn chunk(self, i: usize) -> S::F32 {
        self.simd.load(&self.x.as_chunks().0[i])
    }

    #[inline(always)]
    fn tail(self) -> S::F32 {
        self.simd.load_partial(self.x.as_chunks::<LANES>().1, 0.0)
    }
}

/// Activations, each times its factor.
#[derive(Clone, Copy)]
struct Scaled<'a, S> {
    simd: S,
    x: &'a [f32],
    factors: &'a [f32],
}

impl<S: Simd> Row for Scaled<'_, S> {
    type Simd = S;

    #[inline(always)]
    fn simd(self) -> S {
        self.simd
    }

    #[inline(always)]
    fn len(self) -> usize {
        self.x.len()
    }

    #[inline(always)]
    fn chunk(self, i: usize) -> S::F32 {
        let [x, factors] = [self.x, self.factors].map(|of| self.simd.load(&of.as_chunks().0[i]));
        self.simd.mul(x, factors)
    }

    #[inline(always)]
    fn tail(self) -> S::F32 {
        let tail = |of: &[f32]| self.simd.load_partial(of.as_chunks::<LANES>().1, 0.0);
        self.simd.mul(tail(self.x), tail(self.factors))
    }
}

/// See [`crate::reference::quantize_row`].
#[inline(always)]
fn quantize_row<R: Row>(row: R, to: &mut [u8]) -> RowScale {
    let (simd, full, rest) = (row.simd(), row.len() / LANES, row.len() % LANES);
    let (mut low, mut high) = (simd.splat(0.0), simd.splat(0.0));
    for i in 0..full {
        let x = row.chunk(i);
        (low, high) = (simd.min(low, x), simd.max(high, x));
    }
    // Lanes beyond the row are 0, which is within the range anyway.
    let last = row.tail();
    (low, high) = (simd.min(low, last), simd.max(high, last));
    // −(a < b ? a : b) is −a > −b ? −a : −b.
    let (low, high) = (-simd.reduce_max(simd.sub(simd.splat(0.0), low)), simd.reduce_max(high));
    let range = high - low;
    if range < LEAST_RANGE {
        to.fill(0);
        return RowScale { scale: 0.0, zero: 0.0 };
    }
    let inverse = 254.0 / range;
    let shifted_zero = (-low).mul_add(inverse, ROUND);
    let (factor, addend) = (simd.splat(inverse), simd.splat(shifted_zero));
    let (to, to_tail) = to.split_at_mut(full * LANES);
    for (i, to) in to.as_chunks_mut().0.iter_mut().enumerate() {
        simd.store_low_bytes(simd.mul_add(row.chunk(i), factor, addend), to);
    }
    if !to_tail.is_empty() {
        let mut lanes = [0; LANES];
        simd.store_low_bytes(simd.mul_add(last, factor, addend), &mut lanes);
        to_tail.copy_from_slice(&lanes[..to_tail.len()]);
        to_tail[rest..].fill(0);
    }
    RowScale { scale: range / 254.0, zero: shifted_zero - ROUND }
}
