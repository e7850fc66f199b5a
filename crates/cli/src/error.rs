use std::fmt;
use std::io;

use minilm::resolve::ResolveError;
use minilm::storage::StorageError;
use minilm::{IndexError, UnavailableIsa};

use crate::output::STDOUT;

/// What ends the program. Messages name the file, the line or the option.
#[derive(Debug)]
pub(crate) enum CliError {
    /// From the library, which says it all.
    Model(minilm::Error),
    /// An index cannot be built, opened or searched.
    Index(IndexError),
    /// The server cannot be made, or did not end well.
    #[cfg(feature = "serve")]
    Server(minilm_server::ServerError),
    /// A file of texts or vectors cannot be read or written.
    Storage(StorageError),
    /// The same, with what to do about it.
    Advised { error: StorageError, advice: String },
    /// An input is not what it should be.
    Input { place: String, reason: String },
    /// Options that do not go together.
    Options(String),
    /// The system does not give what the server needs.
    #[cfg(feature = "serve")]
    System { what: &'static str, error: io::Error },
    /// Standard output was closed by its reader.
    ClosedPipe,
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CliError::Model(error) => error.fmt(f),
            CliError::Index(error) => error.fmt(f),
            #[cfg(feature = "serve")]
            CliError::Server(error) => error.fmt(f),
            CliError::Storage(error) => error.fmt(f),
            CliError::Advised { error, advice } => write!(f, "{error} ({advice})"),
            CliError::Input { place, reason } => write!(f, "{place}: {reason}"),
            CliError::Options(reason) => f.write_str(reason),
            #[cfg(feature = "serve")]
            CliError::System { what, error } => write!(f, "{what}: {error}"),
            CliError::ClosedPipe => f.write_str("standard output was closed"),
        }
    }
}

impl From<minilm::Error> for CliError {
    fn from(error: minilm::Error) -> CliError {
        CliError::Model(error)
    }
}

impl From<ResolveError> for CliError {
    fn from(error: ResolveError) -> CliError {
        CliError::Model(error.into())
    }
}

impl From<UnavailableIsa> for CliError {
    fn from(error: UnavailableIsa) -> CliError {
        CliError::Model(error.into())
    }
}

impl From<IndexError> for CliError {
    fn from(error: IndexError) -> CliError {
        CliError::Index(error)
    }
}

#[cfg(feature = "serve")]
impl From<minilm_server::ServerError> for CliError {
    fn from(error: minilm_server::ServerError) -> CliError {
        CliError::Server(error)
    }
}

impl From<StorageError> for CliError {
    fn from(error: StorageError) -> CliError {
        match error {
            StorageError::Write { name, source }
                if name == STDOUT && source.kind() == io::ErrorKind::BrokenPipe =>
            {
                CliError::ClosedPipe
            }
            error => CliError::Storage(error),
        }
    }
}
