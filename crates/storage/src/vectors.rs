//! Vectors of one dimension, wherever they lie.

/// A view of vectors of the same dimension, `[len][dimension]`, one behind the other.
///
/// A single vector is a set of one: `Vectors::from(&slice)`, as sentence-transformers makes a batch of one of it.
///
/// ```
/// use minilm_storage::Vectors;
///
/// let vectors = Vectors::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3)?;
/// assert_eq!((vectors.len(), vectors.row(1)), (2, &[4.0, 5.0, 6.0][..]));
/// # Ok::<(), minilm_storage::VectorsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vectors<'a> {
    components: &'a [f32],
    dimension: usize,
}

/// Vectors that do not fit: to each other, to what they are used for, or to their own dimension.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VectorsError {
    /// A slice that is not cut into whole vectors.
    #[error("{components} numbers are no whole vectors of dimension {dimension}")]
    Incomplete {
        /// How many numbers there are.
        components: usize,
        /// How many a vector has.
        dimension: usize,
    },

    /// Two sets of vectors of different dimensions.
    #[error("vectors of dimension {expected} and of dimension {found} do not go together")]
    DimensionMismatch {
        /// What the first ones have.
        expected: usize,
        /// What the others have.
        found: usize,
    },

    /// Pairs of vectors are asked for, of which there are not as many of each.
    #[error("{expected} and {found} vectors are no pairs")]
    LengthMismatch {
        /// How many the first ones are.
        expected: usize,
        /// How many the others are.
        found: usize,
    },

    /// A component that is NaN or infinite.
    #[error("component {component} of vector {vector} is {value}; expected a finite number")]
    NotFinite {
        /// Which vector, counted from 0.
        vector: usize,
        /// Which of its components, counted from 0.
        component: usize,
        /// The component, as text: NaN is not equal to itself.
        value: String,
    },

    /// A component whose square would leave the range of f32.
    #[error(
        "component {component} of vector {vector} is {value:e}; expected at most {limit:e} either way, for squares are \
         added up"
    )]
    TooLarge {
        /// Which vector, counted from 0.
        vector: usize,
        /// Which of its components, counted from 0.
        component: usize,
        /// The component.
        value: f32,
        /// The largest that is taken.
        limit: f32,
    },
}

impl<'a> Vectors<'a> {
    /// Of a slice `[n][dimension]`.
    ///
    /// # Errors
    ///
    /// [`VectorsError::Incomplete`] if its length is no multiple of the dimension, or the dimension is 0 and the slice is
    /// not empty.
    pub fn new(components: &'a [f32], dimension: usize) -> Result<Vectors<'a>, VectorsError> {
        // A dimension of 0 divides 0 alone.
        if components.len().is_multiple_of(dimension) {
            Ok(Vectors { components, dimension })
        } else {
            Err(VectorsError::Incomplete { components: components.len(), dimension })
        }
    }

    /// How many vectors there are.
    pub fn len(self) -> usize {
        self.components.len().checked_div(self.dimension).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.components.is_empty()
    }

    /// The number of components of each vector.
    pub fn dimension(self) -> usize {
        self.dimension
    }

    /// Vector i.
    ///
    /// # Panics
    ///
    /// If there are not that many.
    pub fn row(self, i: usize) -> &'a [f32] {
        &self.components[i * self.dimension..][..self.dimension]
    }

    /// The vectors in their order.
    pub fn rows(self) -> impl ExactSizeIterator<Item = &'a [f32]> + Clone {
        // No vector has dimension 0, but a chunk must have some length.
        self.components.chunks_exact(self.dimension.max(1))
    }

    /// All components, `[len][dimension]`.
    pub fn as_slice(self) -> &'a [f32] {
        self.components
    }

    /// The vectors from `start` on, before `end`.
    ///
    /// # Panics
    ///
    /// If there are not that many, or the end is before the start.
    pub fn range(self, start: usize, end: usize) -> Vectors<'a> {
        Vectors { components: &self.components[start * self.dimension..end * self.dimension], ..self }
    }

    /// That every component is a finite number.
    ///
    /// # Errors
    ///
    /// [`VectorsError::NotFinite`] with the first that is not.
    pub fn check_finite(self) -> Result<(), VectorsError> {
        // In pieces that stay in L1, for the compiler to make vectors of.
        const PIECE: usize = 4096;
        for (piece, components) in self.components.chunks(PIECE).enumerate() {
            let finite = components.iter().fold(true, |finite, x| finite & x.is_finite());
            if let Some(at) = (!finite).then(|| components.iter().position(|x| !x.is_finite())).flatten() {
                let (index, value) = (piece * PIECE + at, components[at].to_string());
                let (vector, component) = (index / self.dimension, index % self.dimension);
                return Err(VectorsError::NotFinite { vector, component, value });
            }
        }
        Ok(())
    }

    /// That both have the same dimension; vectors that are none have any.
    ///
    /// # Errors
    ///
    /// [`VectorsError::DimensionMismatch`].
    pub fn check_dimension(self, other: Vectors<'_>) -> Result<(), VectorsError> {
        if self.dimension == other.dimension || self.is_empty() || other.is_empty() {
            return Ok(());
        }
        Err(VectorsError::DimensionMismatch { expected: self.dimension, found: other.dimension })
    }
}

/// A single vector.
impl<'a> From<&'a [f32]> for Vectors<'a> {
    fn from(vector: &'a [f32]) -> Vectors<'a> {
        Vectors { components: vector, dimension: vector.len() }
    }
}

/// A single vector.
impl<'a> From<&'a Vec<f32>> for Vectors<'a> {
    fn from(vector: &'a Vec<f32>) -> Vectors<'a> {
        Vectors::from(&vector[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_cut_into_whole_vectors() {
        let numbers = [1.0, 2.0, 3.0, 4.0];
        let vectors = Vectors::new(&numbers, 2).unwrap();
        assert_eq!(vectors.rows().collect::<Vec<_>>(), [&[1.0, 2.0], &[3.0, 4.0]]);
        assert_eq!(vectors.range(1, 2).as_slice(), [3.0, 4.0]);
        assert_eq!(Vectors::new(&numbers, 3), Err(VectorsError::Incomplete { components: 4, dimension: 3 }));
        assert_eq!(Vectors::new(&numbers, 0), Err(VectorsError::Incomplete { components: 4, dimension: 0 }));
    }

    #[test]
    fn no_vectors_have_any_dimension() {
        let none = Vectors::new(&[], 0).unwrap();
        assert_eq!((none.len(), none.is_empty(), none.rows().len()), (0, true, 0));
        let two = Vectors::from(&[1.0, 2.0][..]);
        assert_eq!((two.len(), two.dimension()), (1, 2));
        assert_eq!(none.check_dimension(two), Ok(()));
        let three = Vectors::from(&[1.0, 2.0, 3.0][..]);
        let mismatch = VectorsError::DimensionMismatch { expected: 2, found: 3 };
        assert_eq!(two.check_dimension(three), Err(mismatch));
    }

    #[test]
    fn what_is_not_finite_is_found_wherever_it_is() {
        let mut numbers = vec![f32::MAX; 5 * 2000];
        assert_eq!(Vectors::new(&numbers, 5).unwrap().check_finite(), Ok(()));
        for (index, value) in [(9_999, f32::NEG_INFINITY), (4_098, f32::NAN)] {
            numbers[index] = value;
            let error = Vectors::new(&numbers, 5).unwrap().check_finite().unwrap_err();
            let (vector, component) = (index / 5, index % 5);
            assert_eq!(error, VectorsError::NotFinite { vector, component, value: value.to_string() });
        }
        let error = Vectors::new(&numbers, 5).unwrap().check_finite().unwrap_err().to_string();
        assert_eq!(error, "component 3 of vector 819 is NaN; expected a finite number");
    }
}
