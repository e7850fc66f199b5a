//! The vectors of a file.

mod element;

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use minilm_weights::{MappedFile, WeightsError, WeightsFile};
use serde_json::Value;

pub use element::Element;
pub(crate) use element::FileType;

use crate::embeddings::{IDS, TENSOR};
use crate::error::{Problem, StorageError, What};
use crate::npy::NpyHeader;
use crate::records::{JsonRecords, Table, json, json_array, json_lines};
use crate::source::{Decompressed, open_file};
use crate::{EmbeddingFormat, Id, Vectors};

/// How to read vectors. [`Default`] takes the format from the file's name, and looks for what is not finite.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VectorOptions {
    /// What the file is; `None` (the default) for what its name says, [`EmbeddingFormat::of`].
    pub format: Option<EmbeddingFormat>,
    /// The field of an object, the column or the tensor that has the vectors; `None` (the default) for `embedding`, and in
    /// safetensors `embeddings`.
    pub field: Option<String>,
    /// The field or column that has the ids, in safetensors the metadata's key (`ids`); `None` (the default) for no ids.
    pub id_field: Option<String>,
    /// Whether a component that is NaN or infinite is an error, as by default. Finding out reads the whole file.
    pub check_finite: bool,
}

impl Default for VectorOptions {
    fn default() -> Self {
        VectorOptions { format: None, field: None, id_field: None, check_finite: true }
    }
}

impl VectorOptions {
    /// Sets [`VectorOptions::format`].
    #[must_use]
    pub fn format(mut self, format: EmbeddingFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// Sets [`VectorOptions::field`].
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Sets [`VectorOptions::id_field`].
    #[must_use]
    pub fn id_field(mut self, field: impl Into<String>) -> Self {
        self.id_field = Some(field.into());
        self
    }

    /// Sets [`VectorOptions::check_finite`].
    #[must_use]
    pub fn check_finite(mut self, check_finite: bool) -> Self {
        self.check_finite = check_finite;
        self
    }

    fn field_or<'a>(&'a self, default: &'a str) -> &'a str {
        self.field.as_deref().unwrap_or(default)
    }
}

/// The vectors of a file, `[len][dimension]`: whatever [`EmbeddingWriter`](crate::EmbeddingWriter) writes, and what other
/// programs write so.
///
/// An `.npy` or safetensors file of elements of type `T` is mapped into memory: it is open at once, and its pages are read when
/// they are touched and shared by all processes. What has other elements that can become such (f16, bf16 or f64 for f32, rounded
/// to the nearest) or other formats is read into memory of its own.
///
/// ```
/// use minilm_storage::{StoredVectors, VectorOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("vectors.jsonl");
/// std::fs::write(&path, "{\"id\": 7, \"embedding\": [0.5, 1]}\n{\"id\": 8, \"embedding\": [2, 3.25]}\n")?;
/// let stored = StoredVectors::open(&path, &VectorOptions::default().id_field("id"))?;
/// assert_eq!((stored.len(), stored.dimension(), stored.row(1)), (2, 2, &[2.0, 3.25][..]));
/// assert_eq!(stored.ids().unwrap(), [7.into(), 8.into()]);
/// # Ok(()) }
/// ```
pub struct StoredVectors<T = f32> {
    components: Stored<T>,
    len: usize,
    dimension: usize,
    ids: Option<Vec<Id>>,
}

enum Stored<T> {
    /// Bytes that are as many as there should be, and lie where elements may lie.
    Mapped {
        file: MappedFile,
        bytes: Range<usize>,
    },
    Owned(Vec<T>),
}

impl StoredVectors<f32> {
    /// The vectors of a file, as floats.
    ///
    /// The caller sees to it that an `.npy` or safetensors file is not changed or truncated while it is open. Replacing it by a
    /// rename is fine.
    ///
    /// # Errors
    ///
    /// [`StorageError::Read`]; [`StorageError::Content`] for what is no such file, has elements of another type or another shape
    /// than `[n, dimension]`, or ends before its end; [`StorageError::MissingField`] and [`StorageError::MissingColumn`];
    /// [`StorageError::Vectors`] for components that are not finite; [`StorageError::UnknownFormat`];
    /// [`StorageError::NotBuiltIn`].
    pub fn open(path: impl AsRef<Path>, options: &VectorOptions) -> Result<StoredVectors<f32>, StorageError> {
        StoredVectors::open_as(path, options)
    }

    /// A view of them.
    pub fn vectors(&self) -> Vectors<'_> {
        Vectors::new(self.as_slice(), self.dimension).expect("whole vectors by construction")
    }
}

impl<T: Element> StoredVectors<T> {
    /// The vectors of a file, with elements of type `T`: `f32`, or `i8` and `u8` for those that are quantised.
    ///
    /// # Errors
    ///
    /// As [`StoredVectors::open`], where the caller's duty is described.
    pub fn open_as(
        path: impl AsRef<Path>,
        options: &VectorOptions,
    ) -> Result<StoredVectors<T>, StorageError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let format = match options.format {
            Some(format) => format,
            None => EmbeddingFormat::of(path)?,
        };
        let stored = match format {
            EmbeddingFormat::Npy => of_npy(path, options).map_err(|problem| problem.within(&name)),
            EmbeddingFormat::Safetensors => {
                of_safetensors(path, options).map_err(|problem| problem.within(&name))
            }
            EmbeddingFormat::Csv => of_table(Table::open(path)?, options),
            EmbeddingFormat::Jsonl => of_records(path, options, |file| json_lines(file)),
            EmbeddingFormat::Json => of_records(path, options, |file| json_array(file)),
            EmbeddingFormat::Parquet | EmbeddingFormat::Arrow => of_columns(path, &name, format, options),
        }?;
        if options.check_finite {
            T::check_finite(stored.as_slice(), stored.dimension)
                .map_err(|source| StorageError::Vectors { name, source })?;
        }
        Ok(stored)
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of components of each vector; 0 if there are no vectors to tell it.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// All components, `[len][dimension]`.
    pub fn as_slice(&self) -> &[T] {
        match &self.components {
            Stored::Mapped { file, bytes } => bytemuck::cast_slice(&file[bytes.clone()]),
            Stored::Owned(components) => components,
        }
    }

    /// Vector i.
    ///
    /// # Panics
    ///
    /// If there are not that many.
    pub fn row(&self, i: usize) -> &[T] {
        &self.as_slice()[i * self.dimension..][..self.dimension]
    }

    /// What the vectors are called, one each, if that was asked for.
    pub fn ids(&self) -> Option<&[Id]> {
        self.ids.as_deref()
    }

    /// Whether they lie in a mapped file, and not in memory of their own.
    pub fn is_mapped(&self) -> bool {
        matches!(self.components, Stored::Mapped { .. })
    }

    /// Of the bytes of a mapped file: used where they are, or converted.
    fn of_mapped(
        file: MappedFile,
        bytes: Range<usize>,
        file_type: FileType,
        [len, dimension]: [usize; 2],
    ) -> Result<StoredVectors<T>, String> {
        let found = &file[bytes.clone()];
        let usable = file_type == T::FILE_TYPE
            && (cfg!(target_endian = "little") || size_of::<T>() == 1)
            && found.as_ptr().cast::<T>().is_aligned();
        let components = if usable {
            Stored::Mapped { file, bytes }
        } else {
            let expected = || format!("the elements are {file_type}, expected {}", T::EXPECTED);
            Stored::Owned(T::decode(file_type, found).ok_or_else(expected)?)
        };
        Ok(StoredVectors { components, len, dimension, ids: None })
    }
}

impl<T> fmt::Debug for StoredVectors<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mapped = matches!(self.components, Stored::Mapped { .. });
        f.debug_struct("StoredVectors")
            .field("len", &self.len)
            .field("dimension", &self.dimension)
            .field("mapped", &mapped)
            .finish_non_exhaustive()
    }
}

impl<'a> From<&'a StoredVectors<f32>> for Vectors<'a> {
    fn from(stored: &'a StoredVectors<f32>) -> Vectors<'a> {
        stored.vectors()
    }
}

/// A shape that is `[n, dimension]`, or empty.
fn two_dimensions(shape: &[usize]) -> Result<[usize; 2], String> {
    match *shape {
        [len, 0] if len > 0 => Err(format!("it has {len} vectors without a component")),
        [len, dimension] => Ok([len, dimension]),
        _ => Err(format!("the shape is {shape:?}, expected two dimensions, [n, dimension]")),
    }
}

fn of_npy<T: Element>(path: &Path, options: &VectorOptions) -> Result<StoredVectors<T>, Problem> {
    if options.id_field.is_some() {
        return Err(Problem::anywhere("an array of NumPy's has no ids"));
    }
    let file = MappedFile::open(path).map_err(Problem::read)?;
    let header = NpyHeader::parse(&file).map_err(Problem::anywhere)?;
    let shape = two_dimensions(&header.shape).map_err(Problem::anywhere)?;
    let Some(file_type) = FileType::of_npy(&header.descr) else {
        let (found, expected) = (&header.descr, T::EXPECTED_NPY);
        let reason = format!("the elements are {found:?}, expected {expected} (`array.astype` makes them)");
        return Err(Problem::anywhere(reason));
    };
    if header.fortran_order && header.shape.iter().all(|&n| n > 1) {
        let reason = "the array is in Fortran's order, expected C's (`numpy.ascontiguousarray` makes it)";
        return Err(Problem::anywhere(reason));
    }
    let available = file.len() - header.data_start;
    if header.data_bytes(file_type.size()) != Some(available) {
        let reason = format!(
            "the shape {:?} of {:?} needs {} bytes, but {available} follow the header",
            header.shape,
            header.descr,
            header.data_bytes(file_type.size()).map_or("too many".to_owned(), |bytes| bytes.to_string())
        );
        return Err(Problem::anywhere(reason));
    }
    let bytes = header.data_start..file.len();
    StoredVectors::of_mapped(file, bytes, file_type, shape).map_err(Problem::anywhere)
}

fn of_safetensors<T: Element>(path: &Path, options: &VectorOptions) -> Result<StoredVectors<T>, Problem> {
    let file = WeightsFile::open(path).map_err(|error| match error {
        WeightsError::Open { source, .. } => Problem::read(source),
        WeightsError::Invalid { reason, .. } => {
            Problem::anywhere(format!("not a valid safetensors file: {reason}"))
        }
        WeightsError::InvalidTensor { tensor, reason, .. } => {
            Problem::anywhere(format!("tensor \"{tensor}\": {reason}"))
        }
        other => Problem::anywhere(other.to_string()),
    })?;
    let name = options.field_or(TENSOR);
    let Some(tensor) = file.raw_tensor(name) else {
        let mut found: Vec<String> = file.names().map(str::to_owned).collect();
        found.sort();
        return Err(Problem {
            at: None,
            what: What::MissingColumn { what: "tensor", column: name.to_owned(), found },
        });
    };
    let within = |reason: String| Problem::anywhere(format!("tensor \"{name}\": {reason}"));
    let shape = two_dimensions(tensor.shape).map_err(within)?;
    let Some(file_type) = FileType::of_safetensors(&tensor.dtype) else {
        let (found, expected) = (&tensor.dtype, T::EXPECTED);
        return Err(within(format!("the elements are {found}, expected {expected}")));
    };
    let ids = options.id_field.as_deref().map(|key| ids_of(&file, key, shape[0])).transpose()?;
    let bytes = tensor.bytes;
    let stored = StoredVectors::of_mapped(file.into_mapped(), bytes, file_type, shape).map_err(within)?;
    Ok(StoredVectors { ids, ..stored })
}

/// The ids in the metadata, a JSON array in a string.
fn ids_of(file: &WeightsFile, key: &str, expected: usize) -> Result<Vec<Id>, Problem> {
    let Some(text) = file.metadata().get(key) else {
        return Err(Problem::anywhere(format!(
            "the metadata has no {key:?} ({IDS:?} is what minilm writes)"
        )));
    };
    let malformed = |reason: String| Problem::anywhere(format!("{key:?} in the metadata: {reason}"));
    let ids: Vec<Id> = serde_json::from_str(text)
        .map_err(|e| malformed(format!("expected a JSON array of strings or integers: {e}")))?;
    if ids.len() != expected {
        return Err(malformed(format!("expected {expected} ids, one a vector, found {}", ids.len())));
    }
    Ok(ids)
}

fn of_records<T: Element>(
    path: &Path,
    options: &VectorOptions,
    records: impl FnOnce(Decompressed<File>) -> JsonRecords,
) -> Result<StoredVectors<T>, StorageError> {
    let name = path.display().to_string();
    let within = |problem: Problem| problem.within(&name);
    let (file, _) = open_file(path).map_err(|e| within(Problem::read(e)))?;
    let (field, mut collected) = (options.field_or(FIELD), Collected::new());
    for record in records(Decompressed::new(file)) {
        let record = record.map_err(within)?;
        let at = |what: What| within(what.at(record.at));
        if let Some(id) = &options.id_field {
            collected.ids.push(json::id_of(&record.value, id).map_err(at)?);
        }
        let vector = match &record.value {
            Value::Array(_) => &record.value,
            value => json::field_of(value, field).map_err(at)?,
        };
        collected.push_json(vector).map_err(|reason| at(reason.into()))?;
    }
    Ok(collected.finish(options))
}

fn of_table<T: Element>(mut table: Table, options: &VectorOptions) -> Result<StoredVectors<T>, StorageError> {
    let column = table.column(options.field_or(FIELD))?;
    let id = options.id_field.as_deref().map(|id| table.column(id)).transpose()?;
    let mut collected = Collected::new();
    while table.next_row()? {
        if let Some(id) = id {
            collected.ids.push(Id::from(table.field(id)));
        }
        let field = table.field(column);
        let pushed = match serde_json::from_str(field) {
            Ok(vector) => collected.push_json(&vector),
            Err(_) => Err(format!("expected a JSON array of numbers, found {}", crate::excerpt(field))),
        };
        pushed.map_err(|reason| table.error(Some(table.line()), reason))?;
    }
    Ok(collected.finish(options))
}

#[cfg(feature = "arrow")]
fn of_columns<T: Element>(
    path: &Path,
    name: &str,
    format: EmbeddingFormat,
    options: &VectorOptions,
) -> Result<StoredVectors<T>, StorageError> {
    let (field, id_field) = (options.field_or(FIELD), options.id_field.as_deref());
    let file = open_file(path).map_err(|e| Problem::read(e).within(name))?;
    let mut collected = Collected::new();
    crate::columns::read_vectors(file, name, format, field, id_field, &mut collected)?;
    Ok(collected.finish(options))
}

#[cfg(not(feature = "arrow"))]
fn of_columns<T: Element>(
    _: &Path,
    name: &str,
    format: EmbeddingFormat,
    _: &VectorOptions,
) -> Result<StoredVectors<T>, StorageError> {
    let format = if format == EmbeddingFormat::Parquet { "Parquet" } else { "Arrow IPC" };
    Err(StorageError::NotBuiltIn { name: name.to_owned(), format })
}

/// The field or column that has the vectors, unless another is named.
const FIELD: &str = "embedding";

/// Vectors that come one after the other, all of the first one's dimension.
pub(crate) struct Collected<T> {
    components: Vec<T>,
    rows: usize,
    dimension: usize,
    pub(crate) ids: Vec<Id>,
}

impl<T: Element> Collected<T> {
    fn new() -> Collected<T> {
        Collected { components: Vec::new(), rows: 0, dimension: 0, ids: Vec::new() }
    }

    /// How many there are.
    #[cfg(feature = "arrow")]
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    #[cfg(feature = "arrow")]
    pub(crate) fn push(&mut self, vector: &[T]) -> Result<(), String> {
        self.begin(vector.len())?;
        self.components.extend_from_slice(vector);
        Ok(())
    }

    fn push_json(&mut self, vector: &Value) -> Result<(), String> {
        let Value::Array(numbers) = vector else {
            return Err(format!("expected an array of numbers, found {}", json::kind(vector)));
        };
        self.begin(numbers.len())?;
        for (i, number) in numbers.iter().enumerate() {
            let component = T::of_json(number);
            let expected = || format!("component {i} is {number}, expected a number as of {}", T::FILE_TYPE);
            self.components.push(component.ok_or_else(expected)?);
        }
        Ok(())
    }

    /// Another vector follows, of that dimension.
    fn begin(&mut self, dimension: usize) -> Result<(), String> {
        if dimension == 0 {
            return Err("the vector has no components".to_owned());
        }
        if self.rows > 0 && dimension != self.dimension {
            let expected = self.dimension;
            return Err(format!("the vector has {dimension} components, those before have {expected}"));
        }
        (self.rows, self.dimension) = (self.rows + 1, dimension);
        Ok(())
    }

    fn finish(self, options: &VectorOptions) -> StoredVectors<T> {
        let Collected { components, rows, dimension, ids } = self;
        let ids = options.id_field.as_ref().map(|_| ids);
        StoredVectors { components: Stored::Owned(components), len: rows, dimension, ids }
    }
}
