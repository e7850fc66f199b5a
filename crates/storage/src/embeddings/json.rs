//! JSON lines and JSON arrays.

use std::io::{self, Write};

use serde::Serialize;

use super::{Components, EmbeddingRow, EmbeddingSchema, Encoder};
use crate::{Id, Output};

pub(super) struct JsonEncoder {
    to: Output,
    framing: Framing,
    begun: bool,
    columns: Columns,
}

/// What is around rows.
struct Framing {
    before_first: &'static str,
    before_others: &'static str,
    behind_each: &'static str,
    end: &'static str,
    /// All of it where there are no rows.
    empty: &'static str,
}

const LINES: Framing = Framing { before_first: "", before_others: "", behind_each: "\n", end: "", empty: "" };

const ARRAY: Framing =
    Framing { before_first: "[\n", before_others: ",\n", behind_each: "", end: "\n]\n", empty: "[]\n" };

/// Which of them a row has.
struct Columns {
    id: bool,
    text: bool,
    tokens: bool,
}

/// What JSON says of a text.
#[derive(Serialize)]
struct Record<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    embedding: Components<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
}

impl JsonEncoder {
    pub(super) fn lines(to: Output, schema: &EmbeddingSchema) -> Box<dyn Encoder> {
        Box::new(JsonEncoder { to, framing: LINES, begun: false, columns: Columns::of(schema) })
    }

    pub(super) fn array(to: Output, schema: &EmbeddingSchema) -> Box<dyn Encoder> {
        Box::new(JsonEncoder { to, framing: ARRAY, begun: false, columns: Columns::of(schema) })
    }
}

impl Columns {
    fn of(schema: &EmbeddingSchema) -> Columns {
        Columns { id: schema.ids.is_some(), text: schema.texts, tokens: schema.tokens }
    }
}

impl Encoder for JsonEncoder {
    fn row(&mut self, row: &EmbeddingRow<'_>) -> io::Result<()> {
        let Columns { id, text, tokens } = self.columns;
        let tokens = row.tokens.filter(|_| tokens);
        let record = Record {
            id: row.id.filter(|_| id),
            text: row.text.filter(|_| text),
            embedding: row.embedding,
            tokens: tokens.map(|(tokens, _)| tokens),
            truncated: tokens.map(|(_, truncated)| truncated),
        };
        let begun = std::mem::replace(&mut self.begun, true);
        let before = if begun { self.framing.before_others } else { self.framing.before_first };
        self.to.write_all(before.as_bytes())?;
        serde_json::to_writer(&mut self.to, &record)?;
        self.to.write_all(self.framing.behind_each.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn finish(mut self: Box<Self>) -> io::Result<Output> {
        let end = if self.begun { self.framing.end } else { self.framing.empty };
        self.to.write_all(end.as_bytes())?;
        Ok(self.to)
    }
}
