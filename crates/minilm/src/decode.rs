use minilm_tokenizer::{ReadableTokens, TokenizeOptions};

use crate::{Error, SentenceTransformer};

impl SentenceTransformer {
    /// The text that token ids stand for, with special tokens or without: `decode` of sentence-transformers' tokenizer. What
    /// tokenising took away, letter case for one, stays away.
    ///
    /// ```no_run
    /// use minilm::SentenceTransformer;
    ///
    /// # fn main() -> Result<(), minilm::Error> {
    /// let model = SentenceTransformer::load("all-MiniLM-L6-v2")?;
    /// let (ids, _) = model.tokenize("Isn't it?")?;
    /// assert_eq!(model.decode(&ids, false)?, "[CLS] isn ' t it? [SEP]");
    /// assert_eq!(model.decode(&ids, true)?, "isn ' t it?");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`]: [`TokenizerError::UnknownId`](crate::TokenizerError::UnknownId) for an id that is no token's, where
    /// `transformers` leaves it out; [`TokenizerError::Decode`](crate::TokenizerError::Decode) if the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String, Error> {
        Ok(self.tokenizer.decode(ids, skip_special_tokens)?)
    }

    /// The tokens of a text as people read them, with their places in it: by default those that [`tokenize`](Self::tokenize)
    /// gives. The text is taken as it is: who wants a prompt ([`prompts`](Self::prompts)) puts it in front of it.
    ///
    /// ```no_run
    /// use minilm::{SentenceTransformer, TokenizeOptions};
    ///
    /// # fn main() -> Result<(), minilm::Error> {
    /// let model = SentenceTransformer::load("all-MiniLM-L6-v2")?;
    /// let text = "Émbeddings";
    /// let options = TokenizeOptions::default().add_special_tokens(false).truncation(false);
    /// let tokens = model.readable_tokens(text, &options)?.tokens;
    /// let read: Vec<_> = tokens.iter().map(|token| &*token.text).collect();
    /// assert_eq!(read, ["em", "##bed", "##ding", "##s"]);
    /// let span = tokens[0].span.as_ref().expect("it is in the text");
    /// assert_eq!((&text[span.bytes.clone()], &span.bytes, &span.chars), ("Ém", &(0..3), &(0..2)));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] if the tokenizer cannot express the text.
    pub fn readable_tokens(&self, text: &str, options: &TokenizeOptions) -> Result<ReadableTokens, Error> {
        Ok(self.tokenizer.readable_tokens(text, options)?)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{Error, SentenceTransformer, TokenizeOptions, TokenizerError};

    #[test]
    fn readable_tokens_are_what_the_model_reads() {
        for name in ["tiny-bert", "tiny-roberta", "tiny-xlm-roberta"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
            let mut model = SentenceTransformer::load(folder).unwrap();
            model.set_max_seq_length(8).unwrap();
            let text = "Thé cat sat on the mat, the dog did not.";
            let (ids, count) = model.tokenize(text).unwrap();
            let cut = model.readable_tokens(text, &TokenizeOptions::default()).unwrap();
            assert!(cut.tokens.iter().map(|token| token.id).eq(ids.iter().copied()), "{name}");
            assert_eq!((cut.total, cut.tokens.len(), cut.truncated()), (count.total, 8, true), "{name}");
            let options = TokenizeOptions::default().add_special_tokens(false).truncation(false);
            let whole = model.readable_tokens(text, &options).unwrap().tokens;
            assert_eq!(whole.len() + 2, count.total, "{name}");
            let decoded = model.decode(&ids, true).unwrap();
            let expected: Vec<u32> = whole.iter().map(|token| token.id).take(6).collect();
            assert_eq!(decoded, model.decode(&expected, false).unwrap(), "{name}");
            let unknown = model.config().vocab_size as u32 + 1_000;
            let error = model.decode(&[unknown], true).unwrap_err();
            let Error::Tokenizer(TokenizerError::UnknownId { id, index: 0, .. }) = error else {
                panic!("{name}: {error}")
            };
            assert_eq!(id, unknown);
        }
    }
}
