//! Where in the text the characters of a word come from, for those who ask; ids alone pay nothing for it.

use super::words::MAX_WORD_CHARS;

/// What is kept of where the bytes of a word come from.
pub(super) trait Origins: Default {
    /// A character of the text: its bytes.
    type Origin: Copy;

    /// The character from `start` on, before `end`.
    fn origin(start: usize, end: usize) -> Self::Origin;

    /// What `origin` was given.
    fn bytes_of(origin: Self::Origin) -> (usize, usize);

    /// The word's bytes from `from` on, before `to`, come from one character: none of them, if the word has more
    /// characters than may be read.
    fn put(&mut self, from: usize, to: usize, origin: Self::Origin);

    /// `len` bytes of the word, from `from` on, come from as many ASCII characters, from `start` on.
    fn put_ascii(&mut self, from: usize, len: usize, start: usize);

    /// The word has ended.
    fn clear(&mut self);
}

/// Nothing is.
#[derive(Default)]
pub(super) struct Forgotten;

impl Origins for Forgotten {
    type Origin = ();

    #[inline(always)]
    fn origin(_: usize, _: usize) {}

    #[inline(always)]
    fn bytes_of((): ()) -> (usize, usize) {
        NOTHING
    }

    #[inline(always)]
    fn put(&mut self, _: usize, _: usize, (): ()) {}

    #[inline(always)]
    fn put_ascii(&mut self, _: usize, _: usize, _: usize) {}

    #[inline(always)]
    fn clear(&mut self) {}
}

/// Where each byte of the word comes from: start and end of the text's character.
pub(super) struct Kept {
    bytes: [(usize, usize); MAX_WORD_CHARS * 4],
    /// Of all characters, be they kept or not.
    word: (usize, usize),
}

const NOTHING: (usize, usize) = (usize::MAX, 0);

impl Default for Kept {
    fn default() -> Kept {
        Kept { bytes: [NOTHING; MAX_WORD_CHARS * 4], word: NOTHING }
    }
}

impl Kept {
    /// What some bytes of the word come from, one at least. Marks may have been reordered.
    pub(super) fn of(&self, from: usize, to: usize) -> (usize, usize) {
        self.bytes[from..to].iter().copied().fold(NOTHING, both)
    }

    /// What the word comes from.
    pub(super) fn of_the_word(&self) -> (usize, usize) {
        self.word
    }
}

impl Origins for Kept {
    type Origin = (usize, usize);

    fn origin(start: usize, end: usize) -> (usize, usize) {
        (start, end)
    }

    fn bytes_of(origin: (usize, usize)) -> (usize, usize) {
        origin
    }

    fn put(&mut self, from: usize, to: usize, origin: (usize, usize)) {
        self.bytes[from..to].fill(origin);
        self.word = both(self.word, origin);
    }

    fn put_ascii(&mut self, from: usize, len: usize, start: usize) {
        // What is beyond the longest word is not kept.
        for (byte, at) in self.bytes[from..].iter_mut().zip(start..start + len) {
            *byte = (at, at + 1);
        }
        self.word = both(self.word, (start, start + len));
    }

    fn clear(&mut self) {
        self.word = NOTHING;
    }
}

/// From the start of the first to the end of the last.
fn both(a: (usize, usize), b: (usize, usize)) -> (usize, usize) {
    (a.0.min(b.0), a.1.max(b.1))
}
