use std::io;
use std::path::{Path, PathBuf};

use minilm_storage::{StorageError, VectorsError};

use crate::Error;

/// Why an index cannot be built, opened or searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// A file of it cannot be read or written, or is not what it should be.
    #[error(transparent)]
    Storage(#[from] StorageError),

    /// Vectors that are searched with or added do not fit, or are not finite.
    #[error(transparent)]
    Vectors(#[from] VectorsError),

    /// The model cannot encode a text, or its files can no longer be read.
    #[error(transparent)]
    Model(#[from] Error),

    /// The system refuses to read or write something.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// There is no index.
    #[error("{directory} is no index: it has no index.json", directory = directory.display())]
    NotAnIndex {
        /// Where one was expected.
        directory: PathBuf,
    },

    /// A new index was asked for where one is already.
    #[error(
        "{directory} is an index of {texts} texts; a new index needs a directory that is empty or not there",
        directory = directory.display()
    )]
    Exists {
        /// Where.
        directory: PathBuf,
        /// How many texts it has.
        texts: usize,
    },

    /// A new index was asked for where something else is.
    #[error(
        "{directory} has other files, {found} among them; a new index needs a directory that is empty or not there",
        directory = directory.display()
    )]
    NotEmpty {
        /// Where.
        directory: PathBuf,
        /// The name of one.
        found: String,
    },

    /// A file of it is not what was written.
    #[error("{path}: {reason}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },

    /// The vectors in it are of another model, whose vectors say nothing about this one's.
    #[error(
        "{directory} was built with {expected}, and {found} is another model: {what} differs",
        directory = directory.display()
    )]
    OtherModel {
        /// The index.
        directory: PathBuf,
        /// The name of the model that it was built with.
        expected: String,
        /// The name of the model in use.
        found: String,
        /// What differs, with both values.
        what: String,
    },

    /// The vectors in it were made otherwise than those that are to be added.
    #[error(
        "{directory} was built with {option} {expected}, not with {found}; texts that are added must be encoded as those that are \
         there",
        directory = directory.display()
    )]
    OtherOption {
        /// The index.
        directory: PathBuf,
        /// What differs: `"precision"`, `"prompt"`, `"dimension"`, `"normalize_embeddings"` or `"truncation"`.
        option: &'static str,
        /// What the index was built with.
        expected: String,
        /// What it is now.
        found: String,
    },

    /// A vector is not of length 1, as those of the index are.
    #[error("vector {vector} has length {norm}; the vectors of this index have length 1")]
    NotNormalized {
        /// Which vector, counted from 0.
        vector: usize,
        /// Its length.
        norm: f32,
    },

    /// The texts do not go on where an interrupted build stopped.
    /// [`IndexWriter::discard_interrupted`](crate::IndexWriter::discard_interrupted) gives that build up.
    #[error(
        "{directory}: a build stopped after {rows} texts, and can only go on with the same texts in the same order; {found}",
        directory = directory.display()
    )]
    OtherTexts {
        /// The index.
        directory: PathBuf,
        /// How many texts of that build are in it.
        rows: usize,
        /// What is there instead.
        found: String,
    },

    /// Somebody else is writing to it.
    #[error("{directory}: another process is adding to it", directory = directory.display())]
    Locked {
        /// The index.
        directory: PathBuf,
    },
}

impl IndexError {
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> IndexError {
        move |source| IndexError::Io { path: path.to_owned(), source }
    }
}
