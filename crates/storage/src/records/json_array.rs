//! A JSON array, an item at a time.

use std::io::{self, Read};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

use super::checked_bytes::CheckedBytes;
use super::{Record, json};
use crate::error::{At, Problem};

pub(super) struct JsonArray<R> {
    bytes: CheckedBytes<R>,
    /// How many items have been read.
    items: usize,
}

impl<R: Read> JsonArray<R> {
    pub(super) fn new(source: R) -> JsonArray<R> {
        JsonArray { bytes: CheckedBytes::new(source), items: 0 }
    }

    fn next_item(&mut self) -> Result<Option<Record>, Problem> {
        if !self.advance()? {
            return match self.peek_token()? {
                None => Ok(None),
                Some(_) => Err(self.not_json("trailing characters")),
            };
        }
        // A string or an object is over with its last byte, and leaves the next to us. A number would not, but is
        // refused by whoever asked for the item.
        let value: Value = self.value()?;
        let at = At::Item(self.items);
        self.items += 1;
        Ok(Some(Record { value, at }))
    }

    /// To the begin of the next item, or behind the array's end: then there is none.
    fn advance(&mut self) -> Result<bool, Problem> {
        if self.items == 0 {
            self.begin()?;
        } else {
            match self.peek_token()? {
                Some(b',') => self.bytes.take()?,
                Some(b']') => return self.bytes.take().map(|_| false),
                Some(_) => return Err(self.not_json("expected `,` or `]`")),
                None => return Err(self.not_json("EOF while parsing a list")),
            };
        }
        match self.peek_token()? {
            Some(b']') if self.items > 0 => Err(self.not_json("trailing comma")),
            Some(b']') => self.bytes.take().map(|_| false),
            Some(_) => Ok(true),
            None => Err(self.not_json("EOF while parsing a list")),
        }
    }

    fn begin(&mut self) -> Result<(), Problem> {
        let found = match self.peek_token()? {
            Some(b'[') => return self.bytes.take().map(drop),
            Some(b'{') => "an object",
            Some(b'"') => "a string",
            Some(b'n') => "null",
            Some(b't' | b'f') => "a boolean",
            _ => "a number",
        };
        let IgnoredAny = self.value()?;
        Err(Problem::anywhere(format!("expected an array, found {found}")))
    }

    /// The next byte that is not white space.
    fn peek_token(&mut self) -> Result<Option<u8>, Problem> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.bytes.peek()? {
            self.bytes.take()?;
        }
        self.bytes.peek()
    }

    fn value<'de, T: Deserialize<'de>>(&mut self) -> Result<T, Problem> {
        let (line, column) = (self.bytes.line(), self.bytes.column());
        let mut reader = Reader { bytes: &mut self.bytes, problem: None };
        let value = T::deserialize(&mut Deserializer::from_reader(&mut reader));
        value.map_err(|e| {
            // serde_json counts from the begin of the value.
            let column = if e.line() > 1 { e.column() } else { column + e.column() };
            let not_json = || Problem::not_json(line + e.line().saturating_sub(1), column, &json::reason(&e));
            reader.problem.take().unwrap_or_else(not_json)
        })
    }

    fn not_json(&self, reason: &str) -> Problem {
        Problem::not_json(self.bytes.line(), self.bytes.column(), reason)
    }
}

impl<R: Read> Iterator for JsonArray<R> {
    type Item = Result<Record, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_item().transpose()
    }
}

/// Gives serde_json a byte at a time, which is what it asks for, and keeps the problem that ends it.
struct Reader<'a, R> {
    bytes: &'a mut CheckedBytes<R>,
    problem: Option<Problem>,
}

impl<R: Read> Read for Reader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(to) = buffer.first_mut() else { return Ok(0) };
        match self.bytes.take() {
            Ok(Some(byte)) => {
                *to = byte;
                Ok(1)
            }
            Ok(None) => Ok(0),
            Err(problem) => {
                let error = io::Error::other(problem.what.to_string());
                self.problem = Some(problem);
                Err(error)
            }
        }
    }
}
