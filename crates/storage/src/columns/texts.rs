//! Texts out of a column.

use std::fs::File;
use std::io::Read;

use super::arrays::{Ids, Texts};
use super::batches::Batches;
use super::in_row;
use crate::error::{Problem, StorageError};
use crate::source::Counted;
use crate::{Nulls, Position, TextItem, TextOptions};

type Items = Box<dyn Iterator<Item = Result<TextItem, StorageError>> + Send>;

/// Of a regular file; the position counts rows.
pub(crate) fn parquet_texts(
    file: File,
    size: u64,
    name: &str,
    options: &TextOptions,
) -> Result<(Items, Position), StorageError> {
    let (batches, rows) =
        Batches::of_parquet(file, size, &wanted(options)).map_err(|problem| problem.within(name))?;
    let position = Position::new(Some(rows));
    Ok((items(batches, name, options, Some(position.clone())), position))
}

/// Of a regular file.
pub(crate) fn ipc_file_texts(
    file: File,
    size: u64,
    name: &str,
    options: &TextOptions,
    position: &Position,
) -> Result<Items, StorageError> {
    let batches = Batches::of_ipc_file(file, size, &wanted(options), Some(position));
    Ok(items(batches.map_err(|problem| problem.within(name))?, name, options, None))
}

/// Of what can be read once.
pub(crate) fn ipc_texts(
    source: Box<dyn Read + Send>,
    name: &str,
    options: &TextOptions,
    position: &Position,
) -> Result<Items, StorageError> {
    let batches = Batches::of_ipc(Counted::new(source, position.clone()), &wanted(options));
    Ok(items(batches.map_err(|problem| problem.within(name))?, name, options, None))
}

fn wanted(options: &TextOptions) -> Vec<&str> {
    std::iter::once(&options.field[..]).chain(options.id_field.as_deref()).collect()
}

fn items(batches: Batches, name: &str, options: &TextOptions, rows: Option<Position>) -> Items {
    let name = name.to_owned();
    let column = ColumnTexts { batches, options: options.clone(), batch: None, rows_before: 0, rows };
    Box::new(column.map(move |item| item.map_err(|problem| problem.within(&name))))
}

struct ColumnTexts {
    batches: Batches,
    options: TextOptions,
    batch: Option<Batch>,
    /// How many rows were in the batches before.
    rows_before: usize,
    /// Counts rows.
    rows: Option<Position>,
}

struct Batch {
    texts: Texts,
    ids: Option<Ids>,
    /// The next row.
    next: usize,
    rows: usize,
}

impl ColumnTexts {
    fn next_item(&mut self) -> Result<Option<TextItem>, Problem> {
        while let Some(row) = self.next_row()? {
            let Some(batch) = &self.batch else { break };
            let TextOptions { field, id_field, nulls, .. } = &self.options;
            let text = match (batch.texts.get(row), nulls) {
                (Some(text), _) => text.to_owned(),
                (None, Nulls::Empty) => String::new(),
                (None, Nulls::Skip) => continue,
                (None, Nulls::Refuse) => {
                    return Err(in_row(self.rows_before + row, field, "null, expected a text"));
                }
            };
            let id = match (&batch.ids, id_field) {
                (Some(ids), Some(field)) => {
                    Some(ids.get(row).map_err(|reason| in_row(self.rows_before + row, field, &reason))?)
                }
                _ => None,
            };
            return Ok(Some(TextItem { id, text }));
        }
        Ok(None)
    }

    /// The next row of the batch, which is then the next that has one.
    fn next_row(&mut self) -> Result<Option<usize>, Problem> {
        while self.batch.as_ref().is_none_or(|batch| batch.next == batch.rows) {
            self.rows_before += self.batch.take().map_or(0, |batch| batch.rows);
            let Some(batch) = self.batches.next().transpose()? else { return Ok(None) };
            let texts = Texts::of(&batch, &self.options.field)?;
            let ids = self.options.id_field.as_deref().map(|id| Ids::of(&batch, id)).transpose()?;
            self.batch = Some(Batch { texts, ids, next: 0, rows: batch.num_rows() });
        }
        if let Some(rows) = &self.rows {
            rows.count(1);
        }
        Ok(self.batch.as_mut().map(|batch| {
            batch.next += 1;
            batch.next - 1
        }))
    }
}

impl Iterator for ColumnTexts {
    type Item = Result<TextItem, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_item().transpose()
    }
}
