//! The routes of text-embeddings-inference, in its shapes (`router/src/http/types.rs` there).

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use minilm::{TruncationSide, Vectors, cos_sim};
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::error::{ApiError, Kind};
use super::input::{EXPECTED, Input, Item, WholeNumber};
use super::openapi::Errors;
use super::{Object, answer, receive, receive_as};
use crate::queue::{Permit, VectorOptions, Wanted};
use crate::service::{Service, TextOptions};

/// What is to be embedded, and how.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"inputs": ["A man is eating food.", "Someone eats."]}))]
pub(super) struct EmbedRequest {
    inputs: Input,
    /// Whether inputs with more tokens than the model takes are cut; if not, they are refused. By default as the server was told.
    truncate: Option<bool>,
    truncation_direction: Option<TruncationDirection>,
    /// Which of the model's prompts is put before each text.
    prompt_name: Option<String>,
    /// Whether vectors are scaled to unit length. By default they are.
    normalize: Option<bool>,
    /// How many components vectors are cut to, before they are scaled.
    #[schema(value_type = Option<usize>)]
    dimensions: Option<WholeNumber>,
}

/// What is to be embedded, a vector for each token.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"inputs": "A man is eating food."}))]
pub(super) struct EmbedAllRequest {
    inputs: Input,
    /// Whether inputs with more tokens than the model takes are cut; if not, they are refused. By default as the server was told.
    truncate: Option<bool>,
    truncation_direction: Option<TruncationDirection>,
    /// Which of the model's prompts is put before each text.
    prompt_name: Option<String>,
}

/// The side that is cut of an input that is too long. By default the one that the model says, which is the right for most.
#[derive(Clone, Copy, Deserialize, ToSchema)]
enum TruncationDirection {
    #[serde(alias = "left")]
    Left,
    #[serde(alias = "right")]
    Right,
}

/// A sentence, and those that it is compared with.
#[derive(Deserialize, ToSchema)]
pub(super) struct SimilarityRequest {
    #[schema(value_type = SimilarityInputs)]
    inputs: Object<SimilarityInputs>,
    #[schema(value_type = Option<SimilarityParameters>)]
    parameters: Option<Object<SimilarityParameters>>,
}

#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"source_sentence": "A man is eating food.", "sentences": ["Someone eats.", "It rains."]}))]
pub(super) struct SimilarityInputs {
    source_sentence: String,
    sentences: Vec<String>,
}

#[derive(Default, Deserialize, ToSchema)]
struct SimilarityParameters {
    /// Whether inputs with more tokens than the model takes are cut; if not, they are refused. By default as the server was told.
    truncate: Option<bool>,
    truncation_direction: Option<TruncationDirection>,
    /// Which of the model's prompts is put before each text.
    prompt_name: Option<String>,
}

/// What clients of the Hugging Face Hub send to a server's root, whichever of the two they want.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(example = json!({"inputs": "A man is eating food."}))]
pub(super) enum RootRequest {
    Embed(EmbedRequest),
    Similarity(SimilarityRequest),
}

/// A vector for each input.
#[derive(Serialize, ToSchema)]
#[schema(example = json!([[0.25, -0.5, 0.125]]))]
pub(super) struct EmbedResponse(Vec<Vec<f32>>);

/// For each input a vector for each of its tokens, special tokens included.
#[derive(Serialize, ToSchema)]
#[schema(value_type = Vec<Vec<Vec<f32>>>, example = json!([[[0.25, -0.5, 0.125]]]))]
pub(super) struct EmbedAllResponse(TokenVectors);

struct TokenVectors {
    /// Of each its tokens' vectors, one behind the other.
    texts: Vec<Vec<f32>>,
    hidden_size: usize,
}

impl Serialize for TokenVectors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Text<'a>(&'a [f32], usize);

        impl Serialize for Text<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.chunks(self.1))
            }
        }

        serializer.collect_seq(self.texts.iter().map(|text| Text(text, self.hidden_size)))
    }
}

/// What the server's root answers.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "for the API's description")]
pub(super) enum RootResponse {
    Embed(EmbedResponse),
    Similarity(SimilarityResponse),
}

/// The cosine of the sentence and each of the others.
#[derive(Serialize, ToSchema)]
#[schema(example = json!([0.75, 0.0625]))]
pub(super) struct SimilarityResponse(Vec<f32>);

/// The vectors of texts.
#[utoipa::path(
    post,
    path = "/embed",
    tag = "text-embeddings-inference",
    request_body = EmbedRequest,
    responses((status = 200, description = "A vector for each input", body = EmbedResponse), Errors)
)]
pub(super) async fn embed(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (permit, request) = receive(&service, request).await?;
    embed_texts(&service, permit, request).await
}

/// The vectors of all tokens of texts.
#[utoipa::path(
    post,
    path = "/embed_all",
    tag = "text-embeddings-inference",
    request_body = EmbedAllRequest,
    responses((status = 200, description = "For each input a vector for each of its tokens", body = EmbedAllResponse), Errors)
)]
pub(super) async fn embed_all(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (permit, request): (Permit, EmbedAllRequest) = receive(&service, request).await?;
    let EmbedAllRequest { inputs, truncate, truncation_direction, prompt_name } = request;
    let texts = text_options(truncate, truncation_direction, prompt_name);
    let options = VectorOptions::default().wanted(Wanted::TokenEmbeddings);
    let embedded = service.embed(&permit, inputs, texts, options).await?;
    let hidden_size = service.model.config().hidden_size;
    answer(&service, permit, embedded, move |embedded| {
        EmbedAllResponse(TokenVectors { texts: embedded.vectors, hidden_size })
    })
    .await
}

/// How similar a sentence is to others.
#[utoipa::path(
    post,
    path = "/similarity",
    tag = "text-embeddings-inference",
    request_body = SimilarityRequest,
    responses((status = 200, description = "The cosine of the sentence and each of the others", body = SimilarityResponse), Errors)
)]
pub(super) async fn similarity(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (permit, request) = receive(&service, request).await?;
    compare(&service, permit, request).await
}

/// As /embed or /similarity, whichever the inputs are for: clients of the Hugging Face Hub send both here.
#[utoipa::path(
    post,
    path = "/",
    tag = "text-embeddings-inference",
    request_body = RootRequest,
    responses((status = 200, description = "As the request", body = RootResponse), Errors)
)]
pub(super) async fn root(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (permit, request) = receive_as(&service, request, RootRequest::from_slice).await?;
    match request {
        RootRequest::Embed(request) => embed_texts(&service, permit, request).await,
        RootRequest::Similarity(request) => compare(&service, permit, request).await,
    }
}

async fn embed_texts(
    service: &Arc<Service>,
    permit: Permit,
    request: EmbedRequest,
) -> Result<Response, ApiError> {
    let EmbedRequest { inputs, truncate, truncation_direction, prompt_name, normalize, dimensions } = request;
    let texts = text_options(truncate, truncation_direction, prompt_name);
    let options =
        VectorOptions::default().normalize(normalize.unwrap_or(true)).dimensions(dimensions.map(usize::from));
    let embedded = service.embed(&permit, inputs, texts, options).await?;
    answer(service, permit, embedded, |embedded| EmbedResponse(embedded.vectors)).await
}

async fn compare(
    service: &Arc<Service>,
    permit: Permit,
    request: SimilarityRequest,
) -> Result<Response, ApiError> {
    let SimilarityRequest { inputs, parameters } = request;
    let Object(SimilarityInputs { source_sentence, sentences }) = inputs;
    if sentences.is_empty() {
        return Err(ApiError::new(Kind::BadRequest, "there are no sentences to compare with"));
    }
    let SimilarityParameters { truncate, truncation_direction, prompt_name } =
        parameters.map(|Object(parameters)| parameters).unwrap_or_default();
    let texts = text_options(truncate, truncation_direction, prompt_name);
    // The sentences first, so that what is said of an input by its number is said of the sentence with that number.
    let n = sentences.len();
    let inputs = sentences.into_iter().chain([source_sentence]).map(Item::Text);
    let embedded = service.embed(&permit, Input(inputs.collect()), texts, VectorOptions::default()).await?;
    let dimension = service.model.embedding_dimension();
    let flat = embedded.vectors.concat();
    let (sentences, source) = flat.split_at(n * dimension);
    let similarities = Vectors::new(source, dimension)
        .and_then(|source| cos_sim(source, Vectors::new(sentences, dimension)?))
        .map_err(|error| ApiError::new(Kind::Inference, error.to_string()))?;
    answer(service, permit, embedded, move |_| SimilarityResponse(similarities.row(0).to_vec())).await
}

fn text_options(
    truncate: Option<bool>,
    direction: Option<TruncationDirection>,
    prompt_name: Option<String>,
) -> TextOptions {
    let truncation_side = direction.map(|direction| match direction {
        TruncationDirection::Left => TruncationSide::Left,
        TruncationDirection::Right => TruncationSide::Right,
    });
    TextOptions { truncate, prompt_name, truncation_side }
}

impl RootRequest {
    /// The inputs say which of the two it is, and may stand behind what is to be read accordingly: so the body is read twice.
    fn from_slice(body: &[u8]) -> serde_json::Result<RootRequest> {
        #[derive(Deserialize)]
        struct Either {
            inputs: Shape,
        }

        enum Shape {
            Embed,
            Similarity,
        }

        impl<'de> Deserialize<'de> for Shape {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
                deserializer.deserialize_any(Inputs)
            }
        }

        struct Inputs;

        impl<'de> Visitor<'de> for Inputs {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{EXPECTED}, or a sentence and those to compare it with")
            }

            fn visit_str<E: Error>(self, _text: &str) -> Result<Shape, E> {
                Ok(Shape::Embed)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Shape, A::Error> {
                IgnoredAny.visit_seq(list).map(|_| Shape::Embed)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Shape, A::Error> {
                IgnoredAny.visit_map(map).map(|_| Shape::Similarity)
            }
        }

        let Object(Either { inputs }) = serde_json::from_slice(body)?;
        match inputs {
            Shape::Embed => serde_json::from_slice(body).map(RootRequest::Embed),
            Shape::Similarity => serde_json::from_slice(body).map(RootRequest::Similarity),
        }
    }
}
