//! What the server tells of itself.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use minilm_server::ServerOptions;
use serde_json::json;
use tower::ServiceExt;

use crate::server::{Answer, TEXTS, get, get_text, model, post, router};

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

#[tokio::test]
async fn counters_count() {
    let router = router(ServerOptions::default());
    for (path, request) in [("/embed", json!({"inputs": TEXTS})), ("/embed", json!({})), ("/none", json!({}))]
    {
        post(&router, path, request.to_string()).await;
    }
    let (headers, text) = get_text(&router, "/metrics").await;
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/plain"));
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
async fn the_name_of_a_request_comes_back() {
    let router = router(ServerOptions::default());
    let request = Request::get("/ping").header("x-request-id", "my request").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["x-request-id"]),
        (StatusCode::OK, &"my request".parse().unwrap())
    );
}
