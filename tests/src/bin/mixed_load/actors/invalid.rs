//! Requests that cannot be answered, and what they get instead.

use serde_json::json;

use crate::actor::{Actor, error, refusal};
use crate::http::Request;
use crate::server::MAX_CLIENT_BATCH_SIZE;

const POSTED: [&str; 4] = ["/embed", "/v1/embeddings", "/embed_all", "/embeddings"];

pub(crate) fn step(actor: &mut Actor<'_>) {
    match actor.random.below(5) {
        0 => no_http(actor),
        1 => broken_body(actor),
        _ => refused(actor),
    }
    actor.pause(0..60);
}

/// HTTP that the routes refuse.
fn refused(actor: &mut Actor<'_>) {
    let (request, status) = case(actor);
    let Some(mut connection) = actor.kept() else { return };
    let Some(answer) = actor.exchange(&mut connection, &request) else { return };
    if !answer.is_last() {
        actor.keep(connection);
    }
    // Those that are refused before their bodies are looked at are so however much there is to do.
    if answer.status == 429 && matches!(status, 400 | 413 | 422) {
        if let Err(what) = refusal(&request.path, &answer) {
            actor.wrong(&request, &answer, &what);
        }
        return;
    }
    let fault = match error(&request.path, &answer) {
        _ if answer.status != status => format!("expected {status}"),
        Ok(()) if status == 401 && answer.header("www-authenticate") != Some("Bearer") => {
            "expected www-authenticate: Bearer".to_owned()
        }
        Ok(()) => return,
        Err(what) => what,
    };
    actor.wrong(&request, &answer, &fault);
}

/// A request, and the status that it has to get.
fn case(actor: &mut Actor<'_>) -> (Request, u16) {
    let pool = &actor.world.pool;
    let random = &mut actor.random;
    let path = random.choose(&POSTED);
    let field = if path.contains("embeddings") { "input" } else { "inputs" };
    let post = |body: serde_json::Value| Request::post(path, body.to_string());
    let valid = Request::post(path, json!({field: pool.choose(random, 1)[0].text}).to_string());
    match random.below(13) {
        0 => {
            let mut cut = valid;
            cut.body.truncate(random.below(cut.body.len()));
            (cut, 400)
        }
        1 => {
            let lone_surrogate = format!("{{\"{field}\": \"\\ud800\"}}");
            (
                Request::post(
                    path,
                    random.choose(&["", "{]", "nul", "\u{0}", "{\"a\": \"", &lone_surrogate]),
                ),
                400,
            )
        }
        2 => {
            let value =
                random.choose(&["7", "null", "{}", "[null]", "true", "[\"a\", 7]", "[[\"a\"]]", "1e999999"]);
            // A number that is too large is no number at all.
            let status = if value == "1e999999" { 400 } else { 422 };
            (Request::post(path, format!("{{\"{field}\": {value}}}")), status)
        }
        3 => (Request::post(path, random.choose(&["{}", "[]", "7", "\"a\""])), 422),
        4 => {
            let path = random.choose(&[
                "/nothing",
                "/v1/nothing",
                "/embed/",
                "/v1/models/none",
                "/../embed",
                "/%00",
            ]);
            (Request::get(path), 404)
        }
        5 => {
            let mut other = valid;
            other.method = random.choose(&["GET", "PUT", "DELETE", "PATCH"]);
            if other.method == "GET" {
                other.body.clear();
            }
            (other, 405)
        }
        6 => (Request::post(random.choose(&["/health", "/metrics", "/v1/models", "/info"]), "{}"), 405),
        7 => {
            let mut stranger = valid;
            stranger.headers = random
                .choose(&[
                    "",
                    "authorization: Bearer another\r\n",
                    "authorization: Basic bWl4\r\n",
                    "authorization: mixed-load\r\n",
                ])
                .to_owned();
            (stranger, 401)
        }
        8 => (post(json!({field: []})), 400),
        9 => {
            let text = &pool.too_long(random).text;
            (Request::post("/embed", json!({"inputs": ["a", text], "truncate": false}).to_string()), 422)
        }
        10 => (post(json!({field: random.choose(&[&[101, 7, 102][..], &[1]])})), 400),
        11 => (Request::post("/decode", json!({"ids": [[101], [1_000_000]]}).to_string()), 422),
        _ if path.starts_with("/embed_all") => (post(json!({field: "a", "prompt_name": "none"})), 422),
        _ => {
            let dimensions = random.choose(&["0", "100000", "1.5", "-1", "\"7\""]);
            (Request::post(path, format!("{{\"{field}\": \"a\", \"dimensions\": {dimensions}}}")), 422)
        }
    }
}

/// A body that does not have the form that its head says.
fn broken_body(actor: &mut Actor<'_>) {
    let mut request = Request::post(actor.random.choose(&POSTED), Vec::new());
    request.headers += "transfer-encoding: chunked\r\nx-broken: chunks\r\n";
    let broken = actor.random.choose(&["zz\r\n{}\r\n0\r\n\r\n", "-1\r\n{}\r\n", "2\r\n{}}}}}\r\n0\r\n\r\n"]);
    let head = request.head();
    let end = b"content-length: 0\r\n\r\n".len();
    let bytes = [&head[..head.len() - end], b"\r\n", broken.as_bytes()].concat();
    let Some(mut connection) = actor.open() else { return };
    actor.begin();
    let _ = connection.send(&bytes);
    let outcome = connection.answer();
    request.body = broken.into();
    let Some(answer) = actor.due(&request, outcome) else { return };
    actor.judge_error(&request, &answer, 400);
}

/// What is not HTTP, or has a head that is too large: it has no path, and the answer no body.
fn no_http(actor: &mut Actor<'_>) {
    let key = format!("authorization: Bearer {}\r\n", crate::http::KEY);
    let random = &mut actor.random;
    let (bytes, status) = match random.below(7) {
        0 => (b"hello\r\n\r\n".to_vec(), 400),
        // The beginning of TLS.
        1 => (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), 400),
        2 => (b"GET /health HTTP/1.1\r\nno colon\r\n\r\n".to_vec(), 400),
        3 => (b"GET /health\x01 HTTP/1.1\r\n\r\n".to_vec(), 400),
        4 => {
            let lengths = "content-length: 2\r\ncontent-length: 3\r\n";
            (format!("POST /embed HTTP/1.1\r\n{key}{lengths}\r\n{{}}").into_bytes(), 400)
        }
        5 => {
            // As much as the server reads of a head, without its end; what came behind that might cost the answer.
            let mut bytes = format!("GET /health HTTP/1.1\r\n{key}x-long: ").into_bytes();
            bytes.resize(64 << 10, b'x');
            (bytes, 431)
        }
        _ => {
            let many: String = (0..MAX_CLIENT_BATCH_SIZE).map(|i| format!("x-{i}: {i}\r\n")).collect();
            (format!("GET /health HTTP/1.1\r\n{many}\r\n").into_bytes(), 431)
        }
    };
    let Some(mut connection) = actor.open() else { return };
    let request =
        Request { method: "", path: "no HTTP".to_owned(), headers: String::new(), body: bytes, chunk: None };
    actor.begin();
    let _ = connection.send(&request.body);
    let outcome = connection.answer();
    let Some(answer) = actor.due(&request, outcome) else { return };
    if answer.status != status || !answer.body.is_empty() {
        actor.wrong(&request, &answer, &format!("expected {status} and no body"));
    }
}
