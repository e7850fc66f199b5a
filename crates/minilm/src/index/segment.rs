//! A part of an index that is written once: some texts and their vectors, in three files.
//!
//! | file | what is in it |
//! |---|---|
//! | `NAME.vectors.npy` | float32 `[rows][dimension]` |
//! | `NAME.texts.jsonl` | `{"id":…,"text":…}`, a line a row |
//! | `NAME.lines.u64` | where each line begins, and where the last one ends: little-endian integers, rows + 1 |

use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use minilm_storage::{
    EmbeddingFormat, EmbeddingRow, EmbeddingSchema, EmbeddingWriter, Id, Output, StoredVectors,
    VectorOptions, Vectors,
};
use minilm_weights::MappedFile;
use serde::{Deserialize, Serialize};

use super::IndexError;
use super::manifest::{SegmentEntry, segment_number};

/// What its files are called after its name.
const KINDS: [&str; 3] = ["vectors.npy", "texts.jsonl", "lines.u64"];

/// A line of the texts' file.
#[derive(Serialize, Deserialize)]
struct Line<I, T> {
    id: I,
    text: T,
}

/// A segment that is being written; its files appear when it is finished, and nothing is left of it otherwise.
pub(super) struct SegmentWriter {
    name: String,
    vectors: EmbeddingWriter,
    texts: Output,
    lines: Output,
    bytes: u64,
    rows: usize,
}

impl SegmentWriter {
    pub(super) fn create(
        directory: &Path,
        name: String,
        dimension: usize,
    ) -> Result<SegmentWriter, IndexError> {
        let files = Files::of(directory, &name);
        let schema = EmbeddingSchema::new(dimension);
        let vectors = EmbeddingWriter::new(Output::create(&files.vectors)?, EmbeddingFormat::Npy, schema)?;
        let (texts, lines) = (Output::create(&files.texts)?, Output::create(&files.lines)?);
        Ok(SegmentWriter { name, vectors, texts, lines, bytes: 0, rows: 0 })
    }

    pub(super) fn write<'a>(
        &mut self,
        texts: impl Iterator<Item = (Id, &'a str)>,
        vectors: Vectors<'_>,
    ) -> Result<(), IndexError> {
        for (id, text) in texts {
            self.line_begins()?;
            let line = serde_json::to_vec(&Line { id, text }).map_err(std::io::Error::from);
            let written = line.and_then(|mut line| {
                line.push(b'\n');
                self.bytes += line.len() as u64;
                self.texts.write_all(&line)
            });
            written.map_err(|source| self.texts.failed(source))?;
            self.rows += 1;
        }
        Ok(self.vectors.write(vectors.rows().map(EmbeddingRow::new))?)
    }

    /// The rows of another segment, as they are.
    pub(super) fn append(&mut self, segment: &Segment) -> Result<(), IndexError> {
        let before = self.bytes;
        for row in 0..segment.vectors().len() {
            self.bytes = before + segment.line(row)?.start as u64;
            self.line_begins()?;
        }
        self.texts.write_all(&segment.texts).map_err(|source| self.texts.failed(source))?;
        self.bytes = before + segment.texts.len() as u64;
        self.rows += segment.vectors().len();
        Ok(self.vectors.write(segment.vectors().rows().map(EmbeddingRow::new))?)
    }

    fn line_begins(&mut self) -> Result<(), IndexError> {
        let written = self.lines.write_all(&self.bytes.to_le_bytes());
        Ok(written.map_err(|source| self.lines.failed(source))?)
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn finish(mut self) -> Result<SegmentEntry, IndexError> {
        self.line_begins()?;
        self.texts.finish()?;
        self.lines.finish()?;
        self.vectors.finish()?;
        Ok(SegmentEntry { name: self.name, rows: self.rows })
    }
}

/// A segment, open: all of it is mapped, so that it stays readable when its files are taken away.
pub(super) struct Segment {
    vectors: StoredVectors,
    texts: MappedFile,
    lines: MappedFile,
    files: Files,
}

impl Segment {
    pub(super) fn open(
        directory: &Path,
        entry: &SegmentEntry,
        dimension: usize,
    ) -> Result<Segment, IndexError> {
        let files = Files::of(directory, &entry.name);
        // They were finite when they were written, and looking at all of them would take longer than a search.
        let options = VectorOptions::default().format(EmbeddingFormat::Npy).check_finite(false);
        let vectors = StoredVectors::open(&files.vectors, &options)?;
        let (expected, found) = ((entry.rows, dimension), (vectors.len(), vectors.dimension()));
        if expected != found {
            let reason = format!("expected {expected:?} vectors and components, found {found:?}");
            return Err(IndexError::Damaged { path: files.vectors, reason });
        }
        let [texts, lines] =
            [&files.texts, &files.lines].map(|path| MappedFile::open(path).map_err(IndexError::io(path)));
        let segment = Segment { vectors, texts: texts?, lines: lines?, files };
        segment.check_size(&segment.files.lines, &segment.lines, (entry.rows as u64 + 1) * 8)?;
        segment.check_size(&segment.files.texts, &segment.texts, segment.line_start(entry.rows))?;
        Ok(segment)
    }

    fn check_size(&self, path: &Path, bytes: &[u8], expected: u64) -> Result<(), IndexError> {
        let found = bytes.len();
        if found as u64 == expected {
            return Ok(());
        }
        let reason = format!("expected {expected} bytes, found {found}");
        Err(IndexError::Damaged { path: path.to_owned(), reason })
    }

    pub(super) fn vectors(&self) -> Vectors<'_> {
        self.vectors.vectors()
    }

    /// Where the line of a row begins, and that before it ends.
    fn line_start(&self, row: usize) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|i| self.lines[row * 8 + i]))
    }

    /// Where the line of a row lies.
    fn line(&self, row: usize) -> Result<Range<usize>, IndexError> {
        let [start, end] = [row, row + 1].map(|row| self.line_start(row));
        let size = self.texts.len();
        if start > end || end > size as u64 {
            let reason = format!("line {row} is said to lie at {start} to {end} of {size} bytes");
            return Err(self.damaged_texts(reason));
        }
        Ok(start as usize..end as usize)
    }

    /// The id and the text of a row.
    pub(super) fn document(&self, row: usize) -> Result<(Id, String), IndexError> {
        let line: Result<Line<Id, String>, _> = serde_json::from_slice(&self.texts[self.line(row)?]);
        match line {
            Ok(Line { id, text }) => Ok((id, text)),
            Err(e) => Err(self.damaged_texts(format!("line {row} is not the expected JSON: {e}"))),
        }
    }

    fn damaged_texts(&self, reason: String) -> IndexError {
        IndexError::Damaged { path: self.files.texts.clone(), reason }
    }
}

#[derive(Clone, Debug)]
struct Files {
    vectors: PathBuf,
    texts: PathBuf,
    lines: PathBuf,
}

impl Files {
    fn of(directory: &Path, name: &str) -> Files {
        let [vectors, texts, lines] = KINDS.map(|kind| directory.join(format!("{name}.{kind}")));
        Files { vectors, texts, lines }
    }
}

/// The number of the segment that a file of this name would belong to.
pub(super) fn segment_of_file(file: &str) -> Option<u64> {
    let (name, kind) = file.split_once('.')?;
    segment_number(name).filter(|_| KINDS.contains(&kind))
}
