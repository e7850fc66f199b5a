//! The routes of text-embeddings-inference, in its shapes (`router/src/http/types.rs` there).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use minilm::TruncationSide;
use serde::Deserialize;

use super::error::{ApiError, Dialect};
use super::input::Input;
use super::{headers, receive};
use crate::queue::{Permit, VectorOptions, Wanted};
use crate::service::{Embedded, Service, TextOptions};

/// `/embed` and `/embed_all`, where `normalize` and `dimensions` are not looked at.
#[derive(Deserialize)]
struct EmbedRequest {
    inputs: Input,
    truncate: Option<bool>,
    truncation_direction: Option<TruncationDirection>,
    prompt_name: Option<String>,
    normalize: Option<bool>,
    dimensions: Option<usize>,
}

/// In the one spelling or the other, as there.
#[derive(Clone, Copy, Deserialize)]
enum TruncationDirection {
    #[serde(alias = "left")]
    Left,
    #[serde(alias = "right")]
    Right,
}

pub(super) async fn embed(State(service): State<Arc<Service>>, request: Request) -> Response {
    let embedded = async {
        let (permit, request): (Permit, EmbedRequest) = receive(&service, request).await?;
        let normalize = request.normalize.unwrap_or(true);
        let options = VectorOptions::default().normalize(normalize).dimensions(request.dimensions);
        request.embed(&service, permit, options).await
    };
    answer(embedded.await, |embedded| Json(&embedded.vectors).into_response())
}

pub(super) async fn embed_all(State(service): State<Arc<Service>>, request: Request) -> Response {
    let embedded = async {
        let (permit, request): (Permit, EmbedRequest) = receive(&service, request).await?;
        request.embed(&service, permit, VectorOptions::default().wanted(Wanted::TokenEmbeddings)).await
    };
    let hidden_size = service.model.config().hidden_size;
    answer(embedded.await, |embedded| {
        let texts = embedded.vectors.iter().map(|tokens| tokens.chunks(hidden_size).collect::<Vec<_>>());
        Json(texts.collect::<Vec<_>>()).into_response()
    })
}

impl EmbedRequest {
    async fn embed(
        self,
        service: &Arc<Service>,
        permit: Permit,
        options: VectorOptions,
    ) -> Result<Embedded, ApiError> {
        let truncation_side = self.truncation_direction.map(|direction| match direction {
            TruncationDirection::Left => TruncationSide::Left,
            TruncationDirection::Right => TruncationSide::Right,
        });
        let text_options =
            TextOptions { truncate: self.truncate, prompt_name: self.prompt_name, truncation_side };
        service.embed(permit, self.inputs, text_options, options).await
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
