//! Where results go: standard output, or a file or a directory that appears only when it is complete.

mod directory;
mod embeddings;
mod npy;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Seek, SeekFrom, StdoutLock, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::error::CliError;
pub(crate) use directory::OutputDirectory;
pub(crate) use embeddings::{EmbeddingWriter, format_of};

/// An output that has been opened, so that one that cannot be written is known before the work begins.
pub(crate) enum Output {
    Stdout,
    /// Written under another name in the same directory, then renamed.
    Replace {
        temporary: NamedTempFile,
        path: PathBuf,
    },
    /// A device or a pipe, which must not be replaced by a file.
    Special {
        file: File,
        path: PathBuf,
    },
}

impl Output {
    pub(crate) fn open(path: Option<&Path>) -> Result<Output, CliError> {
        let Some(path) = path else { return Ok(Output::Stdout) };
        let failed = |source| CliError::Output { path: path.to_owned(), source };
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => {
                return Err(failed(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory")));
            }
            Ok(found) if !found.is_file() => {
                let file = File::options().write(true).open(path).map_err(failed)?;
                return Ok(Output::Special { file, path: path.to_owned() });
            }
            // Renaming over a file asks nobody whether it may be written; this does.
            Ok(_) => drop(File::options().append(true).open(path).map_err(failed)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
        }
        // Through a symbolic link, the file it points to is replaced and not the link.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let directory = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let temporary = temporary_beside(&path, directory).map_err(failed)?;
        Ok(Output::Replace { temporary, path })
    }

    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self, Output::Stdout) && io::stdout().is_terminal()
    }

    /// Writes everything, and only then lets the file appear under its name.
    pub(crate) fn write(
        self,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), CliError> {
        let mut writer = self.start();
        content(&mut writer.to).map_err(|e| writer.failed(e))?;
        writer.finish()
    }

    /// Writes one JSON object on a line, or what `print` makes of the value for people.
    pub(crate) fn report<T: Serialize>(
        self,
        json: bool,
        value: &T,
        print: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>,
    ) -> Result<(), CliError> {
        self.write(|to| {
            if !json {
                return print(value, to);
            }
            serde_json::to_writer(&mut *to, value)?;
            writeln!(to)
        })
    }

    /// Begins to write piece by piece.
    pub(crate) fn start(self) -> OutputWriter {
        let (target, path) = match self {
            Output::Stdout => (Target::Stdout(io::stdout().lock()), None),
            Output::Special { file, path } => (Target::Special(file), Some(path)),
            Output::Replace { temporary, path } => (Target::Replace(temporary), Some(path)),
        };
        OutputWriter { to: BufWriter::new(target), path }
    }
}

/// An output of which a part is written. A file appears under its name when it is finished; dropped before, it leaves
/// nothing behind.
pub(crate) struct OutputWriter {
    to: BufWriter<Target>,
    /// None for standard output.
    path: Option<PathBuf>,
}

enum Target {
    Stdout(StdoutLock<'static>),
    Special(File),
    Replace(NamedTempFile),
}

impl OutputWriter {
    /// Whether what is written can be changed later: [`OutputWriter::overwrite_start`].
    fn can_overwrite(&self) -> bool {
        matches!(self.to.get_ref(), Target::Replace(_))
    }

    /// Writes over the first bytes of a file. The next bytes go behind them.
    fn overwrite_start(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.flush()?;
        match self.to.get_mut() {
            Target::Replace(temporary) => {
                temporary.seek(SeekFrom::Start(0))?;
                temporary.write_all(bytes)
            }
            Target::Stdout(_) | Target::Special(_) => Err(io::ErrorKind::NotSeekable.into()),
        }
    }

    /// The error of a write, which names the output.
    fn failed(&self, source: io::Error) -> CliError {
        cannot_write(self.path.as_deref(), source)
    }

    /// Lets a file appear under its name.
    pub(crate) fn finish(self) -> Result<(), CliError> {
        let OutputWriter { to, path } = self;
        let failed = |source| cannot_write(path.as_deref(), source);
        match (to.into_inner().map_err(|e| failed(e.into_error()))?, &path) {
            (Target::Replace(temporary), Some(path)) => {
                temporary.as_file().sync_all().map_err(failed)?;
                temporary.persist(path).map(drop).map_err(|e| failed(e.error))
            }
            (mut target, _) => target.flush().map_err(failed),
        }
    }
}

impl Write for OutputWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Target::Stdout(stdout) => stdout.write(bytes),
            Target::Special(file) => file.write(bytes),
            Target::Replace(temporary) => temporary.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Target::Stdout(stdout) => stdout.flush(),
            Target::Special(file) => file.flush(),
            Target::Replace(temporary) => temporary.flush(),
        }
    }
}

fn cannot_write(path: Option<&Path>, source: io::Error) -> CliError {
    match path {
        Some(path) => CliError::Output { path: path.to_owned(), source },
        None => CliError::stdout(source),
    }
}

/// The temporary file has the permissions that a new file would have, or those of the file it replaces.
fn temporary_beside(path: &Path, directory: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".minilm-");
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
