//! Model weights: safetensors files, memory-mapped, every tensor checked before it is used.
//!
//! [`WeightsFile`] opens a file and checks its whole header; [`WeightsFile::tensor`] gives a view of one
//! tensor if its type is a float type and its shape is the expected one. Views borrow from the file, so
//! they cannot outlive the mapping.
//!
//! ```no_run
//! # fn main() -> Result<(), minilm_weights::WeightsError> {
//! let file = minilm_weights::WeightsFile::open("model.safetensors")?;
//! let gamma = file.tensor("embeddings.LayerNorm.weight", &[384])?.to_f32();
//! # Ok(()) }
//! ```

mod error;
mod file;
mod header;
mod mapping;
mod tensor;

pub use error::WeightsError;
pub use file::WeightsFile;
pub use tensor::{FloatType, Tensor};
