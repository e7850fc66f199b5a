//! Vectors in less memory: bytes and bits in the place of floats.
//!
//! As `quantize_embeddings` of sentence-transformers (`util/quantization.py`), bit for bit.

use std::fmt;
use std::str::FromStr;

use minilm_storage::{Vectors, VectorsError};

use crate::QuantizedCorpus;

/// What the components of a vector are kept as.
///
/// Not to be confused with [`Precision`](crate::Precision), which is what the model computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EmbeddingPrecision {
    /// As they are.
    #[default]
    Float32,
    /// A byte each, −128 … 127: the range of the component over many vectors, in 255 steps.
    Int8,
    /// The same as 0 … 255.
    Uint8,
    /// A bit each, whether it is greater than 0: eight to a byte, the first the highest, less 128.
    Binary,
    /// The same without the 128.
    Ubinary,
}

/// A name that is none of [`EmbeddingPrecision::ALL`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown embedding precision {name:?}; expected float32, int8, uint8, binary or ubinary")]
#[non_exhaustive]
pub struct UnknownEmbeddingPrecision {
    /// The name.
    pub name: String,
}

impl EmbeddingPrecision {
    /// All of them.
    pub const ALL: &'static [EmbeddingPrecision] = &[
        EmbeddingPrecision::Float32,
        EmbeddingPrecision::Int8,
        EmbeddingPrecision::Uint8,
        EmbeddingPrecision::Binary,
        EmbeddingPrecision::Ubinary,
    ];

    /// Its name, as sentence-transformers has it.
    pub fn name(self) -> &'static str {
        match self {
            EmbeddingPrecision::Float32 => "float32",
            EmbeddingPrecision::Int8 => "int8",
            EmbeddingPrecision::Uint8 => "uint8",
            EmbeddingPrecision::Binary => "binary",
            EmbeddingPrecision::Ubinary => "ubinary",
        }
    }

    /// How many numbers a vector of so many components is made of.
    pub fn width(self, dimension: usize) -> usize {
        match self {
            EmbeddingPrecision::Binary | EmbeddingPrecision::Ubinary => dimension.div_ceil(8),
            _ => dimension,
        }
    }

    /// Whether the range of each component has to be known.
    pub fn needs_ranges(self) -> bool {
        matches!(self, EmbeddingPrecision::Int8 | EmbeddingPrecision::Uint8)
    }
}

impl fmt::Display for EmbeddingPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EmbeddingPrecision {
    type Err = UnknownEmbeddingPrecision;

    fn from_str(name: &str) -> Result<EmbeddingPrecision, UnknownEmbeddingPrecision> {
        let known = EmbeddingPrecision::ALL.iter().copied().find(|precision| precision.name() == name);
        known.ok_or_else(|| UnknownEmbeddingPrecision { name: name.to_owned() })
    }
}

/// The smallest and the largest value of each component, which int8 and uint8 spread over 255 steps.
///
/// Vectors that are compared with each other need the same ranges. Some thousand vectors of the kind to come give good ones;
/// what lies outside becomes the nearest end.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizationRanges {
    starts: Vec<f32>,
    ends: Vec<f32>,
}

/// Why vectors cannot be quantised.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizationError {
    /// The vectors, or the ranges, have components that are not finite, or are of another dimension than the others.
    #[error(transparent)]
    Vectors(#[from] VectorsError),

    /// A search of bytes without the ranges by which they were quantised.
    #[error("{precision} needs the ranges by which the corpus was quantised")]
    NoRanges {
        /// What the corpus is kept as.
        precision: EmbeddingPrecision,
    },

    /// Vectors of more components than a search of bytes or bits can add up in 32 bits.
    #[error(
        "{precision} vectors of dimension {dimension} cannot be searched; expected at most {most} components"
    )]
    TooManyComponents {
        /// What the corpus is kept as.
        precision: EmbeddingPrecision,
        /// How many components its vectors have.
        dimension: usize,
        /// How many they may have.
        most: usize,
    },

    /// Vectors of floats where quantised ones are expected.
    #[error("float32 vectors are not quantised; semantic_search searches them")]
    NotQuantized,

    /// Ranges of no vectors.
    #[error("no vectors to take the ranges of components from")]
    NoVectors,

    /// A range that ends before it starts.
    #[error(
        "the range of component {component} is {start} to {end}; expected a start that is no greater than the end"
    )]
    Range {
        /// Which component.
        component: usize,
        /// Where the range starts.
        start: f32,
        /// Where it ends.
        end: f32,
    },
}

impl QuantizationRanges {
    /// Those of some vectors (`calibration_embeddings` of sentence-transformers).
    ///
    /// # Errors
    ///
    /// [`QuantizationError::NoVectors`]; [`QuantizationError::Vectors`] for a component that is not finite.
    pub fn of<'a>(vectors: impl Into<Vectors<'a>>) -> Result<QuantizationRanges, QuantizationError> {
        let vectors = vectors.into();
        vectors.check_finite()?;
        let mut rows = vectors.rows();
        let first = rows.next().ok_or(QuantizationError::NoVectors)?;
        let mut ranges = QuantizationRanges { starts: first.to_vec(), ends: first.to_vec() };
        rows.for_each(|row| ranges.widen(row));
        Ok(ranges)
    }

    /// Of given starts and ends, one of each for every component (`ranges` of sentence-transformers).
    ///
    /// # Errors
    ///
    /// [`QuantizationError::Vectors`] for different numbers of them or one that is not finite,
    /// [`QuantizationError::Range`].
    pub fn new(starts: Vec<f32>, ends: Vec<f32>) -> Result<QuantizationRanges, QuantizationError> {
        let (expected, found) = (starts.len(), ends.len());
        if expected != found {
            return Err(VectorsError::DimensionMismatch { expected, found }.into());
        }
        Vectors::from(&starts).check_finite()?;
        Vectors::from(&ends).check_finite()?;
        for (component, (&start, &end)) in starts.iter().zip(&ends).enumerate() {
            if start > end {
                return Err(QuantizationError::Range { component, start, end });
            }
        }
        Ok(QuantizationRanges { starts, ends })
    }

    /// Of these and more vectors.
    ///
    /// # Errors
    ///
    /// [`QuantizationError::Vectors`] for another dimension or a component that is not finite.
    pub fn extend<'a>(&mut self, vectors: impl Into<Vectors<'a>>) -> Result<(), QuantizationError> {
        let vectors = vectors.into();
        self.check_dimension(vectors)?;
        vectors.check_finite()?;
        vectors.rows().for_each(|row| self.widen(row));
        Ok(())
    }

    /// That there is a range for each component of these vectors.
    fn check_dimension(&self, vectors: Vectors<'_>) -> Result<(), VectorsError> {
        // Ranges of no components are no ranges, where no vectors are vectors of any dimension.
        let (expected, found) = (self.starts.len(), vectors.dimension());
        if expected == found || vectors.is_empty() {
            return Ok(());
        }
        Err(VectorsError::DimensionMismatch { expected, found })
    }

    fn widen(&mut self, row: &[f32]) {
        self.starts.iter_mut().zip(row).for_each(|(start, &x)| *start = start.min(x));
        self.ends.iter_mut().zip(row).for_each(|(end, &x)| *end = end.max(x));
    }

    /// The smallest value of each component.
    pub fn starts(&self) -> &[f32] {
        &self.starts
    }

    /// The largest value of each component.
    pub fn ends(&self) -> &[f32] {
        &self.ends
    }
}

/// Vectors whose components are kept as floats, bytes or bits: `[n][width]` numbers, one vector behind the other.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum QuantizedEmbeddings {
    /// [`EmbeddingPrecision::Float32`].
    Float32(Vec<f32>),
    /// [`EmbeddingPrecision::Int8`].
    Int8(Vec<i8>),
    /// [`EmbeddingPrecision::Uint8`].
    Uint8(Vec<u8>),
    /// [`EmbeddingPrecision::Binary`].
    Binary(Vec<i8>),
    /// [`EmbeddingPrecision::Ubinary`].
    Ubinary(Vec<u8>),
}

impl QuantizedEmbeddings {
    /// What the components are kept as.
    pub fn precision(&self) -> EmbeddingPrecision {
        match self {
            QuantizedEmbeddings::Float32(_) => EmbeddingPrecision::Float32,
            QuantizedEmbeddings::Int8(_) => EmbeddingPrecision::Int8,
            QuantizedEmbeddings::Uint8(_) => EmbeddingPrecision::Uint8,
            QuantizedEmbeddings::Binary(_) => EmbeddingPrecision::Binary,
            QuantizedEmbeddings::Ubinary(_) => EmbeddingPrecision::Ubinary,
        }
    }

    /// The vectors, of so many components each, as what [`semantic_search_quantized`](crate::semantic_search_quantized) takes.
    ///
    /// # Errors
    ///
    /// [`QuantizationError::NotQuantized`] for floats; as [`QuantizedCorpus::int8`].
    pub fn corpus(&self, dimension: usize) -> Result<QuantizedCorpus<'_>, QuantizationError> {
        match self {
            QuantizedEmbeddings::Float32(_) => Err(QuantizationError::NotQuantized),
            QuantizedEmbeddings::Int8(numbers) => QuantizedCorpus::int8(numbers, dimension),
            QuantizedEmbeddings::Uint8(numbers) => QuantizedCorpus::uint8(numbers, dimension),
            QuantizedEmbeddings::Binary(numbers) => QuantizedCorpus::binary(numbers, dimension),
            QuantizedEmbeddings::Ubinary(numbers) => QuantizedCorpus::ubinary(numbers, dimension),
        }
    }
}

/// Vectors in less memory, with the numbers that sentence-transformers' function of this name gives.
///
/// int8 and uint8 need ranges; without any they are those of the vectors themselves, as there, which only makes sense for many
/// vectors (a hundred or more) and if no others are compared with them.
///
/// ```
/// use minilm::{EmbeddingPrecision, QuantizedEmbeddings, Vectors, quantize_embeddings};
///
/// let vectors = Vectors::new(&[0.5, -0.25, 0.0, 1.0, 0.25, -1.0], 3)?;
/// let bits = quantize_embeddings(vectors, EmbeddingPrecision::Ubinary, None)?;
/// assert_eq!(bits, QuantizedEmbeddings::Ubinary(vec![0b1000_0000, 0b1100_0000]));
/// // The ends of ranges are 0 and 255, or 254, where rounding makes the quotient a little less.
/// let bytes = quantize_embeddings(vectors, EmbeddingPrecision::Uint8, None)?;
/// assert_eq!(bytes, QuantizedEmbeddings::Uint8(vec![0, 0, 254, 254, 254, 0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`QuantizationError::Vectors`] for a component that is not finite, or ranges of another dimension. No vectors give no
/// numbers.
pub fn quantize_embeddings<'a>(
    vectors: impl Into<Vectors<'a>>,
    precision: EmbeddingPrecision,
    ranges: Option<&QuantizationRanges>,
) -> Result<QuantizedEmbeddings, QuantizationError> {
    let vectors = vectors.into();
    vectors.check_finite()?;
    let own;
    let ranges = match ranges {
        Some(ranges) => {
            ranges.check_dimension(vectors)?;
            ranges
        }
        None if vectors.is_empty() || !precision.needs_ranges() => &NO_RANGES,
        None => {
            own = QuantizationRanges::of(vectors)?;
            &own
        }
    };
    Ok(match precision {
        EmbeddingPrecision::Float32 => QuantizedEmbeddings::Float32(vectors.as_slice().to_vec()),
        EmbeddingPrecision::Uint8 => QuantizedEmbeddings::Uint8(to_bytes(vectors, ranges, |byte| byte)),
        // From 0 … 255 to −128 … 127 is the highest bit.
        EmbeddingPrecision::Int8 => {
            QuantizedEmbeddings::Int8(to_bytes(vectors, ranges, |byte| (byte ^ 0x80) as i8))
        }
        EmbeddingPrecision::Ubinary => QuantizedEmbeddings::Ubinary(to_bits(vectors, |byte| byte)),
        EmbeddingPrecision::Binary => {
            QuantizedEmbeddings::Binary(to_bits(vectors, |byte| (byte ^ 0x80) as i8))
        }
    })
}

static NO_RANGES: QuantizationRanges = QuantizationRanges { starts: Vec::new(), ends: Vec::new() };

/// Each component's place in its range, 0 … 255.
fn to_bytes<T>(vectors: Vectors<'_>, ranges: &QuantizationRanges, of_byte: impl Fn(u8) -> T) -> Vec<T> {
    let steps = ranges.starts.iter().zip(&ranges.ends).map(|(start, end)| (end - start) / 255.0);
    let steps: Vec<f32> = steps.map(|step| if step == 0.0 { 1.0 } else { step }).collect();
    let mut bytes = Vec::with_capacity(vectors.as_slice().len());
    for row in vectors.rows() {
        let place = row.iter().zip(&ranges.starts).zip(&steps).map(|((x, start), step)| (x - start) / step);
        // The conversion rounds down what is positive, and ends at 0 and 255.
        bytes.extend(place.map(|place| of_byte(place as u8)));
    }
    bytes
}

/// Whether each component is greater than 0: `numpy.packbits(vectors > 0, axis=-1)`.
fn to_bits<T>(vectors: Vectors<'_>, of_byte: impl Fn(u8) -> T) -> Vec<T> {
    let mut bytes = Vec::with_capacity(vectors.len() * vectors.dimension().div_ceil(8));
    for row in vectors.rows() {
        bytes.extend(row.chunks(8).map(|eight| {
            let bits = eight.iter().enumerate().map(|(i, &x)| u8::from(x > 0.0) << (7 - i));
            of_byte(bits.fold(0, |byte, bit| byte | bit))
        }));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for &precision in EmbeddingPrecision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        let error = "bits".parse::<EmbeddingPrecision>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown embedding precision \"bits\"; expected float32, int8, uint8, binary or ubinary"
        );
        let widths: Vec<usize> = EmbeddingPrecision::ALL.iter().map(|precision| precision.width(9)).collect();
        assert_eq!(widths, [9, 9, 9, 2, 2]);
    }

    #[test]
    fn ranges_grow_and_what_is_outside_becomes_the_nearest_end() {
        let mut ranges = QuantizationRanges::of(&[0.0, 1.0][..]).unwrap();
        ranges.extend(Vectors::new(&[2.55, 1.0], 2).unwrap()).unwrap();
        assert_eq!((ranges.starts(), ranges.ends()), (&[0.0, 1.0][..], &[2.55, 1.0][..]));
        // The second component is always the same, and its step 1.
        let vectors = Vectors::new(&[-9.0, 0.0, 0.0, 1.0, 1.005, 2.0, 9.0, 1e9], 2).unwrap();
        let bytes = quantize_embeddings(vectors, EmbeddingPrecision::Uint8, Some(&ranges)).unwrap();
        assert_eq!(bytes, QuantizedEmbeddings::Uint8(vec![0, 0, 0, 0, 100, 1, 255, 255]));
        let bytes = quantize_embeddings(vectors, EmbeddingPrecision::Int8, Some(&ranges)).unwrap();
        assert_eq!(bytes, QuantizedEmbeddings::Int8(vec![-128, -128, -128, -128, -28, -127, 127, 127]));
    }

    #[test]
    fn the_last_byte_of_bits_is_filled_with_zeros() {
        let vector = [1.0, -1.0, 0.0, 1e-30, -0.0, 1.0, 1.0, 1.0, 2.0];
        let bits = quantize_embeddings(&vector[..], EmbeddingPrecision::Ubinary, None).unwrap();
        assert_eq!(bits, QuantizedEmbeddings::Ubinary(vec![0b1001_0111, 0b1000_0000]));
        let bits = quantize_embeddings(&vector[..], EmbeddingPrecision::Binary, None).unwrap();
        assert_eq!(bits, QuantizedEmbeddings::Binary(vec![0b1001_0111_u8 as i8 ^ -128, 0]));
    }

    #[test]
    fn what_cannot_be_quantised() {
        let ranges = QuantizationRanges::of(&[1.0, 2.0][..]).unwrap();
        let quantize = |vector: &[f32]| quantize_embeddings(vector, EmbeddingPrecision::Int8, Some(&ranges));
        let error = quantize(&[1.0, 2.0, 3.0]).unwrap_err().to_string();
        assert_eq!(error, "vectors of dimension 2 and of dimension 3 do not go together");
        let error = quantize(&[1.0, f32::NAN]).unwrap_err().to_string();
        assert_eq!(error, "component 1 of vector 0 is NaN; expected a finite number");
        assert_eq!(quantize(&[]), Ok(QuantizedEmbeddings::Int8(Vec::new())));
        let none = Vectors::from(&[][..]);
        assert_eq!(QuantizationRanges::of(none), Err(QuantizationError::NoVectors));
        let bits = quantize_embeddings(none, EmbeddingPrecision::Int8, None);
        assert_eq!(bits, Ok(QuantizedEmbeddings::Int8(Vec::new())));
        let error = QuantizationRanges::new(vec![0.0, 1.0], vec![1.0, 0.5]).unwrap_err().to_string();
        assert!(error.starts_with("the range of component 1 is 1 to 0.5"), "{error}");
        assert!(QuantizationRanges::new(vec![0.0], vec![1.0, 0.5]).is_err());
        assert!(QuantizationRanges::new(vec![f32::NAN], vec![1.0]).is_err());
        // Ranges of no components go with no vectors alone.
        let mut ranges = QuantizationRanges::new(Vec::new(), Vec::new()).unwrap();
        let vector = [1.0, 2.0, 3.0];
        let mismatch = QuantizationError::Vectors(VectorsError::DimensionMismatch { expected: 0, found: 3 });
        for &precision in EmbeddingPrecision::ALL {
            let found = quantize_embeddings(&vector[..], precision, Some(&ranges));
            assert_eq!(found, Err(mismatch.clone()), "{precision}");
            assert!(quantize_embeddings(none, precision, Some(&ranges)).is_ok(), "{precision}");
        }
        assert_eq!(ranges.extend(&vector[..]), Err(mismatch));
    }

    #[test]
    fn vectors_become_a_corpus_if_there_are_not_too_many_components() {
        let vectors = Vectors::new(&[0.5, -0.25, 0.0, 1.0, 0.25, -1.0], 3).unwrap();
        for &precision in EmbeddingPrecision::ALL {
            let quantized = quantize_embeddings(vectors, precision, None).unwrap();
            assert_eq!(quantized.precision(), precision);
            match quantized.corpus(3) {
                Ok(corpus) => assert_eq!(corpus.precision(), precision),
                Err(error) => {
                    assert_eq!(
                        (precision, error),
                        (EmbeddingPrecision::Float32, QuantizationError::NotQuantized)
                    );
                }
            }
        }
        // What i32 can hold, of the largest products.
        let most = [(EmbeddingPrecision::Int8, 131_071), (EmbeddingPrecision::Uint8, 33_025)];
        for (precision, most) in most {
            let zeros = vec![0.0; most];
            let ranges = QuantizationRanges::new(zeros.clone(), vec![1.0; most]).unwrap();
            let row = quantize_embeddings(&zeros, precision, Some(&ranges)).unwrap();
            let corpus = row.corpus(most).unwrap();
            let options = crate::QuantizedSearchOptions::default();
            let hits = crate::semantic_search_quantized(&zeros, corpus, Some(&ranges), &options).unwrap();
            assert_eq!(hits[0].len(), 1, "{precision}");

            let dimension = most + 1;
            let row = quantize_embeddings(&vec![0.0; dimension], precision, None).unwrap();
            let error = row.corpus(dimension).unwrap_err();
            assert_eq!(error, QuantizationError::TooManyComponents { precision, dimension, most });
        }
        let error = QuantizedCorpus::ubinary(&[], usize::MAX).unwrap_err().to_string();
        assert!(error.ends_with("cannot be searched; expected at most 2147483640 components"), "{error}");
        assert!(QuantizedCorpus::binary(&[], 2_147_483_640).is_ok());
    }
}
