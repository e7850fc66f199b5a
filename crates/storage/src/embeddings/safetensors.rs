//! A safetensors file with one tensor, whose number of rows is known only at its end.
//!
//! The format: <https://github.com/huggingface/safetensors#format>. The header is JSON and comes before the tensor; behind it
//! may be spaces. Ids are in the header's metadata, in which a value is a string: there they are a JSON array in a JSON string.

use std::io::{self, Write};

use serde_json::json;

use super::headed::{HeadedOutput, Spool};
use super::{ElementType, EmbeddingRow, EmbeddingSchema, Encoder};
use crate::{Id, Output};

/// The tensor's name.
pub(crate) const TENSOR: &str = "embeddings";

/// The name of the metadata that has the ids.
pub(crate) const IDS: &str = "ids";

/// Where the tensor begins is a multiple of this, so that it can be used where it is mapped.
const ALIGNMENT: usize = 64;

/// The format's own limit.
const MAX_HEADER: usize = 100_000_000;

pub(super) struct SafetensorsEncoder {
    to: HeadedOutput,
    rows: usize,
    schema: EmbeddingSchema,
    ids: Option<Ids>,
}

/// The ids so far, as they are inside of a JSON string.
struct Ids {
    spool: Spool,
    bytes: usize,
    /// How many bytes there may be.
    room: usize,
}

impl SafetensorsEncoder {
    pub(super) fn begin(to: Output, schema: &EmbeddingSchema) -> io::Result<Box<dyn Encoder>> {
        let most = Parts::longest(schema).len();
        let (header, ids) = match schema.ids {
            None => (Some(LENGTH_BYTES + padded(most)), None),
            Some(_) => {
                let room = MAX_HEADER.saturating_sub(most + ALIGNMENT);
                (None, Some(Ids { spool: Spool::new(), bytes: 0, room }))
            }
        };
        let to = HeadedOutput::begin(to, header)?;
        Ok(Box::new(SafetensorsEncoder { to, rows: 0, schema: schema.clone(), ids }))
    }

    fn add_id(&mut self, id: &Id) -> io::Result<()> {
        let Some(ids) = &mut self.ids else { return Ok(()) };
        let mut json = if self.rows > 0 { ",".to_owned() } else { String::new() };
        json += &serde_json::to_string(id)?;
        let quoted = serde_json::to_string(&json)?;
        let escaped = &quoted[1..quoted.len() - 1];
        ids.bytes += escaped.len();
        if ids.bytes > ids.room {
            return Err(io::Error::other(format!(
                "{} ids take more than the {MAX_HEADER} bytes that a safetensors header may have; other formats have no such \
                 limit",
                self.rows + 1
            )));
        }
        ids.spool.write_all(escaped.as_bytes())
    }
}

const LENGTH_BYTES: usize = 8;

/// A header's length, so that what follows is aligned.
fn padded(header: usize) -> usize {
    (LENGTH_BYTES + header).next_multiple_of(ALIGNMENT) - LENGTH_BYTES
}

/// What is before the ids and behind them.
struct Parts {
    before: String,
    behind: String,
}

impl Parts {
    fn of(rows: usize, bytes: usize, schema: &EmbeddingSchema) -> Parts {
        let dtype = match schema.element_type {
            ElementType::F32 => "F32",
            ElementType::I8 => "I8",
            ElementType::U8 => "U8",
        };
        let tensor = json!({"dtype": dtype, "shape": [rows, schema.dimension], "data_offsets": [0, bytes]})
            .to_string();
        let metadata: Vec<String> = schema
            .metadata
            .iter()
            .filter(|(key, _)| *key != IDS || schema.ids.is_none())
            .map(|(key, value)| format!("{}:{}", json!(key), json!(value)))
            .collect();
        let metadata = metadata.join(",");
        let tensor = format!("\"{TENSOR}\":{tensor}}}");
        match schema.ids {
            Some(_) => {
                let comma = if metadata.is_empty() { "" } else { "," };
                let before = format!("{{\"__metadata__\":{{{metadata}{comma}\"{IDS}\":\"[");
                Parts { before, behind: format!("]\"}},{tensor}") }
            }
            None if metadata.is_empty() => Parts { before: "{".to_owned(), behind: tensor },
            None => Parts { before: format!("{{\"__metadata__\":{{{metadata}}},"), behind: tensor },
        }
    }

    /// No number of rows has more digits.
    fn longest(schema: &EmbeddingSchema) -> Parts {
        Parts::of(usize::MAX, usize::MAX, schema)
    }

    fn len(&self) -> usize {
        self.before.len() + self.behind.len()
    }
}

impl Encoder for SafetensorsEncoder {
    fn row(&mut self, row: &EmbeddingRow<'_>) -> io::Result<()> {
        if let Some(id) = row.id {
            self.add_id(id)?;
        }
        self.rows += 1;
        row.embedding.write_to(&mut self.to)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn finish(self: Box<Self>) -> io::Result<Output> {
        let SafetensorsEncoder { to, rows, schema, ids } = *self;
        let size = match schema.element_type {
            ElementType::F32 => 4,
            ElementType::I8 | ElementType::U8 => 1,
        };
        let parts = Parts::of(rows, rows * schema.dimension * size, &schema);
        // The same length for any number of rows, where there are no ids.
        let length = match &ids {
            None => padded(Parts::longest(&schema).len()),
            Some(ids) => padded(parts.len() + ids.bytes),
        };
        to.finish(|to| {
            to.write_all(&(length as u64).to_le_bytes())?;
            to.write_all(parts.before.as_bytes())?;
            let mut written = parts.len();
            if let Some(ids) = ids {
                ids.spool.copy_to(to)?;
                written += ids.bytes;
            }
            to.write_all(parts.behind.as_bytes())?;
            to.write_all(&vec![b' '; length - written])
        })
    }
}
