//! What the components of vectors in a file can be.

use std::fmt;

use bytemuck::Pod;
use half::{bf16, f16};
use serde_json::Value;

use crate::{ElementType, Vectors, VectorsError};

/// A type that vectors in memory can have: `f32`, `i8` and `u8`.
pub trait Element: Pod + Sealed {
    /// The type as a value.
    const ELEMENT_TYPE: ElementType;
}

/// What is known of the types that are [`Element`]s, and of no others.
pub trait Sealed: Clone + 'static {
    /// What a file has that can be used as it is.
    const FILE_TYPE: FileType;
    /// What it may have, as NumPy's types and otherwise.
    const EXPECTED_NPY: &str;
    const EXPECTED: &str;

    /// Little-endian elements of a file, if their type can become this.
    fn decode(file_type: FileType, bytes: &[u8]) -> Option<Vec<Self>>;

    fn of_json(number: &Value) -> Option<Self>;

    /// The values of lists, if their type can become this.
    #[cfg(feature = "arrow")]
    fn of_array(array: &dyn arrow_array::Array) -> Option<std::borrow::Cow<'_, [Self]>>;

    fn check_finite(components: &[Self], dimension: usize) -> Result<(), VectorsError>;
}

/// What elements are in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    F16,
    BF16,
    F32,
    F64,
    I8,
    U8,
}

impl FileType {
    pub(crate) fn of_npy(descr: &str) -> Option<FileType> {
        match descr {
            "<f2" => Some(FileType::F16),
            "<f4" => Some(FileType::F32),
            "<f8" => Some(FileType::F64),
            "|i1" => Some(FileType::I8),
            "|u1" => Some(FileType::U8),
            _ => None,
        }
    }

    pub(crate) fn of_safetensors(dtype: &str) -> Option<FileType> {
        match dtype {
            "F16" => Some(FileType::F16),
            "BF16" => Some(FileType::BF16),
            "F32" => Some(FileType::F32),
            "F64" => Some(FileType::F64),
            "I8" => Some(FileType::I8),
            "U8" => Some(FileType::U8),
            _ => None,
        }
    }

    /// How many bytes an element has.
    pub(crate) fn size(self) -> usize {
        match self {
            FileType::I8 | FileType::U8 => 1,
            FileType::F16 | FileType::BF16 => 2,
            FileType::F32 => 4,
            FileType::F64 => 8,
        }
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileType::F16 => "float16",
            FileType::BF16 => "bfloat16",
            FileType::F32 => "float32",
            FileType::F64 => "float64",
            FileType::I8 => "int8",
            FileType::U8 => "uint8",
        })
    }
}

impl Element for f32 {
    const ELEMENT_TYPE: ElementType = ElementType::F32;
}

impl Sealed for f32 {
    const FILE_TYPE: FileType = FileType::F32;
    const EXPECTED_NPY: &str = "\"<f4\", \"<f2\" or \"<f8\"";
    const EXPECTED: &str = "float32, float16, bfloat16 or float64";

    fn decode(file_type: FileType, bytes: &[u8]) -> Option<Vec<f32>> {
        match file_type {
            FileType::F16 => Some(decoded(bytes, |x| f16::from_le_bytes(x).to_f32())),
            FileType::BF16 => Some(decoded(bytes, |x| bf16::from_le_bytes(x).to_f32())),
            FileType::F32 => Some(decoded(bytes, f32::from_le_bytes)),
            FileType::F64 => Some(decoded(bytes, |x| f64::from_le_bytes(x) as f32)),
            FileType::I8 | FileType::U8 => None,
        }
    }

    fn of_json(number: &Value) -> Option<f32> {
        number.as_f64().map(|number| number as f32)
    }

    #[cfg(feature = "arrow")]
    fn of_array(array: &dyn arrow_array::Array) -> Option<std::borrow::Cow<'_, [f32]>> {
        crate::columns::floats(array)
    }

    fn check_finite(components: &[f32], dimension: usize) -> Result<(), VectorsError> {
        Vectors::new(components, dimension)?.check_finite()
    }
}

impl Element for i8 {
    const ELEMENT_TYPE: ElementType = ElementType::I8;
}

impl Sealed for i8 {
    const FILE_TYPE: FileType = FileType::I8;
    const EXPECTED_NPY: &str = "\"|i1\"";
    const EXPECTED: &str = "int8";

    fn decode(file_type: FileType, bytes: &[u8]) -> Option<Vec<i8>> {
        (file_type == FileType::I8).then(|| decoded(bytes, i8::from_le_bytes))
    }

    fn of_json(number: &Value) -> Option<i8> {
        number.as_i64()?.try_into().ok()
    }

    #[cfg(feature = "arrow")]
    fn of_array(array: &dyn arrow_array::Array) -> Option<std::borrow::Cow<'_, [i8]>> {
        crate::columns::numbers::<arrow_array::types::Int8Type>(array)
    }

    fn check_finite(_: &[i8], _: usize) -> Result<(), VectorsError> {
        Ok(())
    }
}

impl Element for u8 {
    const ELEMENT_TYPE: ElementType = ElementType::U8;
}

impl Sealed for u8 {
    const FILE_TYPE: FileType = FileType::U8;
    const EXPECTED_NPY: &str = "\"|u1\"";
    const EXPECTED: &str = "uint8";

    fn decode(file_type: FileType, bytes: &[u8]) -> Option<Vec<u8>> {
        (file_type == FileType::U8).then(|| bytes.to_vec())
    }

    fn of_json(number: &Value) -> Option<u8> {
        number.as_u64()?.try_into().ok()
    }

    #[cfg(feature = "arrow")]
    fn of_array(array: &dyn arrow_array::Array) -> Option<std::borrow::Cow<'_, [u8]>> {
        crate::columns::numbers::<arrow_array::types::UInt8Type>(array)
    }

    fn check_finite(_: &[u8], _: usize) -> Result<(), VectorsError> {
        Ok(())
    }
}

fn decoded<T, const N: usize>(bytes: &[u8], element: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| element(bytes)).collect()
}
