//! Tables of text: CSV, and fields between tabs.

use std::io::Read;
use std::path::Path;

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

use super::recent::RecentBytes;
use crate::error::{At, Place, Problem, StorageError};
use crate::source::{Counted, Decompressed, open_file};
use crate::{Position, excerpt};

/// A table with a header, read row by row: plain or gzip, in UTF-8.
///
/// If there is a tab in the header, tabs separate fields and quotes are characters like others, as in the STS benchmark;
/// else it is CSV with quotes.
///
/// ```
/// use minilm_storage::Table;
///
/// let mut table = Table::from_reader(&b"id,text\n7,\"a, b\"\n"[..], "texts.csv")?;
/// let text = table.column("text")?;
/// assert!(table.next_row()?);
/// assert_eq!((table.field(text), table.line()), ("a, b", 2));
/// assert!(!table.next_row()?);
/// # Ok::<(), minilm_storage::StorageError>(())
/// ```
pub struct Table {
    name: String,
    separator: Separator,
    reader: Reader<RecentBytes<Box<dyn Read + Send>>>,
    header: StringRecord,
    row: StringRecord,
}

#[derive(Clone, Copy)]
enum Separator {
    Tab,
    Comma,
}

impl Table {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    ///
    /// [`StorageError::Read`], and [`StorageError::Content`] if it has no header.
    pub fn open(path: &Path) -> Result<Table, StorageError> {
        let name = path.display().to_string();
        match open_file(path) {
            Ok((file, _)) => Table::from_reader(file, name),
            Err(source) => Err(StorageError::Read { name, source }),
        }
    }

    /// Reads a table from anything else; `name` is what errors call it.
    ///
    /// # Errors
    ///
    /// As [`Table::open`].
    pub fn from_reader(
        source: impl Read + Send + 'static,
        name: impl Into<String>,
    ) -> Result<Table, StorageError> {
        Table::counted(source, name.into(), Position::new(None))
    }

    pub(crate) fn counted(
        source: impl Read + Send + 'static,
        name: String,
        position: Position,
    ) -> Result<Table, StorageError> {
        let source: Box<dyn Read + Send> = Box::new(Decompressed::new(Counted::new(source, position)));
        let mut source = RecentBytes::new(source);
        let separator = if source.first_line().contains(&b'\t') { Separator::Tab } else { Separator::Comma };
        let mut builder = ReaderBuilder::new();
        match separator {
            Separator::Tab => builder.delimiter(b'\t').quoting(false),
            Separator::Comma => builder.delimiter(b','),
        };
        let (header, row) = (StringRecord::new(), StringRecord::new());
        let mut table = Table { name, separator, reader: builder.from_reader(source), header, row };
        match table.reader.headers().cloned() {
            Ok(header) if header.is_empty() => {
                Err(table.error(None, "expected a table with a header, found nothing"))
            }
            Ok(header) => {
                table.header = header;
                Ok(table)
            }
            Err(error) => Err(table.failed(error)),
        }
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of its columns.
    pub fn header(&self) -> impl Iterator<Item = &str> {
        self.header.iter()
    }

    /// Where the column of that name is.
    ///
    /// # Errors
    ///
    /// [`StorageError::MissingColumn`]; [`StorageError::Content`] if there are several.
    pub fn column(&self, name: &str) -> Result<usize, StorageError> {
        let missing = || Problem::missing_column(name, &self.header).within(&self.name);
        self.find_column(name)?.ok_or_else(missing)
    }

    /// Where the column of that name is, if there is one.
    ///
    /// # Errors
    ///
    /// [`StorageError::Content`] if there are several.
    pub fn find_column(&self, name: &str) -> Result<Option<usize>, StorageError> {
        let mut found = self.header.iter().enumerate().filter(|(_, column)| *column == name);
        match (found.next(), found.count()) {
            (_, 1..) => Err(self.error(None, format!("the header has several columns {}", excerpt(name)))),
            (found, _) => Ok(found.map(|(index, _)| index)),
        }
    }

    /// Goes to the next row, which has as many fields as the header; false if there is none.
    ///
    /// # Errors
    ///
    /// [`StorageError::Read`] and [`StorageError::Content`].
    pub fn next_row(&mut self) -> Result<bool, StorageError> {
        let found = self.reader.read_record(&mut self.row);
        if let Some(position) = self.row.position() {
            let begin = position.byte();
            self.reader.get_mut().forget(begin);
        }
        found.map_err(|error| self.failed(error))
    }

    /// A field of the row.
    ///
    /// # Panics
    ///
    /// If there are not that many columns, or no row has been read.
    pub fn field(&self, column: usize) -> &str {
        &self.row[column]
    }

    /// The line that the row begins in, from 1.
    pub fn line(&self) -> usize {
        // The reader's own count would be the line before if lines end with `\r\n` or blank ones come first, for it leaves
        // them to the next row.
        let begin = self.row.position().map_or(0, |position| position.byte());
        self.reader.get_ref().line_from(begin)
    }

    /// An error in a line of the table.
    pub fn error(&self, line: Option<usize>, reason: impl Into<String>) -> StorageError {
        let place = Place { name: self.name.clone(), at: line.map(At::Line) };
        StorageError::Content { place, reason: reason.into() }
    }

    fn failed(&mut self, error: csv::Error) -> StorageError {
        if let Some(problem) = self.reader.get_mut().take_problem() {
            return problem.within(&self.name);
        }
        match error.kind() {
            ErrorKind::UnequalLengths { pos: Some(position), expected_len, len } => {
                let separator = self.separator.name();
                let reason = format!(
                    "expected {expected_len} fields between {separator}, as in the header, found {len}"
                );
                self.error(Some(self.reader.get_ref().line_from(position.byte())), reason)
            }
            _ => self.error(None, error.to_string()),
        }
    }
}

impl Separator {
    fn name(self) -> &'static str {
        match self {
            Separator::Tab => "tabs",
            Separator::Comma => "commas",
        }
    }
}
