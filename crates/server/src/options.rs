use std::time::Duration;

/// How a server is to be. [`Default`] is what most want; the names are those of text-embeddings-inference's flags.
#[derive(Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// The most requests that wait, are computed, or whose answers are written; others get 429 and when to try again. Eight times as
    /// many may be sending their bodies. Default: 512.
    pub max_concurrent_requests: usize,
    /// The most tokens that are computed in one go, which is done where many requests wait or one has many texts. What arrives meanwhile
    /// waits for as long as that takes, so it is no larger than threads need to be busy. Default: 1024.
    pub max_batch_tokens: usize,
    /// The most inputs of one request. Default: 2048, as OpenAI has it; they need not fit into a batch.
    pub max_client_batch_size: usize,
    /// Whether inputs with more tokens than the model takes are cut, if a request does not say. Default: yes.
    pub auto_truncate: bool,
    /// The most bytes of a request's body. Default: 2,000,000.
    pub payload_limit: usize,
    /// The most bytes of numbers in an answer that has a vector for each token; as JSON it is three times as many. Default: 32 MiB.
    pub answer_limit: usize,
    /// How long the body of a request may take to arrive; then it gets 408. Default: 30 seconds.
    pub read_timeout: Duration,
    /// How long a client may take nothing of an answer; then its connection is closed. Default: 30 seconds.
    pub write_timeout: Duration,
    /// How long a connection may be without a request, and how long the head of a request may take; then it is closed. Default: 75
    /// seconds, more than the 60 after which most proxies give a connection up: it should be they who close it, as a request that
    /// crosses the end of its connection is lost.
    pub idle_timeout: Duration,
    /// How long a server that is told to stop waits for what it has been asked. Default: 25 seconds, less than the 30 after which
    /// Kubernetes kills.
    pub shutdown_timeout: Duration,
    /// What is put before every text of a request that names no prompt. Default: the model's default prompt, which most have not.
    pub default_prompt: Option<String>,
    /// The same, as the name of one of the model's prompts.
    pub default_prompt_name: Option<String>,
    /// The origins whose pages' scripts may ask; `*` is any. Default: none but the server's own.
    pub cors_allow_origin: Vec<String>,
    /// What requests must have behind `Authorization: Bearer`. Default: nothing.
    pub api_key: Option<String>,
    /// What the model is called in answers. Default: its own name.
    pub served_model_name: Option<String>,
    /// Whether inputs may be lists of token ids. Some clients send those of another model's tokenizer without being asked, and
    /// nothing can tell; so by default they are refused. Ids are taken as they are: no prompt and no special tokens are put around
    /// them, and a list longer than the model takes is an error, even where texts would be cut.
    pub accept_token_ids: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            max_concurrent_requests: 512,
            max_batch_tokens: 1024,
            max_client_batch_size: 2048,
            auto_truncate: true,
            payload_limit: 2_000_000,
            answer_limit: 32 << 20,
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            shutdown_timeout: Duration::from_secs(25),
            default_prompt: None,
            default_prompt_name: None,
            cors_allow_origin: Vec::new(),
            api_key: None,
            served_model_name: None,
            accept_token_ids: false,
        }
    }
}

impl ServerOptions {
    /// Sets [`ServerOptions::max_concurrent_requests`].
    #[must_use]
    pub fn max_concurrent_requests(mut self, max_concurrent_requests: usize) -> Self {
        self.max_concurrent_requests = max_concurrent_requests;
        self
    }

    /// Sets [`ServerOptions::max_batch_tokens`].
    #[must_use]
    pub fn max_batch_tokens(mut self, max_batch_tokens: usize) -> Self {
        self.max_batch_tokens = max_batch_tokens;
        self
    }

    /// Sets [`ServerOptions::max_client_batch_size`].
    #[must_use]
    pub fn max_client_batch_size(mut self, max_client_batch_size: usize) -> Self {
        self.max_client_batch_size = max_client_batch_size;
        self
    }

    /// Sets [`ServerOptions::auto_truncate`].
    #[must_use]
    pub fn auto_truncate(mut self, auto_truncate: bool) -> Self {
        self.auto_truncate = auto_truncate;
        self
    }

    /// Sets [`ServerOptions::payload_limit`].
    #[must_use]
    pub fn payload_limit(mut self, payload_limit: usize) -> Self {
        self.payload_limit = payload_limit;
        self
    }

    /// Sets [`ServerOptions::answer_limit`].
    #[must_use]
    pub fn answer_limit(mut self, answer_limit: usize) -> Self {
        self.answer_limit = answer_limit;
        self
    }

    /// Sets [`ServerOptions::read_timeout`].
    #[must_use]
    pub fn read_timeout(mut self, read_timeout: Duration) -> Self {
        self.read_timeout = read_timeout;
        self
    }

    /// Sets [`ServerOptions::write_timeout`].
    #[must_use]
    pub fn write_timeout(mut self, write_timeout: Duration) -> Self {
        self.write_timeout = write_timeout;
        self
    }

    /// Sets [`ServerOptions::idle_timeout`].
    #[must_use]
    pub fn idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = idle_timeout;
        self
    }

    /// Sets [`ServerOptions::shutdown_timeout`].
    #[must_use]
    pub fn shutdown_timeout(mut self, shutdown_timeout: Duration) -> Self {
        self.shutdown_timeout = shutdown_timeout;
        self
    }

    /// Sets [`ServerOptions::default_prompt`].
    #[must_use]
    pub fn default_prompt(mut self, default_prompt: impl Into<String>) -> Self {
        self.default_prompt = Some(default_prompt.into());
        self
    }

    /// Sets [`ServerOptions::default_prompt_name`].
    #[must_use]
    pub fn default_prompt_name(mut self, default_prompt_name: impl Into<String>) -> Self {
        self.default_prompt_name = Some(default_prompt_name.into());
        self
    }

    /// Sets [`ServerOptions::cors_allow_origin`].
    #[must_use]
    pub fn cors_allow_origin(mut self, origins: impl IntoIterator<Item: Into<String>>) -> Self {
        self.cors_allow_origin = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`ServerOptions::api_key`].
    #[must_use]
    pub fn api_key(mut self, api_key: impl Into<String>) -> Self {
        self.api_key = Some(api_key.into());
        self
    }

    /// Sets [`ServerOptions::served_model_name`].
    #[must_use]
    pub fn served_model_name(mut self, served_model_name: impl Into<String>) -> Self {
        self.served_model_name = Some(served_model_name.into());
        self
    }

    /// Sets [`ServerOptions::accept_token_ids`].
    #[must_use]
    pub fn accept_token_ids(mut self, accept_token_ids: bool) -> Self {
        self.accept_token_ids = accept_token_ids;
        self
    }
}

/// Without the API key, which no log should have.
impl std::fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerOptions")
            .field("max_concurrent_requests", &self.max_concurrent_requests)
            .field("max_batch_tokens", &self.max_batch_tokens)
            .field("max_client_batch_size", &self.max_client_batch_size)
            .field("auto_truncate", &self.auto_truncate)
            .field("payload_limit", &self.payload_limit)
            .field("answer_limit", &self.answer_limit)
            .field("read_timeout", &self.read_timeout)
            .field("write_timeout", &self.write_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("shutdown_timeout", &self.shutdown_timeout)
            .field("default_prompt", &self.default_prompt)
            .field("default_prompt_name", &self.default_prompt_name)
            .field("cors_allow_origin", &self.cors_allow_origin)
            .field("api_key", &self.api_key.is_some())
            .field("served_model_name", &self.served_model_name)
            .field("accept_token_ids", &self.accept_token_ids)
            .finish()
    }
}
