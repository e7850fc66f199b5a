//! The one place where a file becomes memory.
#![allow(unsafe_code, reason = "mapping a file is unsafe: see the SAFETY comment")]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

/// A file's bytes, read from disk as they are touched.
pub(crate) struct Mapping(Mmap);

impl Mapping {
    /// Maps a regular file that is not empty.
    pub(crate) fn open(path: &Path) -> io::Result<Mapping> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        if metadata.len() == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is empty"));
        }
        // SAFETY: the mapping is private and read-only, and the bytes are only ever read as bytes (floats
        // are decoded from them), so no value of them can be invalid. What Rust cannot rule out is that
        // another process changes or truncates the file while it is mapped: changed bytes would be
        // changed weights, and a truncated file would end the process with SIGBUS. Model files are
        // written once, under another name, and renamed into place; the documentation of
        // `WeightsFile::open` passes the duty on.
        Ok(Mapping(unsafe { Mmap::map(&file) }?))
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
