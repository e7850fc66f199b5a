//! int8 and uint8: exact sums in 32 bits.

use bytemuck::Pod;

use super::{I32, IntegerDot, On, RowDot, RowKernel};
use crate::simd::{LANES, Simd};

/// Products of bytes on an instruction set. A value is the proof that the machine has it.
///
/// Some instructions multiply signed with unsigned bytes alone. There 128 is added to each byte of a row of int8, or
/// subtracted from each of uint8, by flipping its highest bit; a sum is then too large by so many times the sum of the
/// query's bytes. All sums are modulo 2³², so it does not matter what the detour comes to.
pub(crate) trait ByteProducts: IntegerDot {
    /// 64 or 32 bytes.
    type Chunk: Pod;

    /// A chunk as the products want it.
    type Line: Copy;

    /// What has been added to each byte of a row of int8, and of uint8.
    const INT8_OFFSET: i32 = 0;
    const UINT8_OFFSET: i32 = 0;

    /// A chunk of a query of int8. What else is not given is read in the same way.
    fn int8_query(self, chunk: &Self::Chunk) -> Self::Line;

    #[inline(always)]
    fn int8_row(self, chunk: &Self::Chunk) -> Self::Line {
        self.int8_query(chunk)
    }

    fn int8_dot(self, query: Self::Line, row: Self::Line, sums: I32<Self>) -> I32<Self>;

    #[inline(always)]
    fn uint8_query(self, chunk: &Self::Chunk) -> Self::Line {
        self.int8_query(chunk)
    }

    #[inline(always)]
    fn uint8_row(self, chunk: &Self::Chunk) -> Self::Line {
        self.int8_row(chunk)
    }

    fn uint8_dot(self, query: Self::Line, row: Self::Line, sums: I32<Self>) -> I32<Self>;
}

#[derive(Clone, Copy)]
pub(crate) struct Int8Rows<B>(pub(crate) B);

#[derive(Clone, Copy)]
pub(crate) struct Uint8Rows<B>(pub(crate) B);

macro_rules! byte_rows {
    ($name:ident, $component:ty, $offset:ident, $query:ident, $row:ident, $dot:ident) => {
        impl<B: ByteProducts> RowDot for $name<B> {
            type Simd = B::Simd;
            type Component = $component;
            type Chunk = B::Chunk;
            type Query = B::Line;
            type Row = B::Line;
            /// What is to be added to each sum.
            type Constant = i32;

            const QUERIES: usize = B::QUERIES;
            const ROWS: usize = B::ROWS;
            const ROWS_OF_ONE: usize = B::ROWS_OF_ONE;

            #[inline(always)]
            fn simd(self) -> B::Simd {
                self.0.simd()
            }

            #[inline(always)]
            fn call<K: RowKernel<$component>>(self, kernel: K) -> K::Output {
                self.0.call_ready(On(kernel, self))
            }

            #[inline(always)]
            fn constant(self, query: &[$component]) -> i32 {
                let sum = query.iter().fold(0i32, |sum, &byte| sum.wrapping_add(i32::from(byte)));
                sum.wrapping_mul(-B::$offset)
            }

            #[inline(always)]
            fn query(self, chunk: &B::Chunk) -> B::Line {
                self.0.$query(chunk)
            }

            #[inline(always)]
            fn row(self, chunk: &B::Chunk) -> B::Line {
                self.0.$row(chunk)
            }

            /// The others meet the query's zeros.
            #[inline(always)]
            fn last_row(self, chunk: &B::Chunk, _components: usize) -> B::Line {
                self.0.$row(chunk)
            }

            #[inline(always)]
            fn zero(self) -> I32<B> {
                self.simd().splat_i32(0)
            }

            #[inline(always)]
            fn dot(self, query: B::Line, row: B::Line, sums: I32<B>) -> I32<B> {
                self.0.$dot(query, row, sums)
            }

            #[inline(always)]
            fn scores(self, sums: [I32<B>; LANES], constant: i32) -> I32<B> {
                let simd = self.simd();
                simd.add_i32(simd.reduce_add_rows_i32(sums), simd.splat_i32(constant))
            }
        }
    };
}

byte_rows!(Int8Rows, i8, INT8_OFFSET, int8_query, int8_row, int8_dot);
byte_rows!(Uint8Rows, u8, UINT8_OFFSET, uint8_query, uint8_row, uint8_dot);
