//! `inputs` and `input`: a text, texts, token ids or lists of them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
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
                let id = u32::try_from(id).map_err(|_| E::custom(format_args!("{id} is no token id")))?;
                Ok(Element::Id(id))
            }

            fn visit_i64<E: Error>(self, id: i64) -> Result<Element, E> {
                Err(E::custom(format_args!("{id} is no token id")))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Element, A::Error> {
                let mut ids = Vec::new();
                while let Some(id) = list.next_element()? {
                    ids.push(id);
                }
                Ok(Element::Item(Item::Ids(ids)))
            }
        }

        deserializer.deserialize_any(Inner)
    }
}

impl ToSchema for Input {
    fn name() -> Cow<'static, str> {
        "Input".into()
    }
}

impl PartialSchema for Input {
    fn schema() -> RefOr<Schema> {
        Input::schema_of(usize::MAX, true)
    }
}

impl Input {
    /// What a server takes that takes so many inputs in a request, and token ids or not.
    pub(super) fn schema_of(max_client_batch_size: usize, accept_token_ids: bool) -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let list = |items: RefOr<Schema>, description: &str| {
            let array = ArrayBuilder::new().items(items).description(Some(description));
            array.min_items(Some(1)).max_items(Some(max_client_batch_size))
        };
        let mut one_of = OneOfBuilder::new()
            .item(text().description(Some("A text")))
            .item(list(text().into(), "Texts"))
            .description(Some("What is to be embedded"));
        if accept_token_ids {
            let id = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
            let ids = || ArrayBuilder::new().items(id()).min_items(Some(1));
            one_of = one_of
                .item(ids().description(Some("The token ids of a text, special tokens included")))
                .item(list(ids().into(), "The token ids of texts"));
        }
        one_of.into()
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
            ("[[1.5]]", "invalid type: floating point"),
            (r#"[["a"]]"#, "invalid type: string"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(says), "{json}: {error}");
        }
    }
}
