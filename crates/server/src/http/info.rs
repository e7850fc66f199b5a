//! What the server is, and whether it is well.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, Kind};
use super::openapi::{HealthErrors, KeyErrors};
use crate::queue::QueueError;
use crate::service::Service;

/// As text-embeddings-inference has it.
#[derive(Serialize, ToSchema)]
pub(super) struct Info {
    model_id: String,
    model_dtype: &'static str,
    model_type: ModelType,
    max_concurrent_requests: usize,
    max_input_length: usize,
    max_batch_tokens: usize,
    max_client_batch_size: usize,
    auto_truncate: bool,
    tokenization_workers: usize,
    version: &'static str,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ModelType {
    Embedding { pooling: String },
}

/// What the model and the server are.
#[utoipa::path(
    get,
    path = "/info",
    tag = "server",
    responses((status = 200, description = "Their names and limits", body = Info), KeyErrors)
)]
pub(super) async fn info(State(service): State<Arc<Service>>) -> Json<Info> {
    let (model, options) = (&service.model, &service.options);
    let pooling: Vec<&str> = model.pooling_modes().iter().map(|mode| mode.name()).collect();
    Json(Info {
        model_id: service.model_name.clone(),
        model_dtype: model.precision().name(),
        model_type: ModelType::Embedding { pooling: pooling.join("+") },
        max_concurrent_requests: options.max_concurrent_requests,
        max_input_length: model.max_seq_length(),
        max_batch_tokens: options.max_batch_tokens,
        max_client_batch_size: options.max_client_batch_size,
        auto_truncate: options.auto_truncate,
        tokenization_workers: model.threads(),
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Whether the server is well.
///
/// The model has computed once before there is anybody to ask, so all is well while it can be asked.
#[utoipa::path(
    get,
    path = "/health",
    tag = "server",
    responses((status = 200, description = "It can be asked"), HealthErrors)
)]
pub(super) async fn health(State(service): State<Arc<Service>>) -> Result<StatusCode, ApiError> {
    if service.queue.is_closed() { Err(QueueError::Closed.into()) } else { Ok(StatusCode::OK) }
}

/// The counters, in the text format of Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "server",
    responses((status = 200, description = "Counters", body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> Result<Response, ApiError> {
    let text = service.metrics.text(&service.queue);
    let text = text.map_err(|error| ApiError::new(Kind::Inference, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}
