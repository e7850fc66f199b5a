//! Reading files: those that are files, and no larger than a tokenizer's.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::TokenizerError;

/// The largest that is read. Unigram models of 250,000 tokens have 17 MB, BPE models of 260,000 have 33 MB.
pub(crate) const MAX_MIB: u64 = 64;

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    read_limited(path, MAX_MIB << 20).map_err(|source| TokenizerError::Open { path: path.to_owned(), source })
}

/// `None` if there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, TokenizerError> {
    match read(path) {
        Ok(json) => from_json(path, &json).map(Some),
        Err(TokenizerError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn from_json<T: DeserializeOwned>(path: &Path, json: &[u8]) -> Result<T, TokenizerError> {
    serde_json::from_slice(json)
        .map_err(|e| TokenizerError::Settings { path: path.to_owned(), reason: e.to_string() })
}

fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // First, because opening a pipe waits for whoever writes to it.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let size = metadata.len().min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
    // One more than the limit tells whether there are more, whatever the file's size was said to be.
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let reason = format!("it has more than {limit} bytes, which is the most that is read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_up_to_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for size in [0, 1, 7, 8] {
            std::fs::write(&path, vec![b'x'; size]).unwrap();
            assert_eq!(read_limited(&path, 8).unwrap().len(), size);
        }
        std::fs::write(&path, [b'x'; 9]).unwrap();
        let error = read_limited(&path, 8).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("more than 8 bytes"), "{error}");
        assert_eq!(read_limited(directory.path(), 8).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let missing = directory.path().join("missing");
        assert_eq!(read_limited(&missing, 8).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
