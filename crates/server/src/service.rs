//! From a request's inputs to their vectors, whatever API they came by.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use minilm::{EncodeOptions, Error, SentenceTransformer, TokenIds, Truncation, TruncationSide};
use tokio::sync::Semaphore;

use crate::ServerOptions;
use crate::http::error::{ApiError, Kind};
use crate::http::input::{Input, Item};
use crate::metrics::{Metrics, observe};
use crate::queue::{Answer, Permit, Queue, VectorOptions, Wanted};

/// From so many bytes of text or of an answer on, what is done with them takes long enough to be in other requests' way: it goes to
/// a thread of its own.
const LONG: usize = 64 << 10;

/// What all requests share.
pub(crate) struct Service {
    pub(crate) model: Arc<SentenceTransformer>,
    pub(crate) queue: Queue,
    pub(crate) options: ServerOptions,
    /// What the model is called in answers.
    pub(crate) model_name: String,
    pub(crate) metrics: Arc<Metrics>,
    /// What is said of the API, once somebody has asked.
    pub(crate) document: OnceLock<Bytes>,
    /// Who may send a body. More than may be computed: one who is slow with it keeps nobody from being computed.
    pub(crate) readers: Semaphore,
    /// For long work: not more threads than the model has, however many requests there are.
    threads: Arc<Semaphore>,
}

/// How many requests are read for one that may wait or be computed.
const READERS: usize = 8;

/// What a request says of its texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextOptions {
    pub(crate) truncate: Option<bool>,
    pub(crate) prompt_name: Option<String>,
    /// Which side is cut.
    pub(crate) truncation_side: Option<TruncationSide>,
}

/// A request's vectors, and what is said of them in the answer's headers.
pub(crate) struct Embedded {
    pub(crate) vectors: Vec<Vec<f32>>,
    pub(crate) characters: usize,
    /// What the vectors were computed from: after truncation.
    pub(crate) tokens: usize,
    /// Which inputs were cut.
    pub(crate) truncated: Vec<usize>,
    pub(crate) times: Times,
}

/// What took how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) tokenization_time: Duration,
    pub(crate) queue_time: Duration,
    pub(crate) inference_time: Duration,
    pub(crate) total_time: Duration,
}

impl Service {
    pub(crate) fn new(
        model: Arc<SentenceTransformer>,
        queue: Queue,
        options: ServerOptions,
        model_name: String,
        metrics: Arc<Metrics>,
    ) -> Service {
        let threads = Arc::new(Semaphore::new(model.threads()));
        let readers = options.max_concurrent_requests.saturating_mul(READERS).min(Semaphore::MAX_PERMITS);
        let readers = Semaphore::new(readers);
        Service { model, queue, options, model_name, metrics, document: OnceLock::new(), readers, threads }
    }

    /// Does work on so many bytes: at once, or on a thread for long work.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        // A mistake of ours, or of the tokenizer, costs this request alone.
        if bytes < LONG {
            return catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
                ApiError::new(Kind::Inference, text)
            });
        }
        // It is never closed. The turn ends with the work, though nobody may wait for that any more.
        let turn = Arc::clone(&self.threads).acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|error| ApiError::new(Kind::Inference, error.to_string()))
    }

    pub(crate) async fn embed(
        self: &Arc<Self>,
        permit: &Permit,
        Input(items): Input,
        text_options: TextOptions,
        vector_options: VectorOptions,
    ) -> Result<Embedded, ApiError> {
        let started = Instant::now();
        self.check(&items, vector_options)?;
        let prompt = self.prompt(text_options.prompt_name.as_deref())?.to_owned();
        let characters = items.iter().map(Item::characters).sum();
        let bytes = items.iter().map(Item::bytes).sum();
        let service = Arc::clone(self);
        let texts = self.work(bytes, move || service.tokenize(items, &prompt, &text_options)).await??;
        let tokens: usize = texts.iter().map(|text| text.ids().len()).sum();
        if vector_options.wanted == Wanted::TokenEmbeddings {
            self.check_answer(tokens)?;
        }
        let cut = texts.iter().enumerate().filter(|(_, text)| text.token_count().truncated());
        let truncated: Vec<usize> = cut.map(|(index, _)| index).collect();
        let tokenization_time = started.elapsed();

        let answer = permit.submit(texts, vector_options)?.await;
        // The sender is gone if the computing thread has ended.
        let Answer { vectors, queue_time, inference_time } =
            answer.map_err(|_| ApiError::new(Kind::Unavailable, "the engine has stopped"))??;
        let metrics = &self.metrics;
        observe(&metrics.tokenization_duration, tokenization_time);
        observe(&metrics.queue_duration, queue_time);
        observe(&metrics.inference_duration, inference_time);
        metrics.texts.inc_by(vectors.len() as u64);
        metrics.tokens.inc_by(tokens as u64);
        metrics.truncated_texts.inc_by(truncated.len() as u64);
        let total_time = started.elapsed();
        let times = Times { tokenization_time, queue_time, inference_time, total_time };
        Ok(Embedded { vectors, characters, tokens, truncated, times })
    }

    /// Refuses a vector for each of so many tokens, if that is more than is sent at once.
    fn check_answer(&self, tokens: usize) -> Result<(), ApiError> {
        let bytes = tokens.saturating_mul(self.model.config().hidden_size * size_of::<f32>());
        let limit = self.options.answer_limit;
        if bytes <= limit {
            return Ok(());
        }
        let message = format!(
            "the vectors of {tokens} tokens have {bytes} bytes, and the server sends {limit} at once"
        );
        Err(ApiError::new(Kind::TooLarge, message))
    }

    /// Whether there may be so many inputs.
    pub(crate) fn check_number(&self, inputs: usize) -> Result<(), ApiError> {
        let limit = self.options.max_client_batch_size;
        if inputs == 0 {
            return Err(ApiError::new(Kind::BadRequest, "there are no inputs"));
        }
        if inputs > limit {
            let message = format!("the request has {inputs} inputs, and the server takes {limit}");
            return Err(ApiError::new(Kind::TooLarge, message));
        }
        Ok(())
    }

    /// What is put before texts: the prompt of that name, or what is put there if a request names none.
    pub(crate) fn prompt(&self, name: Option<&str>) -> Result<&str, ApiError> {
        let options = &self.options;
        let known = |name: &str| self.model.prompts().find(|(known, _)| *known == name);
        let default = || options.default_prompt_name.as_deref().or(self.model.default_prompt_name());
        let name = match (name, &options.default_prompt) {
            (None, Some(prompt)) => return Ok(prompt),
            (name, _) => name.or_else(default),
        };
        let Some(name) = name else { return Ok("") };
        match known(name) {
            Some((_, prompt)) => Ok(prompt),
            None => {
                let known = self.model.prompts().map(|(known, _)| known.to_owned()).collect();
                let error = Error::PromptName { name: name.to_owned(), known };
                Err(ApiError::new(Kind::Unprocessable, error.to_string()))
            }
        }
    }

    /// What can be said of a request before any text is looked at.
    fn check(&self, items: &[Item], vector_options: VectorOptions) -> Result<(), ApiError> {
        self.check_number(items.len())?;
        let all = self.model.embedding_dimension();
        if let Some(dimensions) = vector_options.dimensions.filter(|wanted| !(1..=all).contains(wanted)) {
            let message = format!("dimensions is {dimensions}, expected 1 to {all}");
            return Err(ApiError::new(Kind::Unprocessable, message));
        }
        if !self.options.accept_token_ids && items.iter().any(|item| matches!(item, Item::Ids(_))) {
            let message = "an input is a list of token ids, which this server does not accept: they may be those of another \
                           model's tokenizer. Send text. LangChain's OpenAIEmbeddings sends OpenAI's token ids unless it is \
                           told check_embedding_ctx_length=False. If the ids are this model's, start the server with \
                           --accept-token-ids";
            return Err(ApiError::new(Kind::BadRequest, message));
        }
        Ok(())
    }

    fn tokenize(
        &self,
        items: Vec<Item>,
        prompt: &str,
        options: &TextOptions,
    ) -> Result<Vec<TokenIds>, ApiError> {
        let truncate = options.truncate.unwrap_or(self.options.auto_truncate);
        let truncation = if truncate { Truncation::Report } else { Truncation::Error };
        let mut encode_options = EncodeOptions::default().truncation(truncation).prompt(prompt);
        encode_options.truncation_side = options.truncation_side;
        let many = items.len() > 1;
        let each = items.into_iter().enumerate().map(|(index, item)| match item {
            // One by one: the model's threads are for computing.
            Item::Text(text) => match self.model.tokenize_batch(&[text], &encode_options) {
                Ok(mut tokens) => self.known(tokens.remove(0)).map_err(|id| {
                    let message = format!("its token {id} has no embedding in this model");
                    of_input(Kind::Unprocessable, message, index, many)
                }),
                Err(error) => Err(said_of(error, index, many)),
            },
            Item::Ids(ids) => {
                self.check_ids(ids).map_err(|(kind, message)| of_input(kind, message, index, many))
            }
        });
        each.collect()
    }

    /// A text, or the first of its ids that is none of the model's: a batch with it would fail.
    fn known(&self, text: TokenIds) -> Result<TokenIds, u32> {
        let vocab_size = self.model.config().vocab_size;
        match text.ids().iter().find(|&&id| id as usize >= vocab_size) {
            Some(&id) => Err(id),
            None => Ok(text),
        }
    }

    /// Ids as they are sent, of which those that cannot be this model's are refused.
    fn check_ids(&self, ids: Vec<u32>) -> Result<TokenIds, (Kind, String)> {
        if ids.is_empty() {
            return Err((Kind::BadRequest, "it has no token ids".to_owned()));
        }
        let limit = self.model.max_seq_length();
        if ids.len() > limit {
            let message = format!("it has {} token ids, and the model takes {limit}", ids.len());
            return Err((Kind::Unprocessable, message));
        }
        self.known(TokenIds::new(ids)).map_err(|id| {
            let vocab_size = self.model.config().vocab_size;
            let message = format!(
                "its token id {id} is none of this model's {vocab_size}: the client has another model's tokenizer. Send text \
                 (LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False)"
            );
            (Kind::BadRequest, message)
        })
    }
}

/// What was wrong with a text.
fn said_of(error: Error, index: usize, many: bool) -> ApiError {
    match error {
        Error::TooLong { tokens, max_seq_length, .. } => {
            let message = format!(
                "it has {tokens} tokens, and the model takes {max_seq_length}; \"truncate\": true cuts it"
            );
            of_input(Kind::Unprocessable, message, index, many)
        }
        Error::Tokenizer(_) => of_input(Kind::Unprocessable, error.to_string(), index, many),
        _ => of_input(Kind::Inference, error.to_string(), index, many),
    }
}

/// What was wrong with an input; which one, if there are many.
fn of_input(kind: Kind, message: String, index: usize, many: bool) -> ApiError {
    let which = if many { format!("input {index}") } else { "the input".to_owned() };
    ApiError::new(kind, format!("{which}: {message}"))
}

impl Item {
    fn characters(&self) -> usize {
        match self {
            Item::Text(text) => text.chars().count(),
            Item::Ids(_) => 0,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Item::Text(text) => text.len(),
            Item::Ids(ids) => ids.len(),
        }
    }
}
