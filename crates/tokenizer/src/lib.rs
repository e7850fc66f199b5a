//! Tokenisation as sentence-transformers does it, over the `tokenizers` crate.
//!
//! A text becomes at most [`max_seq_length`](Tokenizer::max_seq_length) token ids, special tokens
//! included. Nothing is padded, and a text that was cut says so: [`Tokens`] knows how many tokens the whole
//! text had.
//!
//! `tokenizer.json` files carry truncation and padding settings of their own (128 and 128 in
//! all-MiniLM-L6-v2's). sentence-transformers overrides them by the limit in
//! `sentence_bert_config.json`, and so does [`Tokenizer::from_file`].

mod error;
mod template;

use std::path::Path;

use tokenizers::normalizers::{Lowercase, Sequence};
use tokenizers::{NormalizerWrapper, PostProcessor, TruncationDirection};

pub use error::TokenizerError;

/// A tokenizer and the longest sequence its model takes.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    max_seq_length: usize,
    /// How many special tokens are put around a text: 2 for BERT, `[CLS]` and `[SEP]`.
    special_tokens: usize,
}

/// The token ids of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tokens {
    /// At most `max_seq_length` ids, special tokens included.
    pub ids: Vec<u32>,
    /// How many ids the text has without a limit, special tokens included.
    pub total: usize,
}

impl Tokens {
    /// Whether the text was longer than the model takes, so that its end is missing from `ids`.
    pub fn truncated(&self) -> bool {
        self.total > self.ids.len()
    }
}

impl Tokenizer {
    /// Loads a `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// [`TokenizerError::Open`], [`TokenizerError::Invalid`], or [`TokenizerError::MaxSeqLength`] if the
    /// limit leaves no room for a token beside the special ones.
    pub fn from_file(path: impl AsRef<Path>, max_seq_length: usize) -> Result<Tokenizer, TokenizerError> {
        let path = path.as_ref();
        let json =
            std::fs::read(path).map_err(|source| TokenizerError::Open { path: path.to_owned(), source })?;
        let invalid = |reason: String| TokenizerError::Invalid { path: path.to_owned(), reason };
        let mut inner = tokenizers::Tokenizer::from_bytes(&json).map_err(|e| invalid(e.to_string()))?;
        template::check(&json).map_err(invalid)?;
        inner.with_padding(None).with_truncation(None).map_err(|e| invalid(e.to_string()))?;
        let special_tokens = inner.get_post_processor().map_or(0, |p| p.added_tokens(false));
        if max_seq_length <= special_tokens {
            let path = path.to_owned();
            return Err(TokenizerError::MaxSeqLength { path, max_seq_length, special_tokens });
        }
        Ok(Tokenizer { inner, max_seq_length, special_tokens })
    }

    /// Lower-cases every text first, unless the tokenizer does so already: `do_lower_case` in
    /// `sentence_bert_config.json`.
    ///
    /// # Errors
    ///
    /// [`TokenizerError::Encode`] if the added tokens cannot be lower-cased.
    pub fn lowercased(mut self) -> Result<Tokenizer, TokenizerError> {
        let normalizer = self.inner.get_normalizer().cloned();
        if !normalizer.as_ref().is_some_and(lowercases) {
            let chain = std::iter::once(NormalizerWrapper::from(Lowercase)).chain(normalizer).collect();
            self.inner.with_normalizer(Some(Sequence::new(chain))).map_err(TokenizerError::encode)?;
        }
        Ok(self)
    }

    /// The token ids of a text.
    ///
    /// # Errors
    ///
    /// [`TokenizerError::Encode`] if the tokenizer has no way to express the text, for example a
    /// vocabulary that lacks its own unknown token.
    pub fn encode(&self, text: &str) -> Result<Tokens, TokenizerError> {
        let mut encoding = self.inner.encode_fast(text, false).map_err(TokenizerError::encode)?;
        let total = encoding.len() + self.special_tokens;
        if total > self.max_seq_length {
            encoding.truncate(self.max_seq_length - self.special_tokens, 0, TruncationDirection::Right);
            // What was cut off, in pieces; each would be post-processed too.
            drop(encoding.take_overflowing());
        }
        let encoding = self.inner.post_process(encoding, None, true).map_err(TokenizerError::encode)?;
        debug_assert_eq!(encoding.len(), total.min(self.max_seq_length));
        Ok(Tokens { ids: encoding.get_ids().to_vec(), total })
    }

    /// The most tokens a text may have, special tokens included.
    pub fn max_seq_length(&self) -> usize {
        self.max_seq_length
    }

    /// How many different tokens there are.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("max_seq_length", &self.max_seq_length)
            .finish()
    }
}

/// As `_has_lowercase` of sentence-transformers' `Transformer` module.
fn lowercases(normalizer: &NormalizerWrapper) -> bool {
    match normalizer {
        NormalizerWrapper::BertNormalizer(bert) => bert.lowercase,
        NormalizerWrapper::Lowercase(_) => true,
        NormalizerWrapper::Sequence(sequence) => sequence.as_ref().iter().any(lowercases),
        _ => false,
    }
}
