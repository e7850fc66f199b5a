use std::fmt;
use std::ops::Range;

use half::{bf16, f16};
use safetensors::Dtype;

/// The types of elements that the engine reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FloatType {
    /// IEEE single precision, 4 bytes.
    F32,
    /// IEEE half precision, 2 bytes.
    F16,
    /// The upper half of an IEEE single, 2 bytes.
    BF16,
}

impl FloatType {
    pub(crate) fn from_safetensors(dtype: Dtype) -> Option<FloatType> {
        match dtype {
            Dtype::F32 => Some(FloatType::F32),
            Dtype::F16 => Some(FloatType::F16),
            Dtype::BF16 => Some(FloatType::BF16),
            _ => None,
        }
    }

    /// How many bytes an element has.
    pub fn size(self) -> usize {
        match self {
            FloatType::F32 => 4,
            FloatType::F16 | FloatType::BF16 => 2,
        }
    }
}

impl fmt::Display for FloatType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FloatType::F32 => "f32",
            FloatType::F16 => "f16",
            FloatType::BF16 => "bf16",
        })
    }
}

/// A view of a tensor in an open file: row-major, little-endian elements.
///
/// Elements are decoded as they are read, so neither the file's alignment nor the machine's byte order
/// matters; on a little-endian machine, decoding f32 is a copy.
#[derive(Clone, Copy)]
pub struct Tensor<'a> {
    float_type: FloatType,
    shape: &'a [usize],
    bytes: &'a [u8],
}

impl<'a> Tensor<'a> {
    /// `bytes` are as many as type and shape say, which the header's check has made sure of.
    pub(crate) fn new(float_type: FloatType, shape: &'a [usize], bytes: &'a [u8]) -> Tensor<'a> {
        Tensor { float_type, shape, bytes }
    }

    /// The type of the elements in the file.
    pub fn float_type(&self) -> FloatType {
        self.float_type
    }

    /// The size of each dimension, the slowest first.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.float_type.size()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Elements `first`, `first + 1` … as f32 into `to`. f16 and bf16 are converted exactly.
    ///
    /// # Panics
    ///
    /// If the elements asked for are not all inside the tensor.
    pub fn read_f32(&self, first: usize, to: &mut [f32]) {
        let size = self.float_type.size();
        let bytes = &self.bytes[first * size..(first + to.len()) * size];
        match self.float_type {
            FloatType::F32 => decode(bytes, to, f32::from_le_bytes),
            FloatType::F16 => decode(bytes, to, |b| f16::from_le_bytes(b).to_f32()),
            FloatType::BF16 => decode(bytes, to, |b| bf16::from_le_bytes(b).to_f32()),
        }
    }

    /// The elements as they lie in the file.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All elements as f32.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut all = vec![0.0; self.len()];
        self.read_f32(0, &mut all);
        all
    }
}

impl fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {:?})", self.float_type, self.shape)
    }
}

/// What the header says of a tensor of any type, and where its elements are in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawTensor<'a> {
    /// The type of the elements, by its safetensors name: `F32`.
    pub dtype: String,
    /// The size of each dimension, the slowest first.
    pub shape: &'a [usize],
    /// The file's bytes that are the elements, row-major and little-endian: as many as type and shape say.
    pub bytes: Range<usize>,
}

fn decode<const N: usize>(bytes: &[u8], to: &mut [f32], element: impl Fn([u8; N]) -> f32) {
    for (bytes, to) in bytes.as_chunks::<N>().0.iter().zip(to) {
        *to = element(*bytes);
    }
}
