use std::path::PathBuf;

/// Why a weights file, or a tensor in it, cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file cannot be opened or mapped.
    #[error("cannot open weights file {path}: {source}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// The file is not a safetensors file, or its header contradicts itself or the file's size.
    #[error("{path} is not a valid safetensors file: {reason}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },

    /// A tensor's entry in the header is malformed, or its bytes are not where they should be.
    #[error("{path}: tensor \"{tensor}\": {reason}", path = path.display())]
    InvalidTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What was expected and what was found.
        reason: String,
    },

    /// The file has no tensor of that name.
    #[error("{path}: tensor \"{tensor}\" is missing (the file has {count} tensors)", path = path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// How many tensors the file has.
        count: usize,
    },

    /// The tensor's elements are not floats that the engine reads.
    #[error("{path}: tensor \"{tensor}\" has type {found}, expected F32, F16 or BF16", path = path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The type in the file, by its safetensors name.
        found: String,
    },

    /// The tensor's shape is not the one that the model's config asks for.
    #[error("{path}: tensor \"{tensor}\" has shape {found:?}, expected {expected:?}", path = path.display())]
    WrongShape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape asked for.
        expected: Vec<usize>,
    },
}
