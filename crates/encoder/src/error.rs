use std::path::PathBuf;

use minilm_weights::WeightsError;

/// Why an encoder cannot be loaded, or cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// The config cannot be read.
    #[error("cannot read model config {path}: {source}", path = path.display())]
    OpenConfig {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// The config is not JSON, or lacks a field, or has one of another type.
    #[error("{path} is not a valid model config: {reason}", path = path.display())]
    InvalidConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },

    /// The config asks for something that this engine does not compute, or contradicts itself.
    #[error("{path}: {field} is {found}, expected {expected}", path = path.display())]
    UnsupportedConfig {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What it says.
        found: String,
        /// What would have been understood.
        expected: String,
    },

    /// A config was changed after it was read, to something that this engine does not compute, or that contradicts itself.
    #[error("the encoder's config: {field} is {found}, expected {expected}")]
    ChangedConfig {
        /// The field of [`EncoderConfig`](crate::EncoderConfig).
        field: &'static str,
        /// What it says.
        found: String,
        /// What would have been understood.
        expected: String,
    },

    /// The weights do not fit the config.
    #[error(transparent)]
    Weights(#[from] WeightsError),

    /// A token id has no embedding.
    #[error("token id {id} is outside the vocabulary of {vocab_size} tokens")]
    UnknownToken {
        /// The id.
        id: u32,
        /// How many embeddings there are.
        vocab_size: usize,
    },

    /// A sequence is longer than the model has positions.
    #[error("a sequence has {tokens} tokens, the model takes at most {max_positions}")]
    TooLong {
        /// The sequence's tokens.
        tokens: usize,
        /// The model's positions.
        max_positions: usize,
    },

    /// Threads could not be started.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        reason: String,
    },
}
