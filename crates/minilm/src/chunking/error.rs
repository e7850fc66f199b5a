/// Why a document cannot be cut into chunks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// Chunks of a size that the model does not take, or that has no room for any text.
    #[error(
        "chunks of at most {max_tokens} tokens are asked for; this model takes from {least} to {most}, special tokens included"
    )]
    MaxTokens {
        /// What was asked for.
        max_tokens: usize,
        /// The special tokens and one more.
        least: usize,
        /// The model's `max_seq_length`.
        most: usize,
    },

    /// A prompt that leaves no room for any text.
    #[error(
        "the prompt has {tokens} tokens; expected fewer than the {room} that the model takes beside {special_tokens} \
         special ones",
        room = max_seq_length - special_tokens
    )]
    Prompt {
        /// How many tokens it has, special tokens not counted.
        tokens: usize,
        /// The model's `max_seq_length`.
        max_seq_length: usize,
        /// How many of these are special.
        special_tokens: usize,
    },

    /// Chunks that have nothing but what the one before has.
    #[error(
        "an overlap of {overlap} tokens is asked for; expected less than the {room} that chunks of {max_tokens} have \
         beside {special_tokens} special ones",
        room = max_tokens - special_tokens
    )]
    Overlap {
        /// What was asked for.
        overlap: usize,
        /// The most tokens of a chunk, special tokens included.
        max_tokens: usize,
        /// How many of these are special.
        special_tokens: usize,
    },

    /// A single character of more tokens than a chunk may have.
    #[error(
        "the character {character:?} at byte {offset} has {tokens} tokens with the special ones; expected at most \
         {max_tokens}"
    )]
    Character {
        /// The character.
        character: char,
        /// Where it is in the document.
        offset: usize,
        /// How many tokens it has by itself, special tokens included.
        tokens: usize,
        /// The most tokens of a chunk, special tokens included.
        max_tokens: usize,
    },
}
