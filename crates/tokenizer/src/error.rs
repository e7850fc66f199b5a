use std::path::PathBuf;

/// Why a tokenizer cannot be loaded, a text not be tokenised, or ids not be decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The file cannot be read, is not a regular one, or has more than 64 MiB.
    #[error("cannot read tokenizer {path}: {source}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// The file is not a `tokenizer.json` that the `tokenizers` crate understands.
    #[error("{path} is not a valid tokenizer.json: {reason}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What the `tokenizers` crate said.
        reason: String,
    },

    /// A folder has no file that a tokenizer could be made of.
    #[error("{directory} has neither a tokenizer.json nor a vocab.txt", directory = directory.display())]
    NotFound {
        /// The folder.
        directory: PathBuf,
    },

    /// A `vocab.txt` lacks what its tokenizer needs.
    #[error("no tokenizer can be made of {path}: {reason}", path = path.display())]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// A file beside `tokenizer.json` or `vocab.txt` is invalid, or asks for a tokenizer that is not made of `vocab.txt` alone.
    #[error("{path}: {reason}", path = path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What it says, and what was expected.
        reason: String,
    },

    /// The limit leaves no room for a text.
    #[error(
        "max_seq_length is {max_seq_length}, but {path} puts {special_tokens} special tokens around every text: \
         expected at least {least}",
        path = path.display(),
        least = special_tokens + 1
    )]
    MaxSeqLength {
        /// The tokenizer's file.
        path: PathBuf,
        /// The limit asked for.
        max_seq_length: usize,
        /// How many tokens of it are taken.
        special_tokens: usize,
    },

    /// The tokenizer cannot express a text.
    #[error("cannot tokenise the text: {reason}")]
    Encode {
        /// What the `tokenizers` crate said.
        reason: String,
    },

    /// An id is no token's, as ids of another tokenizer are.
    #[error("no token of {path} has the id {id}, which is at index {index} of the ids", path = path.display())]
    UnknownId {
        /// The id.
        id: u32,
        /// Which of the ids it is, counted from 0.
        index: usize,
        /// The tokenizer's file.
        path: PathBuf,
    },

    /// The decoder that the tokenizer's file names cannot make a text of tokens.
    #[error("cannot decode the tokens: {reason}")]
    Decode {
        /// What the `tokenizers` crate said.
        reason: String,
    },
}

impl TokenizerError {
    pub(crate) fn encode(reason: tokenizers::Error) -> TokenizerError {
        TokenizerError::Encode { reason: reason.to_string() }
    }
}
