//! From ids back to tokens and texts.

use std::borrow::Cow;

use crate::{Implementation, Tokenizer, TokenizerError};

/// A token of the vocabulary, or an added one.
pub(crate) struct VocabularyToken<'a> {
    /// As the file writes it.
    pub(crate) text: Cow<'a, str>,
    /// Whether a file says that it is special, as `[SEP]` is and `[UNK]`.
    pub(crate) is_special: bool,
}

impl Tokenizer {
    /// The text that ids stand for, by the decoder that `tokenizer.json` names (a `vocab.txt` has BERT's); special tokens are
    /// left out if that is asked for.
    ///
    /// Decoding does not undo all that tokenising does: letter case, accents and white space that a normalizer or a word's end
    /// took away are gone, and `[UNK]` is all that is left of an unknown word. It is `Tokenizer::decode` of the `tokenizers`
    /// package, and `decode` of `transformers` 4.57 with `clean_up_tokenization_spaces=False`, its default; that key of
    /// `tokenizer_config.json` is not looked at. Only ids that are no token's are another matter: there they are passed over.
    ///
    /// ```
    /// use minilm_tokenizer::{Tokenizer, TokenizerError};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// std::fs::write(folder.join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##known\n!\n")?;
    /// let tokenizer = Tokenizer::from_folder(folder, 128)?;
    /// let ids = tokenizer.encode("Unknown!")?.ids;
    /// assert_eq!(tokenizer.decode(&ids, false)?, "[CLS] unknown! [SEP]");
    /// assert_eq!(tokenizer.decode(&ids, true)?, "unknown!");
    ///
    /// let error = tokenizer.decode(&[5, 99], true).unwrap_err();
    /// assert!(matches!(error, TokenizerError::UnknownId { id: 99, index: 1, .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TokenizerError::UnknownId`] for an id that is no token's, and [`TokenizerError::Decode`] if the file's decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String, TokenizerError> {
        let mut tokens = Vec::with_capacity(ids.len());
        for (index, &id) in ids.iter().enumerate() {
            let token = self.known_token(index, id)?;
            if !(skip_special_tokens && token.is_special) {
                tokens.push(token.text);
            }
        }
        match &self.implementation {
            Implementation::WordPiece(wordpiece) => Ok(wordpiece.join(&tokens)),
            Implementation::TokenizersCrate(tokenizer) => tokenizer.join(tokens),
        }
    }

    fn token(&self, id: u32) -> Option<VocabularyToken<'_>> {
        match &self.implementation {
            Implementation::WordPiece(wordpiece) => wordpiece.token(id),
            Implementation::TokenizersCrate(tokenizer) => tokenizer.token(id),
        }
    }

    /// The token of an id at this place of a list.
    pub(crate) fn known_token(&self, index: usize, id: u32) -> Result<VocabularyToken<'_>, TokenizerError> {
        let unknown = || TokenizerError::UnknownId { id, index, path: self.path.clone() };
        self.token(id).ok_or_else(unknown)
    }
}
