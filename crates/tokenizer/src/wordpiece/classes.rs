//! What `tokenizers` asks of a character: from the tables of the crates that it asks, and with its code where it has
//! lists of its own (`normalizers/bert.rs`, `pre_tokenizers/bert.rs`).
//!
//! Those tables are searched a dozen times a character, so the answers are kept, a page of 256 characters at a time,
//! from the first text on that needs the page.

use std::sync::OnceLock;

use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::char::{canonical_combining_class, decompose_canonical};

/// A set of properties of a character.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Class(u8);

impl Class {
    /// Nothing of what follows: a letter of a word, which stays as it is.
    pub(super) const NONE: Class = Class(0);
    /// Removed where `clean_text` is asked for: NUL, U+FFFD, and category Cc, Cf or Co but for tab, LF and CR.
    pub(super) const UNCLEAN: Class = Class(1);
    /// White space.
    pub(super) const SPACE: Class = Class(1 << 1);
    /// In the blocks that `handle_chinese_chars` puts spaces around.
    pub(super) const CHINESE: Class = Class(1 << 2);
    /// Has a canonical decomposition.
    pub(super) const DECOMPOSES: Class = Class(1 << 3);
    /// Has a canonical combining class other than 0.
    pub(super) const NONSTARTER: Class = Class(1 << 4);
    /// Category Mn, which `strip_accents` removes.
    pub(super) const NONSPACING_MARK: Class = Class(1 << 5);
    /// Is not its own lower case.
    pub(super) const LOWERCASES: Class = Class(1 << 6);
    /// A word by itself.
    pub(super) const PUNCTUATION: Class = Class(1 << 7);

    /// The properties of a character.
    #[inline]
    pub(super) fn of(c: char) -> Class {
        match PAGES.get(c as usize / PAGE) {
            Some(page) => page.get_or_init(|| read_page(c as usize / PAGE))[c as usize % PAGE],
            None => Class::look_up(c),
        }
    }

    /// Both sets.
    pub(super) const fn with(self, other: Class) -> Class {
        Class(self.0 | other.0)
    }

    /// What is in both sets.
    #[inline]
    pub(super) const fn only(self, of: Class) -> Class {
        Class(self.0 & of.0)
    }

    /// Whether the sets have something in common.
    #[inline]
    pub(super) const fn has(self, any_of: Class) -> bool {
        self.0 & any_of.0 != 0
    }

    fn look_up(c: char) -> Class {
        let mut decomposes = false;
        decompose_canonical(c, |d| decomposes |= d != c);
        let mut lower = c.to_lowercase();
        [
            (Class::UNCLEAN, matches!(c, '\0' | '\u{fffd}') || is_control(c)),
            (Class::SPACE, c.is_whitespace()),
            (Class::CHINESE, is_chinese(c)),
            (Class::DECOMPOSES, decomposes),
            (Class::NONSTARTER, canonical_combining_class(c) != 0),
            (Class::NONSPACING_MARK, c.is_mark_nonspacing()),
            (Class::LOWERCASES, (lower.next(), lower.next()) != (Some(c), None)),
            (Class::PUNCTUATION, c.is_ascii_punctuation() || c.is_punctuation()),
        ]
        .into_iter()
        .filter(|&(_, holds)| holds)
        .fold(Class::NONE, |all, (class, _)| all.with(class))
    }
}

const PAGE: usize = 256;

/// The Basic and the Supplementary Multilingual Plane: 128 KiB once a text has needed all of them.
static PAGES: [OnceLock<Box<[Class; PAGE]>>; 0x2_0000 / PAGE] = [const { OnceLock::new() }; 0x2_0000 / PAGE];

#[cold]
fn read_page(page: usize) -> Box<[Class; PAGE]> {
    let mut classes = Box::new([Class::NONE; PAGE]);
    for (code, class) in (page * PAGE..).zip(classes.iter_mut()) {
        // Surrogates are no characters, and never asked for.
        if let Some(c) = u32::try_from(code).ok().and_then(char::from_u32) {
            *class = Class::look_up(c);
        }
    }
    classes
}

fn is_control(c: char) -> bool {
    !matches!(c, '\t' | '\n' | '\r') && c.is_other()
}

/// U+2B820–U+2B91F, the beginning of CJK Extension E, is missing there, and so here.
fn is_chinese(c: char) -> bool {
    matches!(
        u32::from(c),
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x2_0000..=0x2_A6DF
            | 0x2_A700..=0x2_B73F
            | 0x2_B740..=0x2_B81F
            | 0x2_B920..=0x2_CEAF
            | 0xF900..=0xFAFF
            | 0x2_F800..=0x2_FA1F
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_what_the_tables_say() {
        let mut classes = std::collections::HashSet::new();
        for c in '\0'..=char::MAX {
            assert_eq!(Class::of(c), Class::look_up(c), "{c:?}");
            classes.insert(Class::of(c).0);
        }
        assert!(classes.len() > 15, "only {} kinds of characters", classes.len());
    }

    #[test]
    fn some_characters() {
        let mark = Class::NONSTARTER.with(Class::NONSPACING_MARK);
        for (c, class) in [
            ('a', Class::NONE),
            ('Z', Class::LOWERCASES),
            ('\0', Class::UNCLEAN),
            ('\n', Class::SPACE),
            ('\u{85}', Class::UNCLEAN.with(Class::SPACE)),
            ('$', Class::PUNCTUATION),
            ('£', Class::NONE),
            ('é', Class::DECOMPOSES),
            ('É', Class::DECOMPOSES.with(Class::LOWERCASES)),
            ('\u{301}', mark),
            ('\u{302e}', Class::NONSTARTER),
            ('\u{341}', mark.with(Class::DECOMPOSES)),
            ('한', Class::DECOMPOSES),
            ('中', Class::CHINESE),
            ('\u{2b820}', Class::NONE),
            ('\u{2f800}', Class::CHINESE.with(Class::DECOMPOSES)),
            ('\u{e000}', Class::UNCLEAN),
            ('\u{10fffd}', Class::UNCLEAN),
            ('\u{378}', Class::NONE),
        ] {
            assert_eq!(Class::of(c), class, "{c:?}");
        }
    }
}
