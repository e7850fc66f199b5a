//! The server that the tests start, and what they send it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use minilm::{EncodeOptions, SentenceTransformer};
use minilm_server::{Server, ServerError, ServerOptions};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::ServiceExt;

pub(crate) const TEXTS: [&str; 3] = ["the cat sat on the mat", "", "a dog"];

pub(crate) fn model() -> SentenceTransformer {
    SentenceTransformer::load(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert")).unwrap()
}

pub(crate) fn router(options: ServerOptions) -> Router {
    Server::new(model(), options).unwrap().router()
}

/// A body of which nothing ever comes.
pub(crate) struct Endless;

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

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Answer { status: parts.status, headers: parts.headers, body }
}

pub(crate) async fn get(router: &Router, path: &str) -> Answer {
    send(router, Request::get(path).body(Body::empty()).unwrap()).await
}

/// What is no JSON, and its headers.
pub(crate) async fn get_text(router: &Router, path: &str) -> (HeaderMap, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

pub(crate) async fn post(router: &Router, path: &str, body: impl Into<Body>) -> Answer {
    send(router, Request::post(path).header("content-type", "application/json").body(body.into()).unwrap())
        .await
}

/// Numbers of JSON, which are written so that they are read as the same ones.
pub(crate) fn vector(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

pub(crate) fn vectors(value: &Value) -> Vec<Vec<f32>> {
    value.as_array().unwrap().iter().map(vector).collect()
}

pub(crate) fn expected(options: &EncodeOptions) -> Vec<Vec<f32>> {
    model().encode_batch(&TEXTS, options).unwrap().rows().map(<[f32]>::to_vec).collect()
}

/// A server at a port, how it is told to stop, and what ends when it has.
pub(crate) async fn stoppable(
    options: ServerOptions,
) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<Result<(), ServerError>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let stopped = async {
        if stopped.await.is_err() {
            std::future::pending().await
        }
    };
    let serving = tokio::spawn(Server::new(model(), options).unwrap().serve(listener, stopped));
    (address, stop, serving)
}

/// A server at a port, which ends with the test.
pub(crate) async fn listening(options: ServerOptions) -> SocketAddr {
    stoppable(options).await.0
}
