//! `index.json`: what an index is. Whatever it does not name is not part of the index, so replacing it is what makes a
//! change visible, all at once.

use std::io::Write;
use std::path::{Path, PathBuf};

use minilm_storage::{Output, Vectors, VectorsError};
use serde::{Deserialize, Serialize};

use super::IndexError;
use crate::{EncodeOptions, Error, SentenceTransformer, Truncation};

const FILE: &str = "index.json";
const FORMAT: &str = "minilm index";
const VERSION: u32 = 1;

/// More segments than anybody writes, so that their numbers never end.
const MOST_SEGMENTS: u64 = 1 << 53;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: String,
    version: u32,
    pub(super) model: ModelIdentity,
    pub(super) dimension: usize,
    /// Whether all vectors have length 1.
    pub(super) normalized: bool,
    /// The number of the next segment. None comes twice, so that a name never stands for something else than it did.
    next_segment: u64,
    pub(super) segments: Vec<SegmentEntry>,
    /// The texts that are being added, as far as they are: those of the last segments.
    pub(super) unfinished: Option<Unfinished>,
}

/// What every version of the file says.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// What vectors were made by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ModelIdentity {
    /// For people.
    pub(super) name: String,
    /// [`SentenceTransformer::fingerprint`].
    pub(super) fingerprint: String,
    precision: String,
    /// What was put before the texts.
    prompt: String,
    /// What became of long texts.
    truncation: LongTexts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LongTexts {
    /// Their ends were left out.
    Report,
    /// There are none.
    Error,
    Split,
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
    /// Of an index without texts, which will be encoded like this.
    pub(super) fn new(model: &SentenceTransformer, encode: &EncodeOptions) -> Result<Manifest, IndexError> {
        if encode.unscaled {
            // What is searched with is scaled.
            let (expected, found) = ("false for an index".to_owned(), "true".to_owned());
            return Err(Error::Option { option: "unscaled", expected, found }.into());
        }
        let (dimension, normalized) = model.output(encode)?;
        let model = ModelIdentity {
            name: name_of(model),
            fingerprint: model.fingerprint()?.to_owned(),
            precision: model.precision().to_string(),
            prompt: model.prompts.resolve(encode)?.to_owned(),
            truncation: match encode.truncation {
                Truncation::Report => LongTexts::Report,
                Truncation::Error => LongTexts::Error,
                Truncation::Split => LongTexts::Split,
            },
        };
        let (format, version) = (FORMAT.to_owned(), VERSION);
        let (next_segment, segments, unfinished) = (0, Vec::new(), None);
        Ok(Manifest { format, version, model, dimension, normalized, next_segment, segments, unfinished })
    }

    /// Of an index to which texts are added that are encoded as `new` says.
    pub(super) fn extended_by(mut self, new: Manifest, directory: &Path) -> Result<Manifest, IndexError> {
        if self.segments.is_empty() {
            return Ok(Manifest { next_segment: self.next_segment, ..new });
        }
        self.check_fingerprint(&new.model.fingerprint, &new.model.name, directory)?;
        let (before, after) = (&mut self.model, &new.model);
        if before.truncation == LongTexts::Error {
            before.truncation = after.truncation;
        }
        let long = if after.truncation == LongTexts::Error { before.truncation } else { after.truncation };
        let quoted = |text: &str| format!("{text:?}");
        let options = [
            ("precision", before.precision.clone(), after.precision.clone()),
            ("prompt", quoted(&before.prompt), quoted(&after.prompt)),
            ("dimension", self.dimension.to_string(), new.dimension.to_string()),
            ("normalize_embeddings", self.normalized.to_string(), new.normalized.to_string()),
            ("truncation", before.truncation.name().to_owned(), long.name().to_owned()),
        ];
        match options.into_iter().find(|(_, before, after)| before != after) {
            None => Ok(self),
            Some((option, expected, found)) => {
                Err(IndexError::OtherOption { directory: directory.to_owned(), option, expected, found })
            }
        }
    }

    /// That the vectors are of this model, in whichever precision.
    pub(super) fn check_model(
        &self,
        model: &SentenceTransformer,
        directory: &Path,
    ) -> Result<(), IndexError> {
        self.check_fingerprint(model.fingerprint()?, &name_of(model), directory)
    }

    /// That vectors are as long as those of the index.
    pub(super) fn check_dimension(&self, vectors: Vectors<'_>) -> Result<(), VectorsError> {
        if vectors.is_empty() || vectors.dimension() == self.dimension {
            return Ok(());
        }
        Err(VectorsError::DimensionMismatch { expected: self.dimension, found: vectors.dimension() })
    }

    fn check_fingerprint(&self, found: &str, name: &str, directory: &Path) -> Result<(), IndexError> {
        let expected = &self.model.fingerprint;
        if expected == found {
            return Ok(());
        }
        Err(IndexError::OtherModel {
            directory: directory.to_owned(),
            expected: self.model.name.clone(),
            found: name.to_owned(),
            what: format!("the fingerprint ({expected} and {found})"),
        })
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
        let unexpected = |e: serde_json::Error| damaged(format!("not the expected JSON: {e}"));
        // At first, for another version may have other fields.
        let Header { format, version } = serde_json::from_slice(&json).map_err(unexpected)?;
        if (&format[..], version) != (FORMAT, VERSION) {
            let found = format!("{format:?}, version {version}");
            return Err(damaged(format!("expected the format {FORMAT:?}, version {VERSION}, found {found}")));
        }
        let manifest: Manifest = serde_json::from_slice(&json).map_err(unexpected)?;
        manifest.check().map_err(damaged)?;
        Ok(manifest)
    }

    /// What is wrong with it in itself.
    fn check(&self) -> Result<(), String> {
        if self.next_segment > MOST_SEGMENTS {
            return Err(format!(
                "the next segment is {}, expected at most {MOST_SEGMENTS}",
                self.next_segment
            ));
        }
        let mut rows = 0_usize;
        for segment in &self.segments {
            // Names become paths.
            if segment_number(&segment.name).is_none_or(|number| number >= self.next_segment) {
                let (name, next) = (&segment.name, self.next_segment);
                return Err(format!("a segment is called {name:?}, expected six digits, below {next}"));
            }
            rows = rows.checked_add(segment.rows).ok_or("there are more rows than there can be")?;
        }
        match &self.unfinished {
            Some(Unfinished { rows, .. }) if self.first_unfinished().is_none() => {
                Err(format!("{rows} texts are unfinished, which are no whole segments"))
            }
            _ => Ok(()),
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

    /// Whether there is nothing but what a first call added that was interrupted.
    pub(super) fn is_first_build(&self) -> bool {
        self.segments.is_empty() || self.first_unfinished() == Some(0)
    }

    /// Which segment is the first that has unfinished texts.
    pub(super) fn first_unfinished(&self) -> Option<usize> {
        let mut rows = self.unfinished.as_ref()?.rows;
        let mut first = self.segments.len();
        while rows > 0 {
            first = first.checked_sub(1)?;
            rows = rows.checked_sub(self.segments[first].rows)?;
        }
        Some(first)
    }

    /// A name that no segment has or had.
    pub(super) fn new_segment(&mut self) -> String {
        self.next_segment += 1;
        segment_name(self.next_segment - 1)
    }
}

impl LongTexts {
    fn name(self) -> &'static str {
        match self {
            LongTexts::Report => "report",
            LongTexts::Error => "error",
            LongTexts::Split => "split",
        }
    }
}

fn segment_name(number: u64) -> String {
    format!("{number:06}")
}

/// The number of a segment; None if no segment is called so.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    name.parse().ok().filter(|&number| segment_name(number) == name)
}

fn name_of(model: &SentenceTransformer) -> String {
    let resolved = model.resolved();
    resolved.name().map_or_else(|| resolved.directory().display().to_string(), str::to_owned)
}
