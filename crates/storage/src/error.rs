use std::fmt;
use std::io;

use crate::source::NotGzip;
use crate::{EmbeddingFormat, VectorsError, excerpt, listed};

/// Why a file of texts or of vectors cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The system refuses to open or read it.
    #[error("{name}: cannot read it: {source}")]
    Read {
        /// What the input is called: a file by its path.
        name: String,
        /// What the system said.
        source: io::Error,
    },

    /// It contains something else than it should.
    #[error("{place}: {reason}")]
    Content {
        /// Where.
        place: Place,
        /// What was expected and what was found.
        reason: String,
    },

    /// An object lacks the field that was asked for.
    #[error("{place}: the object has no field \"{field}\"")]
    MissingField {
        /// Where.
        place: Place,
        /// The field.
        field: String,
    },

    /// A table lacks the column that was asked for; or a safetensors file the tensor.
    #[error("{name}: there is no {what} {}; found {}", excerpt(column), names(found))]
    MissingColumn {
        /// What the input is called.
        name: String,
        /// What it is: `column` or `tensor`.
        what: &'static str,
        /// What was asked for.
        column: String,
        /// What there is.
        found: Vec<String>,
    },

    /// Vectors with components that are no finite numbers.
    #[error("{name}: {source}")]
    Vectors {
        /// What the input is called.
        name: String,
        /// Which component.
        source: VectorsError,
    },

    /// What a file is cannot be told by its name.
    #[error("{name}: {}; known are {known}", extension(ending))]
    UnknownFormat {
        /// The file's path.
        name: String,
        /// Its extension, if it has one.
        ending: Option<String>,
        /// The extensions that are known.
        known: &'static str,
    },

    /// This program was built without the format.
    #[error(
        "{name}: this build has no {format}; the feature `arrow` has it (`cargo install --path crates/cli --features \
         arrow` for the program)"
    )]
    NotBuiltIn {
        /// The file.
        name: String,
        /// `Parquet` or `Arrow IPC`.
        format: &'static str,
    },

    /// The system refuses to open or write an output.
    #[error("cannot write {name}: {source}")]
    Write {
        /// What the output is called: a file by its path.
        name: String,
        /// What the system said.
        source: io::Error,
    },

    /// A row that is not of the output's schema, or more than its format can hold.
    #[error("cannot write row {row} to {name}: {reason}")]
    Row {
        /// What the output is called.
        name: String,
        /// Which row, counted from 0.
        row: usize,
        /// What was expected and what was found.
        reason: String,
    },

    /// A schema that the output's format has no room for.
    #[error("cannot write {name}: {format} has no {missing}")]
    Schema {
        /// What the output is called.
        name: String,
        /// The format.
        format: EmbeddingFormat,
        /// What it cannot hold.
        missing: &'static str,
    },
}

/// A place in an input. Shown as `texts.jsonl:7`, `texts.json: item 7` or `texts.parquet: row 7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What the input is called: a file by its path.
    pub name: String,
    /// Where in it, if that is known.
    pub at: Option<At>,
}

/// Where in an input something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum At {
    /// In this line, counted from 1.
    Line(usize),
    /// In this item of an array, counted from 0.
    Item(usize),
    /// In this row of a table of columns or of an array of vectors, counted from 0.
    Row(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.at {
            None => Ok(()),
            Some(At::Line(line)) => write!(f, ":{line}"),
            Some(At::Item(item)) => write!(f, ": item {item}"),
            Some(At::Row(row)) => write!(f, ": row {row}"),
        }
    }
}

fn names(found: &[String]) -> String {
    if found.is_empty() { "none".to_owned() } else { listed(found.iter().map(|name| excerpt(name))) }
}

fn extension(ending: &Option<String>) -> String {
    match ending {
        Some(ending) => format!("files ending in .{ending} are not known"),
        None => "files without an extension are not known".to_owned(),
    }
}

/// What is wrong with an input, and where in it.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) at: Option<At>,
    pub(crate) what: What,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum What {
    #[error("cannot read it: {0}")]
    Read(io::Error),
    #[error("{0}")]
    Content(String),
    #[error("the object has no field \"{0}\"")]
    MissingField(String),
    #[error("there is no {what} {column:?}")]
    MissingColumn { what: &'static str, column: String, found: Vec<String> },
}

impl Problem {
    pub(crate) fn at(at: At, reason: impl Into<String>) -> Problem {
        What::Content(reason.into()).at(at)
    }

    pub(crate) fn anywhere(reason: impl Into<String>) -> Problem {
        Problem { at: None, what: What::Content(reason.into()) }
    }

    pub(crate) fn read(error: io::Error) -> Problem {
        match error.get_ref() {
            Some(inner) if inner.is::<NotGzip>() => Problem::anywhere(inner.to_string()),
            _ => Problem { at: None, what: What::Read(error) },
        }
    }

    pub(crate) fn not_json(line: usize, column: usize, reason: &str) -> Problem {
        Problem::at(At::Line(line), format!("not JSON: {reason} at column {column}"))
    }

    /// `byte` counts from 1.
    pub(crate) fn invalid_utf8(line: usize, byte: usize) -> Problem {
        Problem::at(At::Line(line), format!("invalid UTF-8 at byte {byte} of the line"))
    }

    pub(crate) fn missing_column(
        column: &str,
        found: impl IntoIterator<Item = impl Into<String>>,
    ) -> Problem {
        let found = found.into_iter().map(Into::into).collect();
        Problem { at: None, what: What::MissingColumn { what: "column", column: column.to_owned(), found } }
    }

    /// As the error of an input of that name.
    pub(crate) fn within(self, name: &str) -> StorageError {
        let (name, at) = (name.to_owned(), self.at);
        match self.what {
            What::Read(source) => StorageError::Read { name, source },
            What::Content(reason) => StorageError::Content { place: Place { name, at }, reason },
            What::MissingField(field) => StorageError::MissingField { place: Place { name, at }, field },
            What::MissingColumn { what, column, found } => {
                StorageError::MissingColumn { name, what, column, found }
            }
        }
    }
}

impl What {
    pub(crate) fn at(self, at: At) -> Problem {
        Problem { at: Some(at), what: self }
    }
}

impl From<String> for What {
    fn from(reason: String) -> What {
        What::Content(reason)
    }
}
