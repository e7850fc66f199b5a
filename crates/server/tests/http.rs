//! Requests as clients send them, and answers as they read them.

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minilm::{EncodeOptions, SentenceTransformer, TruncationSide, cos_sim};
use minilm_server::{Server, ServerOptions};
use serde_json::{Value, json};
use tower::ServiceExt;

const TEXTS: [&str; 3] = ["the cat sat on the mat", "", "a dog"];

fn model() -> SentenceTransformer {
    SentenceTransformer::load(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert")).unwrap()
}

fn router(options: ServerOptions) -> Router {
    Server::new(model(), options).unwrap().router()
}

/// A body of which nothing ever comes.
struct Endless;

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn get(router: &Router, path: &str) -> Answer {
    send(router, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn post(router: &Router, path: &str, body: impl Into<Body>) -> Answer {
    send(router, Request::post(path).header("content-type", "application/json").body(body.into()).unwrap())
        .await
}

/// Numbers of JSON, which are written so that they are read as the same ones.
fn vector(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn vectors(value: &Value) -> Vec<Vec<f32>> {
    value.as_array().unwrap().iter().map(vector).collect()
}

fn expected(options: &EncodeOptions) -> Vec<Vec<f32>> {
    model().encode_batch(&TEXTS, options).unwrap().rows().map(<[f32]>::to_vec).collect()
}

#[tokio::test]
async fn vectors_are_the_bits_of_the_library() {
    let router = router(ServerOptions::default());
    let normalized = EncodeOptions::default().normalize_embeddings(true);
    for (fields, options) in [
        (json!({}), normalized.clone()),
        (json!({"normalize": false}), EncodeOptions::default().unscaled(true)),
        (json!({"dimensions": 7}), normalized.clone().truncate_dim(7)),
        // To JSON, and to JSON Schema, it is the same number.
        (json!({"dimensions": 7.0}), normalized.clone().truncate_dim(7)),
        (json!({"truncate": true, "prompt_name": null, "normalize": null}), normalized.clone()),
    ] {
        let mut request = fields.clone();
        request["inputs"] = json!(TEXTS);
        let answer = post(&router, "/embed", request.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{fields}: {}", answer.body);
        assert_eq!(vectors(&answer.body), expected(&options), "{fields}");
    }
    // One text is a list of one.
    let answer = post(&router, "/embed", json!({"inputs": TEXTS[2]}).to_string()).await;
    assert_eq!(vectors(&answer.body), expected(&normalized)[2..]);

    let answer = post(&router, "/embed_all", json!({"inputs": TEXTS}).to_string()).await;
    let tokens = model().encode_tokens(&TEXTS, &EncodeOptions::default()).unwrap();
    for (found, text) in answer.body.as_array().unwrap().iter().zip(&tokens) {
        let expected: Vec<Vec<f32>> = text.token_embeddings().rows().map(<[f32]>::to_vec).collect();
        assert_eq!(vectors(found), expected);
    }
}

#[tokio::test]
async fn the_side_that_is_cut_is_the_requests() {
    let router = router(ServerOptions::default());
    let text = "the cat ".repeat(240) + "sat on the mat";
    for (direction, side) in [("Left", TruncationSide::Left), ("Right", TruncationSide::Right)] {
        let request = json!({"inputs": text, "truncation_direction": direction}).to_string();
        let answer = post(&router, "/embed", request).await;
        let options = EncodeOptions::default().normalize_embeddings(true).truncation_side(side);
        assert_eq!(vector(&answer.body[0]), model().encode_batch(&[&text], &options).unwrap().row(0));
    }
}

#[tokio::test]
async fn similarities_are_cosines_at_their_own_path_and_at_the_root() {
    let router = router(ServerOptions::default());
    let model = model();
    let vectors = model.encode_batch(&TEXTS, &EncodeOptions::default().normalize_embeddings(true)).unwrap();
    let source =
        model.encode_batch(&["a cat"], &EncodeOptions::default().normalize_embeddings(true)).unwrap();
    let expected = cos_sim(&source, &vectors).unwrap();
    let inputs = json!({"source_sentence": "a cat", "sentences": TEXTS});
    for path in ["/similarity", "/"] {
        for request in
            [json!({"inputs": inputs}), json!({"inputs": inputs, "parameters": {"truncate": true}})]
        {
            let answer = post(&router, path, request.to_string()).await;
            assert_eq!(vector(&answer.body), expected.row(0), "{path}: {}", answer.body);
        }
        let request = json!({"inputs": {"source_sentence": "a cat", "sentences": []}});
        assert_eq!(post(&router, path, request.to_string()).await.status, StatusCode::BAD_REQUEST);
    }
    let answer = post(&router, "/", json!({"inputs": TEXTS, "normalize": true}).to_string()).await;
    assert_eq!(self::vectors(&answer.body), vectors.rows().map(<[f32]>::to_vec).collect::<Vec<_>>());

    // Fields are those of the request that the inputs are for, also where they stand in front of them.
    let answer = post(&router, "/", r#"{"normalize": 7, "inputs": "a"}"#).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
    let similarity = |field: &str| format!(r#"{{"{field}": 7, "inputs": {inputs}}}"#);
    assert_eq!(post(&router, "/", similarity("normalize")).await.status, StatusCode::OK);
    let answer = post(&router, "/", similarity("parameters")).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
    let answer = post(&router, "/", r#"{"inputs": 7}"#).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let says = answer.body["error"].as_str().unwrap();
    assert!(says.contains("a list of strings") && says.contains("a sentence and those to compare"), "{says}");
}

/// A text that is cut is told to OpenAI's clients too.
#[tokio::test]
async fn openai_hears_what_was_cut() {
    let router = router(ServerOptions::default());
    let request = json!({"input": ["a dog", "the cat ".repeat(240)]}).to_string();
    let body = post(&router, "/v1/embeddings", request).await.body;
    assert_eq!((&body["data"][0]["truncated"], &body["data"][1]["truncated"]), (&Value::Null, &json!(true)));
}

#[tokio::test]
async fn counters_count() {
    let router = router(ServerOptions::default());
    for (path, request) in [("/embed", json!({"inputs": TEXTS})), ("/embed", json!({})), ("/none", json!({}))]
    {
        post(&router, path, request.to_string()).await;
    }
    let response =
        router.clone().oneshot(Request::get("/metrics").body(Body::empty()).unwrap()).await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    let text = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    for line in [
        r#"te_request_count{path="/embed"} 2"#,
        r#"te_request_success{path="/embed"} 1"#,
        r#"te_request_failure{err="unprocessable"} 1"#,
        r#"minilm_http_responses_total{path="/embed",status="422"} 1"#,
        r#"minilm_http_responses_total{path="none",status="404"} 1"#,
        "te_embed_count 3",
        "te_batch_next_size_sum 3",
        "te_request_inference_duration_count 1",
        "te_queue_size 0",
        "minilm_cancelled_requests_total 0",
        "minilm_open_requests 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn the_description_of_the_api_knows_this_server() {
    let router = router(ServerOptions::default().max_client_batch_size(9).api_key("secret"));
    let Answer { status, body, .. } = get(&router, "/openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    assert!(body["openapi"].as_str().unwrap().starts_with("3.1"), "{}", body["openapi"]);
    let paths: Vec<&String> = body["paths"].as_object().unwrap().keys().collect();
    for path in
        ["/", "/embed", "/embed_all", "/similarity", "/v1/embeddings", "/embeddings", "/info", "/health"]
    {
        assert!(paths.iter().any(|found| *found == path), "{path} is none of {paths:?}");
    }
    let schemas = &body["components"]["schemas"];
    let texts = &schemas["Input"]["oneOf"][1];
    assert_eq!((&texts["minItems"], &texts["maxItems"]), (&json!(1), &json!(9)), "{}", schemas["Input"]);
    assert_eq!(schemas["Input"]["oneOf"].as_array().unwrap().len(), 2, "token ids are not accepted");
    let dimensions = &schemas["EmbedRequest"]["properties"]["dimensions"];
    assert_eq!(dimensions["maximum"], model().embedding_dimension(), "{dimensions}");
    assert_eq!(body["security"], json!([{"key": []}]));
    for path in ["/info", "/v1/models"] {
        assert!(body["paths"][path]["get"]["responses"]["401"].is_object(), "{path}");
    }
    // Every reference leads somewhere.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => (),
        }
    }
    let mut found = Vec::new();
    references(&body, &mut found);
    assert!(found.len() > 10);
    for reference in found {
        assert!(body.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_ask_where_they_are_allowed() {
    let ask = |router: Router, origin: &'static str| async move {
        let request = Request::options("/embed").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        let request = request.header("access-control-request-headers", "authorization,content-type");
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        if let Some(headers) = response.headers().get("access-control-allow-headers") {
            // By name: `*` is not for this one.
            assert_eq!(headers, "authorization,content-type");
        }
        response.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned())
    };
    let closed = router(ServerOptions::default());
    assert_eq!(ask(closed, "https://example.org").await, None);
    let open =
        router(ServerOptions::default().cors_allow_origin(["https://example.org", "http://localhost:1"]));
    assert_eq!(ask(open.clone(), "https://example.org").await.as_deref(), Some("https://example.org"));
    assert_eq!(ask(open, "https://example.com").await, None);
    let any = router(ServerOptions::default().cors_allow_origin(["*"]));
    assert_eq!(ask(any, "https://example.com").await.as_deref(), Some("*"));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let router = router(ServerOptions::default().read_timeout(Duration::from_millis(20)));
    let request = Request::post("/v1/embeddings").body(Body::new(Endless)).unwrap();
    let answer = send(&router, request).await;
    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT);
    let message = answer.body["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("0.02 s"), "{message}");
}

#[tokio::test]
async fn openai_gets_lists_and_base64_and_what_it_pays_for() {
    let router = router(ServerOptions::default().served_model_name("tiny"));
    let normalized = EncodeOptions::default().normalize_embeddings(true);
    let expected = expected(&normalized);
    for path in ["/v1/embeddings", "/embeddings"] {
        for format in ["float", "base64"] {
            let request =
                json!({"input": TEXTS, "model": "anything", "user": "me", "encoding_format": format});
            let Answer { status, body, .. } = post(&router, path, request.to_string()).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            assert_eq!((&body["object"], &body["model"]), (&json!("list"), &json!("tiny")));
            let count = model().encode_batch(&TEXTS, &normalized).unwrap();
            let used: usize = count.token_counts().iter().map(|count| count.used).sum();
            assert_eq!(body["usage"], json!({"prompt_tokens": used, "total_tokens": used}));
            for (index, item) in body["data"].as_array().unwrap().iter().enumerate() {
                assert_eq!((&item["object"], &item["index"]), (&json!("embedding"), &json!(index)));
                let found = match format {
                    "float" => vector(&item["embedding"]),
                    _ => {
                        let bytes = STANDARD.decode(item["embedding"].as_str().unwrap()).unwrap();
                        bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
                    }
                };
                assert_eq!(found, expected[index]);
            }
            assert_eq!(body["data"].as_array().unwrap().len(), TEXTS.len());
        }
    }
    let request = json!({"input": "a dog", "dimensions": 5});
    let body = post(&router, "/v1/embeddings", request.to_string()).await.body;
    let cut = model().encode_batch(&["a dog"], &normalized.truncate_dim(5)).unwrap();
    assert_eq!(vector(&body["data"][0]["embedding"]), cut.row(0));
}

#[tokio::test]
async fn errors_are_json_in_the_shape_of_their_api() {
    let router = router(ServerOptions::default().max_client_batch_size(3).payload_limit(2000));
    let long = "the cat ".repeat(240);
    let cases = [
        ("{", 400, "EOF while parsing"),
        ("\u{0}", 400, "expected value"),
        (r#"{"inputs": 7, "input": 7}"#, 422, "a list of strings"),
        ("{}", 422, "missing field `input"),
        (r#"["a", null, null, null, null, null]"#, 422, "expected an object"),
        (r#"{"inputs": [], "input": []}"#, 400, "no inputs"),
        (
            r#"{"inputs": ["a", "b", "c", "d"], "input": ["a", "b", "c", "d"]}"#,
            413,
            "4 inputs, and the server takes 3",
        ),
        (r#"{"inputs": [1, 2], "input": [1, 2]}"#, 400, "check_embedding_ctx_length=False"),
        (r#"{"inputs": "a", "input": "a", "dimensions": 0}"#, 422, "dimensions is 0, expected 1 to"),
        (
            r#"{"inputs": "a", "input": "a", "dimensions": 100000}"#,
            422,
            "dimensions is 100000, expected 1 to",
        ),
        (r#"{"inputs": "a", "input": "a", "dimensions": 1.5}"#, 422, "expected a whole number, 0 or more"),
        (r#"{"inputs": "a", "input": "a", "dimensions": -1}"#, 422, "expected a whole number, 0 or more"),
    ];
    for (body, status, says) in cases {
        let answer = post(&router, "/embed", body.to_owned()).await;
        let message = answer.body["error"].as_str().unwrap().to_owned();
        assert_eq!(answer.status.as_u16(), status, "{body}: {message}");
        assert!(message.contains(says), "{body}: {message}");
        assert!(answer.body["error_type"].is_string());
        let answer = post(&router, "/v1/embeddings", body.to_owned()).await;
        let error = &answer.body["error"];
        assert_eq!(answer.status.as_u16(), status, "{body}: {error}");
        assert!(error["message"].as_str().unwrap().contains(says), "{body}: {error}");
        assert!(error["type"].is_string() && error["param"].is_null(), "{error}");
    }
    let answer = post(&router, "/embed", json!({"inputs": "x".repeat(3000)}).to_string()).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.body["error"].as_str().unwrap().contains("more than 2000 bytes"), "{}", answer.body);

    let request = json!({"inputs": ["a", long], "truncate": false}).to_string();
    let answer = post(&router, "/embed", request).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let message = answer.body["error"].as_str().unwrap();
    let limit = model().max_seq_length();
    assert!(
        message.contains("input 1: it has 482 tokens") && message.contains(&limit.to_string()),
        "{message}"
    );
    for (direction, status) in [("Right", 200), ("right", 200), ("Left", 200), ("left", 200), ("up", 422)] {
        let request = json!({"inputs": "a", "truncation_direction": direction}).to_string();
        assert_eq!(post(&router, "/embed", request).await.status.as_u16(), status, "{direction}");
    }
    for inputs in [json!(["a", ["b"]]), json!({"source_sentence": "a", "sentences": "b"})] {
        let answer = post(&router, "/similarity", json!({"inputs": inputs}).to_string()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
    }
    // What a client sent is not sent back as a whole.
    let answer =
        post(&router, "/embed", json!({"inputs": "a", "dimensions": "x".repeat(1000)}).to_string()).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.body["error"].as_str().unwrap().len() < 600, "{}", answer.body);
    let answer = post(&router, "/embed", json!({"inputs": "a", "prompt_name": "none"}).to_string()).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);

    for (path, openai) in [("/nothing", false), ("/v1/nothing", true)] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        let error = if openai { &answer.body["error"]["message"] } else { &answer.body["error"] };
        assert!(error.as_str().unwrap().contains(path), "{}", answer.body);
    }
    for path in ["/embed", "/v1/embeddings", "/embed_all"] {
        assert_eq!(get(&router, path).await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}

#[tokio::test]
async fn what_was_cut_is_said() {
    let router = router(ServerOptions::default());
    let long = "the cat ".repeat(240);
    let request = json!({"inputs": ["a dog", long, "a cat", long]}).to_string();
    let Answer { status, headers, .. } = post(&router, "/embed", request).await;
    assert_eq!((status, headers["x-truncated-inputs"].to_str().unwrap()), (StatusCode::OK, "1, 3"));
    let tokens: usize = headers["x-compute-tokens"].to_str().unwrap().parse().unwrap();
    assert!(tokens > 2 * model().max_seq_length(), "{tokens}");
    let timing = headers["server-timing"].to_str().unwrap();
    assert!(timing.contains("inference;dur=") && timing.contains("queue;dur="), "{timing}");

    let answer = post(&router, "/embed", json!({"inputs": "a dog"}).to_string()).await;
    assert!(!answer.headers.contains_key("x-truncated-inputs"));
    let server = self::router(ServerOptions::default().auto_truncate(false));
    let answer = post(&server, "/v1/embeddings", json!({"input": long}).to_string()).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn ids_are_taken_where_they_are_asked_for_and_can_be_this_models() {
    let router = router(ServerOptions::default().accept_token_ids(true));
    let ids = model().tokenize("the cat sat on the mat").unwrap().0;
    let answer = post(&router, "/embed", json!({"inputs": [ids, ids]}).to_string()).await;
    let normalized = EncodeOptions::default().normalize_embeddings(true);
    assert_eq!(vectors(&answer.body)[1], expected(&normalized)[0]);

    let description = get(&router, "/openapi.json").await.body;
    let vocab_size = model().config().vocab_size;
    let input = &description["components"]["schemas"]["Input"]["oneOf"];
    for list in [&input[1], &input[2]["items"]["oneOf"][1]] {
        assert_eq!((&list["minItems"], &list["maxItems"]), (&json!(1), &json!(model().max_seq_length())));
        assert_eq!(list["items"]["maximum"], json!(vocab_size - 1), "{input}");
    }

    for (ids, status, says) in [
        (vec![5, vocab_size], 400, "the client has another model's tokenizer"),
        (vec![5; 1000], 422, "it has 1000 token ids, and the model takes"),
        (vec![], 400, "it has no token ids"),
    ] {
        let answer = post(&router, "/embed", json!({"inputs": [[5], ids]}).to_string()).await;
        let message = answer.body["error"].as_str().unwrap();
        assert_eq!(answer.status.as_u16(), status, "{message}");
        assert!(message.contains("input 1: ") && message.contains(says), "{message}");
    }
    let request = json!({"inputs": [[5]], "prompt_name": "none"}).to_string();
    let answer = post(&router, "/embed", request).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
}

#[tokio::test]
async fn a_key_is_asked_for_but_by_who_looks_whether_the_server_is_well() {
    let router = router(ServerOptions::default().api_key("secret"));
    let ask = |key: Option<&str>, path: &str| {
        let mut request = Request::post(path);
        if let Some(key) = key {
            request = request.header("authorization", key);
        }
        request.body(Body::from(json!({"inputs": "a", "input": "a"}).to_string())).unwrap()
    };
    for path in ["/embed", "/v1/embeddings"] {
        for key in ["Bearer secret", "bearer secret"] {
            assert_eq!(send(&router, ask(Some(key), path)).await.status, StatusCode::OK);
        }
        for key in [
            None,
            Some("Bearer secre"),
            Some("Bearer secrets"),
            Some("Basic secret"),
            Some("secret"),
            Some("é"),
        ] {
            let answer = send(&router, ask(key, path)).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{key:?}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            assert!(answer.body["error"].is_string() || answer.body["error"]["code"] == "invalid_api_key");
        }
    }
    assert_eq!(get(&router, "/health").await.status, StatusCode::OK);
    assert_eq!(get(&router, "/info").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn more_vectors_than_are_sent_at_once_are_refused() {
    let (h, tokens) = (model().config().hidden_size, model().tokenize("a dog").unwrap().0.len());
    let router = router(ServerOptions::default().answer_limit(2 * tokens * h * 4));
    let request = |texts: usize| json!({"inputs": vec!["a dog"; texts]}).to_string();
    assert_eq!(post(&router, "/embed_all", request(2)).await.status, StatusCode::OK);
    assert_eq!(post(&router, "/embed", request(30)).await.status, StatusCode::OK);
    let answer = post(&router, "/embed_all", request(3)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.body);
    assert!(answer.body["error"].as_str().unwrap().contains("the vectors of"), "{}", answer.body);
}

#[tokio::test]
async fn who_sends_slowly_keeps_nobody_from_being_answered() {
    let router = router(ServerOptions::default().max_concurrent_requests(1));
    let endless = || Request::post("/embed").body(Body::new(Endless)).unwrap();
    let slow = |_| tokio::spawn(router.clone().oneshot(endless()));
    let mut slow: Vec<_> = (0..7).map(slow).collect();
    // There is one thread: they go as far as they can, which is to their bodies.
    tokio::task::yield_now().await;
    let request = json!({"inputs": "a dog"}).to_string();
    assert_eq!(post(&router, "/embed", request.clone()).await.status, StatusCode::OK);

    // Eight are read for one that is computed.
    slow.push(tokio::spawn(router.clone().oneshot(endless())));
    tokio::task::yield_now().await;
    let answer = post(&router, "/embed", request.clone()).await;
    assert_eq!(
        (answer.status, &answer.body["error_type"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("Overloaded"))
    );
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    slow.pop().unwrap().abort();
    tokio::task::yield_now().await;
    assert_eq!(post(&router, "/embed", request).await.status, StatusCode::OK);
}

/// A long answer has its place until it is sent.
#[tokio::test]
async fn no_more_requests_are_answered_than_there_may_be() {
    let router = router(ServerOptions::default().max_concurrent_requests(1));
    let long = json!({"inputs": vec!["the cat sat on the mat"; 100]}).to_string();
    let long = Request::post("/embed_all").body(Body::from(long)).unwrap();
    let response = router.clone().oneshot(long).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let request = json!({"inputs": "a dog"}).to_string();
    let answer = post(&router, "/embed", request.clone()).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.body);
    assert!(answer.headers.contains_key("retry-after"));
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap().as_array().unwrap().len(), 100);
    assert_eq!(post(&router, "/embed", request).await.status, StatusCode::OK);
}

#[test]
fn options_that_cannot_be_are_refused() {
    for (options, says) in [
        (ServerOptions::default().api_key(""), "expected visible ASCII characters"),
        (ServerOptions::default().api_key("secret\n"), "expected visible ASCII characters"),
        (
            ServerOptions::default().max_concurrent_requests(0),
            "max_concurrent_requests is 0, expected at least 1",
        ),
        (ServerOptions::default().payload_limit(0), "payload_limit is 0, expected at least 1"),
        (ServerOptions::default().read_timeout(Duration::ZERO), "read_timeout is 0 s"),
        (
            ServerOptions::default().default_prompt_name("none"),
            "default_prompt_name is \"none\", expected one of the model's prompts",
        ),
        (
            ServerOptions::default().default_prompt_name("query").default_prompt("x"),
            "expected no default_prompt beside it",
        ),
        (ServerOptions::default().cors_allow_origin(["a b"]), "cors_allow_origin is \"a b\""),
    ] {
        let error = Server::new(model(), options).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_default_prompt_is_put_before_texts_of_requests_that_name_none() {
    let router = router(ServerOptions::default().default_prompt("the dog: "));
    let options = EncodeOptions::default().normalize_embeddings(true);
    for (fields, options) in [
        (json!({}), options.clone().prompt("the dog: ")),
        (json!({"prompt_name": "query"}), options.clone().prompt_name("query")),
    ] {
        let mut request = fields.clone();
        request["inputs"] = json!(TEXTS);
        let answer = post(&router, "/embed", request.to_string()).await;
        assert_eq!(vectors(&answer.body), expected(&options), "{fields}");
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_is_counted_and_makes_room() {
    let router = router(ServerOptions::default().max_concurrent_requests(1));
    let endless = Request::post("/embed").body(Body::new(Endless)).unwrap();
    let given_up = tokio::spawn(router.clone().oneshot(endless));
    tokio::task::yield_now().await;
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    let response =
        router.clone().oneshot(Request::get("/metrics").body(Body::empty()).unwrap()).await.unwrap();
    let text = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = std::str::from_utf8(&text).unwrap();
    for line in [r#"te_request_count{path="/embed"} 1"#, "minilm_cancelled_requests_total 1"] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn tokens_of_texts_and_texts_of_tokens() {
    let router = router(ServerOptions::default());
    let text = "A dog sat";
    for inputs in [json!(text), json!([text])] {
        let answer = post(&router, "/tokenize", json!({"inputs": inputs}).to_string()).await;
        let tokens = answer.body[0].as_array().unwrap().clone();
        let ids: Vec<u64> = tokens.iter().map(|token| token["id"].as_u64().unwrap()).collect();
        assert_eq!(json!(ids), json!(model().tokenize(text).unwrap().0));
        let first = json!({"id": ids[0], "text": "[CLS]", "special": true, "start": null, "stop": null});
        assert_eq!(tokens[0], first);
        let dog = json!({"id": ids[2], "text": "dog", "special": false, "start": 2, "stop": 5});
        assert_eq!(tokens[2], dog);

        let answer = post(&router, "/decode", json!({"ids": ids}).to_string()).await;
        assert_eq!(answer.body, json!(["a dog sat"]));
        let answer = post(
            &router,
            "/decode",
            json!({"ids": [ids, [ids[2]]], "skip_special_tokens": false}).to_string(),
        );
        assert_eq!(answer.await.body, json!(["[CLS] a dog sat [SEP]", "dog"]));
    }
    let answer =
        post(&router, "/tokenize", json!({"inputs": text, "add_special_tokens": false}).to_string()).await;
    assert_eq!(answer.body[0].as_array().unwrap().len(), 3);
    // All of a text that is longer than the model takes.
    let long = "the cat ".repeat(240);
    let answer = post(&router, "/tokenize", json!({"inputs": long}).to_string()).await;
    assert_eq!(answer.body[0].as_array().unwrap().len(), 482);
    for (path, body, status, says) in [
        ("/tokenize", json!({"inputs": [[1]]}), 422, "token ids where texts are expected"),
        ("/tokenize", json!({"inputs": []}), 400, "there are no inputs"),
        ("/tokenize", json!({"inputs": "a", "prompt_name": "none"}), 422, "none"),
        ("/decode", json!({"ids": "a"}), 422, "a text where token ids are expected"),
        ("/decode", json!({"ids": [[5], [5, 1_000_000]]}), 422, "has the id 1000000, which is at index 1"),
    ] {
        let answer = post(&router, path, body.to_string()).await;
        let message = answer.body["error"].as_str().unwrap();
        assert_eq!(answer.status.as_u16(), status, "{message}");
        assert!(message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn the_one_model_is_found_by_its_name() {
    let router = router(ServerOptions::default().served_model_name("owner/tiny"));
    let models = get(&router, "/v1/models").await.body;
    let model = get(&router, "/v1/models/owner/tiny").await.body;
    assert_eq!((&models["data"], &model["id"]), (&json!([model]), &json!("owner/tiny")));
    let answer = get(&router, "/v1/models/tiny").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.body["error"]["message"].as_str().unwrap().contains("\"tiny\""), "{}", answer.body);
}

#[tokio::test]
async fn pages_need_no_key_and_load_nothing_from_elsewhere() {
    let router = router(ServerOptions::default().api_key("secret"));
    for path in ["/", "/docs"] {
        let request = || Request::get(path);
        let response = router.clone().oneshot(request().body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["content-type"]),
            (StatusCode::OK, &"text/html; charset=utf-8".parse().unwrap())
        );
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
        let etag = response.headers()["etag"].clone();
        let again =
            router.clone().oneshot(request().header("if-none-match", etag).body(Body::empty()).unwrap());
        assert_eq!(again.await.unwrap().status(), StatusCode::NOT_MODIFIED);
        let page = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(page.starts_with(b"<!DOCTYPE html>"));
    }
    assert_eq!(post(&router, "/", json!({"inputs": "a"}).to_string()).await.status, StatusCode::UNAUTHORIZED);
    let request = Request::delete("/").body(Body::empty()).unwrap();
    let router = self::router(ServerOptions::default());
    assert_eq!(send(&router, request).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_name_of_a_request_comes_back() {
    let router = router(ServerOptions::default());
    let request = Request::get("/ping").header("x-request-id", "my request").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["x-request-id"]),
        (StatusCode::OK, &"my request".parse().unwrap())
    );
}

/// A server at a port, which ends with the test.
async fn listening(options: ServerOptions) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(model(), options).unwrap();
    tokio::spawn(server.serve(listener, std::future::pending()));
    address
}

/// Clients that send all of their body before they read anything, as most do, are told what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn errors_arrive_although_the_body_is_not_wanted() {
    use std::io::{Read, Write};
    let address = listening(ServerOptions::default().api_key("secret")).await;
    let ask = move |path: &str, length: usize| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&vec![b' '; length]).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let statuses = tokio::task::spawn_blocking(move || {
        let tries = (0..10).map(|_| ask("/embed", 1_900_000));
        tries.chain([ask("/nothing", 1_900_000), ask("/embed", 20_000_000)]).collect::<Vec<u16>>()
    });
    let statuses = statuses.await.unwrap();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 404, 401]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_an_answer_and_who_asks_nothing_is_let_go() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let patience = Duration::from_millis(200);
    let options =
        ServerOptions::default().max_concurrent_requests(1).write_timeout(patience).idle_timeout(patience);
    let address = listening(options).await;
    let mut idle = tokio::net::TcpStream::connect(address).await.unwrap();
    assert_eq!(idle.read(&mut [0; 9]).await.unwrap(), 0);

    // Some 20 MB, more than the system keeps of what nobody reads.
    let body =
        json!({"inputs": vec!["the cat sat on the mat and the dog sat on the mat and the cat sat"; 2000]})
            .to_string();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head =
        format!("POST /embed_all HTTP/1.1\r\nhost: here\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_ne!(stream.read(&mut [0; 9]).await.unwrap(), 0);
    let other = async || {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let body = json!({"inputs": "a dog"}).to_string();
        let request = format!(
            "POST /embed HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    assert_eq!(other().await, 429);
    let started = std::time::Instant::now();
    while other().await != 200 {
        assert!(started.elapsed() < Duration::from_secs(20), "the place is not given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(stream);
}

/// A real socket: a request in flight is answered, then the server ends, and nobody can connect.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_finishes_what_it_was_asked() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Server::new(model(), ServerOptions::default()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(listener, async { stopped.await.unwrap_or(()) }));

    let body = json!({"inputs": TEXTS}).to_string();
    let (first, rest) = body.split_at(5);
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!("POST /embed HTTP/1.1\r\nhost: here\r\ncontent-length: {}\r\n\r\n{first}", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    stop.send(()).unwrap();
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    let found = vectors(&serde_json::from_str(body).unwrap());
    assert_eq!(found, expected(&EncodeOptions::default().normalize_embeddings(true)));
    serving.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

/// Half of a head is no request: it holds up no shutdown, on a connection that is new or has been used.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_holds_up_no_shutdown() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Server::new(model(), ServerOptions::default()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(listener, async { stopped.await.unwrap_or(()) }));

    let mut new = tokio::net::TcpStream::connect(address).await.unwrap();
    new.write_all(b"POST /embed HTTP/1.1\r\nhost: here\r\nconte").await.unwrap();
    let mut used = tokio::net::TcpStream::connect(address).await.unwrap();
    used.write_all(b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    used.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    used.write_all(b"GET /health HT").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    stop.send(()).unwrap();
    // It ends as if nobody had been there, not after the 25 seconds that it waits for answers.
    tokio::time::timeout(Duration::from_secs(15), serving).await.unwrap().unwrap().unwrap();
    let mut rest = Vec::new();
    new.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn info_says_what_the_server_takes() {
    let router = router(ServerOptions::default().max_concurrent_requests(9));
    let Answer { body, .. } = get(&router, "/info").await;
    assert_eq!(body["max_concurrent_requests"], 9);
    assert_eq!(body["max_input_length"], model().max_seq_length());
    assert_eq!(body["model_type"], json!({"embedding": {"pooling": "mean"}}));
    assert_eq!((&body["model_dtype"], &body["auto_truncate"]), (&json!("f32"), &json!(true)));
    assert!(body["model_id"].as_str().unwrap().ends_with("tiny-bert"), "{body}");
}
