//! How much is taken at once, and for how long.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use minilm_server::ServerOptions;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::server::{Endless, get_text, model, post, router, send};

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

#[tokio::test]
async fn a_request_that_is_given_up_is_counted_and_makes_room() {
    let router = router(ServerOptions::default().max_concurrent_requests(1));
    let endless = Request::post("/embed").body(Body::new(Endless)).unwrap();
    let given_up = tokio::spawn(router.clone().oneshot(endless));
    tokio::task::yield_now().await;
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    let (_, text) = get_text(&router, "/metrics").await;
    for line in [r#"te_request_count{path="/embed"} 1"#, "minilm_cancelled_requests_total 1"] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}
