//! What an answer's headers say of its making.

use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{HeaderMap, HeaderName as Name};

use crate::service::{Embedded, Times};

const SERVER_TIMING: HeaderName = Name::from_static("server-timing");
const TRUNCATED: HeaderName = Name::from_static("x-truncated-inputs");

/// More indices than these would make a header that proxies refuse.
const MOST_INDICES: usize = 100;

/// Those of text-embeddings-inference, whose times are in milliseconds, and `Server-Timing`, whose are too, with microseconds
/// behind the point; and which inputs were cut.
pub(super) fn of(embedded: &Embedded) -> HeaderMap {
    let Embedded { characters, tokens, times, .. } = embedded;
    let Times { tokenization_time, queue_time, inference_time, total_time } = times;
    let mut headers = HeaderMap::new();
    headers.insert("x-compute-type", HeaderValue::from_static("cpu"));
    for (name, value) in [
        ("x-compute-characters", *characters as u64),
        ("x-compute-tokens", *tokens as u64),
        ("x-compute-time", total_time.as_millis() as u64),
        ("x-total-time", total_time.as_millis() as u64),
        ("x-tokenization-time", tokenization_time.as_millis() as u64),
        ("x-queue-time", queue_time.as_millis() as u64),
        ("x-inference-time", inference_time.as_millis() as u64),
    ] {
        headers.insert(name, HeaderValue::from(value));
    }
    let milliseconds = |time: &std::time::Duration| time.as_nanos() as f64 / 1e6;
    let timing = format!(
        "tokenization;dur={:.3}, queue;dur={:.3}, inference;dur={:.3}, total;dur={:.3}",
        milliseconds(tokenization_time),
        milliseconds(queue_time),
        milliseconds(inference_time),
        milliseconds(total_time),
    );
    insert(&mut headers, SERVER_TIMING, timing);
    if !embedded.truncated.is_empty() {
        let indices = embedded.truncated.iter().take(MOST_INDICES).map(usize::to_string);
        let mut indices = indices.collect::<Vec<_>>().join(", ");
        if embedded.truncated.len() > MOST_INDICES {
            indices += ", ...";
        }
        insert(&mut headers, TRUNCATED, indices);
    }
    headers
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    // All of it is visible ASCII.
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
