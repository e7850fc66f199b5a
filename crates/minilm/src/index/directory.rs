//! What lies in the directory of an index: who may write, what may be there, and what is taken away.

use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::path::Path;

use minilm_storage::Output;

use super::IndexError;
use super::manifest::{Manifest, segment_number};
use super::segment::segment_of_file;

/// A file that the writer holds locked. It stays.
const LOCK: &str = "lock";

/// The right to write to an index, until it is dropped or the process ends.
pub(super) struct Lock(#[expect(dead_code, reason = "held")] File);

impl Lock {
    pub(super) fn take(directory: &Path) -> Result<Lock, IndexError> {
        let path = directory.join(LOCK);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(IndexError::io(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(IndexError::Locked { directory: directory.to_owned() }),
            Err(TryLockError::Error(source)) => Err(IndexError::Io { path, source }),
        }
    }
}

/// That a new index may be made in a directory. Gives what there is of one whose first texts were never all added.
pub(super) fn begun(directory: &Path) -> Result<Option<Manifest>, IndexError> {
    match Manifest::read(directory) {
        Ok(manifest) if manifest.is_first_build() => return Ok(Some(manifest)),
        Ok(manifest) => {
            return Err(IndexError::Exists { directory: directory.to_owned(), texts: manifest.rows() });
        }
        Err(IndexError::NotAnIndex { .. }) => {}
        Err(error) => return Err(error),
    }
    // Without index.json there was at most a writer that got no further than that.
    let locked = directory.join(LOCK).exists();
    for entry in std::fs::read_dir(directory).map_err(IndexError::io(directory))? {
        let name = entry.map_err(IndexError::io(directory))?.file_name();
        let unfinished = locked && name.to_str().is_some_and(Output::is_temporary);
        if name != LOCK && !unfinished {
            let found = name.display().to_string();
            return Err(IndexError::NotEmpty { directory: directory.to_owned(), found });
        }
    }
    Ok(None)
}

/// Takes away what interrupted writers left, and segments that are no longer part of the index. To be called by who holds the
/// lock and writes nothing else at the moment.
///
/// What cannot be removed does no harm, and is left for the next time: on Windows, what is open to be searched.
pub(super) fn remove_leftovers(directory: &Path) -> Result<(), IndexError> {
    let manifest = Manifest::read(directory)?;
    let named: HashSet<u64> =
        manifest.segments.iter().filter_map(|segment| segment_number(&segment.name)).collect();
    for entry in std::fs::read_dir(directory).map_err(IndexError::io(directory))? {
        let entry = entry.map_err(IndexError::io(directory))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if Output::is_temporary(name) || segment_of_file(name).is_some_and(|number| !named.contains(&number))
        {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}
