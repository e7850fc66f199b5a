//! Tokens of texts, and texts of tokens, as text-embeddings-inference has them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use minilm::{Error, ReadableToken, SentenceTransformer, TokenizeOptions};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, Kind};
use super::input::{IdLists, Texts};
use super::openapi::Errors;
use super::{json, receive};
use crate::service::Service;

/// Texts, and what is put around them.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"inputs": "A man is eating food."}))]
pub(super) struct TokenizeRequest {
    inputs: Texts,
    /// Whether the tokens have those that are put around every text. By default they have.
    add_special_tokens: Option<bool>,
    /// Which of the model's prompts is put before each text; places are counted from its beginning.
    prompt_name: Option<String>,
}

/// Token ids, as `/tokenize` gives them.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"ids": [101, 1037, 2158, 102]}))]
pub(super) struct DecodeRequest {
    ids: IdLists,
    /// Whether special tokens are left out. By default they are.
    skip_special_tokens: Option<bool>,
}

/// Of each input its tokens, all of them, though the model may take less.
#[derive(Serialize, ToSchema)]
#[schema(example = json!([[{"id": 3899, "text": "dog", "special": false, "start": 2, "stop": 5}]]))]
pub(super) struct TokenizeResponse(Vec<Vec<SimpleToken>>);

#[derive(Serialize, ToSchema)]
struct SimpleToken {
    id: u32,
    /// What of the text it is; of a token that was put around the text, what the vocabulary has.
    text: String,
    /// Whether it was put around the text.
    special: bool,
    /// The byte of the text that it begins with.
    start: Option<usize>,
    /// The byte behind its last.
    stop: Option<usize>,
}

/// A text for each list of ids.
#[derive(Serialize, ToSchema)]
#[schema(example = json!(["a man"]))]
pub(super) struct DecodeResponse(Vec<String>);

/// The tokens of texts.
#[utoipa::path(
    post,
    path = "/tokenize",
    tag = "text-embeddings-inference",
    request_body = TokenizeRequest,
    responses((status = 200, description = "Of each input its tokens", body = TokenizeResponse), Errors)
)]
pub(super) async fn tokenize(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (permit, request) = receive(&service, request).await?;
    let TokenizeRequest { inputs: Texts(texts), add_special_tokens, prompt_name } = request;
    service.check_number(texts.len())?;
    let prompt = service.prompt(prompt_name.as_deref())?.to_owned();
    let options = TokenizeOptions::default().add_special_tokens(add_special_tokens.unwrap_or(true));
    let (model, options) = (Arc::clone(&service.model), options.truncation(false));
    let bytes = texts.iter().map(String::len).sum();
    let tokens = move || {
        let each = texts.into_iter().map(|text| simple_tokens(&model, &(prompt.clone() + &text), &options));
        each.collect::<Result<Vec<_>, Error>>()
    };
    let tokens = service.work(bytes, tokens).await?.map_err(unprocessable)?;
    /// Of a token in JSON, on average.
    const BYTES: usize = 64;
    let bytes = BYTES * tokens.iter().map(Vec::len).sum::<usize>();
    json(&service, permit, bytes, move || TokenizeResponse(tokens)).await
}

/// The texts of tokens.
#[utoipa::path(
    post,
    path = "/decode",
    tag = "text-embeddings-inference",
    request_body = DecodeRequest,
    responses((status = 200, description = "A text for each list of ids", body = DecodeResponse), Errors)
)]
pub(super) async fn decode(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (permit, request) = receive(&service, request).await?;
    let DecodeRequest { ids: IdLists(lists), skip_special_tokens } = request;
    service.check_number(lists.len())?;
    let model = Arc::clone(&service.model);
    let skip = skip_special_tokens.unwrap_or(true);
    let bytes = lists.iter().map(Vec::len).sum::<usize>() * size_of::<u32>();
    let texts = move || lists.iter().map(|ids| model.decode(ids, skip)).collect::<Result<Vec<_>, Error>>();
    let texts = service.work(bytes, texts).await?.map_err(unprocessable)?;
    let bytes = texts.iter().map(String::len).sum();
    json(&service, permit, bytes, move || DecodeResponse(texts)).await
}

fn simple_tokens(
    model: &SentenceTransformer,
    text: &str,
    options: &TokenizeOptions,
) -> Result<Vec<SimpleToken>, Error> {
    let tokens = model.readable_tokens(text, options)?.tokens.into_iter();
    let simple = |token: ReadableToken| match token.span {
        Some(span) => SimpleToken {
            id: token.id,
            text: text.get(span.bytes.clone()).map_or(token.text, str::to_owned),
            special: false,
            start: Some(span.bytes.start),
            stop: Some(span.bytes.end),
        },
        None => SimpleToken { id: token.id, text: token.text, special: true, start: None, stop: None },
    };
    Ok(tokens.map(simple).collect())
}

fn unprocessable(error: Error) -> ApiError {
    ApiError::new(Kind::Unprocessable, error.to_string())
}
