//! What is done for every request: counted, logged, and its error written in the shape of its API.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, Method};
use axum::middleware::Next;
use axum::response::Response;

use super::body::Drained;
use super::error::{ApiError, Dialect};
use crate::metrics::{Metrics, observe};
use crate::service::Service;

/// The path of requests for which there is none: as many as clients like, and one label.
const NO_PATH: &str = "none";

/// What a client, or a proxy, calls a request: it is logged, and stands in the answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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
    let request_id = request.headers().get(REQUEST_ID).cloned();
    let id = request_id.as_ref().and_then(|id| id.to_str().ok());
    let metrics = &service.metrics;
    // What asks for vectors or tokens is posted.
    let counted = method == Method::POST && path != NO_PATH;
    if counted {
        metrics.requests.with_label_values(&[path]).inc();
    }
    let mut watched = Watched { metrics, has_answer: !counted };

    let mut response = next.run(request.map(Drained::body)).await;

    watched.has_answer = true;
    let (elapsed, status) = (started.elapsed(), response.status());
    metrics.responses.with_label_values(&[path, status.as_str()]).inc();
    let failure = response.extensions_mut().remove::<ApiError>();
    match &failure {
        Some(failure) if counted => metrics.failures.with_label_values(&[failure.kind.name()]).inc(),
        None if counted => {
            metrics.successes.with_label_values(&[path]).inc();
            observe(&metrics.request_duration, elapsed);
        }
        _ => (),
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
        // What clients do wrong, and that there are too many, is their log's, and the counters'.
        _ => log!(debug),
    }
    let mut response = match failure {
        Some(failure) => failure.response(dialect),
        None => response,
    };
    if let Some(id) = request_id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
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
