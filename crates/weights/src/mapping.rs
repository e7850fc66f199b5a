//! The one place where memory is asked of the system: files become memory here, and so do pages of zeros.
#![allow(unsafe_code, reason = "mapping a file is unsafe: see the SAFETY comments")]

use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::SystemTime;

use memmap2::{Mmap, MmapMut};

/// From this size on memory is asked for in huge pages. Those of x86-64, and of AArch64 with pages of 4 KiB.
const HUGE_PAGE: usize = 2 << 20;

/// A file's bytes, read from disk as they are touched.
///
/// The mapping begins at a page, so what is aligned in the file is aligned in memory.
pub struct MappedFile {
    bytes: Mmap,
    modified: Option<SystemTime>,
}

impl MappedFile {
    /// Maps a regular file that is not empty.
    ///
    /// The caller sees to it that the file is not changed or truncated while it is mapped. Replacing it by a rename is fine
    /// (Windows refuses that while it is open).
    ///
    /// # Errors
    ///
    /// What the system says; [`io::ErrorKind::InvalidInput`] for what is not a regular file, [`io::ErrorKind::UnexpectedEof`]
    /// for an empty one.
    pub fn open(path: &Path) -> io::Result<MappedFile> {
        // Before it is opened: opening a pipe waits for somebody to write to it.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.len() == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is empty"));
        }
        // SAFETY: the mapping is read-only and its bytes are only ever read as bytes, from which floats are decoded, or
        // as numbers, of which every value of the bytes is one; so no value of them can be invalid. It is shared
        // with the file: nobody may change or truncate that while it is mapped, or bytes would change behind a
        // shared reference, and reading behind a new end would end the process with SIGBUS. Rust cannot rule
        // that out; the documentation of `MappedFile::open`, `WeightsFile::open`, `PackedFile::open` and, in minilm-storage,
        // `StoredVectors::open` makes it the caller's duty,
        // and everything in this engine that writes such files writes them under another name and renames them.
        let bytes = unsafe { Mmap::map(&file) }?;
        Ok(MappedFile { bytes, modified: metadata.modified().ok() })
    }

    /// When the file was last modified, as its system said when it was opened; `None` where no such time is kept.
    pub(crate) fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// The pages touched so far no longer count as this process's memory. They stay in the system's cache, and are
    /// mapped again when they are touched. A hint: where it is refused nothing happens.
    pub fn release(&self) {
        // SAFETY: for private memory this advice would discard what was written, behind shared references. This
        // is a shared, read-only mapping of a file: whoever reads a page again reads the file's bytes again, which
        // by the contract of `open` nobody changes.
        #[cfg(unix)]
        let _ = unsafe { self.bytes.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Zeros of the system's own, to be written to: whole pages, huge ones where they are allowed and worth it.
pub(crate) struct Pages(MmapMut);

impl Pages {
    /// At least `bytes` bytes, which is not 0.
    pub(crate) fn new(bytes: usize) -> io::Result<Pages> {
        // A huge page that is only partly asked for is not given.
        let bytes = if bytes >= HUGE_PAGE {
            bytes.checked_next_multiple_of(HUGE_PAGE).ok_or(io::ErrorKind::OutOfMemory)?
        } else {
            bytes
        };
        let pages = MmapMut::map_anon(bytes)?;
        // A kernel without huge pages refuses, and small pages do as well.
        #[cfg(target_os = "linux")]
        if bytes >= HUGE_PAGE {
            let _ = pages.advise(memmap2::Advice::HugePage);
        }
        Ok(Pages(pages))
    }

    /// From now on nobody writes to them.
    pub(crate) fn freeze(self) -> io::Result<FrozenPages> {
        self.0.make_read_only().map(FrozenPages)
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// [`Pages`] that are only read.
pub(crate) struct FrozenPages(Mmap);

impl Deref for FrozenPages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
