//! BERT's tokenizer by itself: what `tokenizers` computes for a `tokenizer.json` with `BertNormalizer`,
//! `BertPreTokenizer`, a WordPiece model and one `[CLS]`-and-`[SEP]`-like post-processor, only faster.
//!
//! | module | what it does |
//! |---|---|
//! | `file` | reads `tokenizer.json`, or declines |
//! | `added_tokens` | finds `[MASK]` and the like in the text |
//! | `words` | normalizes the text and splits it into words |
//! | `classes` | knows the characters for it |
//! | `origins` | knows where in the text a word's characters are, for those who ask |
//! | `vocabulary` | finds the longest token that a word begins with |
//!
//! Reference: Devlin et al., BERT (2018), `tokenization.py`; Wu et al., "Google's Neural Machine Translation System"
//! (2016), section 4.1. The specification is the code of `tokenizers`, errors included.

mod added_tokens;
mod classes;
mod file;
mod origins;
mod vocabulary;
mod words;

use added_tokens::AddedTokens;
use file::{File, Object};
use origins::{Forgotten, Kept};
use vocabulary::{Place, Vocabulary};
use words::{MAX_WORD_CHARS, Rules, Sink, Words};

use crate::TokenOffsets;

/// More added tokens are left to `tokenizers`, which has an automaton for them.
const MAX_ADDED_TOKENS: usize = 64;

/// A tokenizer that finds words by itself.
#[derive(Clone)]
pub(crate) struct WordPiece {
    added_tokens: AddedTokens,
    rules: Rules,
    vocabulary: Vocabulary,
    unknown: u32,
    max_word_chars: usize,
    /// The ids before and after every text.
    before: Vec<u32>,
    after: Vec<u32>,
}

impl WordPiece {
    /// `None` if the file (`tokenizer.json`) is invalid or anything else than what is computed here.
    pub(crate) fn from_json(json: &[u8]) -> Option<WordPiece> {
        let File { added_tokens, normalizer, post_processor, model: Object(model), .. } = File::parse(json)?;
        if !(1..=MAX_WORD_CHARS).contains(&model.max_input_chars_per_word) {
            return None;
        }
        let vocabulary = Vocabulary::new(model.vocab, &model.continuing_subword_prefix, MAX_WORD_CHARS * 4)?;
        let unknown = vocabulary.id(&model.unk_token)?;
        let (before, after) = match post_processor {
            Some(Object(processor)) => processor.around_a_text()?,
            None => (Vec::new(), Vec::new()),
        };
        Some(WordPiece {
            added_tokens: known_tokens(added_tokens, &vocabulary)?,
            rules: Rules::new(&normalizer.0),
            vocabulary,
            unknown,
            max_word_chars: model.max_input_chars_per_word,
            before,
            after,
        })
    }

    /// Lower-cases every text first, unless the tokenizer does so already.
    pub(crate) fn lowercased(self) -> WordPiece {
        if self.rules.lowercase() {
            return self;
        }
        WordPiece { rules: self.rules.lowercase_first(), ..self }
    }

    /// How many special tokens are put around every text.
    pub(crate) fn special_tokens(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// How many different tokens there are.
    pub(crate) fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// Replaces `ids` by those of a text, `max_seq_length` at most; returns how many there are without a limit. Special
    /// tokens are counted, and leave room for one more at least.
    pub(crate) fn encode_into(&self, text: &str, max_seq_length: usize, ids: &mut Vec<u32>) -> usize {
        ids.clear();
        ids.extend_from_slice(&self.before);
        let room = max_seq_length - self.after.len();
        let pieces = Pieces { vocabulary: &self.vocabulary, unknown: self.unknown, ids, room, total: 0 };
        let mut words = Words::new(&self.rules, self.max_word_chars, pieces);
        self.read(text, &mut words, |pieces, id, _, _| pieces.push(id));
        let total = words.sink.total;
        ids.extend_from_slice(&self.after);
        self.special_tokens() + total
    }

    /// The whole text in sequences of `max_seq_length` ids at most: as few as possible, of the same length but for the last.
    pub(crate) fn encode_pieces(&self, text: &str, max_seq_length: usize) -> Vec<Vec<u32>> {
        let mut ids = Vec::new();
        self.encode_into(text, usize::MAX, &mut ids);
        let content = &ids[self.before.len()..ids.len() - self.after.len()];
        let length = piece_length(content.len(), max_seq_length - self.special_tokens());
        let around = |piece: &[u32]| [&self.before, piece, &self.after].concat();
        if content.is_empty() { vec![around(&[])] } else { content.chunks(length).map(around).collect() }
    }

    /// Whether what is put around a text ends with a token.
    pub(crate) fn ends_with_special_token(&self) -> bool {
        !self.after.is_empty()
    }

    /// Appends all tokens of a text and where they come from, without special tokens.
    pub(crate) fn offsets_into(&self, text: &str, tokens: &mut Vec<TokenOffsets>) {
        let pieces = LocatedPieces { vocabulary: &self.vocabulary, unknown: self.unknown, tokens };
        let mut words = Words::new(&self.rules, self.max_word_chars, pieces);
        self.read(text, &mut words, |pieces, id, start, end| {
            pieces.tokens.push(TokenOffsets { id, start, end, begins_word: true });
        });
    }

    /// Whether no added token has white space in it, at which texts are cut.
    pub(crate) fn added_tokens_have_no_white_space(&self) -> bool {
        self.added_tokens.have_no_white_space()
    }

    /// `added` gets the id of each added token, where it begins and where it ends.
    #[inline]
    fn read<S: Sink>(&self, text: &str, words: &mut Words<'_, S>, added: impl Fn(&mut S, u32, usize, usize)) {
        let mut from = 0;
        while let Some((start, end, id)) = self.added_tokens.find(&text.as_bytes()[from..]) {
            words.read(&text[from..from + start], from);
            added(&mut words.sink, id, from + start, from + end);
            from += end;
        }
        words.read(&text[from..], from);
    }
}

/// How long pieces of `tokens` tokens are that are as few as possible, with room for `room` each, which is not 0.
pub(crate) fn piece_length(tokens: usize, room: usize) -> usize {
    tokens.div_ceil(tokens.div_ceil(room).max(1)).max(1)
}

/// `None` if one is not found as it is written, or gets another id than the file says, or if two have the same.
fn known_tokens(tokens: Vec<Object<file::AddedToken>>, vocabulary: &Vocabulary) -> Option<AddedTokens> {
    if tokens.len() > MAX_ADDED_TOKENS {
        return None;
    }
    let known =
        |token: &file::AddedToken| token.is_plain() && vocabulary.id(&token.content) == Some(token.id);
    let mut ids: Vec<u32> = tokens.iter().map(|token| token.0.id).collect();
    ids.sort_unstable();
    if !tokens.iter().all(|token| known(&token.0)) || ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return None;
    }
    let tokens = tokens.into_iter().map(|Object(token)| (token.content.into_bytes().into(), token.id));
    Some(AddedTokens::new(tokens.collect()))
}

/// Takes words apart into tokens.
struct Pieces<'a> {
    vocabulary: &'a Vocabulary,
    unknown: u32,
    ids: &'a mut Vec<u32>,
    /// How many ids are kept.
    room: usize,
    /// How many there were.
    total: usize,
}

impl Pieces<'_> {
    #[inline]
    fn push(&mut self, id: u32) {
        if self.ids.len() < self.room {
            self.ids.push(id);
        }
        self.total += 1;
    }
}

impl Sink for Pieces<'_> {
    type Origins = Forgotten;

    #[inline]
    fn word(&mut self, word: &[u8], _: &Forgotten) {
        let before = (self.ids.len(), self.total);
        if !take_apart(self.vocabulary, word, |_, _, id| self.push(id)) {
            self.ids.truncate(before.0);
            self.total = before.1;
            self.push(self.unknown);
        }
    }

    fn overlong_word(&mut self, _: &Forgotten) {
        self.push(self.unknown);
    }
}

/// Takes words apart into tokens, and knows where these come from.
struct LocatedPieces<'a> {
    vocabulary: &'a Vocabulary,
    unknown: u32,
    tokens: &'a mut Vec<TokenOffsets>,
}

impl LocatedPieces<'_> {
    fn push_unknown(&mut self, (start, end): (usize, usize)) {
        self.tokens.push(TokenOffsets { id: self.unknown, start, end, begins_word: true });
    }
}

impl Sink for LocatedPieces<'_> {
    type Origins = Kept;

    fn word(&mut self, word: &[u8], origins: &Kept) {
        let before = self.tokens.len();
        let known = take_apart(self.vocabulary, word, |from, to, id| {
            let (start, end) = origins.of(from, to);
            self.tokens.push(TokenOffsets { id, start, end, begins_word: from == 0 });
        });
        if !known {
            self.tokens.truncate(before);
            self.push_unknown(origins.of_the_word());
        }
    }

    fn overlong_word(&mut self, origins: &Kept) {
        self.push_unknown(origins.of_the_word());
    }
}

/// Hands on the tokens of a word: the bytes from, the bytes to, and the id of each. False if the whole word is unknown,
/// and the tokens it began with are to be taken back.
#[inline]
fn take_apart(vocabulary: &Vocabulary, word: &[u8], mut token: impl FnMut(usize, usize, u32)) -> bool {
    let (mut place, mut rest) = (Place::Initial, word);
    while !rest.is_empty() {
        let Some((len, id)) = vocabulary.longest_match(place, rest) else { return false };
        let from = word.len() - rest.len();
        token(from, from + len, id);
        (place, rest) = (Place::Continuing, &rest[len..]);
    }
    true
}
