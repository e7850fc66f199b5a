//! Bits: how many of a row differ from the query's.

use bytemuck::{Pod, Zeroable};

use super::{I32, IntegerDot, On, RowDot, RowKernel, chunk_len};
use crate::search::Bits;
use crate::simd::{LANES, Simd};

/// Counting bits on an instruction set. A value is the proof that the machine has it.
pub(crate) trait BitCounts: IntegerDot {
    /// 64 bytes.
    type Chunk: Pod;

    /// A chunk in registers.
    type Line: Copy;

    fn line(self, chunk: &Self::Chunk) -> Self::Line;

    /// Bit by bit a ∧ b.
    fn and(self, a: Self::Line, b: Self::Line) -> Self::Line;

    /// `sums` and how many bits of a and b differ, in any of the lanes.
    fn add_differing(self, a: Self::Line, b: Self::Line, sums: I32<Self>) -> I32<Self>;

    /// Each lane negated.
    fn negate(self, sums: I32<Self>) -> I32<Self>;
}

/// From its byte 64 − n on, the first n bytes of a chunk.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Masks([[u8; 64]; 2]);

const MASKS: Masks = Masks([[0xff; 64], [0; 64]]);

#[derive(Clone, Copy)]
pub(crate) struct BinaryRows<B>(pub(crate) B);

impl<B: BitCounts> RowDot for BinaryRows<B> {
    type Simd = B::Simd;
    type Component = Bits;
    type Chunk = B::Chunk;
    type Query = B::Line;
    type Row = B::Line;
    type Constant = ();

    const QUERIES: usize = B::QUERIES;
    const ROWS: usize = B::ROWS;
    const ROWS_OF_ONE: usize = B::ROWS_OF_ONE;

    #[inline(always)]
    fn simd(self) -> B::Simd {
        self.0.simd()
    }

    #[inline(always)]
    fn call<K: RowKernel<Bits>>(self, kernel: K) -> K::Output {
        self.0.call_ready(On(kernel, self))
    }

    #[inline(always)]
    fn constant(self, _query: &[Bits]) {}

    #[inline(always)]
    fn query(self, chunk: &B::Chunk) -> B::Line {
        self.0.line(chunk)
    }

    #[inline(always)]
    fn row(self, chunk: &B::Chunk) -> B::Line {
        self.0.line(chunk)
    }

    #[inline(always)]
    fn last_row(self, chunk: &B::Chunk, components: usize) -> B::Line {
        let masks: &[u8] = bytemuck::bytes_of(&MASKS);
        let mask = &masks[64 - components..][..chunk_len::<Self>()];
        self.0.and(self.0.line(chunk), self.0.line(bytemuck::from_bytes(mask)))
    }

    #[inline(always)]
    fn zero(self) -> I32<B> {
        self.simd().splat_i32(0)
    }

    #[inline(always)]
    fn dot(self, query: B::Line, row: B::Line, sums: I32<B>) -> I32<B> {
        self.0.add_differing(query, row, sums)
    }

    #[inline(always)]
    fn scores(self, sums: [I32<B>; LANES], _constant: ()) -> I32<B> {
        self.0.negate(self.simd().reduce_add_rows_i32(sums))
    }
}
