use std::fmt;

use serde::{Deserialize, Serialize};

/// What a text is called where it comes from. As JSON it is a number or a string.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    /// A number.
    Integer(i64),
    /// A name.
    Text(String),
}

/// Of which kind all ids of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdType {
    /// [`Id::Integer`]
    Integer,
    /// [`Id::Text`]
    Text,
}

impl Id {
    /// Its kind.
    pub fn id_type(&self) -> IdType {
        match self {
            Id::Integer(_) => IdType::Integer,
            Id::Text(_) => IdType::Text,
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Integer(number) => number.fmt(f),
            Id::Text(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for IdType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IdType::Integer => "an integer",
            IdType::Text => "a string",
        })
    }
}

impl From<i64> for Id {
    fn from(number: i64) -> Id {
        Id::Integer(number)
    }
}

impl From<String> for Id {
    fn from(name: String) -> Id {
        Id::Text(name)
    }
}

impl From<&str> for Id {
    fn from(name: &str) -> Id {
        Id::Text(name.to_owned())
    }
}
