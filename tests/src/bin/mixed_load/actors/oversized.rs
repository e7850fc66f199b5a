//! Requests that are larger than the server takes.

use serde_json::json;

use crate::actor::Actor;
use crate::http::Request;
use crate::server::{ANSWER_LIMIT, MAX_CLIENT_BATCH_SIZE, PAYLOAD_LIMIT};

pub(crate) fn step(actor: &mut Actor<'_>) {
    let pool = &actor.world.pool;
    let random = &mut actor.random;
    let path = random.choose(&["/embed", "/v1/embeddings", "/embed_all"]);
    let field = if path == "/v1/embeddings" { "input" } else { "inputs" };
    let request = match random.below(4) {
        way @ (0 | 1) => {
            let length = PAYLOAD_LIMIT + random.within(1..PAYLOAD_LIMIT);
            let mut body = format!("{{\"{field}\": \"").into_bytes();
            body.resize(length - 2, b'x');
            body.extend_from_slice(b"\"}");
            let mut request = Request::post(path, body);
            if way == 1 {
                request.chunk = Some(random.within(1000..100_000));
            }
            request
        }
        2 => {
            let n = MAX_CLIENT_BATCH_SIZE + random.within(1..MAX_CLIENT_BATCH_SIZE);
            Request::post(path, json!({field: vec!["a"; n]}).to_string())
        }
        _ => {
            let least = ANSWER_LIMIT / (pool.dimension * size_of::<f32>());
            let text = &pool.too_long(random).text;
            let n = least / pool.max_seq_length + random.within(1..9);
            Request::post("/embed_all", json!({"inputs": vec![text; n]}).to_string())
        }
    };
    let Some(mut connection) = actor.open() else { return };
    let Some(answer) = actor.exchange(&mut connection, &request) else { return };
    actor.judge_error(&request, &answer, 413);
    actor.pause(50..500);
}
