//! Requests to a model hub: who is asked, who gets the token, and what the answers mean.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use ureq::http::Response;
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, ETAG, LOCATION, RANGE, RETRY_AFTER};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Error, Timeout};

use super::address::{absolute, origin, percent_encoded, shown};
use super::error::ResolveError;
use super::name::{ModelName, is_file_name};
use super::options::ResolveOptions;

const MAX_REDIRECTS: usize = 5;
const MAX_RETRIES: u32 = 3;
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// A hub, one model on it, and how to talk to it.
pub(super) struct Hub {
    client: Agent,
    endpoint: String,
    token: Option<String>,
    name: ModelName,
}

/// What the hub says about a file.
#[derive(Debug)]
pub(super) struct Announcement {
    pub(super) commit: String,
    pub(super) etag: String,
    pub(super) size: u64,
}

/// The answer to the question for a file.
#[derive(Debug)]
pub(super) enum Answer {
    Present(Announcement),
    /// The revision has no such file; with the commit, if the hub says it.
    Absent(Option<String>),
}

/// Why a request brought nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another try may help; if the server was silent, only after one that brought something.
    Transient {
        error: ResolveError,
        pause: Option<Duration>,
        silent: bool,
    },
    Final(ResolveError),
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        Self::Final(error)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Head,
    Get { from: u64 },
}

impl Hub {
    pub(super) fn new(options: &ResolveOptions, name: &ModelName) -> Result<Self, ResolveError> {
        let (connect, read) = options.timeouts();
        let roots = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        // The proxy is taken from the environment, which is ureq's default. Redirects are
        // followed here, because who gets the token depends on where they lead.
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("minilm/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .tls_config(roots)
            .timeout_resolve(Some(connect))
            .timeout_connect(Some(connect))
            .timeout_per_read(Some(read))
            .timeout_per_write(Some(read))
            .timeout_recv_response(Some(read))
            .build();
        Ok(Self {
            client: config.into(),
            endpoint: options.checked_endpoint()?,
            token: options.checked_token()?,
            name: name.clone(),
        })
    }

    /// The model's name.
    pub(super) fn model(&self) -> &ModelName {
        &self.name
    }

    /// The address of a file.
    pub(super) fn url(&self, revision: &str, file: &str) -> String {
        let revision = percent_encoded(revision, false);
        let file = percent_encoded(file, true);
        format!("{}/{}/resolve/{revision}/{file}", self.endpoint, self.name)
    }

    /// Asks for a file's commit, ETag and size.
    pub(super) fn head(&self, revision: &str, file: &str) -> Result<Answer, ResolveError> {
        let mut retries = Retries::default();
        loop {
            match self.try_head(revision, file) {
                Ok(answer) => return Ok(answer),
                Err(failure) => drop(retries.wait_after(failure, false)?),
            }
        }
    }

    fn try_head(&self, revision: &str, file: &str) -> Result<Answer, Failure> {
        let mut url = self.url(revision, file);
        let (mut commit, mut etag, mut size) = (None, None, None);
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(Method::Head, &url)?;
            commit = header(&response, "x-repo-commit").or(commit);
            etag = header(&response, "x-linked-etag").or(etag);
            size = header(&response, "x-linked-size").or(size);
            let target = redirect(&response, &url)?;
            // Elsewhere is storage, which knows nothing about the model; what the hub has to say
            // about the file came with the redirect.
            if let Some(next) = target.as_deref().filter(|next| origin(next) == origin(&url)) {
                url = next.to_owned();
                continue;
            }
            if target.is_none() {
                if !response.status().is_success() {
                    let error = self.status_error(&response, &url, revision, file);
                    let is_absent = matches!(error, ResolveError::FileNotFound { .. });
                    let commit = commit.filter(|commit| is_file_name(commit));
                    return if is_absent { Ok(Answer::Absent(commit)) } else { Err(error.into()) };
                }
                size = size.or_else(|| header(&response, CONTENT_LENGTH.as_str()));
            }
            let etag = etag.or_else(|| header(&response, ETAG.as_str()));
            let elsewhere =
                target.map(|target| format!(" (it redirects to {})", shown(&target))).unwrap_or_default();
            return announcement(commit, etag, size)
                .map(Answer::Present)
                .map_err(|reason| invalid(&url, format!("{reason}{elsewhere}")).into());
        }
        Err(invalid(&url, format!("more than {MAX_REDIRECTS} redirects")).into())
    }

    /// Asks for a file's content from byte `from` on. The answer's status is 200, 206 or 416.
    pub(super) fn get(&self, revision: &str, file: &str, from: u64) -> Result<Response<Body>, Failure> {
        let mut url = self.url(revision, file);
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(Method::Get { from }, &url)?;
            if let Some(next) = redirect(&response, &url)? {
                url = next;
                continue;
            }
            return match response.status().as_u16() {
                200 | 206 | 416 => Ok(response),
                _ => Err(self.status_error(&response, &url, revision, file).into()),
            };
        }
        Err(invalid(&url, format!("more than {MAX_REDIRECTS} redirects")).into())
    }

    fn send(&self, method: Method, url: &str) -> Result<Response<Body>, Failure> {
        let mut request = match method {
            Method::Head => self.client.head(url),
            Method::Get { .. } => self.client.get(url),
        };
        if let Method::Get { from } = method
            && from > 0
        {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        // The token belongs to the endpoint, not to the storage it redirects to.
        if let Some(token) = &self.token
            && origin(url) == origin(&self.endpoint)
        {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = request.call().map_err(|error| self.network_failure(url, error))?;
        let status = response.status().as_u16();
        if status == 429 || status >= 500 {
            let pause = header(&response, RETRY_AFTER.as_str())
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs);
            let error = ResolveError::Status { url: shown(url), status, detail: server_message(&response) };
            return Err(Failure::Transient { error, pause, silent: false });
        }
        Ok(response)
    }

    fn network_failure(&self, url: &str, error: Error) -> Failure {
        let (mut reason, repeat) = explain(error);
        // It may well be the proxy that does not answer.
        if let Some(proxy) = self.client.config().proxy() {
            reason.push_str(&format!(" (the environment sets the proxy {}:{})", proxy.host(), proxy.port()));
        }
        repeat.failure(ResolveError::Unreachable { url: shown(url), reason })
    }

    fn status_error(&self, response: &Response<Body>, url: &str, revision: &str, file: &str) -> ResolveError {
        let status = response.status().as_u16();
        let (url, name) = (shown(url), self.name.to_string());
        let with_token = self.token.is_some();
        let detail = server_message(response);
        match (status, header(response, "x-error-code").as_deref()) {
            (_, Some("GatedRepo")) => ResolveError::Gated { name, url, status, with_token },
            (_, Some("RevisionNotFound")) => {
                ResolveError::RevisionNotFound { name, revision: revision.to_owned(), url }
            }
            (_, Some("RepoNotFound")) | (401, None) => {
                ResolveError::RepositoryNotFound { name, url, status, with_token }
            }
            (401 | 403, _) => ResolveError::Refused { url, status, detail, with_token },
            // A mirror may not say what it is that it does not find.
            (_, Some("EntryNotFound")) | (404, None) => {
                ResolveError::FileNotFound { name, file: file.to_owned(), url, advice: None }
            }
            _ => ResolveError::Status { url, status, detail },
        }
    }
}

/// Counts retries and pauses before them.
#[derive(Default)]
pub(super) struct Retries {
    used: u32,
}

impl Retries {
    /// Pauses after a transient failure and gives back what to tell the user, or fails if no
    /// other try is left. `brought_something`: the failed try did.
    pub(super) fn wait_after(
        &mut self,
        failure: Failure,
        brought_something: bool,
    ) -> Result<String, ResolveError> {
        match failure {
            Failure::Final(error) => Err(error),
            Failure::Transient { error, silent: true, .. } if !brought_something => Err(error),
            Failure::Transient { error, .. } if self.used == MAX_RETRIES => Err(error),
            Failure::Transient { error, pause, .. } => {
                let backoff = Duration::from_millis(250 << self.used);
                self.used += 1;
                sleep(pause.unwrap_or(backoff).min(MAX_PAUSE));
                Ok(format!("{error}; retry {} of {MAX_RETRIES}", self.used))
            }
        }
    }

    /// Forgets earlier failures: a download that gets on may fail more often in all.
    pub(super) fn renew(&mut self) {
        self.used = 0;
    }
}

fn announcement(
    commit: Option<String>,
    etag: Option<String>,
    size: Option<String>,
) -> Result<Announcement, String> {
    let commit = commit.ok_or("there is no X-Repo-Commit header")?;
    let etag = etag.ok_or("there is no X-Linked-Etag or ETag header")?;
    let size = size.ok_or("there is no X-Linked-Size or Content-Length header")?;
    let etag = plain_etag(&etag).to_owned();
    for name in [&commit, &etag] {
        // Both become names in the cache.
        if !is_file_name(name) {
            return Err(format!("{name:?} is no commit or ETag"));
        }
    }
    let size = size.trim().parse().map_err(|_| format!("{size:?} is no size"))?;
    Ok(Announcement { commit, etag, size })
}

fn plain_etag(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}

fn header(response: &Response<Body>, name: &str) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// What the server says about a refusal, made fit for one line.
fn server_message(response: &Response<Body>) -> String {
    let message = header(response, "x-error-message").unwrap_or_default();
    message.chars().filter(|char| !char.is_control()).take(200).collect()
}

/// Where a redirect leads.
fn redirect(response: &Response<Body>, url: &str) -> Result<Option<String>, ResolveError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = header(response, LOCATION.as_str())
        .ok_or_else(|| invalid(url, "a redirect without a Location header"))?;
    let next = absolute(url, &location);
    match origin(&next) {
        None => Err(invalid(url, format!("a redirect to {}", shown(&next)))),
        Some(target) if target.0 == "http" && url.starts_with("https:") => {
            Err(invalid(url, format!("a redirect to {}, which is not encrypted", shown(&next))))
        }
        Some(_) => Ok(Some(next)),
    }
}

pub(super) fn invalid(url: &str, reason: impl Into<String>) -> ResolveError {
    ResolveError::InvalidResponse { url: shown(url), reason: reason.into() }
}

/// Whether to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    No,
    Yes,
    AfterProgress,
}

impl Repeat {
    pub(super) fn failure(self, error: ResolveError) -> Failure {
        match self {
            Self::No => Failure::Final(error),
            Self::Yes => Failure::Transient { error, pause: None, silent: false },
            Self::AfterProgress => Failure::Transient { error, pause: None, silent: true },
        }
    }
}

/// What a network error says, and whether another try may help.
pub(super) fn explain(error: Error) -> (String, Repeat) {
    use io::ErrorKind as Kind;
    match error {
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            ("no connection within the time limit".to_owned(), Repeat::No)
        }
        Error::Timeout(_) => {
            ("the server sent nothing within the time limit".to_owned(), Repeat::AfterProgress)
        }
        Error::HostNotFound => ("the host's name is not known".to_owned(), Repeat::No),
        Error::Io(error) => {
            let repeat = match error.kind() {
                Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof => {
                    Repeat::Yes
                }
                _ => Repeat::No,
            };
            (format!("the connection failed: {error}"), repeat)
        }
        error => (error.to_string(), Repeat::No),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_lose_their_wrapping() {
        for etag in ["\"abc\"", "W/\"abc\"", "abc", " \"abc\" "] {
            assert_eq!(plain_etag(etag), "abc");
        }
        let some = |text: &str| Some(text.to_owned());
        for etag in ["\"\"", "../x", "a/b", "..", "a\"b"] {
            assert!(announcement(some("c"), some(etag), some("1")).is_err(), "{etag}");
        }
        assert!(announcement(some("../c"), some("e"), some("1")).is_err());
        assert!(announcement(some("c"), some("e"), some("-1")).is_err());
        assert!(announcement(None, some("e"), some("1")).unwrap_err().contains("X-Repo-Commit"));
    }
}
