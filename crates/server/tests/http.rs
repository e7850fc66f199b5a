//! Requests as clients send them, and answers as they read them.

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minilm::{EncodeOptions, SentenceTransformer};
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
    for (direction, status) in [("Right", 200), ("right", 200), ("Left", 422), ("left", 422), ("up", 422)] {
        let request = json!({"inputs": "a", "truncation_direction": direction}).to_string();
        assert_eq!(post(&router, "/embed", request).await.status.as_u16(), status, "{direction}");
    }
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

    let vocab_size = model().config().vocab_size;
    for (ids, status, says) in [
        (vec![5, vocab_size], 400, "the client has another model's tokenizer"),
        (vec![5; 1000], 422, "it has 1000 token ids, and the model takes"),
    ] {
        let answer = post(&router, "/embed", json!({"inputs": [[5], ids]}).to_string()).await;
        let message = answer.body["error"].as_str().unwrap();
        assert_eq!(answer.status.as_u16(), status, "{message}");
        assert!(message.contains("input 1: ") && message.contains(says), "{message}");
    }
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
async fn no_more_requests_are_read_than_there_may_be() {
    let router = router(ServerOptions::default().max_concurrent_requests(1));
    // Its body never ends.
    let endless = Request::post("/embed").body(Body::new(Endless)).unwrap();
    let first = tokio::spawn(router.clone().oneshot(endless));
    // There is one thread: it goes as far as it can, which is to its body.
    tokio::task::yield_now().await;
    let answer = post(&router, "/embed", json!({"inputs": "a dog"}).to_string()).await;
    assert_eq!(
        (answer.status, &answer.body["error_type"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("Overloaded"))
    );
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let answer = post(&router, "/embed", json!({"inputs": "a dog"}).to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "its place is free again");
}

#[test]
fn an_empty_key_is_no_key() {
    let error = Server::new(model(), ServerOptions::default().api_key(" ")).unwrap_err();
    assert!(error.to_string().contains("api_key is empty"), "{error}");
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
