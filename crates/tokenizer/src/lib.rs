//! Tokenisation as sentence-transformers does it.
//!
//! A text becomes at most [`max_seq_length`](Tokenizer::max_seq_length) token ids, special tokens
//! included. Nothing is padded, and a text that was cut says so: [`Tokens`] knows how many tokens the whole
//! text had. [`Tokenizer::decode`] goes back from ids to a text, and [`Tokenizer::readable_tokens`] shows what a text's tokens
//! are and where they come from.
//!
//! `tokenizer.json` files carry truncation and padding settings of their own (128 and 128 in
//! all-MiniLM-L6-v2's). sentence-transformers overrides them by the limit in
//! `sentence_bert_config.json`, and so does [`Tokenizer::from_file`].
//!
//! # Two backends
//!
//! | [`Backend`] | for |
//! |---|---|
//! | [`WordPiece`](Backend::WordPiece) | BERT's and MPNet's tokenizers: `BertNormalizer` with any flags, `BertPreTokenizer`, a WordPiece model; `TemplateProcessing`, `BertProcessing` or `RobertaProcessing`; up to 64 added tokens that are found as they are written or in the normalized text, with white space around them or without; from `tokenizer.json`, or from `vocab.txt` alone |
//! | [`TokenizersCrate`](Backend::TokenizersCrate) | every other one: Unigram, BPE, WordLevel; added tokens that match single words |
//!
//! [`Tokenizer::from_folder`] and [`Tokenizer::from_file`] take the first that fits. Which one it was makes no difference but
//! of time: ids, counts, what is cut, offsets and what ids decode to are equal. WordPiece asks the crates that `tokenizers` asks
//! about characters; `tests/tests/engine/tokenizer.rs` compares both over many scripts and every character there is, in a recorded
//! run over ten million texts, and `tests/decode.rs` the way back.
//!
//! all-MiniLM-L6-v2's tokenizer on one core of a 2-core Zen 4, `cargo bench -p minilm-benches --bench tokenize`:
//!
//! | | WordPiece | `tokenizers` 0.23.2 |
//! |---|---|---|
//! | 13 tokens | 0.20 µs | 14 µs |
//! | 49 tokens | 0.97 µs | 48 µs |
//! | 256 tokens | 5.7 µs | 270 µs |
//! | 22 tokens of Chinese | 0.65 µs | 20 µs |
//! | loading (30,522 tokens) | 1.9 ms | 21 ms |
//!
//! A Unigram model of 250,000 tokens, as multilingual models have it, loads in 0.4 to 0.5 s, nearly all of which the crate
//! takes to build its tree of tokens (reading the JSON takes 20 ms; the crate would take 40 to 70 more for that, and 30 MB); a
//! text of 19 tokens takes 12 µs, one of 128 tokens 0.15 ms.

mod decode;
mod error;
mod files;
mod overrides;
mod readable;
mod special_tokens;
mod template;
mod tokenizer_class;
mod tokenizers_crate;
mod truncation;
mod unigram;
mod vocab_txt;
mod wordpiece;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::TokenizerError;
use files::read;
use overrides::Overrides;
pub use readable::{ReadableToken, ReadableTokens, Span, TokenizeOptions};
use tokenizers_crate::CrateTokenizer;
pub use truncation::TruncationSide;
use vocab_txt::VocabTxt;
use wordpiece::WordPiece;

/// A tokenizer and the longest sequence its model takes. Clones share what it is made of.
#[derive(Clone)]
pub struct Tokenizer {
    implementation: Implementation,
    /// What errors name it by.
    path: PathBuf,
    max_seq_length: usize,
}

#[derive(Clone)]
enum Implementation {
    WordPiece(Arc<WordPiece>),
    TokenizersCrate(Arc<CrateTokenizer>),
}

/// What files say of a tokenizer, whoever finds the tokens.
#[derive(Clone, Copy)]
struct Properties {
    vocab_size: usize,
    has_tokens_of_settings: bool,
    truncation_side: TruncationSide,
}

/// Who finds the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// This crate's WordPiece: less than a microsecond for a short text, without allocating anything but the ids.
    WordPiece,
    /// The `tokenizers` crate.
    TokenizersCrate,
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

/// A token of a text, and the bytes of the text that it comes from.
///
/// Offsets are those of Python's `tokenizers`, in bytes instead of characters: of the characters that the token's own come
/// from, without the white space around them where a post-processor trims it.
/// Characters that the normalizer removes, accents for instance, are in no token, though they may lie in one. Where a
/// normalizer changes the order of marks, which it does with a few rare ones, these are the marks' true places;
/// `tokenizers` takes them for those of their neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenOffsets {
    /// The token's id.
    pub id: u32,
    /// Where its first character begins.
    pub start: usize,
    /// Where its last character ends.
    pub end: usize,
    /// Whether it is the first token of a word: of what the pre-tokenizer makes of the text.
    pub begins_word: bool,
}

impl Tokens {
    /// Whether the text was longer than the model takes, so that its end is missing from `ids`, or its beginning
    /// ([`TruncationSide`]).
    pub fn truncated(&self) -> bool {
        self.total > self.ids.len()
    }
}

impl Tokenizer {
    /// Loads the tokenizer of a model's folder: its `tokenizer.json`, or, if there is none, its `vocab.txt`.
    ///
    /// Of a `tokenizer.json`, settings are replaced by those in `tokenizer_config.json` as `transformers` 4.57 does it for the
    /// kind of tokenizer, which is named there or, like the model's type, in `config.json`. For `BertTokenizerFast` and those like it
    /// these are `do_lower_case`, `strip_accents` and `tokenize_chinese_chars`, for `MPNetTokenizerFast` the first two, for all
    /// `add_prefix_space` of a `ByteLevel` pre-tokenizer. What is not there counts as true, null, true and false, whatever
    /// `tokenizer.json` says, unless neither file names a tokenizer or a model. `truncation_side` comes before the direction in
    /// `tokenizer.json`.
    ///
    /// Special tokens and other added ones that the settings have, or the kind of tokenizer has by default, and
    /// `tokenizer.json` has not, are added to it, with the ids that follow its own, and those that they have in another way
    /// replace its own: by `added_tokens_decoder` and the special tokens in `tokenizer_config.json`, and where that has no
    /// `added_tokens_decoder`, by `special_tokens_map.json` and `added_tokens.json` too. Of other kinds than those of the models
    /// of the engine (BERT, MPNet, RoBERTa, XLM-RoBERTa, CamemBERT), no defaults are known.
    ///
    /// A `vocab.txt` alone is what BERT models of before 2020 have. It becomes the tokenizer that `transformers` 4.57
    /// makes of it (`BertTokenizerFast`, `DistilBertTokenizerFast` or `MPNetTokenizerFast`), by the settings in
    /// `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json` and, for the kind of tokenizer, `config.json`,
    /// as far as these are there.
    ///
    /// ```
    /// use minilm_tokenizer::Tokenizer;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// std::fs::write(folder.join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##known\n")?;
    /// let tokenizer = Tokenizer::from_folder(folder, 128)?;
    /// assert_eq!(tokenizer.encode("Unknown!")?.ids, [2, 5, 6, 1, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`from_file`](Tokenizer::from_file), [`TokenizerError::NotFound`] if neither file is there, and, for a
    /// `vocab.txt`, [`TokenizerError::Vocabulary`] if it has no token for unknown words or none of those around a text.
    /// [`TokenizerError::Settings`] if another file is invalid, has `split_special_tokens: true`, `extra_special_tokens` or more
    /// than 65,536 added tokens and, for a `vocab.txt`, if one asks for a tokenizer of another kind or has
    /// `do_basic_tokenize: false`. [`TokenizerError::Invalid`] also if an added token is normalized by one file and not by
    /// another, so that `transformers` would find it in two ways.
    pub fn from_folder(
        directory: impl AsRef<Path>,
        max_seq_length: usize,
    ) -> Result<Tokenizer, TokenizerError> {
        let directory = directory.as_ref();
        let json = directory.join("tokenizer.json");
        let path = directory.join(vocab_txt::FILE_NAME);
        if json.exists() {
            return Tokenizer::from_json(&json, &Overrides::read(directory)?, max_seq_length);
        }
        if !path.exists() {
            return Err(TokenizerError::NotFound { directory: directory.to_owned() });
        }
        let vocabulary = VocabTxt::read(directory)?;
        match WordPiece::from_vocab_txt(&vocabulary) {
            Some(wordpiece) => {
                Tokenizer::new(Implementation::WordPiece(wordpiece.into()), &path, max_seq_length)
            }
            None => {
                let json = vocabulary.to_tokenizer_json().to_string();
                let overrides =
                    Overrides { truncation_side: Some(vocabulary.truncation_side), ..Overrides::default() };
                Tokenizer::by_the_crate(&path, json.as_bytes(), &overrides, max_seq_length)
            }
        }
    }

    /// Loads a `tokenizer.json` as it is, whatever is beside it.
    ///
    /// # Errors
    ///
    /// [`TokenizerError::Open`], also if it is not a regular file or has more than 64 MiB, [`TokenizerError::Invalid`], or
    /// [`TokenizerError::MaxSeqLength`] if the limit leaves no room for a token beside the special ones.
    pub fn from_file(path: impl AsRef<Path>, max_seq_length: usize) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::from_json(path.as_ref(), &Overrides::default(), max_seq_length)
    }

    fn from_json(
        path: &Path,
        overrides: &Overrides,
        max_seq_length: usize,
    ) -> Result<Tokenizer, TokenizerError> {
        let json = read(path)?;
        match WordPiece::from_json(&json, overrides) {
            Some(wordpiece) => {
                Tokenizer::new(Implementation::WordPiece(wordpiece.into()), path, max_seq_length)
            }
            None => Tokenizer::by_the_crate(path, &json, overrides, max_seq_length),
        }
    }

    /// As [`from_file`](Tokenizer::from_file), but by the `tokenizers` crate whatever the file is: what the other
    /// backend is compared with.
    ///
    /// # Errors
    ///
    /// Those of [`from_file`](Tokenizer::from_file).
    pub fn from_file_by_tokenizers_crate(
        path: impl AsRef<Path>,
        max_seq_length: usize,
    ) -> Result<Tokenizer, TokenizerError> {
        let path = path.as_ref();
        Tokenizer::by_the_crate(path, &read(path)?, &Overrides::default(), max_seq_length)
    }

    fn by_the_crate(
        path: &Path,
        json: &[u8],
        overrides: &Overrides,
        max_seq_length: usize,
    ) -> Result<Tokenizer, TokenizerError> {
        let tokenizer = CrateTokenizer::from_json(json, overrides)
            .map_err(|reason| TokenizerError::Invalid { path: path.to_owned(), reason })?;
        Tokenizer::new(Implementation::TokenizersCrate(tokenizer.into()), path, max_seq_length)
    }

    fn new(
        implementation: Implementation,
        path: &Path,
        max_seq_length: usize,
    ) -> Result<Tokenizer, TokenizerError> {
        let mut tokenizer = Tokenizer { implementation, path: path.to_owned(), max_seq_length };
        tokenizer.set_max_seq_length(max_seq_length)?;
        Ok(tokenizer)
    }

    /// Lower-cases every text first, unless the tokenizer does so already: `do_lower_case` in
    /// `sentence_bert_config.json`. Added tokens that are found in normalized texts are not lower-cased: one with a capital letter
    /// is no longer found, as with `transformers` 4.57.
    ///
    /// # Errors
    ///
    /// [`TokenizerError::Encode`] if the `tokenizers` crate does not take the normalizer.
    pub fn lowercased(self) -> Result<Tokenizer, TokenizerError> {
        let implementation = match self.implementation {
            Implementation::WordPiece(wordpiece) => {
                Implementation::WordPiece(Arc::unwrap_or_clone(wordpiece).lowercased().into())
            }
            Implementation::TokenizersCrate(tokenizer) => {
                Implementation::TokenizersCrate(Arc::unwrap_or_clone(tokenizer).lowercased()?.into())
            }
        };
        Ok(Tokenizer { implementation, ..self })
    }

    /// The token ids of a text.
    ///
    /// # Errors
    ///
    /// [`TokenizerError::Encode`] if the tokenizer has no way to express the text, for example a
    /// vocabulary that lacks its own unknown token.
    pub fn encode(&self, text: &str) -> Result<Tokens, TokenizerError> {
        self.encode_truncated(text, self.truncation_side())
    }

    /// As [`encode`](Tokenizer::encode), but that side of the text is cut off if it has more tokens than the limit.
    ///
    /// # Errors
    ///
    /// [`TokenizerError::Encode`], as [`encode`](Tokenizer::encode).
    pub fn encode_truncated(&self, text: &str, side: TruncationSide) -> Result<Tokens, TokenizerError> {
        // About four bytes a token; a word of one letter and its space are two.
        let mut ids = Vec::with_capacity((text.len() / 3 + 8).min(self.max_seq_length));
        let total = self.encode_side_into(text, side, &mut ids)?;
        Ok(Tokens { ids, total })
    }

    /// Replaces `ids` by the token ids of a text, at most [`max_seq_length`](Tokenizer::max_seq_length); returns how
    /// many the text has without a limit. Special tokens are counted. Of more, the first ones are kept, or the last ones
    /// ([`truncation_side`](Tokenizer::truncation_side)).
    ///
    /// With [`Backend::WordPiece`] nothing is allocated once `ids` has room, but for rare marks: those that
    /// `strip_accents` reorders and keeps.
    ///
    /// # Errors
    ///
    /// [`TokenizerError::Encode`], as [`encode`](Tokenizer::encode).
    pub fn encode_into(&self, text: &str, ids: &mut Vec<u32>) -> Result<usize, TokenizerError> {
        self.encode_side_into(text, self.truncation_side(), ids)
    }

    fn encode_side_into(
        &self,
        text: &str,
        side: TruncationSide,
        ids: &mut Vec<u32>,
    ) -> Result<usize, TokenizerError> {
        let limit = self.max_seq_length;
        match &self.implementation {
            Implementation::WordPiece(wordpiece) => Ok(wordpiece.encode_into(text, limit, side, ids)),
            Implementation::TokenizersCrate(tokenizer) => tokenizer.encode_into(text, limit, side, ids),
        }
    }

    /// The whole text in sequences of at most [`max_seq_length`](Tokenizer::max_seq_length) ids, each with the special tokens
    /// around it: as few as possible, and of the same length but for the last, which may be shorter.
    ///
    /// # Errors
    ///
    /// [`TokenizerError::Encode`], as [`encode`](Tokenizer::encode).
    pub fn encode_pieces(&self, text: &str) -> Result<Vec<Vec<u32>>, TokenizerError> {
        match &self.implementation {
            Implementation::WordPiece(wordpiece) => Ok(wordpiece.encode_pieces(text, self.max_seq_length)),
            Implementation::TokenizersCrate(tokenizer) => tokenizer.encode_pieces(text, self.max_seq_length),
        }
    }

    /// How many ids of a text are its beginning's, if it begins like this: those before every text included, the last
    /// one not if that is a special one.
    ///
    /// As sentence-transformers counts a prompt's tokens (`Transformer._get_prompt_length`).
    ///
    /// # Errors
    ///
    /// [`TokenizerError::Encode`], as [`encode`](Tokenizer::encode).
    pub fn prompt_length(&self, prompt: &str) -> Result<usize, TokenizerError> {
        let ids = self.encode(prompt)?.ids;
        let special_at_the_end = match &self.implementation {
            Implementation::WordPiece(wordpiece) => wordpiece.ends_with_special_token(),
            Implementation::TokenizersCrate(tokenizer) => tokenizer.ends_with_special_token(prompt)?,
        };
        Ok(ids.len() - usize::from(special_at_the_end))
    }

    /// Sets the most tokens a text may have, special tokens included.
    ///
    /// # Errors
    ///
    /// [`TokenizerError::MaxSeqLength`] if that leaves no room for a token beside the special ones; the limit stays as it was.
    pub fn set_max_seq_length(&mut self, max_seq_length: usize) -> Result<(), TokenizerError> {
        let special_tokens = self.special_tokens();
        if max_seq_length <= special_tokens {
            let path = self.path.clone();
            return Err(TokenizerError::MaxSeqLength { path, max_seq_length, special_tokens });
        }
        self.max_seq_length = max_seq_length;
        Ok(())
    }

    /// Replaces `tokens` by all tokens of a text and where they come from, without a limit and without special tokens.
    ///
    /// Takes longer than [`encode_into`](Tokenizer::encode_into): with [`Backend::WordPiece`] 1.5 times as long for a text of
    /// 256 tokens, 2.5 times for one of 13.
    ///
    /// # Errors
    ///
    /// [`TokenizerError::Encode`], as [`encode`](Tokenizer::encode).
    pub fn offsets_into(&self, text: &str, tokens: &mut Vec<TokenOffsets>) -> Result<(), TokenizerError> {
        tokens.clear();
        match &self.implementation {
            Implementation::WordPiece(wordpiece) => wordpiece.offsets_into(text, tokens),
            Implementation::TokenizersCrate(tokenizer) => tokenizer.offsets_into(text, tokens)?,
        }
        Ok(())
    }

    /// Whether the tokens of a text are those of its words, one after the other: cut between two words, and with white
    /// space taken away at the cut, both parts together have the tokens of the whole.
    ///
    /// So it is with [`Backend::WordPiece`], unless an added token has white space in it. `tokenizers` has models that
    /// look across words, and is never said to.
    pub fn words_add_up(&self) -> bool {
        match &self.implementation {
            Implementation::WordPiece(wordpiece) => wordpiece.added_tokens_have_no_white_space(),
            Implementation::TokenizersCrate(_) => false,
        }
    }

    /// How many special tokens are put around every text.
    pub fn special_tokens(&self) -> usize {
        match &self.implementation {
            Implementation::WordPiece(wordpiece) => wordpiece.special_tokens(),
            Implementation::TokenizersCrate(tokenizer) => tokenizer.special_tokens(),
        }
    }

    /// Who finds the tokens.
    pub fn backend(&self) -> Backend {
        match self.implementation {
            Implementation::WordPiece(_) => Backend::WordPiece,
            Implementation::TokenizersCrate(_) => Backend::TokenizersCrate,
        }
    }

    /// The most tokens a text may have, special tokens included.
    pub fn max_seq_length(&self) -> usize {
        self.max_seq_length
    }

    /// How many different tokens its file has. Settings beside a `tokenizer.json` may add others
    /// ([`has_tokens_of_settings`](Tokenizer::has_tokens_of_settings)), whose ids follow.
    pub fn vocab_size(&self) -> usize {
        self.properties().vocab_size
    }

    /// Whether settings beside a `tokenizer.json` add special tokens, or other added ones, to it, or change some, as
    /// [`from_folder`](Tokenizer::from_folder) says. A model may have no embeddings for what is added so.
    pub fn has_tokens_of_settings(&self) -> bool {
        self.properties().has_tokens_of_settings
    }

    /// Which side of a text is cut off if it has more tokens than the limit.
    pub fn truncation_side(&self) -> TruncationSide {
        self.properties().truncation_side
    }

    fn properties(&self) -> Properties {
        match &self.implementation {
            Implementation::WordPiece(wordpiece) => wordpiece.properties(),
            Implementation::TokenizersCrate(tokenizer) => tokenizer.properties(),
        }
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("backend", &self.backend())
            .field("vocab_size", &self.vocab_size())
            .field("max_seq_length", &self.max_seq_length)
            .finish()
    }
}
