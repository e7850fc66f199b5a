//! Reading a folder's settings files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

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
    match read_limited(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => {
            Err(Error::Settings { path: path.to_owned(), reason: format!("cannot read the file: {e}") })
        }
    }
}

/// More than any settings file has.
const MAX_BYTES: u64 = 16 << 20;

/// A file that is one, and not too large.
fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    // First, because opening a pipe waits for whoever writes to it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}
