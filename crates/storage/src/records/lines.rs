//! Lines: texts, or JSON values.

use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

use super::{BYTE_ORDER_MARK, Record, json};
use crate::error::{At, Problem};

/// A text a line. An empty line is an empty text.
pub(crate) struct TextLines<R>(Lines<R>);

/// A JSON value a line. Blank lines are nothing.
pub(super) struct JsonLines<R>(Lines<R>);

/// Lines without their ends (`\n` or `\r\n`); there is none behind the last end.
struct Lines<R> {
    source: BufReader<R>,
    /// Of the line read last, from 1.
    number: usize,
    line: Vec<u8>,
}

impl<R: Read> TextLines<R> {
    pub(crate) fn new(source: R) -> TextLines<R> {
        TextLines(Lines::new(source))
    }
}

impl<R: Read> Iterator for TextLines<R> {
    type Item = Result<String, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|line| line.map(|(_, text)| text.to_owned())).transpose()
    }
}

impl<R: Read> JsonLines<R> {
    pub(super) fn new(source: R) -> JsonLines<R> {
        JsonLines(Lines::new(source))
    }

    fn next_value(&mut self) -> Result<Option<Record>, Problem> {
        while let Some((number, line)) = self.0.next()? {
            if !line.as_bytes().trim_ascii().is_empty() {
                let value: Value = serde_json::from_str(line)
                    .map_err(|e| Problem::not_json(number, e.column(), &json::reason(&e)))?;
                return Ok(Some(Record { value, at: At::Line(number) }));
            }
        }
        Ok(None)
    }
}

impl<R: Read> Iterator for JsonLines<R> {
    type Item = Result<Record, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_value().transpose()
    }
}

impl<R: Read> Lines<R> {
    fn new(source: R) -> Lines<R> {
        Lines { source: BufReader::with_capacity(64 << 10, source), number: 0, line: Vec::new() }
    }

    /// The next line and its number. A byte order mark before the first is skipped.
    fn next(&mut self) -> Result<Option<(usize, &str)>, Problem> {
        self.line.clear();
        let bytes = self.source.read_until(b'\n', &mut self.line).map_err(Problem::read)?;
        self.number += 1;
        let mut line = &self.line[..];
        if self.number == 1 {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
            if line.is_empty() {
                return Ok(None);
            }
        }
        if bytes == 0 {
            return Ok(None);
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match std::str::from_utf8(line) {
            Ok(line) => Ok(Some((self.number, line))),
            Err(e) => Err(Problem::invalid_utf8(self.number, e.valid_up_to() + 1)),
        }
    }
}
