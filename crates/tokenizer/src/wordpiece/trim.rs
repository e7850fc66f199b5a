//! Offsets without the white space that belongs to added tokens: `RobertaProcessing` with `trim_offsets`.
//!
//! `tokenizers` counts characters of a token's text and takes as many off its offsets, in characters for Python, and in
//! bytes for Rust, where offsets then lie within a character of white space. Here they are Python's.

/// How offsets are trimmed.
#[derive(Clone, Copy)]
pub(super) struct Trim {
    /// The first token keeps one character of white space, which the tokenizer is thought to have put there.
    pub(super) add_prefix_space: bool,
}

/// Whether this is about a token's text, beside the white space that belongs to an added token.
pub(super) fn may_be_trimmed(token: &str) -> bool {
    token.starts_with(is_space) || token.ends_with(is_space)
}

/// `Ġ` is a space among the byte-level tokens that this was made for.
fn is_space(c: char) -> bool {
    c == 'Ġ' || c.is_whitespace()
}

impl Trim {
    /// Takes as many characters of the text off both sides of some bytes of it; `first` says that there is no token before.
    pub(super) fn apply(
        self,
        text: &str,
        (start, end): (usize, usize),
        [before, behind]: [usize; 2],
        first: bool,
    ) -> (usize, usize) {
        let kept = (first || start == 0) && self.add_prefix_space && before == 1;
        let before = if kept { 0 } else { before };
        let at = |(at, _): (usize, char)| at;
        let start = text[start..end].char_indices().nth(before).map_or(end, |found| start + at(found));
        let end = match behind {
            0 => end,
            // Where the text is too short, nothing is taken off.
            _ => text[..end].char_indices().nth_back(behind - 1).map_or(end, at).max(start),
        };
        (start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_taken_off() {
        let text = "\u{3000} <mask>\u{3000}";
        for (white_space, first, trimmed) in [
            ([0, 0], true, (0, 13)),
            ([2, 1], true, (4, 10)),
            ([1, 1], true, (0, 10)),
            ([1, 0], false, (0, 13)),
            ([9, 0], true, (13, 13)),
        ] {
            let trim = Trim { add_prefix_space: true };
            assert_eq!(trim.apply(text, (0, 13), white_space, first), trimmed, "{white_space:?}");
        }
        let trim = Trim { add_prefix_space: false };
        assert_eq!(trim.apply(text, (0, 13), [1, 99], true), (3, 13));
        assert_eq!(trim.apply(text, (0, 13), [1, 2], true), (3, 9));
        let trim = Trim { add_prefix_space: true };
        assert_eq!(trim.apply(text, (3, 13), [1, 0], false), (4, 13));
        assert_eq!(trim.apply(text, (3, 13), [1, 0], true), (3, 13));
    }

    #[test]
    fn tokens_that_may_be_trimmed() {
        for (token, may) in [
            ("a", false),
            ("", false),
            ("##ing", false),
            ("Ġa", true),
            ("aĠ", true),
            ("a ", true),
            ("a b", false),
        ] {
            assert_eq!(may_be_trimmed(token), may, "{token}");
        }
    }
}
