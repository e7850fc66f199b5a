use std::fmt;

/// Where a model comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// A directory named by the user.
    Path,
    /// The local Hugging Face cache.
    Cache,
    /// The hub, just now.
    Hub,
    /// A package from the Python package index, just now.
    Package,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "path",
            Self::Cache => "cache",
            Self::Hub => "hub",
            Self::Package => "package index",
        })
    }
}
