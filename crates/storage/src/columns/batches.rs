//! Batches of the columns that are wanted.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_schema::{ArrowError, Schema};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::error::Problem;
use crate::source::Counted;
use crate::{Position, excerpt};

/// How many rows of Parquet are read at a time.
const BATCH_ROWS: usize = 256;

/// What an IPC file begins with, before what a stream has.
const IPC_MAGIC: &[u8; 8] = b"ARROW1\0\0";

/// Record batches, each of which has at least the columns that are wanted.
pub(super) struct Batches(Box<dyn Iterator<Item = Result<RecordBatch, Problem>> + Send>);

impl Batches {
    /// Of a file of that size; and how many rows it has.
    pub(super) fn of_parquet(file: File, size: u64, wanted: &[&str]) -> Result<(Batches, u64), Problem> {
        // What pages lie where is not needed: whole columns are read, in order.
        let options = ArrowReaderOptions::new();
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(Chunks { file, size }, options)
            .map_err(not_parquet)?;
        let columns = find_columns(builder.schema(), wanted)?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let reader =
            builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(not_parquet)?;
        let batches = reader.map(|batch| batch.map_err(|e| malformed("Parquet", e)));
        Ok((Batches(Box::new(batches)), rows))
    }

    /// Of a file, as an IPC file or as a stream.
    ///
    /// An IPC file is a stream with something around it, and is read as such: from its begin to its end.
    pub(super) fn of_ipc_file(
        mut file: File,
        wanted: &[&str],
        position: Option<&Position>,
    ) -> Result<Batches, Problem> {
        // Twice: only when the schema is known, columns can be left out.
        let reader = stream_reader(&file, None)?;
        let columns = find_columns(&reader.schema(), wanted)?;
        file.seek(SeekFrom::Start(0)).map_err(Problem::read)?;
        match position {
            Some(position) => batches(stream_reader(Counted::new(file, position.clone()), Some(columns))?),
            None => batches(stream_reader(file, Some(columns))?),
        }
    }

    /// Of a stream, or of an IPC file that cannot be seeked.
    pub(super) fn of_ipc(source: impl Read + Send + 'static, wanted: &[&str]) -> Result<Batches, Problem> {
        let reader = stream_reader(source, None)?;
        find_columns(&reader.schema(), wanted)?;
        batches(reader)
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

type WithStart<R> = BufReader<io::Chain<io::Cursor<Vec<u8>>, R>>;

fn stream_reader<R: Read>(
    mut source: R,
    columns: Option<Vec<usize>>,
) -> Result<StreamReader<WithStart<R>>, Problem> {
    let mut start = Vec::with_capacity(IPC_MAGIC.len());
    source.by_ref().take(IPC_MAGIC.len() as u64).read_to_end(&mut start).map_err(Problem::read)?;
    if start.is_empty() {
        return Err(Problem::anywhere("not Arrow IPC: it is empty"));
    }
    if start == IPC_MAGIC {
        start.clear();
    }
    let source = BufReader::new(io::Cursor::new(start).chain(source));
    StreamReader::try_new(source, columns).map_err(|error| match error {
        ArrowError::IoError(_, error) if error.kind() != io::ErrorKind::UnexpectedEof => Problem::read(error),
        error => Problem::anywhere(format!("not Arrow IPC: {error}")),
    })
}

fn batches<R: Read + Send + 'static>(reader: StreamReader<R>) -> Result<Batches, Problem> {
    Ok(Batches(Box::new(reader.map(|batch| batch.map_err(|e| malformed("Arrow IPC", e))))))
}

/// Where the wanted columns are.
fn find_columns(schema: &Schema, wanted: &[&str]) -> Result<Vec<usize>, Problem> {
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
            Err(error) => Problem::anywhere(format!("not Parquet: {error}")),
        },
        error => Problem::anywhere(format!("not Parquet: {error}")),
    }
}

fn malformed(format: &str, error: ArrowError) -> Problem {
    Problem::anywhere(format!("malformed {format}: {error}"))
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
