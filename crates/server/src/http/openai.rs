//! OpenAI's embeddings, as its clients ask for them.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::error::{ApiError, Kind, OpenAiErrorResponse};
use super::input::{Input, WholeNumber};
use super::openapi::{OpenAiErrors, OpenAiKeyErrors};
use super::{answer, receive};
use crate::queue::{Permit, VectorOptions};
use crate::service::{Service, TextOptions};

/// What OpenAI's `POST /v1/embeddings` takes. `model` and `user` are not looked at: there is one model.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"input": ["A man is eating food.", "Someone eats."], "model": "all-MiniLM-L6-v2"}))]
pub(super) struct EmbeddingsRequest {
    input: Input,
    /// How vectors are written.
    encoding_format: Option<EncodingFormat>,
    /// How many components vectors are cut to; they are scaled to unit length afterwards.
    #[schema(value_type = Option<usize>)]
    dimensions: Option<WholeNumber>,
    /// Not looked at.
    #[serde(rename = "model")]
    _model: Option<String>,
    /// Not looked at.
    #[serde(rename = "user")]
    _user: Option<String>,
}

/// `float`: a list of numbers. `base64`: of the same numbers, as 32-bit floats with the lowest byte first.
#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
enum EncodingFormat {
    #[default]
    Float,
    /// What OpenAI's Python client asks for.
    Base64,
}

/// The vectors, in the order of the inputs.
#[derive(Serialize, ToSchema)]
pub(super) struct EmbeddingsResponse {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<EmbeddingObject>,
    model: String,
    usage: Usage,
}

#[derive(Serialize, ToSchema)]
struct EmbeddingObject {
    #[schema(example = "embedding")]
    object: &'static str,
    index: usize,
    embedding: Embedding,
    /// There, and true, if the input had more tokens than the model takes, and was cut.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    truncated: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

enum Embedding {
    Float(Vec<f32>),
    Base64(Vec<f32>),
}

impl Serialize for Embedding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Embedding::Float(vector) => vector.serialize(serializer),
            Embedding::Base64(vector) => {
                let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                serializer.collect_str(&Base64Display::new(&bytes, &STANDARD))
            }
        }
    }
}

impl ToSchema for Embedding {
    fn name() -> Cow<'static, str> {
        "Embedding".into()
    }
}

impl PartialSchema for Embedding {
    fn schema() -> RefOr<Schema> {
        let base64 = ObjectBuilder::new().schema_type(Type::String).content_encoding("base64");
        OneOfBuilder::new()
            .item(Vec::<f32>::schema())
            .item(base64)
            .description(Some("The vector, as encoding_format says"))
            .into()
    }
}

/// What was computed: after truncation.
#[derive(Serialize, ToSchema)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

/// The one model there is.
#[derive(Serialize, ToSchema)]
pub(super) struct ModelsResponse {
    #[schema(example = "list")]
    object: &'static str,
    data: [Model; 1],
}

#[derive(Serialize, ToSchema)]
pub(super) struct Model {
    id: String,
    #[schema(example = "model")]
    object: &'static str,
    created: u64,
    #[schema(example = "minilm")]
    owned_by: &'static str,
}

/// The vectors of texts, as OpenAI gives them.
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    tag = "OpenAI",
    request_body = EmbeddingsRequest,
    responses((status = 200, description = "A vector for each input", body = EmbeddingsResponse), OpenAiErrors)
)]
pub(super) async fn embeddings(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (permit, request): (Permit, EmbeddingsRequest) = receive(&service, request).await?;
    let options = VectorOptions::default().dimensions(request.dimensions.map(usize::from));
    let embedded = service.embed(&permit, request.input, TextOptions::default(), options).await?;
    let format = request.encoding_format.unwrap_or_default();
    let model = service.model_name.clone();
    answer(&service, permit, embedded, move |embedded| {
        let mut truncated = embedded.truncated.iter().peekable();
        let vectors = embedded.vectors.into_iter().enumerate();
        let data = vectors.map(|(index, vector)| EmbeddingObject {
            object: "embedding",
            index,
            embedding: match format {
                EncodingFormat::Float => Embedding::Float(vector),
                EncodingFormat::Base64 => Embedding::Base64(vector),
            },
            truncated: truncated.next_if(|&&cut| cut == index).is_some(),
        });
        let usage = Usage { prompt_tokens: embedded.tokens, total_tokens: embedded.tokens };
        EmbeddingsResponse { object: "list", data: data.collect(), model, usage }
    })
    .await
}

/// The one model there is.
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "OpenAI",
    responses((status = 200, description = "Its name", body = ModelsResponse), OpenAiKeyErrors)
)]
pub(super) async fn models(State(service): State<Arc<Service>>) -> Json<ModelsResponse> {
    Json(ModelsResponse { object: "list", data: [Model::of(&service)] })
}

/// What is known of the model.
#[utoipa::path(
    get,
    path = "/v1/models/{id}",
    tag = "OpenAI",
    params(("id" = String, Path, description = "The model's name")),
    responses(
        (status = 200, description = "It is the model that there is", body = Model),
        (status = 404, description = "There is no such model", body = OpenAiErrorResponse),
        OpenAiKeyErrors
    )
)]
pub(super) async fn model(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<Model>, ApiError> {
    let model = Model::of(&service);
    if id == model.id {
        return Ok(Json(model));
    }
    Err(ApiError::new(Kind::NotFound, format!("there is no model {id:?}, but {:?}", model.id)))
}

impl Model {
    fn of(service: &Service) -> Model {
        Model { id: service.model_name.clone(), object: "model", created: 0, owned_by: "minilm" }
    }
}
