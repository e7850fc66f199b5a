//! Texts and their vectors as files, window by window.

mod csv;
mod headed;
mod json;
mod npy;
mod safetensors;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

pub(crate) use safetensors::{IDS, TENSOR};
use serde::{Serialize, Serializer};

use crate::{EmbeddingFormat, Id, IdType, Output, StorageError, excerpt};

/// What the components of vectors are: floats, or what they are quantised to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElementType {
    /// 32-bit floats.
    #[default]
    F32,
    /// 8-bit integers; also bits, eight to an element, as sentence-transformers' `binary` has them.
    I8,
    /// 8-bit integers from 0; also bits, eight to an element, as sentence-transformers' `ubinary` has them.
    U8,
}

/// The components of a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Components<'a> {
    /// [`ElementType::F32`]
    F32(&'a [f32]),
    /// [`ElementType::I8`]
    I8(&'a [i8]),
    /// [`ElementType::U8`]
    U8(&'a [u8]),
}

/// A text and its vector, as a row of a file. What the file's [schema](EmbeddingSchema) has not is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct EmbeddingRow<'a> {
    /// What the text is called.
    pub id: Option<&'a Id>,
    /// The text.
    pub text: Option<&'a str>,
    /// Its vector.
    pub embedding: Components<'a>,
    /// How many tokens the whole text has, special tokens included, and whether that was more than the model takes.
    pub tokens: Option<(usize, bool)>,
}

/// What all rows of a file have. `new` has vectors alone; texts, ids and counts of tokens are added.
#[derive(Clone, Debug)]
pub struct EmbeddingSchema {
    pub(crate) dimension: usize,
    pub(crate) element_type: ElementType,
    pub(crate) ids: Option<IdType>,
    pub(crate) texts: bool,
    pub(crate) tokens: bool,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// Writes texts and their vectors to an output as they come, in bounded memory.
///
/// JSON, JSON lines and CSV have the members `id`, `text`, `embedding`, `tokens` and `truncated`, as far as the schema has them, and
/// write each window at once. An embedding is an array of numbers, from which the same floats are read back.
///
/// The columns of Parquet (Snappy, row groups of about 64 MB) and of Arrow IPC (a file, not compressed, so that it can be mapped;
/// record batches of about 4 MB) have the same names; the embedding is a list of fixed size.
///
/// `.npy` and safetensors (tensor `embeddings`, `[n, dimension]`) have vectors alone, and safetensors ids as a JSON array in
/// the metadata `ids`: `json.loads(safe_open(path, "np").metadata()["ids"])`. Their header has the number of rows, before all
/// rows: it is written twice, or the rows wait in a temporary file where the output is no file, or there are ids.
///
/// ```
/// use minilm_storage::{EmbeddingFormat, EmbeddingRow, EmbeddingSchema, EmbeddingWriter, Id, IdType, Output};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("vectors.jsonl");
/// let schema = EmbeddingSchema::new(2).ids(IdType::Integer).texts();
/// let mut writer = EmbeddingWriter::new(Output::create(&path)?, EmbeddingFormat::Jsonl, schema)?;
/// writer.write([EmbeddingRow::new(&[0.5f32, 1.0][..]).id(&Id::Integer(7)).text("seven")])?;
/// writer.finish()?;
/// assert_eq!(std::fs::read_to_string(&path)?, "{\"id\":7,\"text\":\"seven\",\"embedding\":[0.5,1.0]}\n");
/// # Ok(()) }
/// ```
pub struct EmbeddingWriter {
    encoder: Box<dyn Encoder>,
    schema: EmbeddingSchema,
    format: EmbeddingFormat,
    /// What errors call the output.
    name: String,
    rows: usize,
}

/// A format, on its way to an output.
pub(crate) trait Encoder: Send {
    /// A row that has what the schema says.
    fn row(&mut self, row: &EmbeddingRow<'_>) -> io::Result<()>;

    /// Whoever reads a stream may see what has been written.
    fn flush(&mut self) -> io::Result<()>;

    /// What comes behind all rows.
    fn finish(self: Box<Self>) -> io::Result<Output>;
}

impl ElementType {
    /// Its name in NumPy: `float32`, `int8` or `uint8`.
    pub fn name(self) -> &'static str {
        match self {
            ElementType::F32 => "float32",
            ElementType::I8 => "int8",
            ElementType::U8 => "uint8",
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Components<'_> {
    /// What they are.
    pub fn element_type(self) -> ElementType {
        match self {
            Components::F32(_) => ElementType::F32,
            Components::I8(_) => ElementType::I8,
            Components::U8(_) => ElementType::U8,
        }
    }

    /// How many there are.
    pub fn len(self) -> usize {
        match self {
            Components::F32(components) => components.len(),
            Components::I8(components) => components.len(),
            Components::U8(components) => components.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// As they lie in files: little-endian.
    fn write_to(self, to: &mut impl Write) -> io::Result<()> {
        match self {
            Components::F32(components) if cfg!(target_endian = "little") => {
                to.write_all(bytemuck::cast_slice(components))
            }
            Components::F32(components) => components.iter().try_for_each(|x| to.write_all(&x.to_le_bytes())),
            Components::I8(components) => to.write_all(bytemuck::cast_slice(components)),
            Components::U8(components) => to.write_all(components),
        }
    }
}

impl Serialize for Components<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Components::F32(components) => components.serialize(to),
            Components::I8(components) => components.serialize(to),
            Components::U8(components) => components.serialize(to),
        }
    }
}

impl<'a> From<&'a [f32]> for Components<'a> {
    fn from(components: &'a [f32]) -> Components<'a> {
        Components::F32(components)
    }
}

impl<'a> From<&'a [i8]> for Components<'a> {
    fn from(components: &'a [i8]) -> Components<'a> {
        Components::I8(components)
    }
}

impl<'a> From<&'a [u8]> for Components<'a> {
    fn from(components: &'a [u8]) -> Components<'a> {
        Components::U8(components)
    }
}

impl<'a> EmbeddingRow<'a> {
    /// A vector.
    pub fn new(embedding: impl Into<Components<'a>>) -> EmbeddingRow<'a> {
        EmbeddingRow { id: None, text: None, embedding: embedding.into(), tokens: None }
    }

    /// Sets [`EmbeddingRow::id`].
    #[must_use]
    pub fn id(mut self, id: &'a Id) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets [`EmbeddingRow::text`].
    #[must_use]
    pub fn text(mut self, text: &'a str) -> Self {
        self.text = Some(text);
        self
    }

    /// Sets [`EmbeddingRow::tokens`].
    #[must_use]
    pub fn tokens(mut self, tokens: usize, truncated: bool) -> Self {
        self.tokens = Some((tokens, truncated));
        self
    }
}

impl EmbeddingSchema {
    /// Vectors of that dimension, in f32.
    pub fn new(dimension: usize) -> EmbeddingSchema {
        EmbeddingSchema {
            dimension,
            element_type: ElementType::F32,
            ids: None,
            texts: false,
            tokens: false,
            metadata: BTreeMap::new(),
        }
    }

    /// What components are; [`ElementType::F32`] by default. The dimension is the number of elements.
    #[must_use]
    pub fn element_type(mut self, element_type: ElementType) -> Self {
        self.element_type = element_type;
        self
    }

    /// With ids, all of that kind.
    #[must_use]
    pub fn ids(mut self, ids: IdType) -> Self {
        self.ids = Some(ids);
        self
    }

    /// With the texts, where the format has room for them.
    #[must_use]
    pub fn texts(mut self) -> Self {
        self.texts = true;
        self
    }

    /// With counts of tokens, where the format has room for them.
    #[must_use]
    pub fn tokens(mut self) -> Self {
        self.tokens = true;
        self
    }

    /// With something to say of all rows, as the model's name: metadata of safetensors, Parquet and Arrow. Other formats have
    /// no room for it.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Whether a row is of this schema, and can be written so.
    fn check(&self, row: &EmbeddingRow<'_>, format: EmbeddingFormat) -> Result<(), String> {
        let (dimension, element_type) = (row.embedding.len(), row.embedding.element_type());
        if (dimension, element_type) != (self.dimension, self.element_type) {
            return Err(format!(
                "expected a vector of {} {}, found {dimension} {element_type}",
                self.dimension, self.element_type
            ));
        }
        match (self.ids, row.id) {
            (Some(expected), None) => return Err(format!("expected an id that is {expected}, found none")),
            (Some(expected), Some(id)) if id.id_type() != expected => {
                let found = match id {
                    Id::Integer(number) => format!("{}: {number}", id.id_type()),
                    Id::Text(name) => format!("{}: {}", id.id_type(), excerpt(name)),
                };
                return Err(format!("expected an id that is {expected}, found {found}"));
            }
            _ => {}
        }
        if self.texts && row.text.is_none() {
            return Err("expected a text, found none".to_owned());
        }
        if self.tokens && row.tokens.is_none() {
            return Err("expected a count of tokens, found none".to_owned());
        }
        match row.embedding {
            Components::F32(components) if format.is_text() => {
                match components.iter().position(|x| !x.is_finite()) {
                    Some(at) => Err(format!(
                        "component {at} of the vector is {}, and {format} has finite numbers alone",
                        components[at]
                    )),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl EmbeddingWriter {
    /// Begins to write to an output.
    ///
    /// # Errors
    ///
    /// [`StorageError::Write`]; [`StorageError::Schema`] for ids where the format is [`EmbeddingFormat::Npy`];
    /// [`StorageError::NotBuiltIn`].
    pub fn new(
        to: Output,
        format: EmbeddingFormat,
        schema: EmbeddingSchema,
    ) -> Result<EmbeddingWriter, StorageError> {
        let name = to.name().to_owned();
        format.check(&name, schema.ids.is_some())?;
        let begun = match format {
            EmbeddingFormat::Jsonl => Ok(json::JsonEncoder::lines(to, &schema)),
            EmbeddingFormat::Json => Ok(json::JsonEncoder::array(to, &schema)),
            EmbeddingFormat::Csv => csv::CsvEncoder::begin(to, &schema),
            EmbeddingFormat::Npy => npy::NpyEncoder::begin(to, &schema),
            EmbeddingFormat::Safetensors => safetensors::SafetensorsEncoder::begin(to, &schema),
            #[cfg(feature = "arrow")]
            EmbeddingFormat::Parquet => crate::columns::ColumnEncoder::parquet(to, &schema),
            #[cfg(feature = "arrow")]
            EmbeddingFormat::Arrow => crate::columns::ColumnEncoder::ipc(to, &schema),
            // `check` has said more.
            #[cfg(not(feature = "arrow"))]
            EmbeddingFormat::Parquet | EmbeddingFormat::Arrow => Err(io::ErrorKind::Unsupported.into()),
        };
        match begun {
            Ok(encoder) => Ok(EmbeddingWriter { encoder, schema, format, name, rows: 0 }),
            Err(source) => Err(StorageError::Write { name, source }),
        }
    }

    /// Adds a window of rows. Lines of text have then been written, and not only been kept for later.
    ///
    /// # Errors
    ///
    /// [`StorageError::Row`] for a row that is not of the schema, and in JSON and CSV for a component that is NaN or infinite, which
    /// have no number for it; [`StorageError::Write`], also for more ids than a safetensors
    /// header may have (100 MB).
    pub fn write<'a>(
        &mut self,
        rows: impl IntoIterator<Item = EmbeddingRow<'a>>,
    ) -> Result<(), StorageError> {
        for row in rows {
            if let Err(reason) = self.schema.check(&row, self.format) {
                return Err(StorageError::Row { name: self.name.clone(), row: self.rows, reason });
            }
            self.encoder.row(&row).map_err(|error| self.failed(error))?;
            self.rows += 1;
        }
        self.encoder.flush().map_err(|error| self.failed(error))
    }

    /// How many rows have been written.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Writes what is left, and lets a file appear under its name.
    ///
    /// # Errors
    ///
    /// [`StorageError::Write`]; of a file there is then nothing.
    pub fn finish(self) -> Result<(), StorageError> {
        match self.encoder.finish() {
            Ok(output) => output.finish(),
            Err(source) => Err(StorageError::Write { name: self.name, source }),
        }
    }

    fn failed(&self, source: io::Error) -> StorageError {
        StorageError::Write { name: self.name.clone(), source }
    }
}
