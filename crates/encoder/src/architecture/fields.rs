//! The fields of a `config.json`, one by one, so that whatever is wrong with one is said of it by its name.

use std::fmt;

use serde_json::{Map, Value};

/// A JSON object.
pub(crate) struct Fields<'a>(pub(crate) &'a Map<String, Value>);

/// A field's value and the name under which the file has it, or would have it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field<T> {
    pub(crate) name: &'static str,
    pub(crate) value: T,
}

/// A field with a value that it cannot have.
#[derive(Debug, PartialEq)]
pub(crate) struct FieldError {
    pub(crate) name: &'static str,
    pub(crate) found: String,
    pub(crate) expected: String,
}

impl<T> Field<T> {
    /// The error of a field that should have another value.
    pub(crate) fn refused(&self, expected: impl Into<String>) -> FieldError
    where
        T: fmt::Display,
    {
        FieldError { name: self.name, found: self.value.to_string(), expected: expected.into() }
    }
}

impl Fields<'_> {
    /// A number from 0 on.
    pub(crate) fn size(&self, name: &'static str, default: usize) -> Result<Field<usize>, FieldError> {
        let read = |value: &Value| value.as_u64().and_then(|size| usize::try_from(size).ok());
        self.read(name, default, "an integer from 0 on", read)
    }

    /// As [`size`](Self::size), of a field with two names: the first, where that is there.
    pub(crate) fn size_of_either(
        &self,
        [first, second]: [&'static str; 2],
        default: usize,
    ) -> Result<Field<usize>, FieldError> {
        let name = if self.0.contains_key(first) { first } else { second };
        self.size(name, default)
    }

    pub(crate) fn id(&self, name: &'static str, default: u32) -> Result<Field<u32>, FieldError> {
        let read = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        self.read(name, default, "a token id", read)
    }

    pub(crate) fn number(&self, name: &'static str, default: f32) -> Result<Field<f32>, FieldError> {
        self.read(name, default, "a number", |value| value.as_f64().map(|number| number as f32))
    }

    pub(crate) fn string(&self, name: &'static str, default: &str) -> Result<Field<String>, FieldError> {
        self.read(name, default.to_owned(), "a string", |value| value.as_str().map(str::to_owned))
    }

    /// `null` is false, as it is to Python.
    pub(crate) fn flag(&self, name: &'static str) -> Result<Field<bool>, FieldError> {
        let read = |value: &Value| if value.is_null() { Some(false) } else { value.as_bool() };
        self.read(name, false, "true or false", read)
    }

    fn read<T>(
        &self,
        name: &'static str,
        default: T,
        expected: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Field<T>, FieldError> {
        let Some(value) = self.0.get(name) else { return Ok(Field { name, value: default }) };
        match read(value) {
            Some(value) => Ok(Field { name, value }),
            None => Err(FieldError { name, found: value.to_string(), expected: expected.to_owned() }),
        }
    }
}
