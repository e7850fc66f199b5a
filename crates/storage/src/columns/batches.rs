//! Batches of the columns that are wanted.

use std::fs::File;
use std::io::{self, BufReader, Read};

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Schema};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::guarded::guarded;
use super::ipc::{self, IpcFile, IpcStream};
use super::on_one_line;
use crate::error::Problem;
use crate::source::Counted;
use crate::{Position, excerpt};

/// How many rows of Parquet are read at a time.
const BATCH_ROWS: usize = 256;

/// Record batches, each of which has at least the columns that are wanted.
pub(super) struct Batches(Box<dyn Iterator<Item = Result<RecordBatch, Problem>> + Send>);

impl Batches {
    /// Of a file of that size; and how many rows it has.
    pub(super) fn of_parquet(file: File, size: u64, wanted: &[&str]) -> Result<(Batches, u64), Problem> {
        let (mut reader, rows) = guarded("Parquet", || {
            let builder =
                ParquetRecordBatchReaderBuilder::try_new(Chunks { file, size }).map_err(not_parquet)?;
            let columns = find_columns(builder.schema(), wanted)?;
            let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
            let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
            let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
            Ok((builder.build().map_err(not_parquet)?, rows))
        })?;
        let batches = std::iter::from_fn(move || {
            guarded("Parquet", || reader.next().transpose().map_err(malformed)).transpose()
        });
        Ok((Batches(Box::new(batches)), rows))
    }

    /// Of a file of that size: an IPC file, or a stream.
    pub(super) fn of_ipc_file(
        mut file: File,
        size: u64,
        wanted: &[&str],
        position: Option<&Position>,
    ) -> Result<Batches, Problem> {
        if ipc::is_file(&mut file).map_err(Problem::read)? {
            return Ok(Batches(Box::new(IpcFile::open(file, size, wanted, position.cloned())?)));
        }
        match position {
            Some(position) => Batches::of_ipc(Counted::new(file, position.clone()), wanted),
            None => Batches::of_ipc(file, wanted),
        }
    }

    /// Of a stream.
    pub(super) fn of_ipc(source: impl Read + Send + 'static, wanted: &[&str]) -> Result<Batches, Problem> {
        Ok(Batches(Box::new(IpcStream::open(BufReader::new(source), wanted)?)))
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// Where the wanted columns are.
pub(super) fn find_columns(schema: &Schema, wanted: &[&str]) -> Result<Vec<usize>, Problem> {
    let find = |name: &&str| {
        let mut found = schema.fields().iter().enumerate().filter(|(_, field)| field.name() == name);
        match (found.next(), found.count()) {
            (None, _) => Err(Problem::missing_column(name, schema.fields().iter().map(|field| field.name()))),
            (Some((index, _)), 0) => Ok(index),
            _ => Err(Problem::anywhere(format!("there are several columns {}", excerpt(name)))),
        }
    };
    wanted.iter().map(find).collect()
}

fn not_parquet(error: ParquetError) -> Problem {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => Problem::read(*error),
            Err(error) => Problem::anywhere(format!("not Parquet: {}", on_one_line(error))),
        },
        error => Problem::anywhere(format!("not Parquet: {}", on_one_line(error))),
    }
}

fn malformed(error: ArrowError) -> Problem {
    Problem::anywhere(format!("malformed Parquet: {}", on_one_line(error)))
}

/// A file in pieces, none of which is said to be longer than the file.
struct Chunks {
    file: File,
    size: u64,
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if self.size.checked_sub(start).is_none_or(|available| available < length as u64) {
            return Err(ParquetError::EOF(format!(
                "{length} bytes from byte {start} on are not in its {} bytes",
                self.size
            )));
        }
        self.file.get_bytes(start, length)
    }
}
