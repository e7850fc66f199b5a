//! Bytes and bits in plain Rust.

use super::{BitCounts, ByteProducts};
use crate::simd::{LANES, Scalar};

/// Four bytes a lane.
type Line<T> = [[T; 4]; LANES];

/// sums + Σ a · b of each lane's four bytes.
#[inline(always)]
fn dot<T: Copy>(a: Line<T>, b: Line<T>, sums: [i32; LANES]) -> [i32; LANES]
where
    i32: From<T>,
{
    std::array::from_fn(|j| {
        (0..4).fold(sums[j], |sum, i| sum.wrapping_add(i32::from(a[j][i]) * i32::from(b[j][i])))
    })
}

impl<const FMA: bool> ByteProducts for Scalar<FMA> {
    type Chunk = [u8; 64];
    type Line = [u8; 64];

    #[inline(always)]
    fn int8_query(self, chunk: &[u8; 64]) -> [u8; 64] {
        *chunk
    }

    #[inline(always)]
    fn int8_dot(self, query: [u8; 64], row: [u8; 64], sums: [i32; LANES]) -> [i32; LANES] {
        dot::<i8>(bytemuck::cast(query), bytemuck::cast(row), sums)
    }

    #[inline(always)]
    fn uint8_dot(self, query: [u8; 64], row: [u8; 64], sums: [i32; LANES]) -> [i32; LANES] {
        dot::<u8>(bytemuck::cast(query), bytemuck::cast(row), sums)
    }
}

impl<const FMA: bool> BitCounts for Scalar<FMA> {
    type Chunk = [u8; 64];
    type Line = [u32; LANES];

    #[inline(always)]
    fn line(self, chunk: &[u8; 64]) -> [u32; LANES] {
        bytemuck::pod_read_unaligned(chunk)
    }

    #[inline(always)]
    fn and(self, a: [u32; LANES], b: [u32; LANES]) -> [u32; LANES] {
        std::array::from_fn(|j| a[j] & b[j])
    }

    #[inline(always)]
    fn add_differing(self, a: [u32; LANES], b: [u32; LANES], sums: [i32; LANES]) -> [i32; LANES] {
        std::array::from_fn(|j| sums[j].wrapping_add((a[j] ^ b[j]).count_ones() as i32))
    }

    #[inline(always)]
    fn negate(self, sums: [i32; LANES]) -> [i32; LANES] {
        sums.map(i32::wrapping_neg)
    }
}
