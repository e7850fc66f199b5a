//! What is never cut unless it is longer than a chunk: words with what stands behind them, measured in tokens.

use std::collections::VecDeque;

use minilm_tokenizer::{TokenOffsets, Tokenizer, TokenizerError};
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use super::Reading;
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
    reading: Reading,
    /// Where the next segment begins.
    at: usize,
    /// Whether it begins within a word that is longer than a segment.
    torn: bool,
    tokens: Vec<TokenOffsets>,
    measured: VecDeque<Atom>,
}

#[cfg(test)]
impl Atoms<'_, '_> {
    /// How many bytes are held beside the document.
    pub(super) fn held(&self) -> usize {
        self.tokens.capacity() * size_of::<TokenOffsets>() + self.measured.capacity() * size_of::<Atom>()
    }
}

impl<'c, 'a> Atoms<'c, 'a> {
    /// From some place of the document on.
    pub(super) fn new(
        tokenizer: &'c Tokenizer,
        document: &'a str,
        at: usize,
        reading: Reading,
    ) -> Atoms<'c, 'a> {
        let (tokens, measured) = (Vec::new(), VecDeque::new());
        Atoms { tokenizer, document, reading, at, torn: false, tokens, measured }
    }

    pub(super) fn next(&mut self) -> Result<Option<Atom>, TokenizerError> {
        while self.measured.is_empty() && self.at < self.document.len() {
            let (end, between_words) = self.segment_end();
            self.measure(end)?;
            self.at = if between_words { end } else { self.take_back(end) };
        }
        Ok(self.measured.pop_front())
    }

    /// Where the next atom begins, or what is not measured yet.
    pub(super) fn at(&self) -> usize {
        self.measured.front().map_or(self.at, |atom| atom.start)
    }

    /// Behind white space at which no tokenizer's word and no character goes on; or, if there is none for long, within a word
    /// perhaps. Then it is false.
    fn segment_end(&self) -> (usize, bool) {
        let bytes = self.document.as_bytes();
        let begins = |at: usize| {
            let Some(c) = self.document[at..].chars().next() else { return false };
            // A mark, letter though it may be to `is_alphanumeric`, goes with the white space before it.
            (c.is_ascii() || c.is_alphanumeric())
                && self.document[at - 1..at + c.len_utf8()].split_word_bounds().nth(1).is_some()
        };
        let between = |&at: &usize| matches!(bytes[at - 1], b' ' | b'\n' | b'\t') && begins(at);
        let furthest = self.at.saturating_add(self.reading.longest).min(bytes.len());
        match (self.at.saturating_add(self.reading.segment)..furthest).find(between) {
            Some(end) => (end, true),
            None if furthest == bytes.len() => (furthest, true),
            None => (character_floor(self.document, self.at, furthest), false),
        }
    }

    /// Behind the end of a segment that may be within a word, its last atoms may be others than in the whole document, so they
    /// are measured again, with what follows. Returns where the next segment begins.
    fn take_back(&mut self, end: usize) -> usize {
        let mut at = end;
        while let Some(last) = self.measured.back() {
            if at < end && last.start + self.reading.margin <= end {
                break;
            }
            // One from end to end is no word that a chunk could have whole. White space behind it may go on.
            if self.measured.len() == 1 && last.start == self.at {
                at = at.min(last.end);
                break;
            }
            at = last.start;
            self.measured.pop_back();
        }
        // Where words add up, nobody counts the parts of one together.
        self.torn = at == end && !self.measured.is_empty() && self.tokenizer.words_add_up();
        at
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
            let torn = std::mem::take(&mut self.torn);
            self.measured.extend(last.replace(Atom { start, end, tokens, level, torn }));
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
