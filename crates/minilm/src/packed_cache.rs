//! Where packed weights are kept between starts.

use std::ffi::OsString;
use std::path::PathBuf;

/// The environment variable that turns the cache of packed weights on: a directory, or `1` for the platform's.
pub const PACKED_CACHE_VARIABLE: &str = "MINILM_PACKED_CACHE";

/// Whether packed weights are kept in a file, which later starts map instead of packing again. The bits do not depend
/// on it.
///
/// There is a file for each [`Precision`](crate::Precision), as large as the weights without the word embeddings are in it:
/// for all-MiniLM-L6-v2 43 MB in f32, 23 in bf16, 11 in int8. It is made by the
/// first load and replaced when the model's weights, the shapes in its config or the format change. In int8, whatever else
/// determines the calibration (the tokenizer, other settings in the config) makes it another file. If it is
/// damaged, or cannot be read or written, weights are packed as without it, and
/// [`SentenceTransformer::packed_cache`](crate::SentenceTransformer::packed_cache) says so. Processes may share a
/// directory.
///
/// The directory should be one that only trusted users can write to: who can replace the file can change vectors. Like
/// the model's weights, it is mapped; whoever truncates it while a model is loaded ends the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackedCache {
    /// As the environment variable `MINILM_PACKED_CACHE` says: a directory, `1` for the platform's, and `0`, empty or not
    /// set for none.
    #[default]
    Environment,
    /// None.
    Off,
    /// In the user's cache directory: `$XDG_CACHE_HOME/minilm` or `~/.cache/minilm`, `~/Library/Caches/minilm` on macOS,
    /// `%LOCALAPPDATA%\minilm` on Windows.
    Platform,
    /// In this directory, which is made if need be.
    Directory(PathBuf),
}

impl PackedCache {
    /// The directory; none if the cache is off.
    ///
    /// # Errors
    ///
    /// Says why the platform's directory is not known.
    pub(crate) fn directory(&self) -> Result<Option<PathBuf>, String> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = || std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        match self {
            PackedCache::Off => Ok(None),
            PackedCache::Directory(directory) => Ok(Some(directory.clone())),
            PackedCache::Platform => platform_directory(std::env::consts::OS, variable, home).map(Some),
            PackedCache::Environment => {
                PackedCache::of_value(variable(PACKED_CACHE_VARIABLE).as_ref()).directory()
            }
        }
    }

    /// What a value of the environment variable means. Never [`PackedCache::Environment`].
    fn of_value(value: Option<&OsString>) -> PackedCache {
        match value {
            None => PackedCache::Off,
            Some(value) if value == "0" => PackedCache::Off,
            Some(value) if value == "1" => PackedCache::Platform,
            Some(value) => PackedCache::Directory(value.into()),
        }
    }
}

fn platform_directory(
    os: &str,
    variable: impl Fn(&str) -> Option<OsString>,
    home: impl Fn() -> Option<PathBuf>,
) -> Result<PathBuf, String> {
    let no_home = "the home directory, where the cache would be, is not known";
    let caches = match os {
        "windows" => match variable("LOCALAPPDATA") {
            Some(directory) => PathBuf::from(directory),
            None => return Err("LOCALAPPDATA, where the cache would be, is not set".to_owned()),
        },
        "macos" => home().ok_or(no_home)?.join("Library").join("Caches"),
        // The XDG specification: relative paths are to be ignored.
        _ => match variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(directory) => directory,
            None => home().ok_or(no_home)?.join(".cache"),
        },
    };
    Ok(caches.join("minilm"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_variable_is_a_directory_or_a_switch() {
        let of = |value: &str| PackedCache::of_value(Some(&OsString::from(value)));
        assert_eq!(PackedCache::of_value(None), PackedCache::Off);
        assert_eq!(of("0"), PackedCache::Off);
        assert_eq!(of("1"), PackedCache::Platform);
        assert_eq!(of("/somewhere"), PackedCache::Directory("/somewhere".into()));
        assert_eq!(of("11"), PackedCache::Directory("11".into()));
    }

    #[test]
    fn each_platform_has_its_directory() {
        let root = std::env::temp_dir();
        let xdg = root.join("xdg");
        let set = |name: &str| match name {
            "XDG_CACHE_HOME" => Some(xdg.clone().into()),
            "LOCALAPPDATA" => Some(OsString::from("local")),
            _ => None,
        };
        let home = || Some(root.join("home"));
        assert_eq!(platform_directory("linux", set, home), Ok(xdg.join("minilm")));
        let in_home = Ok(root.join("home").join(".cache").join("minilm"));
        assert_eq!(platform_directory("linux", |_| None, home), in_home);
        assert_eq!(platform_directory("linux", |_| Some("relative".into()), home), in_home);
        let library = root.join("home").join("Library").join("Caches").join("minilm");
        assert_eq!(platform_directory("macos", set, home), Ok(library));
        let local = Path::new("local").join("minilm");
        assert_eq!(platform_directory("windows", set, home), Ok(local));
        for os in ["linux", "macos", "windows"] {
            let reason = platform_directory(os, |_| None, || None).unwrap_err();
            assert!(reason.contains("where the cache would be"), "{os}: {reason}");
        }
    }
}
