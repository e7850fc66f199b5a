//! From ids back to a text: what the decoder `WordPiece` of the `tokenizers` crate computes.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::vocabulary::{TokenText, Vocabulary};
use crate::decode::VocabularyToken;
use crate::special_tokens;

/// The file's decoder.
#[derive(Clone)]
pub(super) struct Decoder {
    /// What a token begins with that continues a word.
    pub(super) prefix: Box<str>,
    /// Whether spaces that English does not write are taken away.
    pub(super) cleanup: bool,
}

/// What decoding needs beside the vocabulary.
#[derive(Clone)]
pub(super) struct Decoding {
    /// Without one, there are spaces between all tokens.
    decoder: Option<Decoder>,
    /// The added tokens, a few of them, in the order of their ids.
    added: Vec<(u32, special_tokens::AddedToken)>,
    /// The vocabulary's, which those that never decode need not have.
    by_id: OnceLock<Vec<TokenText>>,
}

/// In this order; each is replaced everywhere before the next is looked for.
const CLEANUP: [(&str, &str); 11] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

impl Decoder {
    /// BERT's, for a `vocab.txt`.
    pub(super) fn bert() -> Decoder {
        Decoder { prefix: "##".into(), cleanup: true }
    }
}

impl Decoding {
    pub(super) fn new(
        decoder: Option<Decoder>,
        mut added: Vec<(u32, special_tokens::AddedToken)>,
    ) -> Decoding {
        added.sort_by_key(|&(id, _)| id);
        Decoding { decoder, added, by_id: OnceLock::new() }
    }

    pub(super) fn token<'a>(&'a self, id: u32, vocabulary: &'a Vocabulary) -> Option<VocabularyToken<'a>> {
        if let Ok(at) = self.added.binary_search_by_key(&id, |&(id, _)| id) {
            let token = &self.added[at].1;
            return Some(VocabularyToken { text: (&*token.content).into(), is_special: token.special });
        }
        let by_id = self.by_id.get_or_init(|| vocabulary.by_id());
        // Of several, the last of the file.
        let at = by_id.partition_point(|token| token.id <= id).checked_sub(1)?;
        let text = (by_id[at].id == id).then(|| vocabulary.text(by_id[at]))?;
        Some(VocabularyToken { text: text.into(), is_special: false })
    }

    /// One text of tokens.
    pub(super) fn join(&self, tokens: &[Cow<'_, str>]) -> String {
        let Some(decoder) = &self.decoder else { return tokens.join(" ") };
        let (mut text, mut piece) = (String::new(), String::new());
        for (index, token) in tokens.iter().enumerate() {
            piece.clear();
            match token.strip_prefix(&*decoder.prefix) {
                Some(rest) if index > 0 => piece.push_str(rest),
                _ => {
                    piece.push_str(if index > 0 { " " } else { "" });
                    piece.push_str(token);
                }
            }
            if decoder.cleanup {
                clean_up(&mut piece);
            }
            text.push_str(&piece);
        }
        text
    }
}

/// Takes spaces away from one token's part of a text; so what goes over two tokens, `n't` for one, stays as it is.
fn clean_up(piece: &mut String) {
    // Nearly all pieces are a space and a word.
    let may_match = |pair: &[u8]| pair[0] == b' ' && b".?!,'nd".contains(&pair[1]);
    if !piece.as_bytes().windows(2).any(may_match) {
        return;
    }
    for (pattern, replacement) in CLEANUP {
        if piece.contains(pattern) {
            *piece = piece.replace(pattern, replacement);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::decoders::wordpiece;

    use super::*;

    /// All tokens of up to four parts that patterns are made of, as the crate cleans them up.
    #[test]
    fn it_cleans_up_as_the_crate_does() {
        let parts = [" ", ".", "?", "!", ",", "'", "n't", "m", "do", "not", "s", "ve", "re", "é"];
        let mut texts = vec![String::new()];
        let mut start = 0;
        for _ in 0..4 {
            let end = texts.len();
            for i in start..end {
                texts.extend(parts.map(|part| texts[i].clone() + part));
            }
            start = end;
        }
        let mut changed = 0;
        for text in texts.iter().chain([&" do not do not 's ' ' x".to_owned()]) {
            let mut found = text.clone();
            clean_up(&mut found);
            assert_eq!(found, wordpiece::cleanup(text), "{text:?}");
            changed += usize::from(found != *text);
        }
        assert!(changed > 1_000, "{changed} of {}", texts.len());
    }
}
