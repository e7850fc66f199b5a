//! Columns of Parquet and Arrow IPC, batch by batch.
//!
//! The formats: <https://parquet.apache.org/docs/file-format/>, <https://arrow.apache.org/docs/format/Columnar.html>.

mod arrays;
mod batches;
mod encoders;
mod guarded;
mod ipc;
mod texts;

use std::fmt::Display;
use std::fs::File;

use arrow_array::{Array, RecordBatch};

use crate::error::{At, Problem, StorageError};
use crate::stored_vectors::{Collected, Element};
use crate::{EmbeddingFormat, excerpt};
use arrays::{Ids, Lists};
pub(crate) use arrays::{floats, numbers};
use batches::Batches;
pub(crate) use encoders::ColumnEncoder;
pub use guarded::is_panic_caught;
pub(crate) use texts::{ipc_file_texts, ipc_texts, parquet_texts};

/// Reads the vectors of a file, which is given with its size if it is a regular one.
pub(crate) fn read_vectors<T: Element>(
    (file, size): (File, Option<u64>),
    name: &str,
    format: EmbeddingFormat,
    field: &str,
    id_field: Option<&str>,
    collected: &mut Collected<T>,
) -> Result<(), StorageError> {
    let wanted: Vec<&str> = std::iter::once(field).chain(id_field).collect();
    let within = |problem: Problem| problem.within(name);
    let batches = match (format, size) {
        (EmbeddingFormat::Parquet, Some(size)) => {
            Batches::of_parquet(file, size, &wanted).map(|(batches, _)| batches)
        }
        (EmbeddingFormat::Parquet, None) => Err(Problem::anywhere(SEEKABLE)),
        (_, Some(size)) => Batches::of_ipc_file(file, size, &wanted, None),
        (_, None) => Batches::of_ipc(file, &wanted),
    };
    for batch in batches.map_err(within)? {
        let batch = batch.map_err(within)?;
        if let Some(id) = id_field {
            add_ids(&batch, id, collected).map_err(within)?;
        }
        add_vectors(&batch, field, collected).map_err(within)?;
    }
    Ok(())
}

/// Why Parquet cannot come out of a pipe.
pub(crate) const SEEKABLE: &str = "Parquet is read from its end, so it must be a regular file";

fn add_ids<T: Element>(batch: &RecordBatch, field: &str, to: &mut Collected<T>) -> Result<(), Problem> {
    let ids = Ids::of(batch, field)?;
    for i in 0..batch.num_rows() {
        to.ids.push(ids.get(i).map_err(|reason| in_row(to.rows() + i, field, &reason))?);
    }
    Ok(())
}

fn add_vectors<T: Element>(batch: &RecordBatch, field: &str, to: &mut Collected<T>) -> Result<(), Problem> {
    let array = column(batch, field)?;
    let wrong = || {
        let (found, expected) = (array.data_type(), T::EXPECTED);
        Problem::anywhere(format!("column {} is {found}, expected a list of {expected}", excerpt(field)))
    };
    let lists = Lists::of(array).ok_or_else(wrong)?;
    let values = T::of_array(lists.values.as_ref()).ok_or_else(wrong)?;
    for i in 0..batch.num_rows() {
        let row = to.rows();
        let within = |reason: &str| in_row(row, field, reason);
        if array.is_null(i) {
            return Err(within("null, expected a list of numbers"));
        }
        let range = lists.range(i);
        if lists.values.null_count() > 0
            && let Some(null) = range.clone().find(|&at| lists.values.is_null(at))
        {
            return Err(within(&format!("component {} is null, expected a number", null - range.start)));
        }
        to.push(&values[range]).map_err(|reason| within(&reason))?;
    }
    Ok(())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array, Problem> {
    match batch.column_by_name(name) {
        Some(column) => Ok(column.as_ref()),
        // A batch of another schema than its file's.
        None => Err(Problem::anywhere(format!("a batch lacks the column {}", excerpt(name)))),
    }
}

fn in_row(row: usize, field: &str, reason: &str) -> Problem {
    Problem::at(At::Row(row), format!("column {}: {reason}", excerpt(field)))
}

/// What the crates of the formats say, in several lines sometimes.
fn on_one_line(reason: impl Display) -> String {
    reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
