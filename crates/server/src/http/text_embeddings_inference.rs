//! The routes of text-embeddings-inference, in its shapes (`router/src/http/types.rs` there).

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::error::{ApiError, Dialect};
use super::input::Input;
use super::{headers, read_json};
use crate::queue::{VectorOptions, Wanted};
use crate::service::{Embedded, Service, TextOptions};

/// `/embed` and `/embed_all`, where `normalize` and `dimensions` are not looked at.
#[derive(Deserialize)]
struct EmbedRequest {
    inputs: Input,
    truncate: Option<bool>,
    prompt_name: Option<String>,
    normalize: Option<bool>,
    dimensions: Option<usize>,
}

type Body = Result<Bytes, BytesRejection>;

pub(super) async fn embed(State(service): State<Arc<Service>>, body: Body) -> Response {
    let embedded = async {
        let request: EmbedRequest = read_json(body, service.options.payload_limit)?;
        let normalize = request.normalize.unwrap_or(true);
        let options = VectorOptions::default().normalize(normalize).dimensions(request.dimensions);
        request.embed(&service, options).await
    };
    answer(embedded.await, |embedded| Json(&embedded.vectors).into_response())
}

pub(super) async fn embed_all(State(service): State<Arc<Service>>, body: Body) -> Response {
    let embedded = async {
        let request: EmbedRequest = read_json(body, service.options.payload_limit)?;
        request.embed(&service, VectorOptions::default().wanted(Wanted::TokenEmbeddings)).await
    };
    let hidden_size = service.model.config().hidden_size;
    answer(embedded.await, |embedded| {
        let texts = embedded.vectors.iter().map(|tokens| tokens.chunks(hidden_size).collect::<Vec<_>>());
        Json(texts.collect::<Vec<_>>()).into_response()
    })
}

impl EmbedRequest {
    async fn embed(self, service: &Arc<Service>, options: VectorOptions) -> Result<Embedded, ApiError> {
        let text_options = TextOptions { truncate: self.truncate, prompt_name: self.prompt_name };
        service.embed(self.inputs, text_options, options).await
    }
}

fn answer(embedded: Result<Embedded, ApiError>, body: impl Fn(&Embedded) -> Response) -> Response {
    match embedded {
        Ok(embedded) => {
            let mut response = body(&embedded);
            response.headers_mut().extend(headers::of(&embedded));
            response
        }
        Err(error) => error.response(Dialect::TextEmbeddingsInference),
    }
}
