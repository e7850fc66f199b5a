//! Every other tokenizer, by the `tokenizers` crate; and the reference for those that the crate is not needed for.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::normalizers::{Lowercase, Sequence};
use tokenizers::{NormalizerWrapper, PostProcessor, TruncationDirection};

use crate::wordpiece::piece_length;
use crate::{TokenOffsets, TokenizerError, template};

/// A tokenizer of the `tokenizers` crate.
#[derive(Clone)]
pub(crate) struct CrateTokenizer {
    inner: tokenizers::Tokenizer,
    special_tokens: usize,
}

impl CrateTokenizer {
    /// Or why the file (`tokenizer.json`) is invalid.
    pub(crate) fn from_json(json: &[u8]) -> Result<CrateTokenizer, String> {
        // First, as it also finds broken JSON, at which the crate panics where the decoder is.
        template::check(json)?;
        // The crate also panics at a normalizer of type Precompiled with a broken map.
        let mut inner = catch_unwind(AssertUnwindSafe(|| tokenizers::Tokenizer::from_bytes(json)))
            .map_err(|_| "the tokenizers crate panics while it reads it".to_owned())?
            .map_err(|e| e.to_string())?;
        inner.with_padding(None).with_truncation(None).map_err(|e| e.to_string())?;
        let special_tokens = inner.get_post_processor().map_or(0, |p| p.added_tokens(false));
        Ok(CrateTokenizer { inner, special_tokens })
    }

    /// Lower-cases every text first, unless the tokenizer does so already.
    pub(crate) fn lowercased(mut self) -> Result<CrateTokenizer, TokenizerError> {
        let normalizer = self.inner.get_normalizer().cloned();
        if !normalizer.as_ref().is_some_and(lowercases) {
            let chain = std::iter::once(NormalizerWrapper::from(Lowercase)).chain(normalizer).collect();
            self.inner.with_normalizer(Some(Sequence::new(chain))).map_err(TokenizerError::encode)?;
        }
        Ok(self)
    }

    /// How many special tokens are put around every text.
    pub(crate) fn special_tokens(&self) -> usize {
        self.special_tokens
    }

    /// How many different tokens there are.
    pub(crate) fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Replaces `ids` by those of a text, `max_seq_length` at most; returns how many there are without a limit. Special
    /// tokens are counted, and leave room for one more at least.
    pub(crate) fn encode_into(
        &self,
        text: &str,
        max_seq_length: usize,
        ids: &mut Vec<u32>,
    ) -> Result<usize, TokenizerError> {
        ids.clear();
        let mut encoding = self.inner.encode_fast(text, false).map_err(TokenizerError::encode)?;
        let total = encoding.len() + self.special_tokens;
        if total > max_seq_length {
            encoding.truncate(max_seq_length - self.special_tokens, 0, TruncationDirection::Right);
            // What was cut off, in pieces; each would be post-processed too.
            drop(encoding.take_overflowing());
        }
        let encoding = self.inner.post_process(encoding, None, true).map_err(TokenizerError::encode)?;
        debug_assert_eq!(encoding.len(), total.min(max_seq_length));
        ids.extend_from_slice(encoding.get_ids());
        Ok(total)
    }

    /// The whole text in sequences of `max_seq_length` ids at most: as few as possible, of the same length but for the last.
    pub(crate) fn encode_pieces(
        &self,
        text: &str,
        max_seq_length: usize,
    ) -> Result<Vec<Vec<u32>>, TokenizerError> {
        let mut encoding = self.inner.encode_fast(text, false).map_err(TokenizerError::encode)?;
        let length = piece_length(encoding.len(), max_seq_length - self.special_tokens);
        encoding.truncate(length, 0, TruncationDirection::Right);
        let rest = encoding.take_overflowing();
        let ids = |piece| {
            let piece = self.inner.post_process(piece, None, true).map_err(TokenizerError::encode)?;
            Ok(piece.get_ids().to_vec())
        };
        std::iter::once(encoding).chain(rest).map(ids).collect()
    }

    /// Whether the last of a text's ids is a special token's.
    pub(crate) fn ends_with_special_token(&self, text: &str) -> Result<bool, TokenizerError> {
        let encoding = self.inner.encode_fast(text, true).map_err(TokenizerError::encode)?;
        Ok(encoding.get_special_tokens_mask().last() == Some(&1))
    }

    /// Appends all tokens of a text and where they come from, without special tokens.
    pub(crate) fn offsets_into(
        &self,
        text: &str,
        tokens: &mut Vec<TokenOffsets>,
    ) -> Result<(), TokenizerError> {
        // In characters: some post-processors trim offsets by as many as a token has of white space, and would, if they were in
        // bytes, end within a character.
        let encoding = self.inner.encode_char_offsets(text, false).map_err(TokenizerError::encode)?;
        let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let byte = |character: usize| starts.get(character).copied().unwrap_or(text.len());
        let (ids, offsets, words) = (encoding.get_ids(), encoding.get_offsets(), encoding.get_word_ids());
        let mut last = None;
        tokens.extend(ids.iter().zip(offsets).zip(words).map(|((&id, &(start, end)), &word)| {
            let begins_word = word.is_none() || std::mem::replace(&mut last, word) != word;
            TokenOffsets { id, start: byte(start), end: byte(end), begins_word }
        }));
        Ok(())
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
