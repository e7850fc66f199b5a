//! Tables of text: CSV, and fields between tabs.

use std::io::Read;
use std::path::Path;

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

use super::recent::RecentBytes;
use crate::error::{At, Place, Problem, StorageError};
use crate::formats::is_tsv;
use crate::source::{Counted, Decompressed, open_file};
use crate::{Position, excerpt};

/// A table with a header, read row by row: plain or gzip, in UTF-8.
///
/// If the file's name ends in `.tsv`, or there is a tab in the header, tabs separate fields; else it is CSV with quotes.
///
/// Between tabs, quotes are characters like others, as in the STS benchmark. But where a program that quotes fields has
/// written the table, they are taken away: all fields if all names of the header are quoted; and each whose first and last
/// character is a quote and that has no quotes between them but doubled ones, at least once, which become one (what pandas and
/// Python's `csv` write of a text with quotes in it).
///
/// ```
/// use minilm_storage::Table;
///
/// let rows = &b"id\ttext\n1\t\"as it is\"\n2\t\"\"\"Who?\"\" he said.\"\n"[..];
/// let mut table = Table::from_reader(rows, "texts.tsv")?;
/// assert!(table.next_row()?);
/// assert_eq!(table.field(1), "\"as it is\"");
/// assert!(table.next_row()?);
/// assert_eq!(table.field(1), "\"Who?\" he said.");
/// # Ok::<(), minilm_storage::StorageError>(())
/// ```
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
    /// Whether all fields between tabs may have quotes around them.
    quoted: bool,
    reader: Reader<RecentBytes<Box<dyn Read + Send>>>,
    header: StringRecord,
    row: StringRecord,
}

#[derive(Clone, Copy)]
pub(crate) enum Separator {
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
            Ok((file, _)) => {
                let separator = is_tsv(path).then_some(Separator::Tab);
                Table::counted(file, name, Position::new(None), separator)
            }
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
        Table::counted(source, name.into(), Position::new(None), None)
    }

    /// The header tells the separator, unless it is known.
    pub(crate) fn counted(
        source: impl Read + Send + 'static,
        name: String,
        position: Position,
        separator: Option<Separator>,
    ) -> Result<Table, StorageError> {
        let source: Box<dyn Read + Send> = Box::new(Decompressed::new(Counted::new(source, position)));
        let mut source = RecentBytes::new(source);
        let by_header = |header: &[u8]| match header.contains(&b'\t') {
            true => Separator::Tab,
            false => Separator::Comma,
        };
        let separator = separator.unwrap_or_else(|| by_header(source.first_line()));
        let mut builder = ReaderBuilder::new();
        match separator {
            Separator::Tab => builder.delimiter(b'\t').quoting(false),
            Separator::Comma => builder.delimiter(b','),
        };
        let (header, row) = (StringRecord::new(), StringRecord::new());
        let reader = builder.from_reader(source);
        let mut table = Table { name, separator, quoted: false, reader, header, row };
        match table.reader.headers().cloned() {
            Ok(header) if header.is_empty() => {
                Err(table.error(None, "expected a table with a header, found nothing"))
            }
            Ok(header) => {
                table.quoted = header.iter().all(|name| unquoted(name, true).is_some());
                table.header = header;
                unquote(&mut table.header, separator, table.quoted);
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
        unquote(&mut self.row, self.separator, self.quoted);
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

/// Takes away the quotes of fields between tabs; of others the reader has done so.
fn unquote(row: &mut StringRecord, separator: Separator, quoted: bool) {
    if matches!(separator, Separator::Tab) && row.iter().any(|field| unquoted(field, quoted).is_some()) {
        let fields = row.iter().map(|field| unquoted(field, quoted).unwrap_or_else(|| field.to_owned()));
        let mut plain: StringRecord = fields.collect();
        plain.set_position(row.position().cloned());
        *row = plain;
    }
}

/// A field without the quotes around it, if it has some: `quoted` says that these are expected. If not, a text may begin and
/// end with quotes of its own, and only doubled ones inside tell that they are not (or nothing inside, which is how Python
/// writes an empty text that is alone in its row).
fn unquoted(field: &str, quoted: bool) -> Option<String> {
    let inner = field.strip_prefix('"')?.strip_suffix('"')?;
    let (quotes, doubled) = (inner.matches('"').count(), inner.matches("\"\"").count());
    let by_program = quoted || doubled > 0 || inner.is_empty();
    (by_program && quotes == 2 * doubled).then(|| inner.replace("\"\"", "\""))
}

impl Separator {
    fn name(self) -> &'static str {
        match self {
            Separator::Tab => "tabs",
            Separator::Comma => "commas",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_of_a_program_are_taken_away_and_those_of_a_text_stay() {
        for (field, alone, in_quoted_table) in [
            ("plain", None, None),
            ("\"", None, None),
            ("\"\"", Some(""), Some("")),
            ("\"a text in quotes\"", None, Some("a text in quotes")),
            ("\"an \"\"odd\"\" word\"", Some("an \"odd\" word"), Some("an \"odd\" word")),
            ("\"\"\"all\"\"\"", Some("\"all\""), Some("\"all\"")),
            ("\"\"\"\"", Some("\""), Some("\"")),
            ("\"one\" and \"two\"", None, None),
            ("\"a \"\"b\" c\"", None, None),
            ("\"begins", None, None),
        ] {
            assert_eq!(unquoted(field, false).as_deref(), alone, "{field}");
            assert_eq!(unquoted(field, true).as_deref(), in_quoted_table, "{field}");
        }
    }
}
