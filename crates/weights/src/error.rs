use std::path::{Path, PathBuf};

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

    /// The index of weights that are split into shards cannot be used.
    #[error("{path} is not a valid index of safetensors files: {reason}", path = path.display())]
    InvalidIndex {
        /// The index.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },

    /// A shard that an index names cannot be opened or mapped.
    #[error("cannot open weights file {path}, which {index} names: {source}", path = path.display(), index = index.display())]
    OpenShard {
        /// The shard.
        path: PathBuf,
        /// The index.
        index: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// A shard lacks a tensor that should be in it.
    #[error("{path}: tensor \"{tensor}\" is missing, which is there according to {index}", path = path.display(), index = index.display())]
    MissingFromShard {
        /// The shard.
        path: PathBuf,
        /// The index.
        index: PathBuf,
        /// The tensor.
        tensor: String,
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

    /// The weights have no tensor of that name.
    #[error("{path}: tensor \"{tensor}\" is missing (there are {count} tensors{})", with_prefix(.prefix), path = path.display())]
    MissingTensor {
        /// The file, or the index of the files.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// How many tensors there are.
        count: usize,
        /// What stands before the name, up to a dot, in that of a tensor which is there. The shortest, if there are several.
        prefix: Option<String>,
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

    /// The system does not give the memory that packed weights need.
    #[error("cannot get memory for {elements} packed weights: {source}")]
    Memory {
        /// How many f32 were asked for.
        elements: usize,
        /// What the system said.
        source: std::io::Error,
    },
}

impl WeightsError {
    /// Of a file, or an index, with these tensors.
    pub(crate) fn missing<'a>(
        path: &Path,
        tensor: &str,
        names: impl ExactSizeIterator<Item = &'a str>,
    ) -> WeightsError {
        let count = names.len();
        let prefix = names
            .filter_map(|name| name.strip_suffix(tensor).filter(|prefix| prefix.ends_with('.')))
            .min_by_key(|prefix| (prefix.len(), *prefix))
            .map(str::to_owned);
        WeightsError::MissingTensor { path: path.to_owned(), tensor: tensor.to_owned(), count, prefix }
    }
}

fn with_prefix(prefix: &Option<String>) -> String {
    prefix
        .as_ref()
        .map_or_else(String::new, |prefix| format!(", one has the prefix {prefix:?} before this name"))
}

/// Why a file of packed weights is not used, or cannot be written. Weights are then packed anew.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackedFileError {
    /// There is none yet.
    #[error("there was no packed file yet")]
    Absent,

    /// The system refuses to open or write it.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// It is not a file of this version of the format, or is damaged.
    #[error("{path} cannot be used: {reason}", path = path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },

    /// It belongs to other weights or to another config.
    #[error("{path} is out of date: {reason}", path = path.display())]
    Stale {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },

    /// Packed files are little-endian, and this machine is not.
    #[error("packed files are for little-endian machines")]
    ByteOrder,
}
