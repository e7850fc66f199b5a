//! Who may ask.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use minilm_server::ServerOptions;
use serde_json::json;
use tower::ServiceExt;

use crate::server::{get, router, send};

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
