//! `tokenizer.json`, as far as WordPiece computes exactly what it describes.
//!
//! Everything here is strict: an unknown key, a missing one or another type makes parsing fail, and the file goes to the
//! `tokenizers` crate, which knows the others and says what is wrong with the invalid ones. So what is accepted here has
//! to be accepted there too, with the same meaning.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use tokenizers::{PaddingParams, TruncationParams};

use super::trim::Trim;
use super::vocabulary::TokenList;
use crate::overrides::{NormalizerOverride, PostProcessorOverride};
use crate::special_tokens;
use crate::vocab_txt::VocabTxt;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File<'a> {
    version: &'a str,
    pub(super) truncation: Option<TruncationParams>,
    pub(super) padding: Option<PaddingParams>,
    pub(super) added_tokens: Vec<Object<AddedToken>>,
    #[serde(borrow)]
    pub(super) normalizer: Object<Normalizer<'a>>,
    #[serde(borrow)]
    pre_tokenizer: Object<PreTokenizer<'a>>,
    #[serde(borrow)]
    pub(super) post_processor: Option<Object<PostProcessor<'a>>>,
    #[serde(borrow)]
    pub(super) decoder: Option<Object<Decoder<'a>>>,
    #[serde(borrow)]
    pub(super) model: Object<Model<'a>>,
}

impl File<'_> {
    /// `None` if this is not a file for WordPiece.
    pub(super) fn parse(json: &[u8]) -> Option<File<'_>> {
        let json = std::str::from_utf8(json).ok()?;
        let Object(file) = serde_json::from_str::<Object<File<'_>>>(json).ok()?;
        let known = file.version == "1.0"
            && file.normalizer.0.kind == "BertNormalizer"
            && file.pre_tokenizer.0.kind == "BertPreTokenizer"
            && file.decoder.as_ref().is_none_or(|decoder| decoder.0.kind == "WordPiece")
            && file.model.0.kind.is_none_or(|kind| kind == "WordPiece");
        known.then_some(file)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddedToken {
    id: u32,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

impl AddedToken {
    pub(super) fn with_id(self) -> (u32, special_tokens::AddedToken) {
        let AddedToken { id, content, single_word, lstrip, rstrip, normalized, special } = self;
        (id, special_tokens::AddedToken { content, single_word, lstrip, rstrip, normalized, special })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Normalizer<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    pub(super) clean_text: bool,
    pub(super) handle_chinese_chars: bool,
    /// `null`: as `lowercase`.
    pub(super) strip_accents: Option<bool>,
    pub(super) lowercase: bool,
}

impl Normalizer<'_> {
    pub(super) fn of(vocabulary: &VocabTxt) -> Normalizer<'static> {
        Normalizer {
            kind: "BertNormalizer",
            clean_text: true,
            handle_chinese_chars: vocabulary.chinese_chars,
            strip_accents: vocabulary.strip_accents,
            lowercase: vocabulary.lowercase,
        }
    }

    pub(super) fn overridden(self, by: Option<NormalizerOverride>) -> Self {
        let Some(by) = by else { return self };
        Normalizer {
            handle_chinese_chars: by.chinese_chars.unwrap_or(self.handle_chinese_chars),
            strip_accents: by.strip_accents,
            lowercase: by.lowercase,
            ..self
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PreTokenizer<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decoder<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    pub(super) prefix: String,
    pub(super) cleanup: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PostProcessor<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    // TemplateProcessing:
    single: Option<Vec<Piece>>,
    pair: Option<Vec<Piece>>,
    special_tokens: Option<BTreeMap<String, Object<SpecialToken>>>,
    // BertProcessing:
    sep: Option<(String, u32)>,
    cls: Option<(String, u32)>,
    // RobertaProcessing, beside these:
    trim_offsets: Option<bool>,
    add_prefix_space: Option<bool>,
}

/// What a post-processor does with the tokens of a text.
#[derive(Default)]
pub(super) struct Around {
    /// The ids before and after them.
    pub(super) before: Vec<u32>,
    pub(super) after: Vec<u32>,
    pub(super) trim: Option<Trim>,
}

#[derive(Deserialize)]
enum Piece {
    Sequence(Object<PieceContent>),
    SpecialToken(Object<PieceContent>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PieceContent {
    id: String,
    type_id: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecialToken {
    #[serde(rename = "id")]
    _id: String,
    ids: Vec<u32>,
    tokens: Vec<String>,
}

impl PostProcessor<'_> {
    /// `None` for what cannot be applied, about which `template` has its say.
    pub(super) fn around_a_text(&self, overridden: Option<PostProcessorOverride>) -> Option<Around> {
        let template = (&self.single, &self.pair, &self.special_tokens);
        let ends = self.cls.as_ref().zip(self.sep.as_ref());
        let offsets = (self.trim_offsets, self.add_prefix_space);
        let (before, after, trim) = match (self.kind, template, ends, offsets) {
            ("BertProcessing", (None, None, None), Some(((_, cls), (_, sep))), (None, None)) => {
                (vec![*cls], vec![*sep], None)
            }
            (
                "RobertaProcessing",
                (None, None, None),
                Some(((_, cls), (_, sep))),
                (Some(trim), Some(add_prefix_space)),
            ) => {
                let (trim, add_prefix_space) =
                    overridden.map_or((trim, add_prefix_space), |by| (by.trim_offsets, by.add_prefix_space));
                (vec![*cls], vec![*sep], trim.then_some(Trim { add_prefix_space }))
            }
            ("TemplateProcessing", (Some(single), Some(pair), Some(tokens)), None, (None, None)) => {
                let valid = |piece: &Piece| match piece {
                    Piece::Sequence(Object(text)) => matches!(&*text.id, "A" | "B"),
                    Piece::SpecialToken(_) => true,
                };
                if !pair.iter().all(valid) || self.cls.is_some() || self.sep.is_some() {
                    return None;
                }
                let (before, after) = around_the_text_of(single, tokens)?;
                (before, after, None)
            }
            _ => return None,
        };
        Some(Around { before, after, trim })
    }
}

fn around_the_text_of(
    template: &[Piece],
    special_tokens: &BTreeMap<String, Object<SpecialToken>>,
) -> Option<(Vec<u32>, Vec<u32>)> {
    let (mut before, mut after) = (Vec::new(), None);
    for piece in template {
        match piece {
            Piece::Sequence(Object(text)) if text.id == "A" && text.type_id == 0 && after.is_none() => {
                after = Some(Vec::new());
            }
            Piece::SpecialToken(Object(piece)) if piece.type_id == 0 => {
                let Object(token) = special_tokens.get(&piece.id)?;
                if token.ids.len() != token.tokens.len() {
                    return None;
                }
                after.as_mut().unwrap_or(&mut before).extend_from_slice(&token.ids);
            }
            _ => return None,
        }
    }
    Some((before, after?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model<'a> {
    /// Missing in files of before 2021.
    #[serde(rename = "type", borrow)]
    kind: Option<&'a str>,
    pub(super) unk_token: String,
    pub(super) continuing_subword_prefix: String,
    pub(super) max_input_chars_per_word: usize,
    #[serde(deserialize_with = "token_list")]
    pub(super) vocab: TokenList,
}

fn token_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TokenList, D::Error> {
    deserializer.deserialize_map(TokenListVisitor)
}

struct TokenListVisitor;

impl<'de> Visitor<'de> for TokenListVisitor {
    type Value = TokenList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from tokens to ids")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<TokenList, M::Error> {
        let mut list = TokenList::default();
        while let Some(()) = map.next_key_seed(NextToken(&mut list))? {
            list.set_last_id(map.next_value()?);
        }
        Ok(list)
    }
}

/// Appends a key to the list, without a string of its own in between.
struct NextToken<'a>(&'a mut TokenList);

impl<'de> DeserializeSeed<'de> for NextToken<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NextToken<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token")
    }

    fn visit_str<E: Error>(self, token: &str) -> Result<(), E> {
        self.0.push(token).ok_or_else(|| E::custom("a vocabulary of more than 4 GiB"))
    }
}

/// A struct written as an object; `serde` alone would take an array of its fields too, which `tokenizers` does not
/// everywhere.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Object<T>, M::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}
