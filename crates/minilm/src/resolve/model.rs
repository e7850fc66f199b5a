//! A model folder that was found.

use std::fmt;
use std::path::{Path, PathBuf};

use super::digest::{Expected, sha256};
use super::error::ResolveError;
use super::files::wanted_in;
use super::lookup::blob_hash;
use super::model_card;
use super::pins::{Pin, pin_of};
use super::source::Source;
use crate::folder::MODEL_CARD;

/// A directory that has all files a sentence-transformers model needs.
#[derive(Clone, Debug)]
pub struct ResolvedModel {
    directory: PathBuf,
    source: Source,
    name: Option<String>,
    snapshot: Option<String>,
    pins: Option<&'static [Pin]>,
}

impl ResolvedModel {
    pub(super) fn at_path(directory: PathBuf) -> Self {
        Self { directory, source: Source::Path, name: None, snapshot: None, pins: None }
    }

    pub(super) fn of_snapshot(
        directory: PathBuf,
        source: Source,
        name: String,
        snapshot: String,
        pins: Option<&'static [Pin]>,
    ) -> Self {
        Self { directory, source, name: Some(name), snapshot: Some(snapshot), pins }
    }

    /// The directory with `modules.json`, if there is one, and all files of the modules.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the model comes from.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// The model's full name, `owner/name`, unless it was given by path.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The snapshot in the cache: the hub's commit, or the package and version a wheel came
    /// from. None for a path.
    #[must_use]
    pub fn snapshot(&self) -> Option<&str> {
        self.snapshot.as_deref()
    }

    /// The licence that the model's card (`README.md`) states, by the name that the hub has for it: `apache-2.0`. Several are
    /// separated by commas; for `other`, it is the licence's own name where that is stated. None if there is no card, or it
    /// states none.
    #[must_use]
    pub fn license(&self) -> Option<String> {
        model_card::license(&self.directory.join(MODEL_CARD))
    }

    /// Whether the engine was released with the hashes of this model's files. Those it computes
    /// with were then compared: the small ones by content, the weights by size and blob name.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.pins.is_some()
    }

    /// Reads all files of the model to the end and compares them with what is known: the pins
    /// of the default model, and the hashes by which the cache names its blobs. This takes as
    /// long as reading and hashing the weights takes.
    ///
    /// # Errors
    ///
    /// [`ResolveError::HashMismatch`] or [`ResolveError::SizeMismatch`] for the first file that
    /// differs, [`ResolveError::Io`] for one that cannot be read.
    pub fn verify(&self) -> Result<Vec<VerifiedFile>, ResolveError> {
        wanted_in(&self.directory)?
            .into_iter()
            .map(|wanted| wanted.file)
            .filter(|file| self.directory.join(file).is_file())
            .map(|file| self.verify_file(file))
            .collect()
    }

    fn verify_file(&self, file: String) -> Result<VerifiedFile, ResolveError> {
        let path = self.directory.join(&file);
        let place = self.directory.display().to_string();
        let bytes = std::fs::metadata(&path).map_err(ResolveError::io("read", &path))?.len();
        let blob = blob_hash(&path);
        let pin = self.pins.and_then(|pins| pin_of(pins, &file));
        let expected = Expected {
            file: &file,
            place: &place,
            size: bytes,
            etag: blob.as_ref().map(|(kind, hash)| (*kind, hash.as_str())),
            pin: pin.filter(|pin| pin.required),
        };
        let sha256 = sha256(&path).map_err(ResolveError::io("read", &path))?;
        expected.check_knowing(&path, Some(&sha256))?;
        let check = match pin {
            Some(pin) if pin.sha256 == sha256 => Check::Pin,
            Some(_) => Check::Changed,
            None if blob.is_some() => Check::BlobName,
            None => Check::Nothing,
        };
        Ok(VerifiedFile { file, bytes, sha256, check })
    }
}

/// A file and what [`ResolvedModel::verify`] found out about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedFile {
    /// The file, relative to the model's directory.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// What it was compared with.
    pub check: Check,
}

/// What a file was compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// It is the file this engine was released with.
    Pin,
    /// It differs from the file this engine was released with, but the engine does not compute
    /// with it.
    Changed,
    /// It has the hash by which the cache names it.
    BlobName,
    /// Nothing is known about it.
    Nothing,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pin => "as pinned",
            Self::Changed => "changed since this release, not used by the engine",
            Self::BlobName => "as named by the hub",
            Self::Nothing => "nothing to compare with",
        })
    }
}
