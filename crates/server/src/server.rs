use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use minilm::SentenceTransformer;

use crate::ServerOptions;
use crate::connections::{self, Listener, Timeouts};
use crate::http;
use crate::metrics::Metrics;
use crate::queue::{Engine, Limits, Queue};
use crate::service::Service;

/// A model behind HTTP.
#[derive(Debug)]
pub struct Server {
    router: Router,
    queue: Queue,
    engine: Engine,
    timeouts: Timeouts,
}

/// Why a server cannot be made, or did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The model cannot compute.
    #[error(transparent)]
    Model(#[from] minilm::Error),

    /// An option has a value that cannot be.
    #[error("{option} is {found}, expected {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },

    /// The system refuses a thread.
    #[error("no thread can be started: {0}")]
    Thread(io::Error),

    /// A mistake of this crate.
    #[error("a mistake of the server's: {0}")]
    Internal(String),

    /// Requests had no answer yet when the time for them was over.
    #[error("requests were not answered within {} s of the shutdown", limit.as_secs_f64())]
    Shutdown {
        /// [`ServerOptions::shutdown_timeout`]
        limit: Duration,
    },
}

impl Server {
    /// A server of that model, which computes once first: whoever connects finds it warm.
    ///
    /// # Errors
    ///
    /// [`ServerError`], but [`ServerError::Shutdown`].
    pub fn new(model: SentenceTransformer, options: ServerOptions) -> Result<Server, ServerError> {
        check(&model, &options)?;
        model.encode("a text to warm up with")?;
        let resolved = model.resolved();
        let own =
            || resolved.name().map_or_else(|| resolved.directory().display().to_string(), str::to_owned);
        let model_name = options.served_model_name.clone().unwrap_or_else(own);
        let metrics = Metrics::new(&model, &model_name);
        let metrics = Arc::new(metrics.map_err(|error| ServerError::Internal(error.to_string()))?);

        let limits = Limits::new(options.max_concurrent_requests, options.max_batch_tokens, model.threads());
        let timeouts = Timeouts {
            idle: options.idle_timeout,
            write: options.write_timeout,
            shutdown: options.shutdown_timeout,
        };
        let model = Arc::new(model);
        let queue = Queue::start(Arc::clone(&model), limits, Arc::clone(&metrics));
        let (queue, engine) = queue.map_err(ServerError::Thread)?;
        let service = Service::new(model, queue.clone(), options, model_name, metrics);
        Ok(Server { router: http::router(Arc::new(service)), queue, engine, timeouts })
    }

    /// Its routes, for who has a server of his own made with axum 0.8. The model is given up with the last clone of them.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Answers who connects until `shutdown` is done; then what has been asked is answered, and nothing new is accepted.
    ///
    /// # Errors
    ///
    /// [`ServerError::Shutdown`].
    pub async fn serve(
        self,
        listener: impl Into<Listener>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServerError> {
        let Server { router, queue, engine, timeouts } = self;
        let limit = timeouts.shutdown;
        let mut since = Instant::now();
        let shutdown = async {
            shutdown.await;
            since = Instant::now();
        };
        let all_had_answers = connections::serve(listener.into(), router, shutdown, timeouts).await;
        queue.close();
        let joined = tokio::task::spawn_blocking(move || engine.join());
        // A panic of the engine's thread has been said already.
        let ended = tokio::time::timeout(limit.saturating_sub(since.elapsed()), joined).await.is_ok();
        if all_had_answers && ended { Ok(()) } else { Err(ServerError::Shutdown { limit }) }
    }
}

/// Refuses options that would be noticed only when somebody asks.
fn check(model: &SentenceTransformer, options: &ServerOptions) -> Result<(), ServerError> {
    let wrong = |option, expected: &str, found: String| {
        Err(ServerError::Option { option, expected: expected.to_owned(), found })
    };
    // As a header can have it: with a line's end behind it, for instance, nobody could send it.
    let is_visible = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
    if options.api_key.as_deref().is_some_and(|key| !is_visible(key)) {
        let found = "something else".to_owned();
        return wrong("api_key", "visible ASCII characters without blanks", found);
    }
    for (option, value) in [
        ("max_concurrent_requests", options.max_concurrent_requests),
        ("max_batch_tokens", options.max_batch_tokens),
        ("max_client_batch_size", options.max_client_batch_size),
        ("payload_limit", options.payload_limit),
        ("answer_limit", options.answer_limit),
    ] {
        if value == 0 {
            return wrong(option, "at least 1", "0".to_owned());
        }
    }
    for (option, value) in [
        ("read_timeout", options.read_timeout),
        ("write_timeout", options.write_timeout),
        ("idle_timeout", options.idle_timeout),
    ] {
        if value.is_zero() {
            return wrong(option, "more than nothing", "0 s".to_owned());
        }
    }
    if let Some(name) = &options.default_prompt_name {
        let names: Vec<&str> = model.prompts().map(|(name, _)| name).collect();
        if options.default_prompt.is_some() {
            return wrong("default_prompt_name", "no default_prompt beside it", format!("{name:?}"));
        }
        if !names.contains(&&**name) {
            let expected = format!("one of the model's prompts, which are {names:?}");
            return wrong("default_prompt_name", &expected, format!("{name:?}"));
        }
    }
    for origin in &options.cors_allow_origin {
        if origin.is_empty() || !origin.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong(
                "cors_allow_origin",
                "an origin, as https://example.org, or *",
                format!("{origin:?}"),
            );
        }
    }
    Ok(())
}
