//! From requests to batches, and from vectors to answers.
//!
//! One thread computes, with all threads of the model. It takes whatever is there, at once: a text that comes while the
//! model is idle is computed alone, by several threads; what comes meanwhile goes together next, up to a number of tokens.
//!
//! ```text
//! submit ──▶ arrivals ──▶ turns: requests in order, a text of each in turn ──▶ batch ──▶ encode_ids ──▶ answers
//! (any thread)  (mutex)   (the computing thread's own)
//! ```
//!
//! A request of many texts takes its turn with the others, so it is spread over several batches, and one of a single text beside
//! it is in the next. Bits do not depend on any of this, because vectors do not depend on what is computed beside them.

mod turns;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use minilm::{EncodeOptions, SentenceTransformer, TokenEmbeddings, TokenIds};
use tokio::sync::oneshot;

use turns::{Batch, Turns};

/// What is wanted of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wanted {
    /// Its vector.
    #[default]
    SentenceEmbedding,
    /// A vector for each of its tokens, and its own.
    TokenEmbeddings,
}

/// How vectors are to be. Texts for which all of it is equal are computed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VectorOptions {
    /// What is wanted of each text.
    pub wanted: Wanted,
    /// Whether sentence vectors are scaled to unit length; if not, they are as long as the pooling makes them, whatever the model's
    /// own `Normalize` would do.
    pub normalize: bool,
    /// How many components sentence vectors are cut to, before they are scaled.
    pub dimensions: Option<usize>,
}

impl Default for VectorOptions {
    fn default() -> Self {
        VectorOptions { wanted: Wanted::default(), normalize: true, dimensions: None }
    }
}

impl VectorOptions {
    /// Sets [`VectorOptions::wanted`].
    #[must_use]
    pub fn wanted(mut self, wanted: Wanted) -> Self {
        self.wanted = wanted;
        self
    }

    /// Sets [`VectorOptions::normalize`].
    #[must_use]
    pub fn normalize(mut self, normalize: bool) -> Self {
        self.normalize = normalize;
        self
    }

    /// Sets [`VectorOptions::dimensions`].
    #[must_use]
    pub fn dimensions(mut self, dimensions: impl Into<Option<usize>>) -> Self {
        self.dimensions = dimensions.into();
        self
    }

    fn encode_options(self) -> EncodeOptions {
        let options = EncodeOptions::default().normalize_embeddings(self.normalize).unscaled(!self.normalize);
        match self.dimensions {
            Some(dimensions) => options.truncate_dim(dimensions),
            None => options,
        }
    }
}

/// What a request's texts became, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Each text's vector; with [`Wanted::TokenEmbeddings`] each token's, one behind the other.
    pub vectors: Vec<Vec<f32>>,
    /// From the request's arrival to the first computation with a text of it.
    pub queue_time: Duration,
    /// How long batches with texts of the request were computed.
    pub inference_time: Duration,
}

/// How much there may be at once.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The most requests that wait or are computed.
    pub requests: usize,
    /// The most tokens of a batch; a single text always fits.
    pub batch_tokens: usize,
}

impl Limits {
    /// So many of each, at least 1.
    pub fn new(requests: usize, batch_tokens: usize) -> Limits {
        Limits { requests: requests.max(1), batch_tokens: batch_tokens.max(1) }
    }
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// As many requests as there may be are waiting.
    #[error("{requests} requests are waiting already, which is the limit")]
    Full {
        /// The limit.
        requests: usize,
        /// When there will be room, by how long requests took lately.
        retry_after: Duration,
    },

    /// The queue is shut down.
    #[error("the server is shutting down")]
    Closed,

    /// The model cannot compute a text of the request.
    #[error("{0}")]
    Encode(String),

    /// The computation has panicked: a mistake of the engine, which goes on with the other requests.
    #[error("the computation failed inside of the engine: {0}")]
    Panicked(String),
}

/// Where requests are handed in. Clones are the same queue.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

/// The thread that computes.
#[derive(Debug)]
pub struct Engine(JoinHandle<()>);

/// A request as it waits for its first turn.
struct Request {
    texts: Vec<TokenIds>,
    options: VectorOptions,
    arrived: Instant,
    reply: oneshot::Sender<Result<Answer, QueueError>>,
}

struct Shared {
    limits: Limits,
    arrivals: Mutex<Arrivals>,
    arrived: Condvar,
}

#[derive(Default)]
struct Arrivals {
    requests: VecDeque<Request>,
    /// How many requests have been accepted and are not answered.
    open: usize,
    closed: bool,
    /// How long it takes from one answer to the next while there is work, as a mean that forgets.
    seconds_an_answer: f64,
}

impl Shared {
    fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        // Nothing panics while it is held.
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// A queue in front of a model, and the thread that computes.
    ///
    /// # Errors
    ///
    /// If the system refuses to start a thread.
    pub fn start(model: Arc<SentenceTransformer>, limits: Limits) -> std::io::Result<(Queue, Engine)> {
        let shared = Arc::new(Shared { limits, arrivals: Mutex::default(), arrived: Condvar::new() });
        let queue = Queue(Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("minilm-queue".to_owned());
        let engine = thread.spawn(move || compute(&shared, |batch| encode(&model, batch)))?;
        Ok((queue, Engine(engine)))
    }

    /// Hands in the texts of a request. Who drops the receiver takes the request back: what has not been computed then, is
    /// not. The sender is never dropped without an answer while the engine runs.
    ///
    /// # Errors
    ///
    /// [`QueueError::Full`] and [`QueueError::Closed`].
    pub fn submit(
        &self,
        texts: Vec<TokenIds>,
        options: VectorOptions,
    ) -> Result<oneshot::Receiver<Result<Answer, QueueError>>, QueueError> {
        let (reply, answer) = oneshot::channel();
        let request = Request { texts, options, arrived: Instant::now(), reply };
        let mut arrivals = self.0.arrivals();
        if arrivals.closed {
            return Err(QueueError::Closed);
        }
        let limit = self.0.limits.requests;
        if arrivals.open >= limit {
            let retry_after = Duration::from_secs_f64(arrivals.seconds_an_answer * arrivals.open as f64);
            return Err(QueueError::Full { requests: limit, retry_after });
        }
        arrivals.open += 1;
        arrivals.requests.push_back(request);
        drop(arrivals);
        self.0.arrived.notify_one();
        Ok(answer)
    }

    /// How many requests wait or are computed.
    pub fn open_requests(&self) -> usize {
        self.0.arrivals().open
    }

    /// Refuses what comes from now on. What is there is still computed, then the engine ends.
    pub fn close(&self) {
        self.0.arrivals().closed = true;
        self.0.arrived.notify_one();
    }
}

impl Engine {
    /// Waits until everything is computed that was there when the queue was closed.
    ///
    /// # Errors
    ///
    /// If the thread has panicked, which is a mistake of this crate: panics of the model are caught.
    pub fn join(self) -> std::thread::Result<()> {
        self.0.join()
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let limits = self.0.limits;
        f.debug_struct("Queue").field("limits", &limits).field("open", &self.open_requests()).finish()
    }
}

/// The engine's thread: batch after batch, until the queue is closed and empty.
fn compute(shared: &Shared, mut encode: impl FnMut(&Batch) -> Result<Vec<Vec<f32>>, String>) {
    let mut turns = Turns::default();
    loop {
        let mut arrivals = shared.arrivals();
        while arrivals.requests.is_empty() && turns.is_empty() {
            if arrivals.closed {
                return;
            }
            arrivals = shared.arrived.wait(arrivals).unwrap_or_else(PoisonError::into_inner);
        }
        arrivals.requests.drain(..).for_each(|request| turns.push(request));
        drop(arrivals);

        let started = Instant::now();
        let batch = turns.next_batch(shared.limits.batch_tokens);
        if !batch.is_empty() {
            let outcome = each_by_itself_if_needed(&batch, &mut encode);
            turns.computed(batch, outcome, started.elapsed());
        }
        let answers = turns.answers();
        if answers.is_empty() {
            continue;
        }
        // Before they are sent: who has an answer and asks again finds room.
        let mut arrivals = shared.arrivals();
        arrivals.open -= answers.len();
        let seconds = started.elapsed().as_secs_f64() / answers.len() as f64;
        arrivals.seconds_an_answer += (seconds - arrivals.seconds_an_answer) / 8.0;
        drop(arrivals);
        answers.into_iter().for_each(turns::Finished::send);
    }
}

/// The outcome of each text. Where a batch fails, each of its texts is tried alone, so that one that cannot be computed costs
/// nobody else an answer.
fn each_by_itself_if_needed(
    batch: &Batch,
    encode: &mut impl FnMut(&Batch) -> Result<Vec<Vec<f32>>, String>,
) -> Vec<Result<Vec<f32>, QueueError>> {
    let mut caught = |batch: &Batch| match catch_unwind(AssertUnwindSafe(|| encode(batch))) {
        Ok(Ok(vectors)) => Ok(vectors),
        Ok(Err(error)) => Err(QueueError::Encode(error)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(QueueError::Panicked(text.unwrap_or_default()))
        }
    };
    match caught(batch) {
        Ok(vectors) => vectors.into_iter().map(Ok).collect(),
        Err(error) if batch.len() == 1 => vec![Err(error)],
        Err(_) => batch
            .each()
            .map(|one| caught(&one).map(|vectors| vectors.into_iter().next().unwrap_or_default()))
            .collect(),
    }
}

/// The vectors of a batch, one of each text; with [`Wanted::TokenEmbeddings`] its tokens' in one.
fn encode(model: &SentenceTransformer, batch: &Batch) -> Result<Vec<Vec<f32>>, String> {
    let options = batch.options.encode_options();
    let result = match batch.options.wanted {
        Wanted::SentenceEmbedding => model
            .encode_ids(batch.texts(), &options)
            .map(|vectors| vectors.rows().map(<[f32]>::to_vec).collect()),
        Wanted::TokenEmbeddings => {
            let tokens = |text: TokenEmbeddings| text.token_embeddings().as_slice().to_vec();
            let texts = model.encode_tokens_of_ids(batch.texts().to_vec(), &options);
            texts.map(|texts| texts.into_iter().map(tokens).collect())
        }
    };
    result.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
