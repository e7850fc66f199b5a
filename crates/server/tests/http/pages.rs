//! The pages that browsers are shown.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use minilm_server::ServerOptions;
use serde_json::json;
use tower::ServiceExt;

use crate::server::{post, router, send};

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
