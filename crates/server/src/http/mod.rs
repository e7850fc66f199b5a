//! The routes, and what is common to all of them.

mod body;
mod cors;
pub(crate) mod error;
mod headers;
mod info;
pub(crate) mod input;
mod observe;
mod openai;
mod openapi;
mod text_embeddings_inference;
mod tokens;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use subtle::ConstantTimeEq;

use crate::page;
use crate::queue::Permit;
use crate::service::{Embedded, Service};
use body::Pieces;
use error::{ApiError, Kind};

/// All routes of a server.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let limit = service.options.payload_limit;
    let guarded = Router::new()
        .route("/embed", only(post(text_embeddings_inference::embed)))
        .route("/embed_all", only(post(text_embeddings_inference::embed_all)))
        .route("/similarity", only(post(text_embeddings_inference::similarity)))
        .route("/tokenize", only(post(tokens::tokenize)))
        .route("/decode", only(post(tokens::decode)))
        .route("/embeddings", only(post(openai::embeddings)))
        .route("/v1/embeddings", only(post(openai::embeddings)))
        .route("/v1/models", only(get(openai::models)))
        .route("/v1/models/{*id}", only(get(openai::model)))
        .route("/info", only(get(info::info)))
        .route("/", only(post(text_embeddings_inference::root)))
        .route_layer(from_fn_with_state(Arc::clone(&service), authorize));
    // Who watches over the server has no key.
    let open = Router::new()
        .route("/health", only(get(info::health)))
        .route("/ping", only(get(info::health)))
        .route("/metrics", only(get(info::metrics)))
        .route("/openapi.json", only(get(openapi::document)))
        .route("/docs", only(get(page::docs)))
        // `POST /` has a key, and says what else is not for it.
        .route("/", get(page::index));
    let router = guarded.merge(open).fallback(not_found);
    let router = router.layer(DefaultBodyLimit::max(limit));
    let router = router.layer(from_fn_with_state(Arc::clone(&service), observe::every_request));
    match cors::layer(&service.options.cors_allow_origin) {
        Some(layer) => router.layer(layer),
        None => router,
    }
    .with_state(service)
}

/// A route for one method; others get an error that says so.
fn only(route: MethodRouter<Arc<Service>>) -> MethodRouter<Arc<Service>> {
    route.fallback(method_not_allowed)
}

async fn not_found(method: Method, uri: Uri) -> ApiError {
    ApiError::new(Kind::NotFound, format!("there is nothing at {method} {}", uri.path()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::new(Kind::MethodNotAllowed, format!("{} is not for {method}", uri.path()))
}

/// Lets pass who has the API key, if there is one.
async fn authorize(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Some(key) = &service.options.api_key else { return Ok(next.run(request).await) };
    let found = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let bearer = found.and_then(|value| {
        let (scheme, token) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
    });
    // In a time that does not tell how much of it was right.
    if bearer.is_some_and(|token| token.ct_eq(key.as_bytes()).into()) {
        return Ok(next.run(request).await);
    }
    let message = match found {
        None => "the API key is missing: Authorization: Bearer KEY",
        Some(_) => "the API key is another one",
    };
    Err(ApiError::new(Kind::Unauthorized, message))
}

/// The body of a request, whatever type its headers say it has, and then a place for it.
async fn receive<T>(service: &Service, request: Request) -> Result<(Permit, T), ApiError>
where
    T: DeserializeOwned + Send + 'static,
{
    receive_as(service, request, |body| serde_json::from_slice(body).map(|Object(request)| request)).await
}

/// The same, where it takes more to read a body.
async fn receive_as<T: Send + 'static>(
    service: &Service,
    request: Request,
    read: fn(&[u8]) -> serde_json::Result<T>,
) -> Result<(Permit, T), ApiError> {
    let Ok(reader) = service.readers.try_acquire() else {
        return Err(ApiError::new(Kind::Overloaded, "as many bodies are being read as there may be"));
    };
    let limit = service.options.read_timeout;
    let body = tokio::time::timeout(limit, Bytes::from_request(request, &())).await.map_err(|_| {
        ApiError::new(Kind::TimedOut, format!("the body was not there after {} s", limit.as_secs_f64()))
    })?;
    drop(reader);
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let limit = service.options.payload_limit;
            ApiError::new(Kind::TooLarge, format!("the body has more than {limit} bytes"))
        }
        _ => ApiError::new(Kind::BadRequest, rejection.body_text()),
    })?;
    let permit = service.queue.reserve()?;
    let request = service.work(body.len(), move || read(&body)).await?;
    let request = request.map_err(|error| {
        let kind = if error.is_data() { Kind::Unprocessable } else { Kind::BadRequest };
        ApiError::new(kind, format!("the body is not the JSON that is expected: {error}"))
    })?;
    Ok((permit, request))
}

/// An object. What serde derives takes a list of the fields' values too, in the order in which they are declared here.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        struct Map<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Map(PhantomData))
    }
}

/// An answer: vectors, in whatever form, and what the headers say of them.
async fn answer<T: Serialize>(
    service: &Service,
    permit: Permit,
    embedded: Embedded,
    body: impl FnOnce(Embedded) -> T + Send + 'static,
) -> Result<Response, ApiError> {
    /// Of a number in JSON, on average.
    const BYTES: usize = 12;
    let bytes = BYTES * embedded.vectors.iter().map(Vec::len).sum::<usize>();
    let headers = headers::of(&embedded);
    let mut response = json(service, permit, bytes, move || body(embedded)).await?;
    response.headers_mut().extend(headers);
    Ok(response)
}

/// An answer in JSON of some so many bytes.
async fn json<T: Serialize>(
    service: &Service,
    permit: Permit,
    bytes: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<Response, ApiError> {
    let write = move || {
        let mut json = Vec::with_capacity(bytes + 256);
        serde_json::to_writer(&mut json, &body()).map(|()| json)
    };
    let json = service.work(bytes, write).await?;
    let json = json.map_err(|error| ApiError::new(Kind::Inference, error.to_string()))?;
    let body = Pieces::body(json.into(), permit);
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
