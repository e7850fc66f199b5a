//! Texts and their vectors as columns.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Int64Builder, StringBuilder};
use arrow_array::{
    ArrayRef, FixedSizeListArray, Float32Array, Int8Array, RecordBatch, RecordBatchOptions, UInt8Array,
};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::embeddings::Encoder;
use crate::{Components, ElementType, EmbeddingRow, EmbeddingSchema, Id, IdType, Output};

/// From how many bytes on rows are a batch.
const BATCH_BYTES: usize = 4 << 20;

/// From how many bytes on batches are a row group of Parquet.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Collects rows and writes them batch by batch.
pub(crate) struct ColumnEncoder<W> {
    to: W,
    rows: Rows,
}

/// What batches are written by.
trait BatchWriter: Sized + Send {
    fn write_batch(&mut self, batch: &RecordBatch) -> io::Result<()>;

    /// Writes what belongs behind the last batch.
    fn into_output(self) -> io::Result<Output>;
}

impl BatchWriter for ArrowWriter<Output> {
    fn write_batch(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.write(batch).map_err(parquet_error)?;
        if self.in_progress_size() >= ROW_GROUP_BYTES {
            self.flush().map_err(parquet_error)?;
        }
        Ok(())
    }

    fn into_output(self) -> io::Result<Output> {
        self.into_inner().map_err(parquet_error)
    }
}

impl BatchWriter for FileWriter<Output> {
    fn write_batch(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.write(batch).map_err(arrow_error)
    }

    fn into_output(self) -> io::Result<Output> {
        self.into_inner().map_err(arrow_error)
    }
}

impl ColumnEncoder<ArrowWriter<Output>> {
    pub(crate) fn parquet(to: Output, schema: &EmbeddingSchema) -> io::Result<Box<dyn Encoder>> {
        let rows = Rows::new(schema)?;
        // Floats are neither the same nor in an order: a dictionary would be in vain, and least and greatest say nothing.
        let components = ColumnPath::new(["embedding", "list", "item"].map(str::to_owned).to_vec());
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(None)
            .set_column_dictionary_enabled(components.clone(), false)
            .set_column_statistics_enabled(components, EnabledStatistics::None)
            .build();
        let to = ArrowWriter::try_new(to, rows.schema.clone(), Some(properties)).map_err(parquet_error)?;
        Ok(Box::new(ColumnEncoder { to, rows }))
    }
}

impl ColumnEncoder<FileWriter<Output>> {
    pub(crate) fn ipc(to: Output, schema: &EmbeddingSchema) -> io::Result<Box<dyn Encoder>> {
        let rows = Rows::new(schema)?;
        let to = FileWriter::try_new(to, &rows.schema).map_err(arrow_error)?;
        Ok(Box::new(ColumnEncoder { to, rows }))
    }
}

impl<W: BatchWriter> Encoder for ColumnEncoder<W> {
    fn row(&mut self, row: &EmbeddingRow<'_>) -> io::Result<()> {
        self.rows.add(row);
        if self.rows.bytes >= BATCH_BYTES { self.to.write_batch(&self.rows.take()?) } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<Output> {
        if self.rows.bytes > 0 {
            self.to.write_batch(&self.rows.take()?)?;
        }
        self.to.into_output()
    }
}

/// Rows that are to become a batch.
struct Rows {
    schema: SchemaRef,
    ids: Option<IdColumn>,
    texts: Option<StringBuilder>,
    components: ComponentColumn,
    dimension: i32,
    tokens: Option<(Int64Builder, BooleanBuilder)>,
    rows: usize,
    /// About how many bytes they have; not 0 if there is a row.
    bytes: usize,
}

enum IdColumn {
    Integer(Int64Builder),
    Text(StringBuilder),
}

enum ComponentColumn {
    F32(Vec<f32>),
    I8(Vec<i8>),
    U8(Vec<u8>),
}

impl Rows {
    fn new(schema: &EmbeddingSchema) -> io::Result<Rows> {
        let dimension = i32::try_from(schema.dimension).map_err(io::Error::other)?;
        let (components, element) = match schema.element_type {
            ElementType::F32 => (ComponentColumn::F32(Vec::new()), DataType::Float32),
            ElementType::I8 => (ComponentColumn::I8(Vec::new()), DataType::Int8),
            ElementType::U8 => (ComponentColumn::U8(Vec::new()), DataType::UInt8),
        };
        let ids = schema.ids.map(|ids| match ids {
            IdType::Integer => (IdColumn::Integer(Int64Builder::new()), DataType::Int64),
            IdType::Text => (IdColumn::Text(StringBuilder::new()), DataType::Utf8),
        });
        let (ids, id) = ids.unzip();
        let item = Arc::new(Field::new("item", element, false));
        let column = |name: &str, data_type| Field::new(name, data_type, false);
        let mut fields: Vec<Field> = id.map(|id| column("id", id)).into_iter().collect();
        fields.extend(schema.texts.then(|| column("text", DataType::Utf8)));
        fields.push(column("embedding", DataType::FixedSizeList(item, dimension)));
        if schema.tokens {
            fields.extend([column("tokens", DataType::Int64), column("truncated", DataType::Boolean)]);
        }
        let metadata: HashMap<String, String> = schema.metadata.clone().into_iter().collect();
        Ok(Rows {
            schema: Arc::new(Schema::new_with_metadata(fields, metadata)),
            ids,
            texts: schema.texts.then(StringBuilder::new),
            components,
            dimension,
            tokens: schema.tokens.then(Default::default),
            rows: 0,
            bytes: 0,
        })
    }

    /// A row that is of the schema.
    fn add(&mut self, row: &EmbeddingRow<'_>) {
        self.bytes += 16;
        match (&mut self.ids, row.id) {
            (Some(IdColumn::Integer(ids)), Some(Id::Integer(id))) => ids.append_value(*id),
            (Some(IdColumn::Text(ids)), Some(Id::Text(id))) => {
                self.bytes += id.len();
                ids.append_value(id);
            }
            _ => {}
        }
        if let (Some(texts), Some(text)) = (&mut self.texts, row.text) {
            self.bytes += text.len();
            texts.append_value(text);
        }
        if let (Some((tokens, truncated)), Some((count, cut))) = (&mut self.tokens, row.tokens) {
            tokens.append_value(i64::try_from(count).unwrap_or(i64::MAX));
            truncated.append_value(cut);
        }
        match (&mut self.components, row.embedding) {
            (ComponentColumn::F32(to), Components::F32(components)) => {
                self.bytes += size_of_val(components);
                to.extend_from_slice(components);
            }
            (ComponentColumn::I8(to), Components::I8(components)) => {
                self.bytes += components.len();
                to.extend_from_slice(components);
            }
            (ComponentColumn::U8(to), Components::U8(components)) => {
                self.bytes += components.len();
                to.extend_from_slice(components);
            }
            _ => {}
        }
        self.rows += 1;
    }

    /// The batch; no rows are left.
    fn take(&mut self) -> io::Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::new();
        match &mut self.ids {
            Some(IdColumn::Integer(ids)) => columns.push(Arc::new(ids.finish())),
            Some(IdColumn::Text(ids)) => columns.push(Arc::new(ids.finish())),
            None => {}
        }
        if let Some(texts) = &mut self.texts {
            columns.push(Arc::new(texts.finish()));
        }
        let values: ArrayRef = match &mut self.components {
            ComponentColumn::F32(components) => Arc::new(Float32Array::from(std::mem::take(components))),
            ComponentColumn::I8(components) => Arc::new(Int8Array::from(std::mem::take(components))),
            ComponentColumn::U8(components) => Arc::new(UInt8Array::from(std::mem::take(components))),
        };
        let item = Arc::new(Field::new("item", values.data_type().clone(), false));
        let lists = FixedSizeListArray::try_new(item, self.dimension, values, None).map_err(arrow_error)?;
        columns.push(Arc::new(lists));
        if let Some((tokens, truncated)) = &mut self.tokens {
            columns.push(Arc::new(tokens.finish()));
            columns.push(Arc::new(truncated.finish()));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(arrow_error)
    }
}

/// Of what the output said, that alone.
fn arrow_error(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        error => io::Error::other(error),
    }
}

fn parquet_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    }
}
