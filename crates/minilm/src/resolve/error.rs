//! What can go wrong on the way to a model folder.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::source::Source;

/// Why no model folder could be given.
///
/// Every message names the file, address or setting it is about, what was expected and what was
/// found. Messages are one line long, except those of [`ResolveError::Unavailable`] (one line for
/// each source tried) and [`ResolveError::MissingFiles`] (a second line where advice is known).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name is neither a model's name nor the path of an existing directory.
    #[error(
        "`{name}` is not a model name ({reason}); expected `owner/name`, the name of a \
         sentence-transformers model, or the path of a directory"
    )]
    InvalidName {
        /// The name as given.
        name: String,
        /// Which rule it breaks.
        reason: String,
    },

    /// An option or an environment variable has a value that cannot be used.
    #[error("{option} is `{value}`: {reason}")]
    InvalidOption {
        /// The option or environment variable.
        option: String,
        /// Its value; `(hidden)` for a token.
        value: String,
        /// Why it cannot be used.
        reason: String,
    },

    /// The path does not exist.
    #[error("there is no directory `{}`", path.display())]
    PathNotFound {
        /// The path as given.
        path: PathBuf,
    },

    /// The path exists but is no directory.
    #[error("`{}` is not a directory; give the directory that holds config.json, tokenizer.json and model.safetensors", path.display())]
    NotADirectory {
        /// The path as given.
        path: PathBuf,
    },

    /// A directory lacks files a model needs.
    #[error("`{}` lacks {}{}", directory.display(), missing.join(", "), Advice(advice.as_deref()))]
    MissingFiles {
        /// The directory looked at.
        directory: PathBuf,
        /// The missing files, relative to the directory.
        missing: Vec<String>,
        /// What to do about it, where that is known.
        advice: Option<String>,
    },

    /// `modules.json` cannot be used.
    #[error("modules.json of {place}: {reason}")]
    InvalidModules {
        /// The directory or address it came from.
        place: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The index of weights that are split into shards cannot be used.
    #[error("{index} of {place}: {reason}")]
    InvalidShardIndex {
        /// The index, relative to the model's root.
        index: String,
        /// The directory or address it came from.
        place: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The model is of a kind that this engine does not compute, or its settings and its tokenizer contradict each other. Its
    /// weights were not fetched.
    #[error("model `{name}` is not supported: {reason}")]
    Unsupported {
        /// The model's name, or its directory.
        name: String,
        /// The setting, with the address of its file, what was expected and what was found.
        reason: String,
    },

    /// The cache has no snapshot of the revision.
    #[error("no snapshot of revision `{revision}` in `{}`", directory.display())]
    NotCached {
        /// The model's folder in the cache.
        directory: PathBuf,
        /// The revision looked for.
        revision: String,
    },

    /// A source was not asked because of a setting.
    #[error("not asked: {reason}")]
    NotAsked {
        /// The setting and its value.
        reason: String,
    },

    /// The server cannot be reached: no address, no connection, no TLS, no answer.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// The address asked for.
        url: String,
        /// What the network layer said.
        reason: String,
    },

    /// A body ended too early again and again; the part received is kept for the next run.
    #[error("{url}: {reason}; {received} of {expected} bytes of {file} are kept for the next try")]
    Interrupted {
        /// The file, relative to the model's root.
        file: String,
        /// The address it comes from.
        url: String,
        /// Bytes of it on the disk now.
        received: u64,
        /// Its size as announced.
        expected: u64,
        /// What happened at the last try.
        reason: String,
    },

    /// The hub has no such model, or hides it from this user.
    #[error(
        "{url} answers {status}: there is no model `{name}`, or it is private{}",
        TokenAdvice(*with_token)
    )]
    RepositoryNotFound {
        /// The model's name.
        name: String,
        /// The address asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Whether a token was sent.
        with_token: bool,
    },

    /// The model's licence has to be accepted first.
    #[error(
        "{url} answers {status}: access to `{name}` is gated; accept its terms on its page{}",
        TokenAdvice(*with_token)
    )]
    Gated {
        /// The model's name.
        name: String,
        /// The address asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Whether a token was sent.
        with_token: bool,
    },

    /// The server refuses with 401 or 403 for another reason.
    #[error("{url} answers {status}: access refused{}{}", Detail(detail), TokenAdvice(*with_token))]
    Refused {
        /// The address asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server said about it.
        detail: String,
        /// Whether a token was sent.
        with_token: bool,
    },

    /// The model exists, the revision does not.
    #[error("{url}: model `{name}` has no revision `{revision}`")]
    RevisionNotFound {
        /// The model's name.
        name: String,
        /// The revision asked for.
        revision: String,
        /// The address asked for.
        url: String,
    },

    /// The model has no such file, and cannot do without it.
    #[error("{url}: model `{name}` has no {file}{}", Advice(advice.as_deref()))]
    FileNotFound {
        /// The model's name.
        name: String,
        /// The missing file.
        file: String,
        /// The address asked for.
        url: String,
        /// What to do about it, where that is known.
        advice: Option<String>,
    },

    /// The server answers with another status.
    #[error("{url} answers {status}{}", Detail(detail))]
    Status {
        /// The address asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server said about it.
        detail: String,
    },

    /// The answer is not one a hub gives (a proxy's login page, for instance).
    #[error("{url} does not answer like a model hub: {reason}")]
    InvalidResponse {
        /// The address asked for.
        url: String,
        /// What is missing or wrong.
        reason: String,
    },

    /// A file has another size than was announced or pinned.
    #[error("{file} from {place}: expected {expected} bytes, found {found}")]
    SizeMismatch {
        /// The file, relative to the model's root.
        file: String,
        /// Where it comes from.
        place: String,
        /// The size announced or pinned.
        expected: u64,
        /// The size found.
        found: Bytes,
    },

    /// A file has another content than was announced or pinned.
    #[error("{file} from {place}: expected {kind} {expected}, found {found}")]
    HashMismatch {
        /// The file, relative to the model's root.
        file: String,
        /// Where it comes from.
        place: String,
        /// Which hash was compared.
        kind: HashKind,
        /// The hash announced or pinned.
        expected: String,
        /// The hash found.
        found: String,
    },

    /// pip could not bring the package.
    #[error("`{command}`: {reason}")]
    Pip {
        /// The command as run.
        command: String,
        /// Its last lines, or why it did not run.
        reason: String,
    },

    /// The package's wheel cannot be used.
    #[error("wheel `{}`: {reason}", wheel.display())]
    Package {
        /// The wheel.
        wheel: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// The file system refuses.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was to be done, for instance "create".
        action: &'static str,
        /// The path it was to be done to.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// No source has the model. The message has one line for each source tried.
    #[error("model `{name}` is not available:{}", Lines(attempts))]
    Unavailable {
        /// The model's full name.
        name: String,
        /// The sources in the order they were tried.
        attempts: Vec<Attempt>,
    },
}

impl ResolveError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Whether another source may be tried after the hub failed like this. Wrong content, wrong
    /// settings and a disk that refuses are no reason to go elsewhere.
    pub(super) fn allows_fallback(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Interrupted { .. }
                | Self::RepositoryNotFound { .. }
                | Self::Gated { .. }
                | Self::Refused { .. }
                | Self::RevisionNotFound { .. }
                | Self::FileNotFound { .. }
                | Self::Status { .. }
                | Self::InvalidResponse { .. }
                | Self::NotAsked { .. }
        )
    }
}

/// One source and why it did not give the model.
#[derive(Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The source.
    pub source: Source,
    /// Why it did not give the model.
    pub error: Box<ResolveError>,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, OneLine(&self.error.to_string()))
    }
}

/// A number of bytes, or the fact that there are more than could be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// Exactly so many.
    Exactly(u64),
    /// The end was not waited for.
    More,
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(bytes) => bytes.fmt(f),
            Self::More => f.write_str("more"),
        }
    }
}

/// Which hash a file was compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashKind {
    /// The SHA-256 this engine was released with.
    Pin,
    /// The SHA-256 by which the hub names a large file.
    Sha256,
    /// The SHA-1 by which git, and with it the hub, names a small file.
    GitBlob,
}

impl fmt::Display for HashKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pin => "the pinned SHA-256",
            Self::Sha256 => "SHA-256",
            Self::GitBlob => "git blob SHA-1",
        })
    }
}

struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.0.lines().map(str::trim).enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(line)?;
        }
        Ok(())
    }
}

struct Lines<'a>(&'a [Attempt]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|attempt| write!(f, "\n  {attempt}"))
    }
}

struct Advice<'a>(Option<&'a str>);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |advice| write!(f, ".\n{advice}"))
    }
}

struct Detail<'a>(&'a str);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

struct TokenAdvice(bool);

impl fmt::Display for TokenAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 {
            " (a token was sent; it may lack the right or have expired)"
        } else {
            " (no token was sent; HF_TOKEN or a token file gives one)"
        })
    }
}
