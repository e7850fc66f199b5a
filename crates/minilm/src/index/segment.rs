//! A part of an index that is written once: some texts and their vectors, in three files.
//!
//! | file | what is in it |
//! |---|---|
//! | `NAME.vectors.npy` | float32 `[rows][dimension]` |
//! | `NAME.texts.jsonl` | `{"id":…,"text":…}`, a line a row |
//! | `NAME.lines.u64` | where each line begins, and where the last one ends: little-endian integers, rows + 1 |

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use minilm_storage::{
    EmbeddingFormat, EmbeddingRow, EmbeddingSchema, EmbeddingWriter, Id, Output, StoredVectors,
    VectorOptions, Vectors,
};
use serde::{Deserialize, Serialize};

use super::IndexError;
use super::manifest::SegmentEntry;

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

/// A segment, open: its vectors are mapped, its texts are read one by one.
pub(super) struct Segment {
    vectors: StoredVectors,
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
        let expected = (entry.rows as u64 + 1) * 8;
        let found = std::fs::metadata(&files.lines).map_err(IndexError::io(&files.lines))?.len();
        if expected != found {
            let reason = format!("expected {expected} bytes, found {found}");
            return Err(IndexError::Damaged { path: files.lines, reason });
        }
        Ok(Segment { vectors, files })
    }

    pub(super) fn vectors(&self) -> Vectors<'_> {
        self.vectors.vectors()
    }

    /// The id and the text of a row.
    pub(super) fn document(&self, row: usize) -> Result<(Id, String), IndexError> {
        let mut place = [0; 16];
        read_at(&self.files.lines, row as u64 * 8, &mut place)?;
        let [start, end] = [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|i| place[at + i])));
        let damaged = |reason: String| IndexError::Damaged { path: self.files.texts.clone(), reason };
        let size = std::fs::metadata(&self.files.texts).map_err(IndexError::io(&self.files.texts))?.len();
        if start > end || end > size {
            return Err(damaged(format!("line {row} is said to lie at {start} to {end} of {size} bytes")));
        }
        let mut line = vec![0; (end - start) as usize];
        read_at(&self.files.texts, start, &mut line)?;
        let line: Result<Line<Id, String>, _> = serde_json::from_slice(&line);
        let Line { id, text } =
            line.map_err(|e| damaged(format!("line {row} is not the expected JSON: {e}")))?;
        Ok((id, text))
    }
}

fn read_at(path: &Path, offset: u64, bytes: &mut [u8]) -> Result<(), IndexError> {
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    });
    read.map_err(IndexError::io(path))
}

#[derive(Clone, Debug)]
struct Files {
    vectors: PathBuf,
    texts: PathBuf,
    lines: PathBuf,
}

impl Files {
    fn of(directory: &Path, name: &str) -> Files {
        let file = |kind: &str| directory.join(format!("{name}.{kind}"));
        Files { vectors: file("vectors.npy"), texts: file("texts.jsonl"), lines: file("lines.u64") }
    }
}

/// The name of the segment that a file of this name would belong to.
pub(super) fn segment_of_file(file: &str) -> Option<&str> {
    let (name, kind) = file.split_once('.')?;
    let ours = name.bytes().all(|byte| byte.is_ascii_digit());
    (ours && ["vectors.npy", "texts.jsonl", "lines.u64"].contains(&kind)).then_some(name)
}
