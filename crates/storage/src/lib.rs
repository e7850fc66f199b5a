//! Files of texts and of vectors, and what vectors are in memory.
//!
//! [`Vectors`] is a view of vectors that lie somewhere else: in a slice, or in a file that is mapped.

mod vectors;

pub use vectors::{Vectors, VectorsError};
