//! BERT's normalizer, in one pass over the characters of a text.
//!
//! `tokenizers` rewrites the whole text once a step: clean, spaces around Chinese characters, canonical decomposition
//! (NFD) without nonspacing marks, lower case. Each step but one looks at one character at a time, so here every
//! character goes through all of them before the next one is read. The one is NFD, which puts marks behind a letter in
//! canonical order: marks wait until the next letter.

use unicode_normalization_alignments::char::{canonical_combining_class, decompose_canonical};

use super::classes::Class;
use super::file;
use super::origins::Origins;

/// What is done to a text, with the answers for ASCII.
#[derive(Clone)]
pub(super) struct Rules {
    lowercase_first: bool,
    clean: bool,
    strip_accents: bool,
    lowercase: bool,
    /// All that makes a character something else than a letter to take as it is.
    special: Class,
    pub(super) ascii: [Ascii; 128],
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ascii {
    /// A letter, or what counts as one, as it is after normalization.
    Letter(u8),
    Space,
    Punctuation,
    Removed,
}

impl Rules {
    pub(super) fn new(normalizer: &file::Normalizer<'_>) -> Rules {
        let mut rules = Rules {
            lowercase_first: false,
            clean: normalizer.clean_text,
            strip_accents: normalizer.strip_accents.unwrap_or(normalizer.lowercase),
            lowercase: normalizer.lowercase,
            special: Class::SPACE.with(Class::PUNCTUATION),
            ascii: [Ascii::Removed; 128],
        };
        let marks = Class::DECOMPOSES.with(Class::NONSTARTER).with(Class::NONSPACING_MARK);
        for (applies, class) in [
            (rules.clean, Class::UNCLEAN),
            (normalizer.handle_chinese_chars, Class::CHINESE),
            (rules.strip_accents, marks),
            (rules.lowercase, Class::LOWERCASES),
        ] {
            if applies {
                rules.special = rules.special.with(class);
            }
        }
        rules.with_ascii()
    }

    pub(super) fn lowercase(&self) -> bool {
        self.lowercase
    }

    /// Lower-cases every text before anything else is done to it.
    pub(super) fn lowercase_first(mut self) -> Rules {
        self.lowercase_first = true;
        self.with_ascii()
    }

    /// ASCII characters have no marks and no decomposition, and one lower-case character.
    fn with_ascii(mut self) -> Rules {
        for (code, answer) in (0..).zip(&mut self.ascii) {
            let class = Class::of(char::from(code)).only(self.special);
            *answer = if class.has(Class::UNCLEAN) {
                Ascii::Removed
            } else if class.has(Class::SPACE) {
                Ascii::Space
            } else if class.has(Class::PUNCTUATION) {
                Ascii::Punctuation
            } else if self.lowercase || self.lowercase_first {
                Ascii::Letter(code.to_ascii_lowercase())
            } else {
                Ascii::Letter(code)
            };
        }
        self
    }

    /// Whether a character, ASCII or not, may become an ASCII one, letters in lower case, that `wanted` is true of.
    pub(super) fn may_become_ascii(c: char, wanted: impl Fn(u8) -> bool) -> bool {
        if !Class::of(c).has(Class::LOWERCASES.with(Class::DECOMPOSES)) {
            return u8::try_from(c).is_ok_and(|c| c.is_ascii() && wanted(c));
        }
        let mut found = false;
        let mut look_at = |d: char| {
            decompose_canonical(d, |d| {
                found |= d.to_lowercase().any(|d| u8::try_from(d).is_ok_and(|d| d.is_ascii() && wanted(d)));
            });
        };
        c.to_lowercase().for_each(&mut look_at);
        look_at(c);
        found
    }
}

/// Where the characters of a normalized text go, one after the other.
pub(super) trait Characters<O> {
    /// One that is neither white space nor punctuation, and comes from `origin`.
    fn letter(&mut self, c: char, origin: O);

    /// One of any kind.
    fn any(&mut self, c: char, origin: O);

    /// A space.
    fn space(&mut self, origin: O);
}

/// Normalizes characters, and hands them on.
pub(super) struct Normalizer<'a, T: Origins> {
    pub(super) rules: &'a Rules,
    /// Where the text's character is that is read now.
    origin: T::Origin,
    /// Marks behind the last letter, by canonical combining class. Those that `strip_accents` removes never come here, so
    /// that few texts have any.
    marks: Vec<(u8, char, T::Origin)>,
}

impl<'a, T: Origins> Normalizer<'a, T> {
    pub(super) fn new(rules: &'a Rules) -> Normalizer<'a, T> {
        Normalizer { rules, origin: T::origin(0, 0), marks: Vec::new() }
    }

    /// The next character of the text. [`flush_marks`](Normalizer::flush_marks) comes after the last.
    pub(super) fn read(&mut self, c: char, origin: T::Origin, out: &mut impl Characters<T::Origin>) {
        self.origin = origin;
        if self.rules.lowercase_first && Class::of(c).has(Class::LOWERCASES) {
            c.to_lowercase().for_each(|c| self.clean(c, out));
        } else {
            self.clean(c, out);
        }
    }

    fn clean(&mut self, c: char, out: &mut impl Characters<T::Origin>) {
        let class = Class::of(c).only(self.rules.special);
        if class == Class::NONE {
            self.flush_marks(out);
            out.letter(c, self.origin);
        } else if class.has(Class::UNCLEAN) {
            // Not even between a letter and its mark.
        } else if self.rules.clean && class.has(Class::SPACE) {
            self.space(out);
        } else if class.has(Class::CHINESE) {
            self.space(out);
            self.decompose(c, class, out);
            self.space(out);
        } else {
            self.decompose(c, class, out);
        }
    }

    fn space(&mut self, out: &mut impl Characters<T::Origin>) {
        self.flush_marks(out);
        out.space(self.origin);
    }

    fn decompose(&mut self, c: char, class: Class, out: &mut impl Characters<T::Origin>) {
        if !self.rules.strip_accents {
            self.lower(c, out);
        } else if class.has(Class::DECOMPOSES) {
            decompose_canonical(c, |d| self.order(d, out));
        } else {
            self.order(c, out);
        }
    }

    /// A mark of class 0 separates other marks, though it may be removed itself.
    fn order(&mut self, c: char, out: &mut impl Characters<T::Origin>) {
        let class = Class::of(c);
        if !class.has(Class::NONSTARTER) {
            self.flush_marks(out);
        }
        if class.has(Class::NONSPACING_MARK) {
            // Removed.
        } else if class.has(Class::NONSTARTER) {
            self.marks.push((canonical_combining_class(c), c, self.origin));
        } else {
            self.lower(c, out);
        }
    }

    /// Hands on the marks behind the last letter: no other comes behind it.
    #[inline(always)]
    pub(super) fn flush_marks(&mut self, out: &mut impl Characters<T::Origin>) {
        if !self.marks.is_empty() {
            self.take_marks(out);
        }
    }

    #[cold]
    fn take_marks(&mut self, out: &mut impl Characters<T::Origin>) {
        let mut marks = std::mem::take(&mut self.marks);
        // Stable: marks of the same class stay in their order.
        marks.sort_by_key(|&(class, ..)| class);
        let origin = self.origin;
        for (_, c, mark) in marks.drain(..) {
            self.origin = mark;
            self.lower(c, out);
        }
        (self.marks, self.origin) = (marks, origin);
    }

    fn lower(&mut self, c: char, out: &mut impl Characters<T::Origin>) {
        if self.rules.lowercase && Class::of(c).has(Class::LOWERCASES) {
            c.to_lowercase().for_each(|c| out.any(c, self.origin));
        } else {
            out.any(c, self.origin);
        }
    }
}

/// A normalized text, for those who look for something in it.
pub(super) struct NormalizedText<T: Origins> {
    pub(super) text: String,
    /// Where each byte comes from.
    pub(super) origins: Vec<T::Origin>,
}

impl<T: Origins> NormalizedText<T> {
    /// Of a text that begins at `offset`.
    pub(super) fn new(rules: &Rules, text: &str, offset: usize) -> NormalizedText<T> {
        let mut normalized = NormalizedText { text: String::new(), origins: Vec::new() };
        let mut normalizer = Normalizer::<T>::new(rules);
        for (at, c) in text.char_indices() {
            let origin = T::origin(offset + at, offset + at + c.len_utf8());
            normalizer.read(c, origin, &mut normalized);
        }
        normalizer.flush_marks(&mut normalized);
        normalized
    }
}

impl<T: Origins> Characters<T::Origin> for NormalizedText<T> {
    fn letter(&mut self, c: char, origin: T::Origin) {
        self.any(c, origin);
    }

    fn any(&mut self, c: char, origin: T::Origin) {
        self.text.push(c);
        self.origins.resize(self.text.len(), origin);
    }

    fn space(&mut self, origin: T::Origin) {
        self.any(' ', origin);
    }
}
