//! Finding a usable snapshot in the cache without reading much of it.

use std::fs;
use std::io;
use std::path::Path;

use super::cache::ModelCache;
use super::digest::{Expected, hash_in_name, sha256};
use super::error::{HashKind, ResolveError};
use super::files::{check_complete, unknown_in};
use super::pins::{PACKAGE_SNAPSHOT, Pin};
use crate::folder::WEIGHTS;

/// The snapshot of `revision` that can be used, with the reason why not if there is none.
pub(super) fn find(
    cache: &ModelCache,
    revision: &str,
    pins: Option<&'static [Pin]>,
) -> Result<String, ResolveError> {
    let mut candidates = Vec::new();
    candidates.extend(cache.reference(revision));
    // A commit is no reference but the snapshot's own name.
    if !revision.contains('/') {
        candidates.push(revision.to_owned());
    }
    // The reference may belong to another, unusable snapshot.
    if pins.is_some() {
        candidates.push(PACKAGE_SNAPSHOT.to_owned());
    }
    let mut failure = None;
    for commit in candidates {
        if !cache.snapshot(&commit).is_dir() {
            continue;
        }
        match check(cache, &commit, pins) {
            Ok(()) => return Ok(commit),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or_else(|| ResolveError::NotCached {
        directory: cache.folder().to_owned(),
        revision: revision.to_owned(),
    }))
}

/// Checks one snapshot.
pub(super) fn check(
    cache: &ModelCache,
    commit: &str,
    pins: Option<&'static [Pin]>,
) -> Result<(), ResolveError> {
    let snapshot = cache.snapshot(commit);
    check_complete(&snapshot)?;
    if let Some(pins) = pins {
        return check_pins(&snapshot, pins);
    }
    // A cache filled by a program that needed a part only looks just like a model without
    // modules, and that model would be pooled and cut in another way; or like one that has its
    // vocabulary and no other tokenizer, or no limit of its own for texts, or no prompts.
    let missing = unknown_in(&snapshot, |file| cache.is_marked_absent(commit, file))?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(ResolveError::MissingFiles {
        directory: snapshot,
        missing,
        advice: Some(
            "Nothing in the cache says that the model has none; give this directory's path to use \
             it without."
                .to_owned(),
        ),
    })
}

/// Compares a snapshot of the default model with its pins. Hashing the weights would take longer
/// than loading them, so their size and the name of the blob they link to have to do.
fn check_pins(snapshot: &Path, pins: &'static [Pin]) -> Result<(), ResolveError> {
    let place = snapshot.display().to_string();
    let required = || pins.iter().filter(|pin| pin.required);
    let missing: Vec<String> =
        required().filter(|pin| !snapshot.join(pin.file).is_file()).map(|pin| pin.file.to_owned()).collect();
    if !missing.is_empty() {
        return Err(ResolveError::MissingFiles { directory: snapshot.to_owned(), missing, advice: None });
    }
    for pin in required() {
        let path = snapshot.join(pin.file);
        let is_large = pin.file == WEIGHTS;
        let expected = Expected {
            file: pin.file,
            place: &place,
            size: pin.size,
            etag: None,
            pin: (!is_large).then_some(pin),
        };
        expected.check(&path)?;
        if let Some(found) = blob_name(&path).filter(|name| is_large && name != pin.sha256) {
            return Err(ResolveError::HashMismatch {
                file: pin.file.to_owned(),
                place,
                kind: HashKind::Pin,
                expected: pin.sha256.to_owned(),
                found: format!("a link to the blob {found}"),
            });
        }
    }
    Ok(())
}

/// The name of the blob that `path` is a link to.
pub(super) fn blob_name(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    let is_blob = target.parent()?.file_name()? == "blobs";
    is_blob.then(|| target.file_name()?.to_str().map(str::to_owned)).flatten()
}

/// The hash by which the blob that `path` links to is named.
pub(super) fn blob_hash(path: &Path) -> Option<(HashKind, String)> {
    let name = blob_name(path)?;
    let (kind, hash) = hash_in_name(&name)?;
    Some((kind, hash.to_owned()))
}

/// A file's SHA-256 in hexadecimal: the name of the blob that it links to, where that is one; else of what it reads.
pub(crate) fn file_sha256(path: &Path) -> io::Result<String> {
    match blob_hash(path) {
        Some((HashKind::Sha256, hash)) => Ok(hash),
        _ => sha256(path),
    }
}
