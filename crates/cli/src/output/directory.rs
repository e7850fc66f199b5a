//! Results of several files.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::CliError;

/// A directory that appears when all its files are there, or not at all: written under another name beside it,
/// then renamed.
pub(crate) struct OutputDirectory {
    temporary: TempDir,
    /// As the user named it.
    path: PathBuf,
    /// Where that is: through a symbolic link, the directory it points to is replaced and not the link.
    target: PathBuf,
}

impl OutputDirectory {
    /// Nothing is ever replaced but an empty directory, so nothing can be lost.
    pub(crate) fn open(path: &Path) -> Result<OutputDirectory, CliError> {
        let failed = |source| CliError::Output { path: path.to_owned(), source };
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
        builder.prefix(".minilm-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&target).map_or(0o777, |found| found.permissions().mode());
            builder.permissions(std::fs::Permissions::from_mode(mode));
        }
        let temporary = builder.tempdir_in(parent).map_err(failed)?;
        Ok(OutputDirectory { temporary, path: path.to_owned(), target })
    }

    /// Where to write the files.
    pub(crate) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Lets the directory appear under its name if all was written, and else leaves nothing behind.
    pub(crate) fn finish(self, written: io::Result<()>) -> Result<(), CliError> {
        let OutputDirectory { temporary, path, target } = self;
        let renamed = written.and_then(|()| {
            // Elsewhere a rename does not replace even an empty directory; this removes no other.
            #[cfg(not(unix))]
            if target.is_dir() {
                std::fs::remove_dir(&target)?;
            }
            std::fs::rename(temporary.path(), &target)
        });
        renamed.map_err(|source| CliError::Output { path, source })?;
        // Its name is gone: there is nothing to remove.
        let _ = temporary.keep();
        Ok(())
    }
}
