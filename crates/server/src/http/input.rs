//! `inputs` and `input`: a text, texts, token ids or lists of them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Unexpected, Visitor};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// What is to be embedded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Text(String),
    /// Ids of the model's tokens, special tokens included.
    Ids(Vec<u32>),
}

/// What a request has to embed, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input(pub(crate) Vec<Item>);

/// An element of the outer list.
enum Element {
    Item(Item),
    Id(u32),
}

/// A number without a fraction, but it may be written with one: JSON has one type of numbers, and `8.0` is an integer to
/// JSON Schema, which the API is described in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WholeNumber(u64);

impl WholeNumber {
    /// `None` if there is a fraction, or it is negative or larger than an `f64` tells from the next.
    fn of(number: f64) -> Option<WholeNumber> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        (number.trunc() == number && (0.0..=EXACT).contains(&number)).then_some(WholeNumber(number as u64))
    }

    fn token_id<E: Error>(self) -> Result<u32, E> {
        u32::try_from(self.0).map_err(|_| E::custom(format_args!("{} is no token id", self.0)))
    }
}

impl From<WholeNumber> for usize {
    fn from(WholeNumber(number): WholeNumber) -> usize {
        usize::try_from(number).unwrap_or(usize::MAX)
    }
}

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WholeNumber, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = WholeNumber;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, 0 or more")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<WholeNumber, E> {
                Ok(WholeNumber(number))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<WholeNumber, E> {
                WholeNumber::of(number).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
            }
        }

        deserializer.deserialize_u64(Number)
    }
}

pub(super) const EXPECTED: &str =
    "a string, a list of strings, a list of token ids or a list of lists of token ids";

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Input, D::Error> {
        struct Outer;

        impl<'de> Visitor<'de> for Outer {
            type Value = Input;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Input, E> {
                self.visit_string(text.to_owned())
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Input, E> {
                Ok(Input(vec![Item::Text(text)]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Input, A::Error> {
                let (mut items, mut ids) = (Vec::new(), Vec::new());
                while let Some(element) = list.next_element()? {
                    match element {
                        Element::Item(item) => items.push(item),
                        Element::Id(id) => ids.push(id),
                    }
                    if !items.is_empty() && !ids.is_empty() {
                        let mixed =
                            format_args!("token ids stand beside texts or lists, expected {EXPECTED}")
                                .to_string();
                        return Err(A::Error::custom(mixed));
                    }
                }
                if !ids.is_empty() {
                    items.push(Item::Ids(ids));
                }
                Ok(Input(items))
            }
        }

        deserializer.deserialize_any(Outer)
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Element, D::Error> {
        struct Inner;

        impl<'de> Visitor<'de> for Inner {
            type Value = Element;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a token id or a list of token ids")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Element, E> {
                self.visit_string(text.to_owned())
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Element, E> {
                Ok(Element::Item(Item::Text(text)))
            }

            fn visit_u64<E: Error>(self, id: u64) -> Result<Element, E> {
                WholeNumber(id).token_id().map(Element::Id)
            }

            fn visit_f64<E: Error>(self, id: f64) -> Result<Element, E> {
                let id = WholeNumber::of(id).ok_or_else(|| E::invalid_value(Unexpected::Float(id), &self))?;
                id.token_id().map(Element::Id)
            }

            fn visit_i64<E: Error>(self, id: i64) -> Result<Element, E> {
                Err(E::custom(format_args!("{id} is no token id")))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Element, A::Error> {
                let mut ids = Vec::new();
                while let Some(id) = list.next_element::<WholeNumber>()? {
                    ids.push(id.token_id()?);
                }
                Ok(Element::Item(Item::Ids(ids)))
            }
        }

        deserializer.deserialize_any(Inner)
    }
}

/// A text or texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Texts(pub(super) Vec<String>);

/// Token ids, or lists of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdLists(pub(super) Vec<Vec<u32>>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Texts, D::Error> {
        let Input(items) = Input::deserialize(deserializer)?;
        let texts = items.into_iter().map(|item| match item {
            Item::Text(text) => Ok(text),
            Item::Ids(_) => Err(D::Error::custom("token ids where texts are expected")),
        });
        texts.collect::<Result<_, _>>().map(Texts)
    }
}

impl<'de> Deserialize<'de> for IdLists {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<IdLists, D::Error> {
        let Input(items) = Input::deserialize(deserializer)?;
        let lists = items.into_iter().map(|item| match item {
            Item::Ids(ids) => Ok(ids),
            Item::Text(_) => Err(D::Error::custom("a text where token ids are expected")),
        });
        lists.collect::<Result<_, _>>().map(IdLists)
    }
}

impl ToSchema for Texts {
    fn name() -> Cow<'static, str> {
        "Texts".into()
    }
}

impl PartialSchema for Texts {
    fn schema() -> RefOr<Schema> {
        Input::schema_of(usize::MAX, None)
    }
}

impl ToSchema for IdLists {
    fn name() -> Cow<'static, str> {
        "IdLists".into()
    }
}

impl PartialSchema for IdLists {
    fn schema() -> RefOr<Schema> {
        IdLists::schema_of(usize::MAX, usize::MAX)
    }
}

impl IdLists {
    /// What a server takes that takes so many lists in a request, of a model with so many tokens.
    pub(super) fn schema_of(max_client_batch_size: usize, vocab_size: usize) -> RefOr<Schema> {
        let id = || {
            let id = ObjectBuilder::new().schema_type(Type::Integer);
            id.minimum(Some(0)).maximum(Some(vocab_size.saturating_sub(1)))
        };
        let one = ArrayBuilder::new().items(id()).min_items(Some(1)).description(Some("Token ids"));
        let many = ArrayBuilder::new()
            .items(ArrayBuilder::new().items(id()))
            .min_items(Some(1))
            .max_items(Some(max_client_batch_size))
            .description(Some("Lists of token ids"));
        OneOfBuilder::new().item(one).item(many).description(Some("What is to be decoded")).into()
    }
}

impl ToSchema for Input {
    fn name() -> Cow<'static, str> {
        "Input".into()
    }
}

impl PartialSchema for Input {
    fn schema() -> RefOr<Schema> {
        Input::schema_of(usize::MAX, None)
    }
}

/// What token ids may be.
pub(super) struct TokenIdLimits {
    pub(super) vocab_size: usize,
    pub(super) max_seq_length: usize,
}

impl Input {
    /// What a server takes that takes so many inputs in a request, and such token ids, or none.
    pub(super) fn schema_of(
        max_client_batch_size: usize,
        token_ids: Option<&TokenIdLimits>,
    ) -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let list = |items: RefOr<Schema>| {
            ArrayBuilder::new().items(items).min_items(Some(1)).max_items(Some(max_client_batch_size))
        };
        let one_of = OneOfBuilder::new()
            .item(text().description(Some("A text")))
            .description(Some("What is to be embedded"));
        let Some(TokenIdLimits { vocab_size, max_seq_length }) = token_ids else {
            return one_of.item(list(text().into()).description(Some("Texts"))).into();
        };
        let id = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0))
            .maximum(Some(vocab_size.saturating_sub(1)));
        let ids = ArrayBuilder::new().items(id).min_items(Some(1)).max_items(Some(*max_seq_length));
        let ids: RefOr<Schema> =
            ids.description(Some("The token ids of a text, special tokens included")).into();
        let either = OneOfBuilder::new().item(text()).item(ids.clone());
        let many = list(either.into()).description(Some("Texts, or the token ids of texts"));
        one_of.item(ids).item(many).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<Item>, String> {
        serde_json::from_str(json).map(|Input(items)| items).map_err(|error| error.to_string())
    }

    #[test]
    fn texts_and_ids_alone_and_in_lists() {
        let text = |text: &str| Item::Text(text.to_owned());
        assert_eq!(read(r#""a \u00e9""#), Ok(vec![text("a é")]));
        assert_eq!(read(r#"["a", ""]"#), Ok(vec![text("a"), text("")]));
        assert_eq!(read("[7, 8]"), Ok(vec![Item::Ids(vec![7, 8])]));
        assert_eq!(read("[7.0, 8e0, 0]"), Ok(vec![Item::Ids(vec![7, 8, 0])]));
        assert_eq!(read("[[7.0, 8e0, 0]]"), Ok(vec![Item::Ids(vec![7, 8, 0])]));
        assert_eq!(
            read("[[7], [], [8, 9]]"),
            Ok(vec![Item::Ids(vec![7]), Item::Ids(vec![]), Item::Ids(vec![8, 9])])
        );
        assert_eq!(read(r#"["a", [7]]"#), Ok(vec![text("a"), Item::Ids(vec![7])]));
        assert_eq!(read("[]"), Ok(vec![]));
    }

    #[test]
    fn what_is_neither_is_refused_with_what_is_expected() {
        for (json, says) in [
            (r#"["a", 7]"#, "token ids stand beside texts"),
            (r#"[7, "a"]"#, "token ids stand beside texts"),
            ("null", "expected a string, a list of strings"),
            ("7", "expected a string, a list of strings"),
            ("[null]", "expected a string, a token id or a list of token ids"),
            (r#"{"a": 1}"#, "expected a string, a list of strings"),
            ("[-1]", "-1 is no token id"),
            ("[4294967296]", "4294967296 is no token id"),
            ("[1.5]", "invalid value: floating point `1.5`, expected a string, a token id"),
            ("[[1.5]]", "invalid value: floating point `1.5`, expected a whole number, 0 or more"),
            ("[[-1]]", "invalid type: integer `-1`, expected a whole number, 0 or more"),
            ("[[4294967296.0]]", "4294967296 is no token id"),
            ("[1e300]", "invalid value: floating point `1e+300`"),
            (r#"[["a"]]"#, "invalid type: string"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(says), "{json}: {error}");
        }
    }
}
