//! Texts from files, one after the other.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Problem, StorageError, What};
use crate::records::{JsonRecords, Record, Separator, Table, TextLines, json, json_array, json_lines};
use crate::source::{Counted, Decompressed, open_file};
use crate::{Id, Position, TextFormat};

/// A text, and what it is called if an [`id_field`](TextOptions::id_field) is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextItem {
    /// What it is called.
    pub id: Option<Id>,
    /// The text.
    pub text: String,
}

impl AsRef<str> for TextItem {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// How to read texts. [`Default`] takes the format from the file's name and the texts from `text`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TextOptions {
    /// What the input is; `None` (the default) for what its name says, [`TextFormat::of`].
    pub format: Option<TextFormat>,
    /// The field of an object, or the column, that has the text: `text` by default.
    pub field: String,
    /// The field or column that has the id, a string or an integer; `None` (the default) for no ids.
    pub id_field: Option<String>,
    /// What to do where JSON or a column has a null in the place of a text.
    pub nulls: Nulls,
}

/// What becomes of a null where a text should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nulls {
    /// It is an error that names the line or row.
    #[default]
    Refuse,
    /// An empty text, so that rows stay where they are.
    Empty,
    /// Nothing: the next text follows.
    Skip,
}

impl Default for TextOptions {
    fn default() -> Self {
        TextOptions { format: None, field: "text".to_owned(), id_field: None, nulls: Nulls::default() }
    }
}

impl TextOptions {
    /// Sets [`TextOptions::format`].
    #[must_use]
    pub fn format(mut self, format: TextFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// Sets [`TextOptions::field`].
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }

    /// Sets [`TextOptions::id_field`].
    #[must_use]
    pub fn id_field(mut self, field: impl Into<String>) -> Self {
        self.id_field = Some(field.into());
        self
    }

    /// Sets [`TextOptions::nulls`].
    #[must_use]
    pub fn nulls(mut self, nulls: Nulls) -> Self {
        self.nulls = nulls;
        self
    }
}

/// The texts of a file or of another reader, read as they are asked for, in bounded memory. Ends after an error.
///
/// Inputs of text may be compressed with gzip. Of Parquet a batch of 256 rows is held at a time, with the page of each
/// column; of Arrow IPC a record batch, whose size is the writer's choice.
///
/// ```
/// use minilm_storage::{Id, TextFormat, TextOptions, TextReader};
///
/// let options = TextOptions::default().format(TextFormat::Jsonl).field("body").id_field("key");
/// let lines = "{\"key\": 7, \"body\": \"seven\"}\n{\"key\": 8, \"body\": null}\n";
/// let mut texts = TextReader::from_reader(lines.as_bytes(), "texts.jsonl", &options)?;
/// let first = texts.next().unwrap()?;
/// assert_eq!((first.id, &first.text[..]), (Some(Id::Integer(7)), "seven"));
/// let error = texts.next().unwrap().unwrap_err();
/// assert_eq!(error.to_string(), "texts.jsonl:2: field \"body\" is null, expected a string");
/// # Ok::<(), minilm_storage::StorageError>(())
/// ```
pub struct TextReader {
    items: Items,
    /// What errors call it.
    name: String,
    position: Position,
    ended: bool,
}

type Items = Box<dyn Iterator<Item = Result<TextItem, StorageError>> + Send>;

impl TextReader {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// [`StorageError::Read`]; [`StorageError::UnknownFormat`] and [`StorageError::NotBuiltIn`]; of a table also
    /// [`StorageError::MissingColumn`] and [`StorageError::Content`]. The iterator has these, [`StorageError::Content`] and
    /// [`StorageError::MissingField`].
    pub fn open(path: impl AsRef<Path>, options: &TextOptions) -> Result<TextReader, StorageError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let format = match options.format {
            Some(format) => format,
            None => TextFormat::of(path)?,
        };
        match open_file(path) {
            // What is no regular file, a pipe, has neither a size nor an end to begin at.
            Ok((file, None)) => TextReader::of_stream(Box::new(file), name, format, options),
            Ok((file, Some(size))) => TextReader::of_file(file, size, name, format, options),
            Err(source) => Err(StorageError::Read { name, source }),
        }
    }

    /// Reads texts from anything else; `name` is what errors call it. Without a [`TextOptions::format`] it is
    /// [`TextFormat::Txt`].
    ///
    /// # Errors
    ///
    /// As [`TextReader::open`]; [`StorageError::Content`] for [`TextFormat::Parquet`], which begins at its end.
    pub fn from_reader(
        source: impl Read + Send + 'static,
        name: impl Into<String>,
        options: &TextOptions,
    ) -> Result<TextReader, StorageError> {
        let format = options.format.unwrap_or(TextFormat::Txt);
        TextReader::of_stream(Box::new(source), name.into(), format, options)
    }

    /// How far it has been read.
    pub fn position(&self) -> Position {
        self.position.clone()
    }

    fn of_file(
        file: File,
        size: u64,
        name: String,
        format: TextFormat,
        options: &TextOptions,
    ) -> Result<TextReader, StorageError> {
        match format {
            #[cfg(feature = "arrow")]
            TextFormat::Parquet => {
                let (items, position) = crate::columns::parquet_texts(file, size, &name, options)?;
                Ok(TextReader { items, name, position, ended: false })
            }
            #[cfg(feature = "arrow")]
            TextFormat::Arrow => {
                let position = Position::new(Some(size));
                let items = crate::columns::ipc_file_texts(file, size, &name, options, &position)?;
                Ok(TextReader { items, name, position, ended: false })
            }
            _ => {
                let position = Position::new(Some(size));
                let items = text_items(Box::new(file), &name, format, options, &position)?;
                Ok(TextReader { items, name, position, ended: false })
            }
        }
    }

    fn of_stream(
        source: Box<dyn Read + Send>,
        name: String,
        format: TextFormat,
        options: &TextOptions,
    ) -> Result<TextReader, StorageError> {
        let position = Position::new(None);
        let items = match format {
            #[cfg(feature = "arrow")]
            TextFormat::Parquet => {
                return Err(Problem::anywhere(crate::columns::SEEKABLE).within(&name));
            }
            #[cfg(feature = "arrow")]
            TextFormat::Arrow => crate::columns::ipc_texts(source, &name, options, &position)?,
            _ => text_items(source, &name, format, options, &position)?,
        };
        Ok(TextReader { items, name, position, ended: false })
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Iterator for TextReader {
    type Item = Result<TextItem, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.items.next();
        match &next {
            Some(Ok(_)) => self.position.count_text(),
            _ => self.ended = true,
        }
        next
    }
}

/// The items of what is read from its begin to its end.
fn text_items(
    source: Box<dyn Read + Send>,
    name: &str,
    format: TextFormat,
    options: &TextOptions,
    position: &Position,
) -> Result<Items, StorageError> {
    let name = name.to_owned();
    let text = |source| Decompressed::new(Counted::new(source, position.clone()));
    match format {
        TextFormat::Txt => {
            if options.id_field.is_some() {
                return Err(Problem::anywhere("plain text has no ids").within(&name));
            }
            Ok(Box::new(TextLines::new(text(source)).map(move |text| match text {
                Ok(text) => Ok(TextItem { id: None, text }),
                Err(problem) => Err(problem.within(&name)),
            })))
        }
        TextFormat::Jsonl => Ok(json_items(json_lines(text(source)), name, options)),
        TextFormat::Json => Ok(json_items(json_array(text(source)), name, options)),
        TextFormat::Csv => csv_items(Table::counted(source, name, position.clone(), None)?, options),
        TextFormat::Tsv => {
            csv_items(Table::counted(source, name, position.clone(), Some(Separator::Tab))?, options)
        }
        TextFormat::Parquet => Err(StorageError::NotBuiltIn { name, format: "Parquet" }),
        TextFormat::Arrow => Err(StorageError::NotBuiltIn { name, format: "Arrow IPC" }),
    }
}

fn json_items(records: JsonRecords, name: String, options: &TextOptions) -> Items {
    let options = options.clone();
    let items = records.map(move |record| record.and_then(|record| json_item(record, &options)));
    Box::new(items.filter_map(Result::transpose).map(move |item| item.map_err(|e| e.within(&name))))
}

/// `None` for a null that is skipped.
fn json_item(record: Record, options: &TextOptions) -> Result<Option<TextItem>, Problem> {
    let Record { mut value, at } = record;
    let (field, within) = (&options.field, |what: What| what.at(at));
    let id = match &options.id_field {
        // A null that is no object is nothing but that.
        Some(id) if !value.is_null() => Some(json::id_of(&value, id).map_err(within)?),
        _ => None,
    };
    let text = match (json::text_of(&mut value, field).map_err(within)?, options.nulls) {
        (Some(text), _) => text,
        (None, Nulls::Refuse) => return Err(Problem::at(at, json::null_text(&value, field))),
        (None, Nulls::Empty) => String::new(),
        (None, Nulls::Skip) => return Ok(None),
    };
    if options.id_field.is_some() && id.is_none() {
        return Err(Problem::at(at, "null has no id"));
    }
    Ok(Some(TextItem { id, text }))
}

fn csv_items(mut table: Table, options: &TextOptions) -> Result<Items, StorageError> {
    let text = table.column(&options.field)?;
    let id = options.id_field.as_deref().map(|id| table.column(id)).transpose()?;
    Ok(Box::new(std::iter::from_fn(move || match table.next_row() {
        Ok(true) => Some(Ok(TextItem {
            id: id.map(|id| Id::from(table.field(id))),
            text: table.field(text).to_owned(),
        })),
        Ok(false) => None,
        Err(error) => Some(Err(error)),
    })))
}

#[cfg(test)]
mod tests;
