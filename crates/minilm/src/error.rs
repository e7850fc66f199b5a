use std::path::PathBuf;

use minilm_bert::BertError;
use minilm_kernels::UnavailableIsa;
use minilm_tokenizer::TokenizerError;
use minilm_weights::WeightsError;

use crate::chunking::ChunkError;
use crate::resolve::ResolveError;

/// Why a model cannot be loaded, or a text not be encoded.
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
    Bert(BertError),

    /// The weights file is malformed, or a tensor is missing, of another type or of another shape.
    #[error(transparent)]
    Weights(#[from] WeightsError),

    /// The tokenizer cannot be loaded, or cannot express a text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),

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
}

/// What is wrong with the weights is found in one place, whoever noticed it.
impl From<BertError> for Error {
    fn from(error: BertError) -> Error {
        match error {
            BertError::Weights(error) => Error::Weights(error),
            error => Error::Bert(error),
        }
    }
}
