//! Texts and their vectors as JSON lines, a JSON array or an array of NumPy's, window by window.

use std::io::{self, Write};
use std::path::Path;

use minilm::Embeddings;
use serde::Serialize;

use super::OutputWriter;
use super::npy::NpyRows;
use crate::arguments::OutputFormat;
use crate::error::CliError;

/// The format asked for, or that of the output file's extension, or JSON lines.
pub(crate) fn format_of(format: Option<OutputFormat>, path: Option<&Path>) -> OutputFormat {
    let extension = path.and_then(Path::extension).map(|e| e.to_string_lossy().to_ascii_lowercase());
    format.unwrap_or(match extension.as_deref() {
        Some("npy") => OutputFormat::Npy,
        Some("json") => OutputFormat::Json,
        _ => OutputFormat::Jsonl,
    })
}

/// Writes vectors to an output as they come.
pub(crate) struct EmbeddingWriter {
    to: OutputWriter,
    format: Format,
}

enum Format {
    Jsonl,
    Json { begun: bool },
    Npy(NpyRows),
}

/// What JSON says of a text.
#[derive(Serialize)]
struct Record<'a> {
    text: &'a str,
    embedding: &'a [f32],
    /// How many tokens the whole text has, special tokens included.
    tokens: usize,
    /// Whether the text was longer than the model takes.
    truncated: bool,
}

impl EmbeddingWriter {
    pub(crate) fn new(
        mut to: OutputWriter,
        format: OutputFormat,
        dimension: usize,
    ) -> Result<EmbeddingWriter, CliError> {
        let format = match format {
            OutputFormat::Jsonl => Format::Jsonl,
            OutputFormat::Json => Format::Json { begun: false },
            OutputFormat::Npy => Format::Npy(NpyRows::begin(&mut to, dimension).map_err(|e| to.failed(e))?),
        };
        Ok(EmbeddingWriter { to, format })
    }

    /// Adds texts and their vectors.
    pub(crate) fn write(&mut self, texts: &[String], embeddings: &Embeddings) -> Result<(), CliError> {
        self.format.write(&mut self.to, texts, embeddings).map_err(|e| self.to.failed(e))
    }

    /// Lets a file appear under its name.
    pub(crate) fn finish(mut self) -> Result<(), CliError> {
        self.format.finish(&mut self.to).map_err(|e| self.to.failed(e))?;
        self.to.finish()
    }
}

impl Format {
    fn write(&mut self, to: &mut OutputWriter, texts: &[String], embeddings: &Embeddings) -> io::Result<()> {
        let records = texts.iter().zip(embeddings.rows()).zip(embeddings.token_counts());
        let records = records.map(|((text, embedding), count)| Record {
            text,
            embedding,
            tokens: count.total,
            truncated: count.truncated(),
        });
        match self {
            Format::Jsonl => {
                for record in records {
                    serde_json::to_writer(&mut *to, &record)?;
                    to.write_all(b"\n")?;
                }
            }
            Format::Json { begun } => {
                for record in records {
                    to.write_all(if std::mem::replace(begun, true) { b",\n" } else { b"[\n" })?;
                    serde_json::to_writer(&mut *to, &record)?;
                }
            }
            Format::Npy(rows) => rows.write(to, embeddings)?,
        }
        // Whoever reads a pipe has each window at once.
        to.flush()
    }

    fn finish(&mut self, to: &mut OutputWriter) -> io::Result<()> {
        match self {
            Format::Jsonl => Ok(()),
            Format::Json { begun } => to.write_all(if *begun { b"\n]\n" } else { b"[]\n" }),
            Format::Npy(rows) => rows.finish(to),
        }
    }
}
