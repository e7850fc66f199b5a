//! Texts from files, one after the other: a text a line, JSON lines, a JSON array.

mod checked_bytes;
mod json;
mod json_array;
mod lines;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::arguments::InputFormat;
use crate::error::CliError;
use json_array::JsonArray;
use lines::{JsonLines, TextLines};

pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The texts of a file or of standard input, read as they are asked for. Ends after an error.
pub(crate) struct Input {
    texts: Box<dyn Iterator<Item = Result<String, Problem>>>,
    /// What messages call it.
    place: String,
    position: Position,
    ended: bool,
}

/// How far an input has been read: a counter that all clones share.
#[derive(Clone)]
pub(crate) struct Position {
    bytes_read: Arc<AtomicU64>,
    texts_read: Arc<AtomicU64>,
    /// The file's size, where it has one.
    pub(crate) bytes: Option<u64>,
}

/// A file or standard input, open.
pub(crate) struct Source {
    pub(crate) read: Box<dyn Read>,
    /// The file's size, where it has one.
    bytes: Option<u64>,
    /// What messages call it.
    pub(crate) place: String,
}

/// What is wrong, and in which line, counted from 1.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) line: Option<usize>,
    pub(crate) reason: String,
}

/// What messages call a file, or standard input if the path is `-`.
pub(crate) fn place_of(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

impl Source {
    /// Opens a file, or standard input if the path is `-`.
    pub(crate) fn open(path: &Path) -> Result<Source, CliError> {
        let place = place_of(path);
        if is_stdin(path) {
            return Ok(Source { read: Box::new(io::stdin().lock()), bytes: None, place });
        }
        match open_file(path) {
            Ok((file, bytes)) => Ok(Source { read: Box::new(file), bytes, place }),
            Err(e) => Err(Problem::read(&e).within(&place)),
        }
    }
}

impl Input {
    /// Opens a file, or standard input if the path is `-`.
    pub(crate) fn open(path: &Path, format: Option<InputFormat>, field: &str) -> Result<Input, CliError> {
        let format = match format {
            Some(format) => format,
            None if is_stdin(path) => InputFormat::Txt,
            None => format_of(path)?,
        };
        let Source { read, bytes, place } = Source::open(path)?;
        let position = Position::new(bytes);
        let source = Counted { source: read, position: position.clone() };
        Ok(Input { texts: texts(source, format, field), place, position, ended: false })
    }

    pub(crate) fn position(&self) -> Position {
        self.position.clone()
    }
}

impl Iterator for Input {
    type Item = Result<String, CliError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.texts.next();
        self.ended = !matches!(next, Some(Ok(_)));
        Some(match next? {
            Ok(text) => {
                self.position.count_text();
                Ok(text)
            }
            Err(problem) => Err(problem.within(&self.place)),
        })
    }
}

impl Position {
    pub(crate) fn new(bytes: Option<u64>) -> Position {
        Position { bytes_read: Arc::default(), texts_read: Arc::default(), bytes }
    }

    pub(crate) fn count_bytes(&self, bytes: u64) {
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_text(&self) {
        self.texts_read.fetch_add(1, Ordering::Relaxed);
    }

    /// About how many bytes the first so many texts have: their share of what has been read.
    pub(crate) fn bytes_of(&self, texts: u64) -> u64 {
        let (bytes, read) =
            (self.bytes_read.load(Ordering::Relaxed), self.texts_read.load(Ordering::Relaxed));
        (bytes as f64 * texts as f64 / read.max(texts).max(1) as f64) as u64
    }
}

impl Problem {
    pub(crate) fn at(line: usize, reason: impl Into<String>) -> Problem {
        Problem { line: Some(line), reason: reason.into() }
    }

    pub(crate) fn anywhere(reason: impl Into<String>) -> Problem {
        Problem { line: None, reason: reason.into() }
    }

    pub(crate) fn read(error: &io::Error) -> Problem {
        Problem::anywhere(format!("cannot read it: {error}"))
    }

    fn not_json(line: usize, column: usize, reason: &str) -> Problem {
        Problem::at(line, format!("not JSON: {reason} at column {column}"))
    }

    /// `byte` counts from 1.
    pub(crate) fn invalid_utf8(line: usize, byte: usize) -> Problem {
        Problem::at(line, format!("invalid UTF-8 at byte {byte} of the line"))
    }

    /// As the error of an input that messages call `place`.
    pub(crate) fn within(self, place: &str) -> CliError {
        let place = match self.line {
            Some(line) => format!("{place}:{line}"),
            None => place.to_owned(),
        };
        CliError::Input { place, reason: self.reason }
    }
}

fn texts(
    source: impl Read + 'static,
    format: InputFormat,
    field: &str,
) -> Box<dyn Iterator<Item = Result<String, Problem>>> {
    let field = field.to_owned();
    match format {
        InputFormat::Txt => Box::new(TextLines::new(source)),
        InputFormat::Jsonl => Box::new(JsonLines::new(source, field)),
        InputFormat::Json => Box::new(JsonArray::new(source, field)),
    }
}

/// The file, and its size if it is a regular one.
fn open_file(path: &Path) -> io::Result<(File, Option<u64>)> {
    let file = File::open(path)?;
    let found = file.metadata()?;
    // On Unix a directory can be opened, and only reading it would fail.
    if found.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    Ok((file, found.is_file().then_some(found.len())))
}

/// Counts the bytes read.
struct Counted<R> {
    source: R,
    position: Position,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        self.position.count_bytes(n as u64);
        Ok(n)
    }
}

fn format_of(path: &Path) -> Result<InputFormat, CliError> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        None | Some("txt" | "text") => Ok(InputFormat::Txt),
        Some("jsonl" | "ndjson") => Ok(InputFormat::Jsonl),
        Some("json") => Ok(InputFormat::Json),
        Some(other) => Err(CliError::Input {
            place: path.display().to_string(),
            reason: format!(
                "files ending in .{other} are not known (.txt, .jsonl and .json are); say what it is with \
                 --input-format"
            ),
        }),
    }
}

#[cfg(test)]
mod tests;
