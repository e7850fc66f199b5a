//! Where results go: a stream, or a file or a directory that appears only when it is complete.

mod directory;
mod unfinished;

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::StorageError;
pub use directory::OutputDirectory;
use unfinished::Unfinished;

/// How the names begin that outputs have until they are finished,
const TEMPORARY_PREFIX: &str = ".minilm-";

/// and how many letters and digits follow.
const TEMPORARY_LETTERS: usize = 6;

/// An output of which a part is written.
///
/// A file is written under another name in the same directory, forced to disk, and renamed when it is
/// [finished](Output::finish); dropped before, it leaves nothing behind, and what had the name before stays. Writes are
/// buffered.
///
/// ```
/// use std::io::Write;
///
/// use minilm_storage::Output;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let path = directory.path().join("report.txt");
/// let mut output = Output::create(&path)?;
/// output.write_all(b"all of it")?;
/// assert!(!path.exists());
/// output.finish()?;
/// assert_eq!(std::fs::read_to_string(&path)?, "all of it");
/// # Ok(()) }
/// ```
pub struct Output {
    to: BufWriter<Target>,
    /// What errors call it.
    name: String,
}

enum Target {
    Stream(Box<dyn Write + Send>),
    /// A device or a pipe, which must not be replaced by a file.
    Special(File),
    /// Written under another name in the same directory, then renamed.
    Replace {
        temporary: NamedTempFile,
        unfinished: Unfinished,
        path: PathBuf,
    },
}

impl Output {
    /// Opens a file that is to appear or to be replaced; or a device or a pipe, which is written as it is.
    ///
    /// # Errors
    ///
    /// [`StorageError::Write`], also where the file that is there may not be written.
    pub fn create(path: impl AsRef<Path>) -> Result<Output, StorageError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        match Target::open(path) {
            Ok(target) => Ok(Output { to: BufWriter::new(target), name }),
            Err(source) => Err(StorageError::Write { name, source }),
        }
    }

    /// Writes to anything else; `name` is what errors call it.
    pub fn stream(to: impl Write + Send + 'static, name: impl Into<String>) -> Output {
        Output { to: BufWriter::new(Target::Stream(Box::new(to))), name: name.into() }
    }

    /// What errors call it: a file by its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a file is called as one is that is written and not finished. Where nobody writes, it is what a program left that
    /// was killed, and may be removed.
    pub fn is_temporary(file_name: &str) -> bool {
        file_name.strip_prefix(TEMPORARY_PREFIX).is_some_and(|letters| {
            letters.len() == TEMPORARY_LETTERS && letters.bytes().all(|letter| letter.is_ascii_alphanumeric())
        })
    }

    /// Whether what is written can be changed later: [`Output::overwrite_start`].
    pub(crate) fn can_overwrite(&self) -> bool {
        matches!(self.to.get_ref(), Target::Replace { .. })
    }

    /// Writes over the first bytes of a file. The next bytes go behind them.
    pub(crate) fn overwrite_start(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.flush()?;
        match self.to.get_mut() {
            Target::Replace { temporary, .. } => {
                temporary.seek(SeekFrom::Start(0))?;
                temporary.write_all(bytes)
            }
            Target::Stream(_) | Target::Special(_) => Err(io::ErrorKind::NotSeekable.into()),
        }
    }

    /// Removes what is written of all files and directories that are not finished: for a program that is about to end without
    /// dropping them, because of a signal. Whoever begins or finishes an output after that, in another thread, waits for the
    /// end.
    pub fn remove_unfinished() {
        unfinished::remove_all();
    }

    /// The error of a write, which names the output.
    pub fn failed(&self, source: io::Error) -> StorageError {
        StorageError::Write { name: self.name.clone(), source }
    }

    /// Writes what is left, and lets a file appear under its name.
    ///
    /// # Errors
    ///
    /// [`StorageError::Write`]; of a file there is then nothing.
    pub fn finish(self) -> Result<(), StorageError> {
        let Output { to, name } = self;
        let finished = match to.into_inner() {
            Ok(target) => target.finish(),
            Err(error) => Err(error.into_error()),
        };
        finished.map_err(|source| StorageError::Write { name, source })
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Target {
    fn open(path: &Path) -> io::Result<Target> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => {
                return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
            }
            Ok(found) if !found.is_file() => {
                return Ok(Target::Special(File::options().write(true).open(path)?));
            }
            // Renaming over a file asks nobody whether it may be written; this does.
            Ok(_) => drop(File::options().append(true).open(path)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        // Through a symbolic link, the file it points to is replaced and not the link.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let directory = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (temporary, unfinished) =
            Unfinished::create(|| temporary_beside(&path, directory), NamedTempFile::path)?;
        Ok(Target::Replace { temporary, unfinished, path })
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Target::Stream(mut stream) => stream.flush(),
            Target::Special(mut file) => file.flush(),
            Target::Replace { temporary, unfinished, path } => {
                temporary.as_file().sync_all()?;
                unfinished.finish(|| temporary.persist(path).map(drop).map_err(|e| e.error))
            }
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Target::Stream(stream) => stream.write(bytes),
            Target::Special(file) => file.write(bytes),
            Target::Replace { temporary, .. } => temporary.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Target::Stream(stream) => stream.flush(),
            Target::Special(file) => file.flush(),
            Target::Replace { temporary, .. } => temporary.flush(),
        }
    }
}

/// The temporary file has the permissions that a new file would have, or those of the file it replaces.
fn temporary_beside(path: &Path, directory: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX).rand_bytes(TEMPORARY_LETTERS);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map_or(0o666, |found| found.permissions().mode());
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = path;
    builder.tempfile_in(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finished_is_known_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let output = Output::create(directory.path().join("report.txt")).unwrap();
        let entry = std::fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap();
        assert!(Output::is_temporary(entry.file_name().to_str().unwrap()), "{entry:?}");
        drop(output);
        for name in
            ["report.txt", ".minilm-", ".minilm-a", ".minilm-config", ".minilm-abcdef.txt", "minilm-abcdef"]
        {
            assert_eq!(Output::is_temporary(name), name == ".minilm-config", "{name}");
        }
    }
}
