//! Errors as answers: JSON on every path, in the shape that the clients of its API read.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::queue::QueueError;

/// Whose clients ask, by the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// text-embeddings-inference: `{"error": …, "error_type": …}`
    TextEmbeddingsInference,
    /// OpenAI: `{"error": {"message": …, "type": …, "param": null, "code": …}}`
    OpenAi,
}

impl Dialect {
    pub(crate) fn of_path(path: &str) -> Dialect {
        let is_openai = path == "/v1" || path.starts_with("/v1/") || path == "/embeddings";
        if is_openai { Dialect::OpenAi } else { Dialect::TextEmbeddingsInference }
    }
}

/// What is wrong with a request, or with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It cannot be read, or has nothing to do.
    BadRequest,
    /// The API key is missing or another one.
    Unauthorized,
    /// There is no such path.
    NotFound,
    /// The path is for another method.
    MethodNotAllowed,
    /// It is longer, or has more inputs, than the server takes.
    TooLarge,
    /// It does not come: the client is slow, or gone.
    TimedOut,
    /// It can be read, but not done.
    Unprocessable,
    /// The model failed.
    Inference,
    /// As many requests as there may be are waiting.
    Overloaded,
    /// The server is shutting down.
    Unavailable,
}

impl Kind {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Kind::BadRequest => StatusCode::BAD_REQUEST,
            Kind::Unauthorized => StatusCode::UNAUTHORIZED,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Kind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Inference => StatusCode::FAILED_DEPENDENCY,
            Kind::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What it is about, for who reads the API's description.
    pub(super) fn description(self) -> &'static str {
        match self {
            Kind::BadRequest => {
                "The body is no JSON, or there is nothing in it to do, or token ids are not accepted"
            }
            Kind::Unauthorized => "The API key is missing, or another one",
            Kind::NotFound => "There is no such path",
            Kind::MethodNotAllowed => "The path is for another method",
            Kind::TooLarge => {
                "The body, the number of inputs or the answer is larger than the server was told to allow"
            }
            Kind::TimedOut => "The body did not arrive in time",
            Kind::Unprocessable => {
                "A field has a type or value that it cannot have, or an input has too many tokens and is not to be cut"
            }
            Kind::Inference => "The model failed",
            Kind::Overloaded => {
                "As many requests as there may be are waiting; Retry-After says when to try again, in seconds"
            }
            Kind::Unavailable => {
                "The server is shutting down; Retry-After says when to try again, in seconds"
            }
        }
    }

    /// When to try again, in seconds, if it may be otherwise then.
    fn retry_after(self) -> Option<u64> {
        match self {
            // Some requests are done with soon.
            Kind::Overloaded => Some(1),
            // Another server is there soon, or this one again.
            Kind::Unavailable => Some(2),
            _ => None,
        }
    }

    /// For counters.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::BadRequest => "bad_request",
            Kind::Unauthorized => "unauthorized",
            Kind::NotFound => "not_found",
            Kind::MethodNotAllowed => "method_not_allowed",
            Kind::TooLarge => "too_large",
            Kind::TimedOut => "timed_out",
            Kind::Unprocessable => "unprocessable",
            Kind::Inference => "inference",
            Kind::Overloaded => "overloaded",
            Kind::Unavailable => "unavailable",
        }
    }

    /// `error_type` of text-embeddings-inference, which names what failed in it.
    fn error_type(self) -> &'static str {
        match self {
            Kind::Unprocessable => "Tokenizer",
            Kind::Inference => "Backend",
            Kind::Overloaded => "Overloaded",
            Kind::Unavailable => "Unhealthy",
            _ => "Validation",
        }
    }

    /// `type` and `code` of OpenAI's errors.
    fn openai(self) -> (&'static str, Option<&'static str>) {
        match self {
            Kind::Unauthorized => ("invalid_request_error", Some("invalid_api_key")),
            Kind::NotFound => ("invalid_request_error", Some("unknown_url")),
            Kind::Overloaded => ("rate_limit_error", Some("rate_limit_exceeded")),
            Kind::Inference | Kind::Unavailable => ("server_error", None),
            _ => ("invalid_request_error", None),
        }
    }
}

/// What is wrong, as text-embeddings-inference says it.
#[derive(Serialize, ToSchema)]
pub(super) struct ErrorResponse {
    /// What was expected, and what was found.
    error: String,
    /// What failed: `Validation`, `Tokenizer`, `Backend`, `Overloaded` or `Unhealthy`.
    #[schema(example = "Validation")]
    error_type: &'static str,
}

/// What is wrong, as OpenAI says it.
#[derive(Serialize, ToSchema)]
pub(super) struct OpenAiErrorResponse {
    error: OpenAiError,
}

#[derive(Serialize, ToSchema)]
struct OpenAiError {
    /// What was expected, and what was found.
    message: String,
    #[serde(rename = "type")]
    #[schema(example = "invalid_request_error")]
    error_type: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

/// An error on its way to a client.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    /// In seconds.
    retry_after: Option<u64>,
}

impl ApiError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> ApiError {
        /// Some have what the client sent in them.
        const LONGEST: usize = 500;
        let mut message = message.into();
        if message.len() > LONGEST {
            let begins = message.char_indices().map(|(at, _)| at);
            message.truncate(begins.take_while(|&at| at <= LONGEST).last().unwrap_or_default());
            message += "...";
        }
        ApiError { kind, message, retry_after: kind.retry_after() }
    }

    /// In the shape that the clients of an API read.
    pub(super) fn response(self, dialect: Dialect) -> Response {
        let ApiError { kind, message, retry_after } = self;
        let mut response = match dialect {
            Dialect::TextEmbeddingsInference => {
                let body = ErrorResponse { error: message, error_type: kind.error_type() };
                (kind.status(), Json(body)).into_response()
            }
            Dialect::OpenAi => {
                let (error_type, code) = kind.openai();
                let error = OpenAiError { message, error_type, param: None, code };
                (kind.status(), Json(OpenAiErrorResponse { error })).into_response()
            }
        };
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if kind == Kind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Without a body, which [`observe`](super::observe) gives it: there the path is known, and so the shape.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<QueueError> for ApiError {
    fn from(error: QueueError) -> ApiError {
        let message = error.to_string();
        match error {
            QueueError::Full { retry_after, .. } => {
                // Whole seconds, at least one: what the header can say.
                let seconds = (retry_after.as_secs_f64().ceil() as u64).max(1);
                ApiError { retry_after: Some(seconds), ..ApiError::new(Kind::Overloaded, message) }
            }
            QueueError::Closed => ApiError::new(Kind::Unavailable, message),
            QueueError::Encode(_) | QueueError::Panicked(_) => ApiError::new(Kind::Inference, message),
        }
    }
}
