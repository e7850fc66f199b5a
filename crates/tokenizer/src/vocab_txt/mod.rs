//! A tokenizer from `vocab.txt`, for BERT models that are older than `tokenizer.json`.
//!
//! What it does is what `transformers` 4.57 makes of such a folder: `BertTokenizerFast` or `MPNetTokenizerFast`, converted
//! from the slow tokenizer (`convert_slow_tokenizer.py`, `tokenization_utils_base.py`, `tokenization_utils_fast.py` there),
//! whose settings are spread over `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json` and `config.json`.

mod settings;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::TokenizerError;
use crate::special_tokens::AddedToken;
use crate::truncation::TruncationSide;
use settings::Settings;

pub(crate) const FILE_NAME: &str = "vocab.txt";

/// What a tokenizer is made of.
pub(crate) struct VocabTxt {
    /// A token a line; its id is the number of the line, counted from 0.
    text: String,
    pub(crate) lowercase: bool,
    /// `None`: as `lowercase`.
    pub(crate) strip_accents: Option<bool>,
    pub(crate) chinese_chars: bool,
    pub(crate) unk_token: String,
    /// What is put around a text, and its ids.
    pub(crate) cls_token: (String, u32),
    pub(crate) sep_token: (String, u32),
    /// With their ids, which are right if no token of the vocabulary is there twice.
    pub(crate) added_tokens: Vec<(AddedToken, u32)>,
    pub(crate) truncation_side: TruncationSide,
}

impl VocabTxt {
    /// Reads a folder that has a `vocab.txt`.
    pub(crate) fn read(directory: &Path) -> Result<VocabTxt, TokenizerError> {
        let path = directory.join(FILE_NAME);
        let refused = |reason: String| TokenizerError::Vocabulary { path: path.clone(), reason };
        let text =
            String::from_utf8(crate::files::read(&path)?).map_err(|e| refused(format!("not UTF-8: {e}")))?;
        let settings = Settings::read(directory)?;
        let text = with_python_s_line_ends(text);
        let Settings { unk_token, cls_token, sep_token, added_tokens, .. } = settings;
        let mut wanted = vec![&*unk_token, &*cls_token, &*sep_token];
        wanted.extend(added_tokens.iter().map(|token| &*token.content));
        let (ids, mut next) = find(&text, &wanted);
        if let Some((missing, _)) = wanted.iter().zip(&ids).take(3).find(|(_, id)| id.is_none()) {
            return Err(refused(format!("the token {missing:?} is not in it")));
        }
        // What the vocabulary has not gets the ids behind it.
        let mut ids = ids.into_iter().map(|id| {
            id.unwrap_or_else(|| {
                next += 1;
                next - 1
            })
        });
        let [_, cls, sep] = [(); 3].map(|()| ids.next().unwrap_or_default());
        let ids: Vec<u32> = ids.collect();
        Ok(VocabTxt {
            lowercase: settings.lowercase,
            strip_accents: settings.strip_accents,
            chinese_chars: settings.chinese_chars,
            cls_token: (cls_token, cls),
            sep_token: (sep_token, sep),
            added_tokens: added_tokens.into_iter().zip(ids).collect(),
            truncation_side: settings.truncation_side,
            unk_token,
            text,
        })
    }

    /// All tokens and their ids. A token may be there twice: then the last counts.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = (&str, u32)> {
        tokens(&self.text)
    }

    /// The `tokenizer.json` that says the same.
    pub(crate) fn to_tokenizer_json(&self) -> Value {
        let vocab: Map<String, Value> =
            self.tokens().map(|(token, id)| (token.to_owned(), id.into())).collect();
        let added = |(token, id): &(AddedToken, u32)| {
            json!({
                "id": id, "content": token.content, "single_word": token.single_word, "lstrip": token.lstrip,
                "rstrip": token.rstrip, "normalized": token.normalized, "special": token.special
            })
        };
        let (cls, sep) = (&self.cls_token, &self.sep_token);
        json!({
            "version": "1.0",
            "added_tokens": self.added_tokens.iter().map(added).collect::<Vec<_>>(),
            "normalizer": {
                "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": self.chinese_chars,
                "strip_accents": self.strip_accents, "lowercase": self.lowercase
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {
                "type": "BertProcessing", "sep": sep, "cls": cls
            },
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
            "model": {
                "type": "WordPiece", "unk_token": self.unk_token, "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocab
            }
        })
    }
}

fn tokens(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.split_terminator('\n').zip(0..)
}

/// The ids of some tokens, `None` for those that are not there, and the first id behind all tokens.
fn find(text: &str, wanted: &[&str]) -> (Vec<Option<u32>>, u32) {
    let mut ids: BTreeMap<&str, Option<u32>> = wanted.iter().map(|&token| (token, None)).collect();
    // Most lines begin as none of them does, and need not be looked for.
    let mut first_bytes = [false; 256];
    for token in wanted {
        first_bytes[usize::from(first_byte(token))] = true;
    }
    let mut next = 0;
    for (token, id) in tokens(text) {
        if first_bytes[usize::from(first_byte(token))]
            && let Some(found) = ids.get_mut(token)
        {
            *found = Some(id);
        }
        next = id + 1;
    }
    (wanted.iter().map(|token| ids[token]).collect(), next)
}

/// 0 for the empty token.
fn first_byte(token: &str) -> u8 {
    token.bytes().next().unwrap_or_default()
}

/// A file that is read as text has `\n` for `\r\n` and `\r`.
fn with_python_s_line_ends(text: String) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_python() {
        for (text, tokens) in [
            ("", &[][..]),
            ("\n", &[""]),
            ("a", &["a"]),
            ("a\nb\n", &["a", "b"]),
            ("a\r\nb\rc\n\r", &["a", "b", "c", ""]),
            ("a \n\n\tb\u{2028}c\u{85}\u{b}d\n", &["a ", "", "\tb\u{2028}c\u{85}\u{b}d"]),
        ] {
            let text = with_python_s_line_ends(text.to_owned());
            let found: Vec<_> = super::tokens(&text).map(|(token, _)| token).collect();
            assert_eq!(found, tokens, "{text:?}");
        }
    }
}
