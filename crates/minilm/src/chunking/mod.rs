//! Long documents: cut into chunks that the model takes whole, by structure and size.
//!
//! A model reads at most [`max_seq_length`](SentenceTransformer::max_seq_length) tokens of a text, and the rest has no
//! influence on its vector. A [`Chunker`] cuts a document into [`Chunk`]s of no more tokens than that, in the model's own
//! tokens, each a slice of the document that knows where it is.
//!
//! ```no_run
//! use minilm::chunking::ChunkOptions;
//! use minilm::{EncodeOptions, SentenceTransformer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = SentenceTransformer::load("all-MiniLM-L6-v2")?;
//! let document = std::fs::read_to_string("README.md")?;
//!
//! let options = ChunkOptions::markdown().max_tokens(128).overlap(16);
//! for chunk in model.chunker(&options)?.chunks(&document) {
//!     let chunk = chunk?;
//!     println!("{}..{} ({} tokens) {}", chunk.start, chunk.end, chunk.tokens, chunk.headings.join(" > "));
//! }
//!
//! // All of them with their vectors, or one vector for the whole document.
//! let (chunks, embeddings) = model.encode_chunks(&document, &options, &EncodeOptions::default())?;
//! assert_eq!(chunks.len(), embeddings.len());
//! let vector = model.encode_pooled(&document, &options, &EncodeOptions::default())?;
//! # Ok(()) }
//! ```
//!
//! # What is promised
//!
//! - **Nothing is lost.** Chunks come in the order of the document, and what is between two of them is white space. Without
//!   [`overlap`](ChunkOptions::overlap) they have nothing in common. A byte order mark at the beginning is in none.
//! - **Nothing is cut off.** [`Chunk::tokens`] is what the model counts when it encodes the chunk's text, special tokens
//!   included, and it is never more than [`max_tokens`](ChunkOptions::max_tokens).
//! - **No word is cut**, unless it is too long for a chunk: then between two characters, as a reader sees them (extended
//!   grapheme clusters), unless one of these is too long as well. Words are those of [UAX 29]; where a script
//!   is written without spaces, each of its characters is one.
//! - **The time is linear** in the length of the document, whatever it consists of.
//!
//! # How a document is cut
//!
//! From where the last chunk ended, a chunk takes as many as will fit of the largest units of which one fits: paragraphs;
//! else sentences; else lines; else words; else characters. [`ChunkBy`] says which is the largest. So short paragraphs
//! are put together, and of a long one what remains of it in the end goes with those that follow.
//!
//! In Markdown a chunk also ends before each heading, whatever room it has left, and headings stay with what follows
//! them. A heading that is followed by one of a lower level, and by nothing else, goes with that one. List items and the
//! paragraphs in them, quotations, table rows and blank lines in code are units between paragraphs and
//! sentences, the less deeply nested the larger; so a list or a block of code is not cut if it fits.
//!
//! Sentences are those of [UAX 29], which knows no abbreviations. The end of a line in the midst of a paragraph is taken
//! for a space.
//!
//! There is a limit of 64 bytes for each token that a chunk may have, which prose does not reach (it has four or five). It
//! stops what tokenizers make next to nothing of: a word of more than 100 characters is one unknown token to BERT's.
//!
//! [UAX 29]: https://www.unicode.org/reports/tr29/
//!
//! # Others
//!
//! LangChain's `RecursiveCharacterTextSplitter` cuts at blank lines, ends of lines and spaces, and counts characters, unless
//! told otherwise; LlamaIndex's `SentenceSplitter` makes chunks of 1024 tokens, 200 of them overlap, of a tokenizer that
//! need not be the model's. What they make may be longer than the model takes. The crate `text-splitter` takes
//! the largest unit that fits, as is done here; of Markdown it puts several sections into a chunk, where they fit.

mod atoms;
mod boundaries;
mod chunks;
mod error;
mod markdown;
mod options;
mod pooling;

use minilm_tokenizer::Tokenizer;

use crate::{Error, SentenceTransformer};

pub use chunks::Chunks;
pub use error::ChunkError;
pub use options::{ChunkBy, ChunkOptions};
pub(crate) use pooling::WeightedMean;
pub use pooling::pool_chunks;

/// A piece of a document that a model takes whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chunk<'a> {
    /// Where it begins in the document, in bytes.
    pub start: usize,
    /// Where it ends in the document, in bytes.
    pub end: usize,
    /// The document from `start` to `end`.
    pub text: &'a str,
    /// How many tokens the model counts in the text, special tokens included.
    pub tokens: usize,
    /// The Markdown headings it is under, the outermost first, as they are written but for their marks. Its own is one of
    /// them, if it begins with one. Empty for plain text.
    pub headings: Vec<&'a str>,
}

impl AsRef<str> for Chunk<'_> {
    fn as_ref(&self) -> &str {
        self.text
    }
}

/// Cuts documents into chunks for a model. Serves any number of documents and threads.
#[derive(Clone, Debug)]
pub struct Chunker<'m> {
    tokenizer: &'m Tokenizer,
    /// The most tokens of a chunk, special tokens included.
    max_tokens: usize,
    overlap: usize,
    by: ChunkBy,
    markdown: bool,
    reading: Reading,
}

/// The most bytes of a chunk, for each token that it may have.
const BYTES_PER_TOKEN: usize = 64;

/// How much of a document is looked at together, in bytes, so that memory does not grow with it. No chunk depends on it, but
/// where a word or a sentence is longer.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// Enough that the end of a segment costs nothing.
    segment: usize,
    /// The most without white space, or of a paragraph. At least twice what a chunk may have.
    longest: usize,
    /// How far before an end of those what was found is as certain as if there were no end.
    margin: usize,
}

impl Reading {
    fn of_chunks(max_bytes: usize) -> Reading {
        let longest = max_bytes.saturating_mul(2).max(64 << 10);
        Reading { segment: 16 << 10, longest, margin: 4 << 10 }
    }
}

impl<'m> Chunker<'m> {
    /// For the model whose tokenizer this is.
    pub(crate) fn new(tokenizer: &'m Tokenizer, options: &ChunkOptions) -> Result<Chunker<'m>, ChunkError> {
        let (most, special_tokens) = (tokenizer.max_seq_length(), tokenizer.special_tokens());
        let max_tokens = options.max_tokens.unwrap_or(most);
        if !(special_tokens + 1..=most).contains(&max_tokens) {
            return Err(ChunkError::MaxTokens { max_tokens, least: special_tokens + 1, most });
        }
        let room = max_tokens - special_tokens;
        if options.overlap >= room {
            return Err(ChunkError::Overlap { overlap: options.overlap, max_tokens, special_tokens });
        }
        let &ChunkOptions { overlap, by, markdown, .. } = options;
        let reading = Reading::of_chunks(BYTES_PER_TOKEN.saturating_mul(room));
        Ok(Chunker { tokenizer, max_tokens, overlap, by, markdown, reading })
    }

    /// The chunks of a document, found one after the other as they are asked for.
    ///
    /// What is held beside the document is little, some megabytes for a model of 256 tokens, whatever the document consists of;
    /// but for the structure of Markdown, which is read as a whole.
    ///
    /// An item is an error if the document has no such chunks, and the last then: [`ChunkError::Character`], or
    /// [`Error::Tokenizer`] for a tokenizer that cannot express a text, which those of BERT can.
    pub fn chunks<'c, 'a>(&'c self, document: &'a str) -> Chunks<'c, 'a> {
        Chunks::new(self, document)
    }

    /// The most tokens of a chunk, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// How many tokens a chunk may have beside the special ones.
    fn room(&self) -> usize {
        self.max_tokens - self.tokenizer.special_tokens()
    }

    fn max_bytes(&self) -> usize {
        BYTES_PER_TOKEN.saturating_mul(self.room())
    }
}

impl SentenceTransformer {
    /// Cuts documents into chunks that this model takes whole: see [`chunking`](crate::chunking).
    ///
    /// # Errors
    ///
    /// [`ChunkError::MaxTokens`] and [`ChunkError::Overlap`], for options that the model cannot keep to.
    pub fn chunker(&self, options: &ChunkOptions) -> Result<Chunker<'_>, Error> {
        Ok(Chunker::new(self.tokenizer(), options)?)
    }
}

#[cfg(test)]
mod tests;
