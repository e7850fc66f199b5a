//! Reading a folder's settings files.

use std::io;
use std::path::Path;

use minilm_weights::read_limited;
use serde::de::DeserializeOwned;

use crate::Error;

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let missing = || Error::Settings { path: path.to_owned(), reason: "the file is missing".to_owned() };
    read_optional(path)?.ok_or_else(missing)
}

/// `None` if there is no such file.
pub(crate) fn read_optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let Some(json) = read_bytes(path)? else { return Ok(None) };
    let parsed = serde_json::from_slice(&json).map(Some);
    parsed
        .map_err(|e| Error::Settings { path: path.to_owned(), reason: format!("not the expected JSON: {e}") })
}

/// `None` if there is no such file.
pub(super) fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match read_limited(path, MAX_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => {
            Err(Error::Settings { path: path.to_owned(), reason: format!("cannot read the file: {e}") })
        }
    }
}

/// More than any settings file has.
const MAX_BYTES: u64 = 16 << 20;
