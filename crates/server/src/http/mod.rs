//! The routes, and what is common to all of them.

pub(crate) mod error;
mod headers;
mod info;
pub(crate) mod input;
mod openai;
mod text_embeddings_inference;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;

use crate::queue::Permit;
use crate::service::Service;
use error::{ApiError, Dialect, Kind};

/// All routes of a server.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let limit = service.options.payload_limit;
    let guarded = Router::new()
        .route("/embed", only(post(text_embeddings_inference::embed)))
        .route("/embed_all", only(post(text_embeddings_inference::embed_all)))
        .route("/embeddings", only(post(openai::embeddings)))
        .route("/v1/embeddings", only(post(openai::embeddings)))
        .route("/info", only(get(info::info)))
        .route_layer(from_fn_with_state(Arc::clone(&service), authorize));
    // Who watches over the server has no key.
    let open = Router::new().route("/health", only(get(info::health)));
    guarded.merge(open).fallback(not_found).layer(DefaultBodyLimit::max(limit)).with_state(service)
}

/// A route for one method; others get an error that says so.
fn only(route: MethodRouter<Arc<Service>>) -> MethodRouter<Arc<Service>> {
    route.fallback(method_not_allowed)
}

async fn not_found(method: Method, uri: Uri) -> Response {
    let message = format!("there is nothing at {method} {}", uri.path());
    ApiError::new(Kind::NotFound, message).response(Dialect::of_path(uri.path()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let message = format!("{} is not for {method}", uri.path());
    ApiError::new(Kind::MethodNotAllowed, message).response(Dialect::of_path(uri.path()))
}

/// Lets pass who has the API key, if there is one.
async fn authorize(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let Some(key) = &service.options.api_key else { return next.run(request).await };
    let found = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let bearer = found.and_then(|value| {
        let (scheme, token) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
    });
    // In a time that does not tell how much of it was right.
    if bearer.is_some_and(|token| token.ct_eq(key.as_bytes()).into()) {
        return next.run(request).await;
    }
    let message = match found {
        None => "the API key is missing: Authorization: Bearer KEY",
        Some(_) => "the API key is another one",
    };
    ApiError::new(Kind::Unauthorized, message).response(Dialect::of_path(request.uri().path()))
}

/// A place for a request, and then its body, whatever type its headers say it has.
async fn receive<T: DeserializeOwned>(service: &Service, request: Request) -> Result<(Permit, T), ApiError> {
    let permit = service.queue.reserve()?;
    let body = Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let limit = service.options.payload_limit;
            ApiError::new(Kind::TooLarge, format!("the body has more than {limit} bytes"))
        }
        _ => ApiError::new(Kind::BadRequest, rejection.body_text()),
    })?;
    let request = serde_json::from_slice(&body).map_err(|error| {
        let kind = if error.is_data() { Kind::Unprocessable } else { Kind::BadRequest };
        ApiError::new(kind, format!("the body is not the JSON that is expected: {error}"))
    })?;
    Ok((permit, request))
}
