use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use minilm::SentenceTransformer;

use crate::ServerOptions;
use crate::connections::{self, Listener};
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
    shutdown_timeout: Duration,
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
    Thread(#[from] io::Error),

    /// The counters cannot be registered: a mistake of this crate.
    #[error("the counters for Prometheus: {0}")]
    Metrics(String),

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
        let metrics = Arc::new(metrics.map_err(|error| ServerError::Metrics(error.to_string()))?);

        let limits = Limits::new(options.max_concurrent_requests, options.max_batch_tokens);
        let shutdown_timeout = options.shutdown_timeout;
        let model = Arc::new(model);
        let (queue, engine) = Queue::start(Arc::clone(&model), limits, Arc::clone(&metrics))?;
        let service = Service::new(model, queue.clone(), options, model_name, metrics);
        Ok(Server { router: http::router(Arc::new(service)), queue, engine, shutdown_timeout })
    }

    /// Its routes, for who has a server of his own. The model is given up with the last clone of them.
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
        let Server { router, queue, engine, shutdown_timeout: limit } = self;
        let mut since = Instant::now();
        let shutdown = async {
            shutdown.await;
            since = Instant::now();
        };
        let all_had_answers = connections::serve(listener.into(), router, shutdown, limit).await;
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
    if options.api_key.as_deref().is_some_and(|key| key.trim_ascii().is_empty()) {
        // Nobody could send it.
        return wrong("api_key", "a key, or none at all", "empty".to_owned());
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
