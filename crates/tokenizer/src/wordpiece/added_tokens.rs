//! Added tokens, `[MASK]` for instance, are found in the text before anything is done to it, or in the normalized text.

use super::normalizer::{NormalizedText, Rules};
use super::origins::Forgotten;

/// A token that matches in any place, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AddedToken {
    /// Not empty.
    pub(super) text: Box<str>,
    pub(super) id: u32,
    /// Whether white space before it belongs to it, and behind it.
    pub(super) takes_before: bool,
    pub(super) takes_behind: bool,
}

/// An added token of a text: bytes of it, the white space included that belongs to the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: u32,
    pub(super) start: usize,
    pub(super) end: usize,
    /// How many characters of white space belong to it, before and behind.
    pub(super) white_space: [usize; 2],
}

/// Tokens that are found together.
#[derive(Clone)]
pub(super) struct AddedTokens {
    /// The longest first.
    tokens: Vec<AddedToken>,
    /// The bytes that one of them begins with.
    first_bytes: [bool; 256],
}

impl AddedTokens {
    /// `None` if two have the same text, or if one takes white space that another could begin or end with.
    pub(super) fn new(mut tokens: Vec<AddedToken>) -> Option<AddedTokens> {
        // Stable, so that equal texts are neighbours.
        tokens.sort_by(|a, b| a.text.len().cmp(&b.text.len()).reverse().then_with(|| a.text.cmp(&b.text)));
        let twice = tokens.windows(2).any(|pair| pair[0].text == pair[1].text);
        let takes = tokens.iter().any(|token| token.takes_before || token.takes_behind);
        let padded = tokens.iter().any(|token| token.text.trim().len() != token.text.len());
        if twice || (takes && padded) || tokens.iter().any(|token| token.text.is_empty()) {
            return None;
        }
        let mut first_bytes = [false; 256];
        for token in &tokens {
            first_bytes[usize::from(token.text.as_bytes()[0])] = true;
        }
        Some(AddedTokens { tokens, first_bytes })
    }

    /// The same tokens, to be found in texts that are normalized; `None` as for [`new`](AddedTokens::new).
    pub(super) fn normalized(&self, rules: &Rules) -> Option<AddedTokens> {
        let normalized = |token: &AddedToken| {
            let text = NormalizedText::<Forgotten>::new(rules, &token.text, 0).text.into();
            AddedToken { text, ..token.clone() }
        };
        AddedTokens::new(self.tokens.iter().map(normalized).collect())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// As they are looked for.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|token| &*token.text)
    }

    /// Whether white space is in none of them.
    pub(super) fn have_no_white_space(&self) -> bool {
        self.tokens.iter().all(|token| !token.text.contains(char::is_whitespace))
    }

    /// The leftmost token of a text from a byte on, the longest if several begin there.
    pub(super) fn find(&self, text: &str, from: usize) -> Option<Found> {
        let bytes = text.as_bytes();
        let mut start = from;
        loop {
            start += bytes[start..].iter().position(|&byte| self.first_bytes[usize::from(byte)])?;
            let token = self.tokens.iter().find(|token| bytes[start..].starts_with(token.text.as_bytes()));
            if let Some(token) = token {
                return Some(token.found(text, from, start));
            }
            start += 1;
        }
    }

    /// Whether a text may have one of them once it is normalized. Nearly all texts have none of the characters that they
    /// begin with, such as `<`.
    pub(super) fn may_be_in(&self, text: &str) -> bool {
        if self.is_empty() {
            return false;
        }
        // Of the letters of a text, either case may be the one that it is normalized to.
        let first = |c: u8| {
            [c.to_ascii_lowercase(), c.to_ascii_uppercase()].iter().any(|&c| self.first_bytes[usize::from(c)])
        };
        // Where a space or another character than an ASCII one comes from is not looked at.
        first(b' ')
            || self.first_bytes[128..].contains(&true)
            || text.bytes().any(first)
            || (!text.is_ascii() && text.chars().any(|c| Rules::may_become_ascii(c, first)))
    }
}

impl AddedToken {
    /// It is in the text at `start`, and what is before `from` belongs to others.
    fn found(&self, text: &str, from: usize, start: usize) -> Found {
        let end = start + self.text.len();
        let (before, behind) = (&text[from..start], &text[end..]);
        let taken_before = if self.takes_before { &before[before.trim_end().len()..] } else { "" };
        let taken_behind =
            if self.takes_behind { &behind[..behind.len() - behind.trim_start().len()] } else { "" };
        Found {
            id: self.id,
            start: start - taken_before.len(),
            end: end + taken_behind.len(),
            white_space: [taken_before, taken_behind].map(|taken| taken.chars().count()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(texts: &[&str]) -> Vec<AddedToken> {
        let token = |(id, text): (u32, &&str)| {
            // A tilde at an end asks for white space there, and is not part of the token.
            let (before, behind) = (text.starts_with('~'), text.ends_with('~'));
            AddedToken { text: text.trim_matches('~').into(), id, takes_before: before, takes_behind: behind }
        };
        (0..).zip(texts).map(token).collect()
    }

    #[test]
    fn the_leftmost_and_then_the_longest() {
        let added = AddedTokens::new(tokens(&["[A]", "[A][B]", "é", "[A]]"])).unwrap();
        for (text, from, found) in [
            ("", 0, None),
            ("[[A", 0, None),
            ("x[[A]", 0, Some((2, 5, 0))),
            ("[A][C] é", 0, Some((0, 3, 0))),
            ("[A][C] é", 1, Some((7, 9, 2))),
            ("[A][B] é", 0, Some((0, 6, 1))),
            ("è é", 0, Some((3, 5, 2))),
            ("[A]]", 0, Some((0, 4, 3))),
        ] {
            let found = found.map(|(start, end, id)| Found { id, start, end, white_space: [0, 0] });
            assert_eq!(added.find(text, from), found, "{text}");
        }
        assert_eq!(AddedTokens::new(Vec::new()).unwrap().find("[A]", 0), None);
    }

    #[test]
    fn white_space_that_belongs_to_a_token() {
        let added = AddedTokens::new(tokens(&["~[A]", "[B]~", "~[C]~"])).unwrap();
        for (text, from, (id, start, end, white_space)) in [
            ("a \u{3000}[A] ", 0, (0, 1, 8, [2, 0])),
            ("a \u{3000}[A] ", 2, (0, 2, 8, [1, 0])),
            ("a [B]\n b", 0, (1, 2, 7, [0, 2])),
            (" [C] ", 0, (2, 0, 5, [1, 1])),
            ("[C]", 0, (2, 0, 3, [0, 0])),
        ] {
            assert_eq!(added.find(text, from), Some(Found { id, start, end, white_space }), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_taken() {
        for texts in [&["a", "b", "a"][..], &["~a", "a"], &[""], &["~a", "b c "], &["a~", " b"]] {
            assert!(AddedTokens::new(tokens(texts)).is_none(), "{texts:?}");
        }
        for texts in [&["a", "b "][..], &["~a~", "b c"]] {
            assert!(AddedTokens::new(tokens(texts)).is_some(), "{texts:?}");
        }
    }

    /// Every character that becomes one of those that tokens begin with is known to.
    #[test]
    fn texts_that_may_have_one_are_recognised() {
        let file = r#"{"type": "", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}"#;
        let rules = Rules::new(&serde_json::from_str(file).unwrap());
        for rules in [rules.clone(), rules.lowercase_first()] {
            let added =
                AddedTokens::new(tokens(&["<mask>", "[UNK]", "Kelvin"])).unwrap().normalized(&rules).unwrap();
            let mut recognised = Vec::new();
            for c in '\0'..=char::MAX {
                let text = c.to_string();
                let normalized = NormalizedText::<Forgotten>::new(&rules, &text, 0).text;
                let begins = normalized.contains(['<', '[', 'k']);
                assert!(!begins || added.may_be_in(&text), "{c:?}");
                recognised.extend(added.may_be_in(&text).then_some(c));
            }
            assert!(recognised.len() < 20 && recognised.contains(&'\u{226e}'), "{recognised:?}");
        }
    }
}
