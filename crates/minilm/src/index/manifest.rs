//! `index.json`: what an index is. Whatever it does not name is not part of the index, so replacing it is what makes a
//! change visible, all at once.

use std::io::Write;
use std::path::{Path, PathBuf};

use minilm_storage::Output;
use serde::{Deserialize, Serialize};

use super::IndexError;

const FILE: &str = "index.json";
const FORMAT: &str = "minilm index";
const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: String,
    version: u32,
    pub(super) model: ModelIdentity,
    pub(super) dimension: usize,
    /// Whether all vectors have length 1.
    pub(super) normalized: bool,
    pub(super) segments: Vec<SegmentEntry>,
    /// The texts that are being added, as far as they are.
    pub(super) unfinished: Option<Unfinished>,
}

/// What vectors were made by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ModelIdentity {
    /// For people.
    pub(super) name: String,
    /// [`SentenceTransformer::fingerprint`](crate::SentenceTransformer::fingerprint).
    pub(super) fingerprint: String,
    pub(super) precision: String,
    /// What was put before the texts.
    pub(super) prompt: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentEntry {
    /// Its files are called `NAME.vectors.npy` and so on.
    pub(super) name: String,
    pub(super) rows: usize,
}

/// Texts of one call of which some are in the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unfinished {
    pub(super) rows: usize,
    /// SHA-256 of these, as they were read.
    pub(super) sha256: String,
}

impl Manifest {
    /// Of an index without texts.
    pub(super) fn new(model: ModelIdentity, dimension: usize, normalized: bool) -> Manifest {
        let (format, version) = (FORMAT.to_owned(), VERSION);
        Manifest { format, version, model, dimension, normalized, segments: Vec::new(), unfinished: None }
    }

    pub(super) fn path(directory: &Path) -> PathBuf {
        directory.join(FILE)
    }

    pub(super) fn read(directory: &Path) -> Result<Manifest, IndexError> {
        let path = Manifest::path(directory);
        let json = match std::fs::read(&path) {
            Ok(json) => json,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(IndexError::NotAnIndex { directory: directory.to_owned() });
            }
            Err(source) => return Err(IndexError::Io { path, source }),
        };
        let damaged = |reason: String| IndexError::Damaged { path: path.clone(), reason };
        let manifest: Manifest =
            serde_json::from_slice(&json).map_err(|e| damaged(format!("not the expected JSON: {e}")))?;
        if (manifest.format.as_str(), manifest.version) != (FORMAT, VERSION) {
            let found = format!("{:?}, version {}", manifest.format, manifest.version);
            return Err(damaged(format!("expected the format {FORMAT:?}, version {VERSION}, found {found}")));
        }
        // Names become paths.
        let plain = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        match manifest.segments.iter().find(|segment| !plain(&segment.name)) {
            Some(segment) => Err(damaged(format!("a segment is called {:?}, expected digits", segment.name))),
            None => Ok(manifest),
        }
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), IndexError> {
        let mut output = Output::create(Manifest::path(directory))?;
        let json = serde_json::to_vec_pretty(self).map_err(std::io::Error::from);
        let written = json.and_then(|json| output.write_all(&json)).and_then(|()| output.write_all(b"\n"));
        written.map_err(|source| output.failed(source))?;
        Ok(output.finish()?)
    }

    pub(super) fn rows(&self) -> usize {
        self.segments.iter().map(|segment| segment.rows).sum()
    }

    /// A name that no segment has or had while this was written.
    pub(super) fn next_segment(&self) -> String {
        let last = self.segments.iter().filter_map(|segment| segment.name.parse::<u64>().ok()).max();
        format!("{:06}", last.map_or(0, |last| last + 1))
    }
}
