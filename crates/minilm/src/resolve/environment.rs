//! The environment variables by which Hugging Face's tools are configured.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where environment variables and the home directory are read from.
///
/// [`ResolveOptions`](super::ResolveOptions) uses the process's own unless it is given another.
#[derive(Clone, Default)]
pub struct Environment {
    // `None`: the process's own.
    variables: Option<HashMap<String, OsString>>,
    home: Option<PathBuf>,
}

impl Environment {
    /// The process's own environment, read when it is needed.
    #[must_use]
    pub fn process() -> Self {
        Self::default()
    }

    /// An environment of exactly these variables and this home directory.
    pub fn of<K: Into<String>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
        home: Option<PathBuf>,
    ) -> Self {
        let pairs = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { variables: Some(pairs.collect()), home }
    }

    /// A variable's value; an empty one counts as not set.
    fn get(&self, name: &str) -> Option<OsString> {
        match &self.variables {
            None => std::env::var_os(name),
            Some(variables) => variables.get(name).cloned(),
        }
        .filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| value.to_string_lossy().trim().to_owned())
    }

    fn home(&self) -> Option<PathBuf> {
        match &self.variables {
            None => std::env::home_dir().filter(|home| !home.as_os_str().is_empty()),
            Some(_) => self.home.clone(),
        }
    }

    /// A variable that holds a path, whose leading `~` stands for the home directory: settings
    /// that did not pass through a shell still have it.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.get(name)?);
        match (path.strip_prefix("~"), self.home()) {
            (Ok(rest), Some(home)) => Some(home.join(rest)),
            _ => Some(path),
        }
    }

    fn hf_home(&self) -> Option<PathBuf> {
        self.path("HF_HOME")
            .or_else(|| Some(self.path("XDG_CACHE_HOME")?.join("huggingface")))
            .or_else(|| Some(self.home()?.join(".cache").join("huggingface")))
    }

    /// The cache's root.
    pub(super) fn hub_cache(&self) -> Option<PathBuf> {
        self.path("HF_HUB_CACHE")
            .or_else(|| self.path("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(self.hf_home()?.join("hub")))
    }

    /// The hub's address.
    pub(super) fn endpoint(&self) -> Option<String> {
        self.text("HF_ENDPOINT").filter(|endpoint| !endpoint.is_empty())
    }

    /// The setting that forbids the network, if one does. `HF_HUB_OFFLINE`, once set, decides.
    pub(super) fn offline(&self) -> Option<String> {
        let (name, value) = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]
            .into_iter()
            .find_map(|name| Some((name, self.text(name)?)))?;
        is_true(&value).then(|| format!("{name}={value}"))
    }

    /// The user's token and the variable or file it comes from.
    pub(super) fn token(&self) -> Option<(String, String)> {
        if self.text("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some_and(|value| is_true(&value)) {
            return None;
        }
        ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]
            .into_iter()
            .find_map(|name| Some((self.text(name)?, name.to_owned())))
            .or_else(|| {
                let path = self.path("HF_TOKEN_PATH").or_else(|| Some(self.hf_home()?.join("token")))?;
                Some((read_token(&path)?, path.display().to_string()))
            })
            .filter(|(token, _)| !token.is_empty())
    }
}

fn read_token(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|token| token.trim().to_owned())
}

fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

impl fmt::Debug for Environment {
    // The values may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.variables.is_some() { "Environment(given)" } else { "Environment(process)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::of(variables.iter().copied(), Some(PathBuf::from("home")))
    }

    fn cache(variables: &[(&str, &str)]) -> PathBuf {
        environment(variables).hub_cache().unwrap()
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        let set = [
            ("HF_HUB_CACHE", "a"),
            ("HUGGINGFACE_HUB_CACHE", "b"),
            ("HF_HOME", "c"),
            ("XDG_CACHE_HOME", "d"),
        ];
        assert_eq!(cache(&set), Path::new("a"));
        assert_eq!(cache(&set[1..]), Path::new("b"));
        assert_eq!(cache(&set[2..]), Path::new("c").join("hub"));
        assert_eq!(cache(&set[3..]), Path::new("d").join("huggingface").join("hub"));
        let home: PathBuf = ["home", ".cache", "huggingface", "hub"].iter().collect();
        assert_eq!(cache(&[]), home);
        assert_eq!(cache(&[("HF_HUB_CACHE", "")]), home);
        assert_eq!(cache(&[("HF_HUB_CACHE", "~/x")]), Path::new("home").join("x"));
        assert!(Environment::of([("A", "b")], None).hub_cache().is_none());
    }

    #[test]
    fn offline_is_what_python_takes_for_it() {
        for value in ["1", "on", "Yes", "TRUE"] {
            let reason = environment(&[("HF_HUB_OFFLINE", value)]).offline().unwrap();
            assert_eq!(reason, format!("HF_HUB_OFFLINE={value}"));
            assert!(environment(&[("TRANSFORMERS_OFFLINE", value)]).offline().is_some());
        }
        for value in ["0", "off", "no", "2", ""] {
            assert!(environment(&[("HF_HUB_OFFLINE", value)]).offline().is_none(), "{value}");
        }
        let both = [("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")];
        assert!(environment(&both).offline().is_none());
    }

    #[test]
    fn the_token_comes_from_variable_or_file() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        std::fs::write(folder.path().join("token"), "hf_file\n").unwrap();
        let token = |variables: &[(&str, &str)]| environment(variables).token().map(|found| found.0);
        assert_eq!(token(&[("HF_TOKEN", " hf_x\n"), ("HF_HOME", home)]).unwrap(), "hf_x");
        assert_eq!(token(&[("HF_HOME", home)]).unwrap(), "hf_file");
        let path = folder.path().join("token");
        assert_eq!(token(&[("HF_TOKEN_PATH", path.to_str().unwrap())]).unwrap(), "hf_file");
        assert_eq!(token(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "yes")]), None);
        assert_eq!(token(&[]), None);
        assert!(!format!("{:?}", environment(&[("HF_TOKEN", "hf_x")])).contains("hf_x"));
    }
}
