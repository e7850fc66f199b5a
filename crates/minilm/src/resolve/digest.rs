//! Comparing files with the sizes and hashes they should have.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::error::{Bytes, HashKind, ResolveError};
use super::pins::Pin;

/// What is known about a file before it is there.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    /// The file, relative to the model's root.
    pub(super) file: &'a str,
    /// Where it comes from, for messages.
    pub(super) place: &'a str,
    pub(super) size: u64,
    /// The name of the blob, where it is a hash of the content.
    pub(super) etag: Option<(HashKind, &'a str)>,
    pub(super) pin: Option<&'a Pin>,
}

impl Expected<'_> {
    /// Reads the file at `path` from end to end.
    pub(super) fn check(&self, path: &Path) -> Result<(), ResolveError> {
        let needs_sha256 = self.pin.is_some() || matches!(self.etag, Some((HashKind::Sha256, _)));
        let hash = needs_sha256.then(|| sha256(path)).transpose();
        self.check_knowing(path, hash.map_err(ResolveError::io("read", path))?.as_deref())
    }

    /// As [`Self::check`] where the file's SHA-256 is known, or not needed.
    pub(super) fn check_knowing(&self, path: &Path, sha256: Option<&str>) -> Result<(), ResolveError> {
        let found = std::fs::metadata(path).map_err(ResolveError::io("read", path))?.len();
        self.check_size(self.size, found)?;
        if let Some(pin) = self.pin {
            self.check_size(pin.size, found)?;
            self.check_hash(HashKind::Pin, pin.sha256, sha256.unwrap_or_default())?;
        }
        match self.etag {
            None => Ok(()),
            Some((HashKind::GitBlob, expected)) => {
                let found = git_blob(path).map_err(ResolveError::io("read", path))?;
                self.check_hash(HashKind::GitBlob, expected, &found)
            }
            Some((kind, expected)) => self.check_hash(kind, expected, sha256.unwrap_or_default()),
        }
    }

    /// Compares what was announced with the pin, before a byte is fetched.
    pub(super) fn check_announced(&self) -> Result<(), ResolveError> {
        let Some(pin) = self.pin else { return Ok(()) };
        self.check_size(pin.size, self.size)?;
        match self.etag {
            Some((HashKind::Sha256, found)) if found != pin.sha256 => {
                Err(self.mismatch(HashKind::Pin, pin.sha256, found))
            }
            _ => Ok(()),
        }
    }

    fn check_size(&self, expected: u64, found: u64) -> Result<(), ResolveError> {
        if found == expected {
            return Ok(());
        }
        Err(ResolveError::SizeMismatch {
            file: self.file.to_owned(),
            place: self.place.to_owned(),
            expected,
            found: Bytes::Exactly(found),
        })
    }

    fn check_hash(&self, kind: HashKind, expected: &str, found: &str) -> Result<(), ResolveError> {
        if found == expected { Ok(()) } else { Err(self.mismatch(kind, expected, found)) }
    }

    fn mismatch(&self, kind: HashKind, expected: &str, found: &str) -> ResolveError {
        ResolveError::HashMismatch {
            file: self.file.to_owned(),
            place: self.place.to_owned(),
            kind,
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }
}

/// The hash a blob's name is, judged by its form: the hub names large files by their SHA-256 and
/// small ones by git's SHA-1.
pub(super) fn hash_in_name(name: &str) -> Option<(HashKind, &str)> {
    let is_hex = name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match name.len() {
        64 if is_hex => Some((HashKind::Sha256, name)),
        40 if is_hex => Some((HashKind::GitBlob, name)),
        _ => None,
    }
}

/// A file's SHA-256 in hexadecimal.
pub(super) fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    feed(&mut File::open(path)?, &mut hasher)?;
    Ok(hex(&hasher.finalize()))
}

/// The SHA-1 git gives a file's content, in hexadecimal.
pub(super) fn git_blob(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", file.metadata()?.len()));
    feed(&mut file, &mut hasher)?;
    Ok(hex(&hasher.finalize()))
}

fn feed(reader: &mut impl Read, hasher: &mut impl Digest) -> io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// As hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_agree_with_published_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&path).unwrap(), expected);
        // `printf abc | git hash-object --stdin`
        assert_eq!(git_blob(&path).unwrap(), "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f");
    }

    #[test]
    fn only_hashes_are_taken_for_hashes() {
        assert_eq!(hash_in_name(&"a".repeat(64)).unwrap().0, HashKind::Sha256);
        assert_eq!(hash_in_name(&"0".repeat(40)).unwrap().0, HashKind::GitBlob);
        assert!(hash_in_name(&"g".repeat(40)).is_none());
        assert!(hash_in_name("abc").is_none());
    }
}
