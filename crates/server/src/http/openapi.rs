//! The description of the API, generated from the types that it reads and writes, and from what the server was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, OpenApi};

use super::error::{ErrorResponse, Kind, OpenAiErrorResponse};
use super::input::{IdLists, Input, TokenIdLimits};
use super::{headers, info, openai, text_embeddings_inference, tokens};
use crate::page;
use crate::service::Service;

#[derive(OpenApi)]
#[openapi(
    info(title = "minilm", description = "Sentence embeddings: the same text gives the same bits"),
    paths(
        text_embeddings_inference::embed,
        text_embeddings_inference::embed_all,
        text_embeddings_inference::similarity,
        text_embeddings_inference::root,
        tokens::tokenize,
        tokens::decode,
        openai::embeddings,
        openai::models,
        openai::model,
        info::info,
        info::health,
        info::metrics,
        document,
        page::index,
        page::docs,
    ),
    components(schemas(ErrorResponse, OpenAiErrorResponse))
)]
struct Api;

/// Declares what an operation may be answered instead, with the schema of its errors.
macro_rules! errors {
    ($($(#[$docs:meta])* $name:ident: $schema:literal, $kinds:expr;)*) => {
        $(
            $(#[$docs])*
            pub(super) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    responses($schema, &$kinds)
                }
            }
        )*
    };
}

errors! {
    /// For requests for vectors or tokens, in the shape of text-embeddings-inference.
    Errors: "ErrorResponse", KINDS;
    /// The same in OpenAI's shape.
    OpenAiErrors: "OpenAiErrorResponse", KINDS;
    /// Where nothing is asked for but a key.
    KeyErrors: "ErrorResponse", [Kind::Unauthorized];
    /// The same in OpenAI's shape.
    OpenAiKeyErrors: "OpenAiErrorResponse", [Kind::Unauthorized];
    /// For who asks how the server is.
    HealthErrors: "ErrorResponse", [Kind::Unavailable];
}

const KINDS: [Kind; 8] = [
    Kind::BadRequest,
    Kind::Unauthorized,
    Kind::TimedOut,
    Kind::TooLarge,
    Kind::Unprocessable,
    Kind::Inference,
    Kind::Overloaded,
    Kind::Unavailable,
];

fn responses(schema: &str, kinds: &[Kind]) -> BTreeMap<String, RefOr<Response>> {
    let response = |kind: Kind| {
        let content = Content::new(Some(Ref::from_schema_name(schema)));
        ResponseBuilder::new().description(kind.description()).content("application/json", content).build()
    };
    kinds.iter().map(|&kind| (kind.status().as_str().to_owned(), response(kind).into())).collect()
}

/// This description.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "server",
    responses((status = 200, description = "OpenAPI 3.1", body = Value))
)]
pub(super) async fn document(State(service): State<Arc<Service>>) -> impl IntoResponse {
    let document = service.document.get_or_init(|| of(&service).to_string().into());
    ([(header::CONTENT_TYPE, "application/json")], document.clone())
}

/// With what only this server knows: its limits, its model's prompts, whether a key is asked for.
fn of(service: &Service) -> Value {
    let (model, options) = (&service.model, &service.options);
    // It is a description without maps of anything but texts.
    let mut document = serde_json::to_value(Api::openapi()).unwrap_or_default();
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    describe_headers(&mut document["paths"]);
    // The same operations under other paths that text-embeddings-inference has.
    let mut alias = document["paths"]["/v1/embeddings"].clone();
    alias["post"]["operationId"] = json!("embeddings_without_version");
    document["paths"]["/embeddings"] = alias;
    let mut alias = document["paths"]["/health"].clone();
    alias["get"]["operationId"] = json!("ping");
    document["paths"]["/ping"] = alias;

    let schemas = &mut document["components"]["schemas"];
    let limit = options.max_client_batch_size;
    let token_ids =
        TokenIdLimits { vocab_size: model.config().vocab_size, max_seq_length: model.max_seq_length() };
    let token_ids = options.accept_token_ids.then_some(&token_ids);
    schemas["Input"] = serde_json::to_value(Input::schema_of(limit, token_ids)).unwrap_or_default();
    schemas["Texts"] = serde_json::to_value(Input::schema_of(limit, None)).unwrap_or_default();
    let vocab_size = model.config().vocab_size;
    schemas["IdLists"] = serde_json::to_value(IdLists::schema_of(limit, vocab_size)).unwrap_or_default();
    let prompts: Vec<&str> = model.prompts().map(|(name, _)| name).collect();
    for request in
        ["EmbedRequest", "EmbedAllRequest", "SimilarityParameters", "EmbeddingsRequest", "TokenizeRequest"]
    {
        let Some(properties) = schemas[request]["properties"].as_object_mut() else { continue };
        if let Some(dimensions) = properties.get_mut("dimensions") {
            dimensions["minimum"] = json!(1);
            dimensions["maximum"] = json!(model.embedding_dimension());
        }
        if let Some(name) = properties.get_mut("prompt_name") {
            name["enum"] = prompts.iter().map(|&name| json!(name)).chain([Value::Null]).collect();
        }
    }
    let sentences = &mut schemas["SimilarityInputs"]["properties"]["sentences"];
    sentences["minItems"] = json!(1);
    // The other sentence is an input, too.
    sentences["maxItems"] = json!(limit.saturating_sub(1));

    if options.api_key.is_some() {
        document["components"]["securitySchemes"]["key"] = json!({"type": "http", "scheme": "bearer"});
        document["security"] = json!([{"key": []}]);
        for path in ["/", "/docs", "/health", "/metrics", "/openapi.json", "/ping"] {
            document["paths"][path]["get"]["security"] = json!([]);
        }
    }
    document
}

/// Adds the headers of answers, of which the attributes cannot say whether they are always there.
fn describe_headers(paths: &mut Value) {
    for path in ["/", "/embed", "/embed_all", "/similarity", "/v1/embeddings"] {
        paths[path]["post"]["responses"]["200"]["headers"] = headers::described();
    }
    let key = json!({"description": "How a key is sent", "schema": {"type": "string", "const": "Bearer"}});
    let seconds =
        json!({"description": "When to try again, in seconds", "schema": {"type": "integer", "minimum": 1}});
    let of_errors = [
        (Kind::Unauthorized, "www-authenticate", key),
        (Kind::Overloaded, "retry-after", seconds.clone()),
        (Kind::Unavailable, "retry-after", seconds),
    ];
    let operations = paths.as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in operations.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        for (kind, name, header) in &of_errors {
            let response = format!("/responses/{}", kind.status().as_str());
            if let Some(response) = operation.pointer_mut(&response) {
                response["headers"][name] = header.clone();
                response["headers"][name]["required"] = json!(true);
            }
        }
    }
}
