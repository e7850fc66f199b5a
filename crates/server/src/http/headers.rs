//! What an answer's headers say of its making.

use axum::http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::service::{Embedded, Times};

const SERVER_TIMING: &str = "server-timing";
const TRUNCATED: &str = "x-truncated-inputs";

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

/// The same for the description of the API: OpenAPI's header objects by their names.
pub(super) fn described() -> Value {
    let (text, number) = (json!({"type": "string"}), json!({"type": "integer", "minimum": 0}));
    let timing = "The same times, in milliseconds with three digits behind the point, as browsers show them";
    let truncated = "Which inputs were cut, counted from 0: the first hundred of them";
    let headers = [
        ("x-compute-type", &text, "What computed: `cpu`"),
        ("x-compute-characters", &number, "How many characters the inputs have"),
        (
            "x-compute-tokens",
            &number,
            "How many tokens were computed: where inputs were cut, those that are left",
        ),
        ("x-compute-time", &number, "How long all of it took, in milliseconds"),
        ("x-total-time", &number, "How long all of it took, in milliseconds"),
        ("x-tokenization-time", &number, "How long it took to make tokens of the inputs, in milliseconds"),
        ("x-queue-time", &number, "How long the first input waited to be computed, in milliseconds"),
        ("x-inference-time", &number, "How long batches with these inputs were computed, in milliseconds"),
        (SERVER_TIMING, &text, timing),
        (TRUNCATED, &text, truncated),
    ];
    let object = |(name, schema, description): (&str, &Value, &str)| {
        let required = name != TRUNCATED;
        (name.to_owned(), json!({"description": description, "required": required, "schema": schema}))
    };
    Value::Object(headers.into_iter().map(object).collect())
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: String) {
    // All of it is visible ASCII.
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
