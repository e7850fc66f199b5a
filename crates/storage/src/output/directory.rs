//! Results of several files.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::unfinished::Unfinished;
use crate::StorageError;

/// A directory that appears when all its files are there, or not at all: written under another name beside it,
/// then renamed. Dropped before, it leaves nothing behind.
pub struct OutputDirectory {
    temporary: TempDir,
    unfinished: Unfinished,
    /// As the user named it.
    path: PathBuf,
    /// Where that is: through a symbolic link, the directory it points to is replaced and not the link.
    target: PathBuf,
}

impl OutputDirectory {
    /// Opens a directory that is to appear. Nothing is ever replaced but an empty directory, so nothing can be lost.
    ///
    /// # Errors
    ///
    /// [`StorageError::Write`], also for a directory that is not empty and for what is no directory.
    pub fn create(path: &Path) -> Result<OutputDirectory, StorageError> {
        let failed = |source| StorageError::Write { name: path.display().to_string(), source };
        let refused = |kind, reason: &str| failed(io::Error::new(kind, reason.to_owned()));
        match std::fs::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(refused(io::ErrorKind::DirectoryNotEmpty, "the directory is not empty"));
                }
            }
            // A file, or a symbolic link that leads nowhere.
            Err(_) if std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir()) => {
                return Err(refused(io::ErrorKind::AlreadyExists, "it exists and is not a directory"));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
        }
        let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let parent = target.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(super::TEMPORARY_PREFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&target).map_or(0o777, |found| found.permissions().mode());
            builder.permissions(std::fs::Permissions::from_mode(mode));
        }
        let (temporary, unfinished) =
            Unfinished::create(|| builder.tempdir_in(parent), TempDir::path).map_err(failed)?;
        Ok(OutputDirectory { temporary, unfinished, path: path.to_owned(), target })
    }

    /// Where to write the files.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Lets the directory appear under its name if all was written, and else leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`StorageError::Write`], with the error of `written` if that is one.
    pub fn finish(self, written: io::Result<()>) -> Result<(), StorageError> {
        let OutputDirectory { temporary, unfinished, path, target } = self;
        let renamed = written.and_then(|()| {
            // Elsewhere a rename does not replace even an empty directory; this removes no other.
            #[cfg(not(unix))]
            if target.is_dir() {
                std::fs::remove_dir(&target)?;
            }
            unfinished.finish(|| std::fs::rename(temporary.path(), &target))
        });
        renamed.map_err(|source| StorageError::Write { name: path.display().to_string(), source })?;
        // Its name is gone: there is nothing to remove.
        let _ = temporary.keep();
        Ok(())
    }
}
