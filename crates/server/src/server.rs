use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use minilm::SentenceTransformer;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::ServerOptions;
use crate::http;
use crate::queue::{Engine, Limits, Queue};
use crate::service::Service;

/// A model behind HTTP.
#[derive(Debug)]
pub struct Server {
    router: Router,
    queue: Queue,
    engine: Engine,
}

/// Why a server cannot be made.
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
        expected: &'static str,
        /// What it is.
        found: String,
    },

    /// The system refuses a thread.
    #[error("no thread can be started: {0}")]
    Thread(#[from] io::Error),
}

impl Server {
    /// A server of that model, which computes once first: whoever connects finds it warm.
    ///
    /// # Errors
    ///
    /// [`ServerError`].
    pub fn new(model: SentenceTransformer, options: ServerOptions) -> Result<Server, ServerError> {
        if options.api_key.as_deref().is_some_and(|key| key.trim_ascii().is_empty()) {
            // Nobody could send it.
            let (expected, found) = ("a key, or none at all", "empty".to_owned());
            return Err(ServerError::Option { option: "api_key", expected, found });
        }
        model.encode("a text to warm up with")?;
        let resolved = model.resolved();
        let own =
            || resolved.name().map_or_else(|| resolved.directory().display().to_string(), str::to_owned);
        let model_name = options.served_model_name.clone().unwrap_or_else(own);
        let limits = Limits::new(options.max_concurrent_requests, options.max_batch_tokens);
        let model = Arc::new(model);
        let (queue, engine) = Queue::start(Arc::clone(&model), limits)?;
        let tokenizing = Semaphore::new(model.threads());
        let service = Service { model, queue: queue.clone(), options, model_name, tokenizing };
        Ok(Server { router: http::router(Arc::new(service)), queue, engine })
    }

    /// Its routes, for who has a server of his own. The model is given up with the last clone of them.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Answers who connects until `shutdown` is done; then what has been asked is answered, and nothing new is accepted.
    ///
    /// # Errors
    ///
    /// What the listener says.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let Server { router, queue, engine } = self;
        let result = axum::serve(listener, router).with_graceful_shutdown(shutdown).await;
        queue.close();
        let joined = tokio::task::spawn_blocking(move || engine.join()).await;
        // A panic of the engine's thread has been said already.
        drop(joined);
        result
    }
}
