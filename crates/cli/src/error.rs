use std::fmt;
use std::io;
use std::path::PathBuf;

/// What ends the program. Messages name the file, the line or the option.
#[derive(Debug)]
pub(crate) enum CliError {
    /// From the library, which says it all.
    Model(minilm::Error),
    /// An input cannot be read or understood.
    Input { place: String, reason: String },
    /// An output cannot be written.
    Output { path: PathBuf, source: io::Error },
    /// Options that do not go together.
    Options(String),
    /// Standard output was closed by its reader.
    ClosedPipe,
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CliError::Model(error) => error.fmt(f),
            CliError::Input { place, reason } => write!(f, "{place}: {reason}"),
            CliError::Output { path, source } => write!(f, "cannot write {}: {source}", path.display()),
            CliError::Options(reason) => f.write_str(reason),
            CliError::ClosedPipe => f.write_str("standard output was closed"),
        }
    }
}

impl<E: Into<minilm::Error>> From<E> for CliError {
    fn from(error: E) -> CliError {
        CliError::Model(error.into())
    }
}

impl CliError {
    /// For writes to standard output.
    pub(crate) fn stdout(source: io::Error) -> CliError {
        if source.kind() == io::ErrorKind::BrokenPipe {
            CliError::ClosedPipe
        } else {
            CliError::Output { path: "standard output".into(), source }
        }
    }
}
