//! Where tensors lie.

use minilm_kernels::Isa;

/// A slice at some distance from the beginning of its allocation, and up to its end: AddressSanitizer sees
/// whatever is read or written behind it, [`Slice::check`] what is written before it.
pub(crate) struct Slice {
    elements: Vec<f32>,
    offset: usize,
}

/// What stands before a slice.
pub(crate) const BEFORE: f32 = 1234.5;

impl Slice {
    pub(crate) fn new(values: &[f32], offset: u8) -> Slice {
        let offset = usize::from(offset % 16);
        let mut elements = Vec::with_capacity(offset + values.len());
        elements.resize(offset, BEFORE);
        elements.extend_from_slice(values);
        Slice { elements, offset }
    }

    pub(crate) fn get(&self) -> &[f32] {
        &self.elements[self.offset..]
    }

    pub(crate) fn get_mut(&mut self) -> &mut [f32] {
        &mut self.elements[self.offset..]
    }

    /// The bits of what was found are those expected; one NaN is as good as another.
    pub(crate) fn check(&self, isa: Isa, expected: &[f32]) {
        assert!(self.elements[..self.offset].iter().all(|&x| x == BEFORE), "{isa}: written before the slice");
        assert_eq!(self.get().len(), expected.len());
        for (i, (found, expected)) in self.get().iter().zip(expected).enumerate() {
            assert!(
                found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                "{isa}: element {i} is {found:e}, the reference says {expected:e}"
            );
        }
    }
}
