//! CSV: an embedding is a field, a JSON array.
//!
//! So a table has the same columns as every other format, whatever the dimension, and the array is what `json.loads`,
//! `ast.literal_eval`, DuckDB's `::FLOAT[384]` and pgvector read.

use std::io::{self, Write};

use csv::{ErrorKind, Writer};

use super::{EmbeddingRow, EmbeddingSchema, Encoder};
use crate::Output;

pub(super) struct CsvEncoder {
    to: Writer<Output>,
    ids: bool,
    texts: bool,
    tokens: bool,
    /// A field, on its way.
    field: Vec<u8>,
}

impl CsvEncoder {
    pub(super) fn begin(to: Output, schema: &EmbeddingSchema) -> io::Result<Box<dyn Encoder>> {
        let (ids, texts, tokens) = (schema.ids.is_some(), schema.texts, schema.tokens);
        let mut to = Writer::from_writer(to);
        let columns =
            [("id", ids), ("text", texts), ("embedding", true), ("tokens", tokens), ("truncated", tokens)];
        to.write_record(columns.iter().filter(|(_, there)| *there).map(|(name, _)| name))
            .map_err(output_error)?;
        Ok(Box::new(CsvEncoder { to, ids, texts, tokens, field: Vec::new() }))
    }

    fn field(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        self.field.clear();
        write(&mut self.field)?;
        self.to.write_field(&self.field).map_err(output_error)
    }
}

impl Encoder for CsvEncoder {
    fn row(&mut self, row: &EmbeddingRow<'_>) -> io::Result<()> {
        if let Some(id) = row.id.filter(|_| self.ids) {
            self.field(|to| write!(to, "{id}"))?;
        }
        if let Some(text) = row.text.filter(|_| self.texts) {
            self.to.write_field(text).map_err(output_error)?;
        }
        self.field(|to| Ok(serde_json::to_writer(to, &row.embedding)?))?;
        if let Some((tokens, truncated)) = row.tokens.filter(|_| self.tokens) {
            self.field(|to| write!(to, "{tokens}"))?;
            self.field(|to| write!(to, "{truncated}"))?;
        }
        // The end of the row.
        self.to.write_record(None::<&[u8]>).map_err(output_error)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn finish(self: Box<Self>) -> io::Result<Output> {
        self.to.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

/// What the output said, of its kind: the crate's own conversion makes one of no kind of it, and nobody could tell a closed pipe.
fn output_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}
