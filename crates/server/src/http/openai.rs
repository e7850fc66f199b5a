//! OpenAI's embeddings, as its clients ask for them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::error::{ApiError, Dialect};
use super::input::Input;
use super::{headers, receive};
use crate::queue::{Permit, VectorOptions};
use crate::service::{Embedded, Service, TextOptions};

/// `model` and `user` are not looked at: there is one model.
#[derive(Deserialize)]
struct EmbeddingsRequest {
    input: Input,
    encoding_format: Option<EncodingFormat>,
    dimensions: Option<usize>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum EncodingFormat {
    #[default]
    Float,
    /// Of the vector's numbers, four bytes each, the lowest first: what OpenAI's Python client asks for.
    Base64,
}

#[derive(Serialize)]
struct EmbeddingsResponse<'a> {
    object: &'static str,
    data: Vec<EmbeddingObject<'a>>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct EmbeddingObject<'a> {
    object: &'static str,
    index: usize,
    embedding: Embedding<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Embedding<'a> {
    Float(&'a [f32]),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

pub(super) async fn embeddings(State(service): State<Arc<Service>>, request: Request) -> Response {
    match embed(&service, request).await {
        Ok((embedded, format)) => response(&service, &embedded, format),
        Err(error) => error.response(Dialect::OpenAi),
    }
}

async fn embed(service: &Arc<Service>, request: Request) -> Result<(Embedded, EncodingFormat), ApiError> {
    let (permit, request): (Permit, EmbeddingsRequest) = receive(service, request).await?;
    let options = VectorOptions::default().dimensions(request.dimensions);
    let embedded = service.embed(permit, request.input, TextOptions::default(), options).await?;
    Ok((embedded, request.encoding_format.unwrap_or_default()))
}

fn response(service: &Service, embedded: &Embedded, format: EncodingFormat) -> Response {
    let data = embedded.vectors.iter().enumerate().map(|(index, vector)| {
        let embedding = match format {
            EncodingFormat::Float => Embedding::Float(vector),
            EncodingFormat::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                Embedding::Base64(STANDARD.encode(bytes))
            }
        };
        EmbeddingObject { object: "embedding", index, embedding }
    });
    let tokens = embedded.tokens;
    let body = EmbeddingsResponse {
        object: "list",
        data: data.collect(),
        model: &service.model_name,
        usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
    };
    let mut response = Json(body).into_response();
    response.headers_mut().extend(headers::of(embedded));
    response
}
