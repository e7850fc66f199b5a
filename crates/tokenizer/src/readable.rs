//! The tokens of a text with all that people ask of them.

use std::ops::Range;

use crate::{Implementation, Tokenizer, TokenizerError, TruncationSide};

/// Which tokens [`Tokenizer::readable_tokens`] gives. By default those of [`Tokenizer::encode`]. The names are those of
/// `transformers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenizeOptions {
    /// Whether the special tokens that are put around every text are among them: so by default. Others stay as they are without
    /// these, of a text that is cut too.
    pub add_special_tokens: bool,
    /// Whether they are cut to [`max_seq_length`](Tokenizer::max_seq_length): so by default.
    pub truncation: bool,
    /// On which side, if so; by default on the tokenizer's [`truncation_side`](Tokenizer::truncation_side).
    pub truncation_side: Option<TruncationSide>,
}

impl Default for TokenizeOptions {
    fn default() -> Self {
        TokenizeOptions { add_special_tokens: true, truncation: true, truncation_side: None }
    }
}

impl TokenizeOptions {
    /// Sets [`TokenizeOptions::add_special_tokens`].
    #[must_use]
    pub fn add_special_tokens(mut self, add_special_tokens: bool) -> Self {
        self.add_special_tokens = add_special_tokens;
        self
    }

    /// Sets [`TokenizeOptions::truncation`].
    #[must_use]
    pub fn truncation(mut self, truncation: bool) -> Self {
        self.truncation = truncation;
        self
    }

    /// Sets [`TokenizeOptions::truncation_side`].
    #[must_use]
    pub fn truncation_side(mut self, side: TruncationSide) -> Self {
        self.truncation_side = Some(side);
        self
    }
}

/// The tokens of one text, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadableTokens {
    /// In their order.
    pub tokens: Vec<ReadableToken>,
    /// How many there are without a limit, those around the text included if they are among `tokens`.
    pub total: usize,
}

impl ReadableTokens {
    /// Whether the text was longer than the model takes, so that its end is missing from `tokens`, or its beginning
    /// ([`TruncationSide`]).
    pub fn truncated(&self) -> bool {
        self.total > self.tokens.len()
    }
}

/// A token of a text, or one that is put around it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadableToken {
    /// Its id.
    pub id: u32,
    /// As the vocabulary has it: `##ing`, `Ġthe`, `▁the`, `[SEP]`. What the text has in its place may look otherwise, for
    /// instance where the token is `[UNK]`: see `span`.
    pub text: String,
    /// Whether it is one of the tokenizer's special tokens, which [`Tokenizer::decode`] leaves out if that is asked for, be it
    /// put around the text, found in it (`[MASK]`) or in the place of an unknown word (`[UNK]`).
    pub is_special: bool,
    /// Where in the text it is; `None` if it is put around the text.
    pub span: Option<Span>,
}

/// A part of a text, counted in two ways. It is where a token comes from, as [`TokenOffsets`](crate::TokenOffsets) says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// In bytes of UTF-8, as Rust slices texts: always at characters' ends.
    pub bytes: Range<usize>,
    /// In characters (Unicode scalar values), as Python slices texts.
    pub chars: Range<usize>,
}

impl Tokenizer {
    /// The tokens of a text as people read them: the ids of [`encode`](Tokenizer::encode), each with its token's own text, whether
    /// it is special, and where in the text it comes from.
    ///
    /// ```
    /// use minilm_tokenizer::{TokenizeOptions, Tokenizer};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// std::fs::write(folder.join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##known\n")?;
    /// let tokenizer = Tokenizer::from_folder(folder, 128)?;
    /// let text = "¡Unknown";
    /// for token in tokenizer.readable_tokens(text, &TokenizeOptions::default())?.tokens {
    ///     match token.span {
    ///         Some(span) => println!("{}: {} for {}", token.id, token.text, &text[span.bytes]),
    ///         None => println!("{}: {}", token.id, token.text),
    ///     }
    /// }
    /// // 2: [CLS], 1: [UNK] for ¡, 5: un for Un, 6: ##known for known, 3: [SEP]
    ///
    /// let options = TokenizeOptions::default().add_special_tokens(false);
    /// let tokens = tokenizer.readable_tokens(text, &options)?.tokens;
    /// let spans: Vec<_> = tokens.iter().filter_map(|token| token.span.clone()).collect();
    /// assert_eq!((tokens.len(), &*tokens[2].text), (3, "##known"));
    /// assert_eq!((&spans[2].bytes, &spans[2].chars), (&(4..9), &(3..8)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// text-embeddings-inference's `/tokenize` has no limit (`truncation(false)`), calls those tokens `special` that have no
    /// `span`, and gives for the others the part of the text as theirs, from `start` to `stop` in bytes (its
    /// `core/src/tokenization.rs`, as of July 2026).
    ///
    /// # Errors
    ///
    /// [`TokenizerError::Encode`], as [`encode`](Tokenizer::encode); [`TokenizerError::UnknownId`] if the file puts an id around
    /// texts that is no token's.
    pub fn readable_tokens(
        &self,
        text: &str,
        options: &TokenizeOptions,
    ) -> Result<ReadableTokens, TokenizerError> {
        let mut located = Vec::new();
        self.offsets_into(text, &mut located)?;
        let (before, after) = if options.add_special_tokens { self.around()? } else { Default::default() };
        let total = before.len() + located.len() + after.len();
        if options.truncation {
            let room = self.max_seq_length - self.special_tokens();
            match options.truncation_side.unwrap_or(self.truncation_side()) {
                TruncationSide::Right => located.truncate(room),
                TruncationSide::Left => drop(located.drain(..located.len().saturating_sub(room))),
            }
        }
        let characters = Characters::of(text);
        let spans = located.iter().map(|token| {
            let bytes = token.start..token.end;
            let chars = characters.before(bytes.start)..characters.before(bytes.end);
            (token.id, Some(Span { bytes, chars }))
        });
        let around = |id: u32| (id, None);
        let all = before.into_iter().map(around).chain(spans).chain(after.into_iter().map(around));
        let readable = |(index, (id, span))| {
            let token = self.known_token(index, id)?;
            Ok(ReadableToken { id, text: token.text.into_owned(), is_special: token.is_special, span })
        };
        let tokens = all.enumerate().map(readable).collect::<Result<_, TokenizerError>>()?;
        Ok(ReadableTokens { tokens, total })
    }

    /// The ids before and after every text.
    fn around(&self) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
        match &self.implementation {
            Implementation::WordPiece(wordpiece) => Ok(wordpiece.around()),
            Implementation::TokenizersCrate(tokenizer) => tokenizer.around(),
        }
    }
}

/// How many characters of a text are before a byte of it. Tokens mostly follow each other, but nothing promises it, and a text may
/// have a million of them: so none may cost more than a block.
struct Characters<'a> {
    bytes: &'a [u8],
    /// Before each block.
    blocks: Vec<usize>,
}

impl Characters<'_> {
    const BLOCK: usize = 256;

    fn of(text: &str) -> Characters<'_> {
        let bytes = text.as_bytes();
        let mut before = 0;
        let blocks = bytes.chunks(Self::BLOCK).map(|block| {
            before += characters(block);
            before
        });
        Characters { bytes, blocks: std::iter::once(0).chain(blocks).collect() }
    }

    fn before(&self, byte: usize) -> usize {
        let block = byte / Self::BLOCK;
        self.blocks[block] + characters(&self.bytes[block * Self::BLOCK..byte])
    }
}

/// How many begin in a part of a text.
fn characters(bytes: &[u8]) -> usize {
    // Others continue one.
    bytes.iter().filter(|&&byte| byte & 0xc0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_before_a_byte() {
        let part = "aé中😀\u{301}";
        for times in [0, 1, 40, 300] {
            let text = part.repeat(times);
            let characters = Characters::of(&text);
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            for (count, byte) in ends.enumerate() {
                assert_eq!(characters.before(byte), count);
            }
        }
        for len in [255, 256, 257, 512] {
            assert_eq!(Characters::of(&"a".repeat(len)).before(len), len);
        }
    }
}
