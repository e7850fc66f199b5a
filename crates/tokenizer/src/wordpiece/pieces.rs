//! Takes words apart into tokens.

use super::origins::{Forgotten, Kept};
use super::vocabulary::{Place, Vocabulary};
use super::words::Sink;
use crate::TokenOffsets;

/// Takes words apart into tokens.
pub(super) struct Pieces<'a> {
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) unknown: u32,
    pub(super) ids: &'a mut Vec<u32>,
    /// How many ids are kept.
    pub(super) room: usize,
    /// How many there were.
    pub(super) total: usize,
}

impl Pieces<'_> {
    #[inline]
    pub(super) fn push(&mut self, id: u32) {
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
pub(super) struct LocatedPieces<'a> {
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) unknown: u32,
    pub(super) tokens: &'a mut Vec<TokenOffsets>,
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
