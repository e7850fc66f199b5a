//! Model weights: safetensors files, memory-mapped, every tensor checked before it is used.
//!
//! [`Weights`] are those of a model, in one file or in shards that a [`ShardIndex`] names; each is a [`WeightsFile`],
//! whose whole header is checked when it is opened. [`Weights::tensor`] gives a view of one tensor if its type is a
//! float type and its shape is the expected one. Views borrow from the weights, so they cannot outlive the mapping.
//!
//! [`RegionMut`] is where weights are packed to, in huge pages where the system has them; frozen, it is a [`Region`] that
//! everything loaded from it shares. [`PackedFile`] keeps a region as a file, which is checked, mapped and used without
//! a copy; its format is described in `packed_file.rs`.
//!
//! [`MappedFile`] is any other file as memory: the mapping that both are made of.
//!
//! ```no_run
//! # fn main() -> Result<(), minilm_weights::WeightsError> {
//! let weights = minilm_weights::Weights::open_in("all-MiniLM-L6-v2")?;
//! let gamma = weights.tensor("embeddings.LayerNorm.weight", &[384])?.to_f32();
//! # Ok(()) }
//! ```

mod error;
mod file;
mod header;
mod identity;
mod mapping;
mod packed_file;
mod read_limited;
mod region;
mod shard_index;
mod tensor;
mod weights;

pub use error::{PackedFileError, WeightsError};
pub use file::WeightsFile;
pub use identity::{FileIdentity, SAMPLE, SourceIdentity};
pub use mapping::MappedFile;
pub use packed_file::{PackedContents, PackedFile, SECTION_ALIGNMENT, Section};
pub use read_limited::read_limited;
pub use region::{Region, RegionMut, RegionSlice};
pub use shard_index::ShardIndex;
pub use tensor::{FloatType, RawTensor, Tensor};
pub use weights::{INDEX_FILE, MODEL_FILE, Weights};
