//! Added tokens, `[MASK]` for instance, are found in the text before anything is done to it.

/// Tokens that match in any place, as they are written.
#[derive(Clone)]
pub(super) struct AddedTokens {
    /// The longest first.
    tokens: Vec<(Box<[u8]>, u32)>,
    /// The bytes that one of them begins with.
    first_bytes: [bool; 256],
}

impl AddedTokens {
    /// No token may be empty.
    pub(super) fn new(mut tokens: Vec<(Box<[u8]>, u32)>) -> AddedTokens {
        tokens.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        let mut first_bytes = [false; 256];
        for (text, _) in &tokens {
            first_bytes[usize::from(text[0])] = true;
        }
        AddedTokens { tokens, first_bytes }
    }

    /// Whether white space is in none of them.
    pub(super) fn have_no_white_space(&self) -> bool {
        self.tokens.iter().all(|(text, _)| !String::from_utf8_lossy(text).contains(char::is_whitespace))
    }

    /// The leftmost token of a text (UTF-8), the longest if several begin there: where it begins and ends, and its id.
    pub(super) fn find(&self, text: &[u8]) -> Option<(usize, usize, u32)> {
        let mut from = 0;
        loop {
            from += text[from..].iter().position(|&byte| self.first_bytes[usize::from(byte)])?;
            if let Some((token, id)) = self.tokens.iter().find(|(token, _)| text[from..].starts_with(token)) {
                return Some((from, from + token.len(), *id));
            }
            from += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leftmost_and_then_the_longest() {
        let tokens = ["[A]", "[A][B]", "é", "[A]]"].iter().zip(0..).map(|(t, id)| (t.as_bytes().into(), id));
        let tokens = AddedTokens::new(tokens.collect());
        for (text, found) in [
            ("", None),
            ("[[A", None),
            ("x[[A]", Some((2, 5, 0))),
            ("[A][C] é", Some((0, 3, 0))),
            ("[A][B] é", Some((0, 6, 1))),
            ("è é", Some((3, 5, 2))),
            ("[A]]", Some((0, 4, 3))),
        ] {
            assert_eq!(tokens.find(text.as_bytes()), found, "{text}");
        }
        assert_eq!(AddedTokens::new(Vec::new()).find(b"[A]"), None);
    }
}
