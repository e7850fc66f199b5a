//! What is never cut unless it is longer than a chunk: words with what stands behind them, measured in tokens.

use std::collections::VecDeque;

use minilm_tokenizer::{TokenOffsets, Tokenizer, TokenizerError};
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use super::boundaries::Level;

/// A piece of a document that chunks take whole. All that is not white space is in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Atom {
    pub(super) start: usize,
    /// Behind its last character that is not white space.
    pub(super) end: usize,
    /// How many tokens; with a tokenizer whose words do not add up, an estimate.
    pub(super) tokens: usize,
    /// What it begins.
    pub(super) level: Level,
    /// Whether it is torn off from the one before, and both together may have other tokens than each alone.
    pub(super) torn: bool,
}

/// Atoms of a document, in order. They are measured a segment at a time.
pub(super) struct Atoms<'c, 'a> {
    tokenizer: &'c Tokenizer,
    document: &'a str,
    /// Where the next segment begins.
    at: usize,
    tokens: Vec<TokenOffsets>,
    measured: VecDeque<Atom>,
}

/// Enough that the end of a segment costs nothing, and little beside the document.
const SEGMENT: usize = 16 << 10;

/// Without white space for so long, tokenizers whose counts are estimates anyway are not given more at a time.
const LONGEST_ESTIMATE: usize = 64 << 10;

impl<'c, 'a> Atoms<'c, 'a> {
    /// From some place of the document on.
    pub(super) fn new(tokenizer: &'c Tokenizer, document: &'a str, at: usize) -> Atoms<'c, 'a> {
        Atoms { tokenizer, document, at, tokens: Vec::new(), measured: VecDeque::new() }
    }

    pub(super) fn next(&mut self) -> Result<Option<Atom>, TokenizerError> {
        while self.measured.is_empty() && self.at < self.document.len() {
            let end = self.segment_end();
            self.measure(end)?;
            self.at = end;
        }
        Ok(self.measured.pop_front())
    }

    /// Behind white space at which no tokenizer's word and no character goes on.
    fn segment_end(&self) -> usize {
        let bytes = self.document.as_bytes();
        let between = |&at: &usize| {
            matches!(bytes[at - 1], b' ' | b'\n' | b'\t')
                && self.document[at..].starts_with(|c: char| c.is_ascii() || c.is_alphanumeric())
        };
        let furthest = match self.tokenizer.words_add_up() {
            true => bytes.len(),
            false => character_floor(self.document, self.at, self.at.saturating_add(LONGEST_ESTIMATE)),
        };
        (self.at.saturating_add(SEGMENT)..furthest).find(between).unwrap_or(furthest)
    }

    /// The segment's words by UAX 29 are its atoms, but for those that are one to the tokenizer.
    fn measure(&mut self, end: usize) -> Result<(), TokenizerError> {
        let segment = &self.document[self.at..end];
        self.tokenizer.offsets_into(segment, &mut self.tokens)?;
        let mut rest = Rest { tokens: &self.tokens, by_words: self.tokenizer.words_add_up(), covered: 0 };
        let mut last: Option<Atom> = None;
        for (offset, word) in segment.split_word_bound_indices() {
            if word.trim_start().is_empty() {
                continue;
            }
            let (start, end) = (self.at + offset, self.at + offset + word.trim_end().len());
            let mut tokens = rest.take_before(offset);
            if let Some(last) = &mut last {
                last.tokens += std::mem::take(&mut tokens);
                if rest.covered > offset || !is_character_boundary(self.document, last.start, start) {
                    last.end = end;
                    continue;
                }
            }
            let level = level_of_word(self.document, start);
            self.measured.extend(last.replace(Atom { start, end, tokens, level, torn: false }));
        }
        if let Some(last) = &mut last {
            last.tokens += rest.take_before(usize::MAX);
        }
        self.measured.extend(last);
        Ok(())
    }
}

/// The tokens of a segment that are in no atom yet.
struct Rest<'t> {
    tokens: &'t [TokenOffsets],
    /// Whether words are not to be taken apart.
    by_words: bool,
    /// Where the last word that was taken ends.
    covered: usize,
}

impl Rest<'_> {
    /// Takes what begins before `offset`; where words may be taken apart, the tokens that end there. Returns how many.
    fn take_before(&mut self, offset: usize) -> usize {
        let before = self.tokens.len();
        while let [first, others @ ..] = self.tokens {
            if !self.by_words {
                // Some tokenizers have the space before a word in its first token.
                if first.end > offset {
                    break;
                }
                self.tokens = others;
                continue;
            }
            let (word, others) =
                self.tokens.split_at(1 + others.iter().take_while(|t| !t.begins_word).count());
            let span = |(start, end): (usize, usize), t: &TokenOffsets| (start.min(t.start), end.max(t.end));
            let (start, end) = word.iter().fold((usize::MAX, self.covered), span);
            if start >= offset {
                break;
            }
            (self.tokens, self.covered) = (others, end);
        }
        before - self.tokens.len()
    }
}

/// Whether an extended grapheme cluster begins here, if one begins at `known`, before it.
fn is_character_boundary(document: &str, known: usize, at: usize) -> bool {
    let bytes = document.as_bytes();
    if at > 0 && bytes[at - 1].is_ascii() && bytes[at].is_ascii() {
        return bytes[at - 1..=at] != *b"\r\n";
    }
    // What is before `known` is never looked at, so that a run of flags, say, is not read again and again.
    let text = &document[known..];
    GraphemeCursor::new(at - known, text.len(), true).is_boundary(text, 0).unwrap_or(true)
}

/// The last place, up to `at` and behind `start`, where an extended grapheme cluster begins, if one begins at `start`;
/// without any, the last where a `char` does, which may be `start`.
pub(super) fn character_floor(document: &str, start: usize, at: usize) -> usize {
    let at = char_floor(document, at).max(start);
    let text = &document[start..];
    let mut cursor = GraphemeCursor::new(at - start, text.len(), true);
    if at == document.len() || cursor.is_boundary(text, 0).unwrap_or(true) {
        return at;
    }
    match cursor.prev_boundary(text, 0) {
        Ok(Some(boundary)) if boundary > 0 => start + boundary,
        _ => at,
    }
}

/// The last place up to `at` where a `char` begins or the document ends.
pub(super) fn char_floor(document: &str, at: usize) -> usize {
    (0..=at.min(document.len())).rev().find(|&at| document.is_char_boundary(at)).unwrap_or(0)
}

/// A fragment is what follows something else than white space. But between two letters there is an end of a word only in
/// scripts that have no spaces, whose words are where a space would make them in others.
fn level_of_word(document: &str, at: usize) -> Level {
    let (before, after) = (document[..at].chars().next_back(), document[at..].chars().next());
    match (before, after) {
        (None, _) => Level::WORD,
        (Some(before), _) if before.is_whitespace() => Level::WORD,
        (Some('、' | '，' | '；' | '：'), _) => Level::WORD,
        (Some(before), Some(after)) if before.is_alphanumeric() && after.is_alphanumeric() => Level::WORD,
        _ => Level::FRAGMENT,
    }
}
