//! From requests to batches, and from vectors to answers.
//!
//! One thread computes, with all threads of the model. It never waits while there is something: a text that comes while the model is
//! idle is computed alone, by several threads, and so are the few that come meanwhile, one after the other, which is soonest for most
//! of them. Where many wait, they go together, up to a number of tokens: that takes less time for each.
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

use crate::metrics::Metrics;
use turns::{Batch, Turns};

/// What is wanted of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Its vector.
    #[default]
    SentenceEmbedding,
    /// A vector for each of its tokens.
    TokenEmbeddings,
}

/// How vectors are to be. Texts for which all of it is equal are computed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VectorOptions {
    /// What is wanted of each text.
    pub(crate) wanted: Wanted,
    /// Whether sentence vectors are scaled to unit length; if not, they are as long as the pooling makes them, whatever the model's
    /// own `Normalize` would do.
    pub(crate) normalize: bool,
    /// How many components sentence vectors are cut to, before they are scaled.
    pub(crate) dimensions: Option<usize>,
}

impl Default for VectorOptions {
    fn default() -> Self {
        VectorOptions { wanted: Wanted::default(), normalize: true, dimensions: None }
    }
}

impl VectorOptions {
    /// Sets [`VectorOptions::wanted`].
    #[must_use]
    pub(crate) fn wanted(mut self, wanted: Wanted) -> Self {
        self.wanted = wanted;
        self
    }

    /// Sets [`VectorOptions::normalize`].
    #[must_use]
    pub(crate) fn normalize(mut self, normalize: bool) -> Self {
        self.normalize = normalize;
        self
    }

    /// Sets [`VectorOptions::dimensions`].
    #[must_use]
    pub(crate) fn dimensions(mut self, dimensions: impl Into<Option<usize>>) -> Self {
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
pub(crate) struct Answer {
    /// Each text's vector; with [`Wanted::TokenEmbeddings`] each token's, one behind the other.
    pub(crate) vectors: Vec<Vec<f32>>,
    /// From the request's arrival to the first computation with a text of it.
    pub(crate) queue_time: Duration,
    /// How long batches with texts of the request were computed.
    pub(crate) inference_time: Duration,
}

/// How much there may be at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most requests that wait or are computed.
    pub(crate) requests: usize,
    /// The most tokens of a batch; a single text always fits.
    pub(crate) batch_tokens: usize,
    /// The same where only a few wait.
    small_batch_tokens: usize,
    /// From so many tokens on that wait these are not few.
    many_tokens: usize,
}

impl Limits {
    /// So many requests and tokens of a batch, at least 1; of small batches as the number of threads makes sense.
    pub(crate) fn new(requests: usize, batch_tokens: usize, threads: usize) -> Limits {
        /// A sentence or two: with less, threads that share it are in each other's way. With two threads texts of 70 tokens are
        /// computed at 90 % of the full speed one by one, and so it is not worth it to wait for others.
        const SHARED: usize = 32;
        /// A few texts for each thread: with less, threads wait for who has the longest, and nothing is gained by many. Measured with
        /// two threads, too. Where there are so many that a small batch is a full one, there is one kind of batch.
        const MANY: usize = 256;
        let batch_tokens = batch_tokens.max(1);
        Limits {
            requests: requests.max(1),
            batch_tokens,
            small_batch_tokens: (SHARED * threads).clamp(1, batch_tokens),
            many_tokens: (MANY * threads).min(batch_tokens),
        }
    }

    /// How many tokens the next batch may have, where so many requests with so many tokens wait for it.
    ///
    /// Who is in a batch waits until all of it is computed, and who comes meanwhile does too: where few wait, small batches are
    /// best for all of them. Large ones are worth their wait where many do, because they take less time for each text; or where
    /// all of it is one request's, which has no answer before its last text. A large one makes many of few: beside it, small ones wait
    /// for full batches, as it would be slower with small ones for as long as others come.
    fn of_next_batch(&self, requests: usize, waiting_tokens: usize) -> usize {
        if requests > 1 && waiting_tokens < self.many_tokens {
            self.small_batch_tokens
        } else {
            self.batch_tokens
        }
    }
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueueError {
    /// As many requests as there may be are waiting.
    #[error("as many requests are waiting as there may be, which is {requests}")]
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

/// Where requests are handed in. Clones are the same queue; when the last is gone, it closes.
#[derive(Clone)]
pub(crate) struct Queue(Arc<Handle>);

/// Closes the queue when it is dropped.
struct Handle(Arc<Shared>);

/// A place among the requests that there may be at once, which is given back when it is dropped: who does not wait any more has
/// none.
pub(crate) struct Permit(Arc<Shared>);

/// The thread that computes.
#[derive(Debug)]
pub(crate) struct Engine(JoinHandle<()>);

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
    /// How many places are taken.
    places: usize,
    /// How many requests were handed in and are not done with.
    unanswered: usize,
    closed: bool,
    /// How long it takes from one answer to the next while there is work, as a mean that forgets. `None` before the first.
    seconds_an_answer: Option<f64>,
}

impl Shared {
    fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        // Nothing panics while it is held.
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.arrivals().closed = true;
        self.arrived.notify_one();
    }
}

impl Queue {
    /// A queue in front of a model, and the thread that computes.
    ///
    /// # Errors
    ///
    /// If the system refuses to start a thread.
    pub(crate) fn start(
        model: Arc<SentenceTransformer>,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Queue, Engine)> {
        Queue::start_with(limits, move |batch| {
            metrics.batch(batch.len(), batch.texts().iter().map(|text| text.ids().len()).sum());
            encode(&model, batch)
        })
    }

    fn start_with(
        limits: Limits,
        encode: impl FnMut(&Batch) -> Result<Vec<Vec<f32>>, String> + Send + 'static,
    ) -> std::io::Result<(Queue, Engine)> {
        let shared = Arc::new(Shared { limits, arrivals: Mutex::default(), arrived: Condvar::new() });
        let queue = Queue(Arc::new(Handle(Arc::clone(&shared))));
        let thread = std::thread::Builder::new().name("minilm-queue".to_owned());
        let engine = thread.spawn(move || {
            let ending = Ending(&shared);
            compute(&shared, encode);
            drop(ending);
        })?;
        Ok((queue, Engine(engine)))
    }

    /// A place for a request.
    ///
    /// # Errors
    ///
    /// [`QueueError::Full`] and [`QueueError::Closed`].
    pub(crate) fn reserve(&self) -> Result<Permit, QueueError> {
        let shared = &self.0.0;
        let mut arrivals = shared.arrivals();
        if arrivals.closed {
            return Err(QueueError::Closed);
        }
        let requests = shared.limits.requests;
        if arrivals.places >= requests {
            let seconds = arrivals.seconds_an_answer.unwrap_or_default() * arrivals.places as f64;
            return Err(QueueError::Full { requests, retry_after: Duration::from_secs_f64(seconds) });
        }
        arrivals.places += 1;
        Ok(Permit(Arc::clone(shared)))
    }

    /// How many requests wait or are computed.
    pub(crate) fn unanswered(&self) -> usize {
        self.0.0.arrivals().unanswered
    }

    /// How many places are taken.
    pub(crate) fn places(&self) -> usize {
        self.0.0.arrivals().places
    }

    /// Whether nothing is computed any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.0.arrivals().closed
    }

    /// Refuses what comes from now on. What is there is still computed, then the engine ends.
    pub(crate) fn close(&self) {
        self.0.0.close();
    }
}

impl Permit {
    /// Hands in the texts of the request. Who drops the receiver takes the request back: what has not been computed then, is
    /// not. The sender is dropped without an answer only if the engine has ended.
    ///
    /// # Errors
    ///
    /// [`QueueError::Closed`].
    pub(crate) fn submit(
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
        arrivals.requests.push_back(request);
        arrivals.unanswered += 1;
        drop(arrivals);
        self.0.arrived.notify_one();
        Ok(answer)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.arrivals().places -= 1;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// However the engine's thread ends, nobody waits for it afterwards: requests that are there lose their senders, and there are
/// no others.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut arrivals = self.0.arrivals();
        arrivals.closed = true;
        arrivals.unanswered = 0;
        arrivals.requests.clear();
    }
}

impl Engine {
    /// Waits until everything is computed that was there when the queue was closed.
    ///
    /// # Errors
    ///
    /// If the thread has panicked, which is a mistake of this crate: panics of the model are caught.
    pub(crate) fn join(self) -> std::thread::Result<()> {
        self.0.join()
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("limits", &self.0.0.limits).finish_non_exhaustive()
    }
}

/// The engine's thread: batch after batch, until the queue is closed and empty.
fn compute(shared: &Shared, mut encode: impl FnMut(&Batch) -> Result<Vec<Vec<f32>>, String>) {
    let mut turns = Turns::default();
    // The last answer, or the end of idleness.
    let mut since = Instant::now();
    loop {
        let mut arrivals = shared.arrivals();
        while arrivals.requests.is_empty() && turns.is_empty() {
            if arrivals.closed {
                return;
            }
            arrivals = shared.arrived.wait(arrivals).unwrap_or_else(PoisonError::into_inner);
            since = Instant::now();
        }
        let requests = std::mem::take(&mut arrivals.requests);
        drop(arrivals);
        requests.into_iter().for_each(|request| turns.push(request));

        turns.drop_deserted();
        settle(shared, &mut turns, &mut since);
        let started = Instant::now();
        let tokens = shared.limits.of_next_batch(turns.requests(), turns.waiting_tokens());
        let batch = turns.next_batch(tokens);
        if !batch.is_empty() {
            let outcome = each_by_itself_if_needed(&batch, &mut encode);
            turns.computed(batch, outcome, started.elapsed());
            settle(shared, &mut turns, &mut since);
        }
    }
}

/// Counts the requests that are done with, and sends the answers.
fn settle(shared: &Shared, turns: &mut Turns, since: &mut Instant) {
    let finished = turns.finished();
    if finished.is_empty() {
        return;
    }
    let answers = finished.iter().filter(|request| request.has_answer()).count();
    let mut arrivals = shared.arrivals();
    arrivals.unanswered = arrivals.unanswered.saturating_sub(finished.len());
    if answers > 0 {
        let seconds = since.elapsed().as_secs_f64() / answers as f64;
        let before = arrivals.seconds_an_answer.unwrap_or(seconds);
        arrivals.seconds_an_answer = Some(before + (seconds - before) / 8.0);
        *since = Instant::now();
    }
    drop(arrivals);
    finished.into_iter().for_each(turns::Finished::send);
}

/// The outcome of each text. Where a batch fails, each of its texts is tried alone, so that one that cannot be computed costs
/// nobody else an answer.
fn each_by_itself_if_needed(
    batch: &Batch,
    encode: &mut impl FnMut(&Batch) -> Result<Vec<Vec<f32>>, String>,
) -> Vec<Result<Vec<f32>, QueueError>> {
    let mut caught = |batch: &Batch| match catch_unwind(AssertUnwindSafe(|| encode(batch))) {
        Ok(Ok(vectors)) if vectors.len() == batch.len() => Ok(vectors),
        Ok(Ok(vectors)) => {
            Err(QueueError::Encode(format!("{} vectors of {} texts", vectors.len(), batch.len())))
        }
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
            .map(|one| caught(&one).map(|vectors| vectors.into_iter().flatten().collect()))
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
            let texts = model.encode_tokens_of_ids(batch.texts(), &options);
            texts.map(|texts| texts.into_iter().map(tokens).collect())
        }
    };
    result.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
