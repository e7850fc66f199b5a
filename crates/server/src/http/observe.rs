//! What is done for every request: counted, logged, and its error written in the shape of its API.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::error::{ApiError, Dialect};
use crate::metrics::{Metrics, observe};
use crate::service::Service;

/// The path of requests for which there is none: as many as clients like, and one label.
const NO_PATH: &str = "none";

pub(super) async fn every_request(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or(NO_PATH, MatchedPath::as_str);
    let dialect = Dialect::of_path(request.uri().path());
    let method = request.method().clone();
    let id = request.headers().get("x-request-id").cloned();
    let id = id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default();
    let mut watched = Watched { metrics: &service.metrics, has_answer: false };

    let mut response = next.run(request).await;

    watched.has_answer = true;
    let (metrics, elapsed, status) = (&service.metrics, started.elapsed(), response.status());
    metrics.responses.with_label_values(&[path, status.as_str()]).inc();
    let failure = response.extensions_mut().remove::<ApiError>();
    if let Some(failure) = &failure {
        metrics.failures.with_label_values(&[failure.kind.name()]).inc();
    }
    // What asks for vectors or tokens is posted.
    if method == Method::POST && path != NO_PATH {
        metrics.requests.with_label_values(&[path]).inc();
        if failure.is_none() {
            metrics.successes.with_label_values(&[path]).inc();
            observe(&metrics.request_duration, elapsed);
        }
    }
    let us = elapsed.as_micros() as u64;
    let error = failure.as_ref().map(|failure| &*failure.message);
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(%method, path, status = status.as_u16(), us, id, error, "request")
        };
    }
    match status.as_u16() {
        424 | 500.. => log!(error),
        429 => log!(warn),
        _ => log!(debug),
    }
    match failure {
        Some(failure) => failure.response(dialect),
        None => response,
    }
}

/// Counts a request that is dropped before its answer.
struct Watched<'a> {
    metrics: &'a Metrics,
    has_answer: bool,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if !self.has_answer {
            self.metrics.cancelled.inc();
        }
    }
}
