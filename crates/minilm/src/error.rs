use std::path::PathBuf;

use minilm_encoder::EncoderError;
use minilm_kernels::UnavailableIsa;
use minilm_storage::VectorsError;
use minilm_tokenizer::TokenizerError;
use minilm_weights::WeightsError;

use crate::chunking::ChunkError;
use crate::resolve::ResolveError;

/// Why a model cannot be loaded, a text not be encoded, or ids not be decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model was not found, or could not be fetched.
    #[error(transparent)]
    Resolve(#[from] ResolveError),

    /// The instruction set that was asked for is not there.
    #[error(transparent)]
    Isa(#[from] UnavailableIsa),

    /// The encoder's config is not understood, or a token does not fit the encoder.
    #[error(transparent)]
    Encoder(EncoderError),

    /// The weights file is malformed, or a tensor is missing, of another type or of another shape.
    #[error(transparent)]
    Weights(#[from] WeightsError),

    /// The tokenizer cannot be loaded, cannot express a text, or has no token of an id.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),

    /// Vectors that are compared are not finite numbers, which those of a model with finite weights always are.
    #[error(transparent)]
    Vectors(#[from] VectorsError),
    /// Chunks that the model does not take, or that a document cannot be cut into.
    #[error(transparent)]
    Chunk(#[from] ChunkError),

    /// A settings file of the model cannot be read or understood.
    #[error("{path}: {reason}", path = path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },

    /// A prompt is asked for by a name that the model has no prompt of.
    #[error("the model has no prompt {name:?}; its prompts are {}", known.join(", "))]
    PromptName {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },

    /// A text has more tokens than the model takes, and [`Truncation::Error`](crate::Truncation::Error) was asked for.
    #[error("text {index} has {tokens} tokens, and the model takes {max_seq_length}")]
    TooLong {
        /// Which text of the call, counted from 0.
        index: usize,
        /// How many tokens it has, special tokens and prompt included.
        tokens: usize,
        /// How many it may have.
        max_seq_length: usize,
    },

    /// An option has a value that cannot be.
    #[error("{option} is {found}, expected {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
}

/// What is wrong with the weights is found in one place, whoever noticed it.
impl From<EncoderError> for Error {
    fn from(error: EncoderError) -> Error {
        match error {
            EncoderError::Weights(error) => Error::Weights(error),
            error => Error::Encoder(error),
        }
    }
}
