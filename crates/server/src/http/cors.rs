//! Which web pages' scripts may ask.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// What scripts may read of an answer beside its body.
const EXPOSED: [&str; 12] = [
    "retry-after",
    "server-timing",
    "x-compute-characters",
    "x-compute-time",
    "x-compute-tokens",
    "x-compute-type",
    "x-inference-time",
    "x-queue-time",
    "x-request-id",
    "x-tokenization-time",
    "x-total-time",
    "x-truncated-inputs",
];

/// `None` if there are no origins: then answers say nothing, and browsers let the server's own pages alone ask.
pub(super) fn layer(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins = match origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        // The options have been checked.
        false => AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok())),
    };
    let layer = CorsLayer::new().allow_origin(origins).allow_methods([Method::GET, Method::POST]);
    // Those that are asked for: `*` would not mean `Authorization`.
    let layer = layer.allow_headers(AllowHeaders::mirror_request()).max_age(Duration::from_secs(3600));
    Some(layer.expose_headers(EXPOSED.map(HeaderName::from_static)))
}
