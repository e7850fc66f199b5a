//! What vectors that are searched may be made of.

use bytemuck::{Pod, Zeroable};

use super::Best;
use super::rescoring::DotOfNumbers;
use super::scan::Scan;
use crate::dispatch::Isa;
use crate::dot::rows::Product;
use crate::score::Score;
use crate::simd::LANES;

/// What vectors that are searched are made of: `f32`, `i8`, `u8` or [`Bits`]. Nothing else implements it.
#[allow(
    private_bounds,
    reason = "how products are computed is a matter of this crate, which also seals the trait"
)]
pub trait Component: Products + Pod + Send + Sync {
    /// What rows are ordered by, the largest first: the dot product with the query, which of integers is exact; of bits the
    /// negated Hamming distance.
    type Score: Score;

    /// The most components a vector may have, so that no score is beyond `i32`.
    const MAX_LEN: usize;

    /// How many numbers a component stands for: 8 of [`Bits`], 1 of all else.
    const NUMBERS: usize = 1;
}

/// Eight components of a binary vector, the first in the highest bit: as numpy's `packbits` packs them, and as
/// sentence-transformers does in its precision `ubinary`. In its precision `binary`, 128 is subtracted from each byte,
/// which flips the highest bit of query and row alike, so that distances are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Bits(pub u8);

impl Bits {
    /// Bytes as bits.
    pub fn slice(bytes: &[u8]) -> &[Bits] {
        bytemuck::cast_slice(bytes)
    }

    /// The bytes of sentence-transformers' precision `binary` as bits.
    pub fn of_signed(bytes: &[i8]) -> &[Bits] {
        bytemuck::cast_slice(bytes)
    }
}

impl Component for f32 {
    type Score = f32;
    const MAX_LEN: usize = usize::MAX;
}

impl Component for i8 {
    type Score = i32;
    const MAX_LEN: usize = (i32::MAX / (128 * 128)) as usize;
}

impl Component for u8 {
    type Score = i32;
    const MAX_LEN: usize = (i32::MAX / (255 * 255)) as usize;
}

impl Component for Bits {
    type Score = i32;
    const MAX_LEN: usize = (i32::MAX / 8) as usize;
    const NUMBERS: usize = 8;
}

/// What this crate does with components. No function of it is generic where it is called from outside, or every crate that
/// calls it would compile all kernels again.
pub(crate) trait Products: Sized {
    /// See [`search`](fn@crate::search).
    fn search(isa: Isa, queries: &[Self], k: usize, rows: &[Self], best: Best<'_, Self>)
    where
        Self: Component;

    /// See [`crate::dot_of_numbers`].
    fn dot_of_numbers(isa: Isa, query: &[f32], row: &[Self]) -> f32;

    /// The numbers that stand in that vector from component `first` on, sixteen at most; 0 behind its end.
    fn numbers(vector: &[Self], first: usize) -> [f32; LANES];
}

/// Each as a number.
#[inline(always)]
fn each<T: Copy>(vector: &[T], first: usize) -> [f32; LANES]
where
    f32: From<T>,
{
    let rest = &vector[first..];
    match rest.first_chunk::<LANES>() {
        Some(sixteen) => sixteen.map(f32::from),
        None => std::array::from_fn(|j| rest.get(j).map_or(0.0, |&x| f32::from(x))),
    }
}

/// Of sixteen bits.
#[inline(always)]
fn each_bit(vector: &[Bits], first: usize) -> [f32; LANES] {
    let byte = |i: usize| vector.get(first + i).map_or(0, |bits| bits.0);
    let bits = u16::from_be_bytes([byte(0), byte(1)]);
    std::array::from_fn(|j| f32::from(bits >> (LANES - 1 - j) & 1))
}

macro_rules! products {
    ($component:ty, $run:ident $(::<$metric:ty>)?, $numbers:ident) => {
        impl Products for $component {
            fn search(isa: Isa, queries: &[Self], k: usize, rows: &[Self], best: Best<'_, Self>) {
                isa.$run$(::<$metric, _>)?(Scan { queries, rows, k, sink: best });
            }

            fn dot_of_numbers(isa: Isa, query: &[f32], row: &[Self]) -> f32 {
                isa.run(DotOfNumbers { query, row })
            }

            #[inline(always)]
            fn numbers(vector: &[Self], first: usize) -> [f32; LANES] {
                $numbers(vector, first)
            }
        }
    };
}

products!(f32, run_f32_rows::<Product>, each);
products!(i8, run_int8_rows, each);
products!(u8, run_uint8_rows, each);
products!(Bits, run_binary_rows, each_bit);
