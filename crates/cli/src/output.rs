//! Where results go: standard output, or a file or a directory that appears only when it is complete.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use minilm::Embeddings;
use npyz::WriterBuilder;
use serde::Serialize;
use tempfile::{NamedTempFile, TempDir};

use crate::arguments::OutputFormat;
use crate::error::CliError;

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
        fn buffered(
            to: impl Write,
            content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
        ) -> io::Result<()> {
            let mut to = BufWriter::new(to);
            content(&mut to)?;
            to.flush()
        }
        match self {
            Output::Stdout => buffered(io::stdout().lock(), content).map_err(CliError::stdout),
            Output::Special { file, path } => {
                buffered(file, content).map_err(|source| CliError::Output { path, source })
            }
            Output::Replace { temporary, path } => {
                let written = buffered(&temporary, content).and_then(|()| temporary.as_file().sync_all());
                let persisted = written.and_then(|()| temporary.persist(&path).map_err(|e| e.error));
                persisted.map(drop).map_err(|source| CliError::Output { path, source })
            }
        }
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

/// The format asked for, or that of the output file's extension, or JSON lines.
pub(crate) fn format_of(format: Option<OutputFormat>, path: Option<&Path>) -> OutputFormat {
    let extension = path.and_then(Path::extension).map(|e| e.to_string_lossy().to_ascii_lowercase());
    format.unwrap_or(match extension.as_deref() {
        Some("npy") => OutputFormat::Npy,
        Some("json") => OutputFormat::Json,
        _ => OutputFormat::Jsonl,
    })
}

/// What JSON says of a text.
#[derive(Serialize)]
struct Record<'a> {
    text: &'a str,
    embedding: &'a [f32],
    /// How many tokens the whole text has, special tokens included.
    tokens: usize,
    /// Whether the text was longer than the model takes.
    truncated: bool,
}

pub(crate) fn write_embeddings(
    to: &mut dyn Write,
    format: OutputFormat,
    texts: &[String],
    embeddings: &Embeddings,
) -> io::Result<()> {
    let records = texts.iter().zip(embeddings.rows()).zip(embeddings.token_counts());
    let records = records.map(|((text, embedding), count)| Record {
        text,
        embedding,
        tokens: count.total,
        truncated: count.truncated(),
    });
    match format {
        OutputFormat::Npy => {
            let shape = [embeddings.len() as u64, embeddings.dimension() as u64];
            let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(to).begin_nd()?;
            writer.extend(embeddings.as_slice().iter().copied())?;
            writer.finish()
        }
        OutputFormat::Jsonl => {
            for record in records {
                serde_json::to_writer(&mut *to, &record)?;
                to.write_all(b"\n")?;
            }
            Ok(())
        }
        OutputFormat::Json => {
            let mut separator: &[u8] = b"[\n";
            for record in records {
                to.write_all(separator)?;
                serde_json::to_writer(&mut *to, &record)?;
                separator = b",\n";
            }
            to.write_all(if embeddings.is_empty() { b"[]\n" } else { b"\n]\n" })
        }
    }
}
