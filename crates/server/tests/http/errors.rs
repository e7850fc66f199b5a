//! What is refused, and what is said of it.

use std::time::Duration;

use axum::http::StatusCode;
use minilm_server::{Server, ServerOptions};
use serde_json::json;

use crate::server::{get, model, post, router};

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
