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
        // Before it is opened: opening a pipe waits for somebody to write to it.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is empty"));
        }
        // SAFETY: the mapping is read-only and its bytes are only ever read as bytes (floats are decoded
        // from them), so no value of them can be invalid. It is shared with the file: nobody may change
        // or truncate that while it is mapped, or bytes would change behind a shared reference, and reading
        // behind a new end would end the process with SIGBUS. Rust cannot rule that out; the
        // documentation of `WeightsFile::open` makes it the caller's duty, and everything in this engine
        // that writes model files writes them under another name and renames them.
        Ok(Mapping(unsafe { Mmap::map(&file) }?))
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
