//! Room for activations that begins at a cache line.

use std::ops::{Deref, DerefMut};

use crate::simd::{LANES, Lanes};

/// Growable room for `f32`, from a cache line on, as activations should lie: where rows are multiples of sixteen
/// elements, every vector is then one line. A plain `Vec<f32>` begins in the middle of a line, so that each of its vectors
/// is two: that costs 1 % of a long text's time.
///
/// ```
/// let mut room = minilm_kernels::AlignedBuffer::default();
/// room.resize(3);
/// room.copy_from_slice(&[1.0, 2.0, 3.0]);
/// assert!(room.as_ptr().addr().is_multiple_of(64));
/// ```
#[derive(Debug, Default)]
pub struct AlignedBuffer {
    lines: Vec<Lanes>,
    len: usize,
}

impl AlignedBuffer {
    /// Makes the room `len` elements long. Whatever was there stays there, new elements are 0 or what a longer length had
    /// left; memory is never given back.
    pub fn resize(&mut self, len: usize) {
        let lines = len.div_ceil(LANES);
        if self.lines.len() < lines {
            self.lines.resize(lines, Lanes::ZERO);
        }
        self.len = len;
    }
}

impl Deref for AlignedBuffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_grows_and_stays_aligned() {
        let mut room = AlignedBuffer::default();
        assert!(room.is_empty());
        for len in [1, 17, 5000, 3, 100_000] {
            room.resize(len);
            assert_eq!(room.len(), len);
            assert!(room.as_ptr().addr().is_multiple_of(size_of::<Lanes>()), "{len} elements");
            room[len - 1] = len as f32;
        }
        room.resize(5000);
        assert_eq!(room[4999], 5000.0, "what was there");
    }
}
