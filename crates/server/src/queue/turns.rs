//! Whose text is next.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use minilm::TokenIds;
use tokio::sync::oneshot;

use super::{Answer, QueueError, Request, VectorOptions};

/// The requests that are being computed, in the order of their turns.
#[derive(Default)]
pub(super) struct Turns {
    requests: HashMap<u64, Open>,
    /// Those that have texts left, who is next first.
    order: VecDeque<u64>,
    /// Of all texts that are in no batch yet.
    waiting_tokens: usize,
    next_id: u64,
    finished: Vec<Finished>,
}

/// A request that is being computed.
struct Open {
    texts: std::vec::IntoIter<TokenIds>,
    options: VectorOptions,
    arrived: Instant,
    reply: oneshot::Sender<Result<Answer, QueueError>>,
    /// The vectors that are there; an empty one for each of the others.
    vectors: Vec<Vec<f32>>,
    /// How many are not there.
    missing: usize,
    queue_time: Option<Duration>,
    inference_time: Duration,
}

/// A request that is done with.
pub(super) struct Finished {
    reply: oneshot::Sender<Result<Answer, QueueError>>,
    /// None if nobody waits for it.
    outcome: Option<Result<Answer, QueueError>>,
}

/// Texts that are computed together.
pub(super) struct Batch {
    pub(super) options: VectorOptions,
    texts: Vec<TokenIds>,
    /// Whose each text is, and which of that request's.
    owners: Vec<(u64, usize)>,
}

impl Batch {
    pub(super) fn texts(&self) -> &[TokenIds] {
        &self.texts
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// A batch of each of its texts.
    pub(super) fn each(&self) -> impl Iterator<Item = Batch> {
        self.texts.iter().zip(&self.owners).map(|(text, &owner)| Batch {
            options: self.options,
            texts: vec![text.clone()],
            owners: vec![owner],
        })
    }
}

impl Finished {
    /// Whether somebody waits for it.
    pub(super) fn has_answer(&self) -> bool {
        self.outcome.is_some()
    }

    pub(super) fn send(self) {
        if let Some(outcome) = self.outcome {
            // Nobody may wait any more.
            let _ = self.reply.send(outcome);
        }
    }
}

impl Turns {
    /// Whether there is nothing to compute and nothing to answer.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty() && self.finished.is_empty()
    }

    /// How many requests have texts that have no vectors yet.
    pub(super) fn requests(&self) -> usize {
        self.requests.len()
    }

    /// How many tokens are in no batch yet.
    pub(super) fn waiting_tokens(&self) -> usize {
        self.waiting_tokens
    }

    /// A request, whose turn comes after that of all others.
    pub(super) fn push(&mut self, request: Request) {
        let Request { texts, options, arrived, reply } = request;
        let n = texts.len();
        let open = Open {
            texts: texts.into_iter(),
            options,
            arrived,
            reply,
            vectors: vec![Vec::new(); n],
            missing: n,
            queue_time: None,
            inference_time: Duration::ZERO,
        };
        if n == 0 {
            self.finished.push(open.finished(None));
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.waiting_tokens += open.waiting_tokens();
        self.requests.insert(id, open);
        self.order.push_back(id);
    }

    /// Gives up the requests that nobody waits for, also those whose turn is far away: their places are wanted.
    pub(super) fn drop_deserted(&mut self) {
        let deserted = self.requests.iter().filter(|(_, open)| open.reply.is_closed());
        let deserted: Vec<u64> = deserted.map(|(&id, _)| id).collect();
        deserted.into_iter().for_each(|id| self.give_up(id, None));
    }

    /// The next texts, of at most so many tokens, but one at least: a text of each request in turn, and again from the first. Only
    /// those that want the same of their vectors as the first; the others keep their places before it next time.
    ///
    /// Where the next text does not fit, the batch ends: it is not passed over, so it is in the next.
    pub(super) fn next_batch(&mut self, tokens: usize) -> Batch {
        let mut batch = Batch { options: VectorOptions::default(), texts: Vec::new(), owners: Vec::new() };
        let (mut room, now) = (tokens, Instant::now());
        let mut passed_over = Vec::new();
        while let Some(id) = self.order.pop_front() {
            // It may have been given up.
            let Some(open) = self.requests.get_mut(&id) else { continue };
            if batch.is_empty() {
                batch.options = open.options;
            } else if batch.options != open.options {
                passed_over.push(id);
                continue;
            }
            let Some(next) = open.texts.as_slice().first() else { continue };
            let len = next.ids().len();
            if len > room && !batch.is_empty() {
                self.order.push_front(id);
                break;
            }
            room = room.saturating_sub(len);
            self.waiting_tokens -= len;
            let index = open.vectors.len() - open.texts.len();
            batch.texts.extend(open.texts.next());
            batch.owners.push((id, index));
            open.queue_time.get_or_insert(now.saturating_duration_since(open.arrived));
            if open.texts.len() > 0 {
                self.order.push_back(id);
            }
        }
        passed_over.into_iter().rev().for_each(|id| self.order.push_front(id));
        batch
    }

    /// Gives each text's vector, or why it has none, to its request.
    pub(super) fn computed(
        &mut self,
        batch: Batch,
        outcomes: Vec<Result<Vec<f32>, QueueError>>,
        time: Duration,
    ) {
        debug_assert_eq!(batch.len(), outcomes.len());
        let mut owners: Vec<u64> = batch.owners.iter().map(|&(id, _)| id).collect();
        owners.sort_unstable();
        owners.dedup();
        for id in owners {
            if let Some(open) = self.requests.get_mut(&id) {
                open.inference_time += time;
            }
        }
        for ((id, index), outcome) in batch.owners.into_iter().zip(outcomes) {
            // Its request may have failed by another of its texts.
            let Some(open) = self.requests.get_mut(&id) else { continue };
            match outcome {
                Ok(vector) => {
                    open.vectors[index] = vector;
                    open.missing -= 1;
                    if open.missing == 0 {
                        self.give_up(id, None);
                    }
                }
                Err(error) => self.give_up(id, Some(error)),
            }
        }
    }

    /// The requests that are done with since the last call.
    pub(super) fn finished(&mut self) -> Vec<Finished> {
        std::mem::take(&mut self.finished)
    }

    /// Ends a request: with its vectors, if all are there, with that error, or because nobody waits.
    fn give_up(&mut self, id: u64, error: Option<QueueError>) {
        if let Some(open) = self.requests.remove(&id) {
            self.waiting_tokens -= open.waiting_tokens();
            self.finished.push(open.finished(error));
        }
    }
}

impl Open {
    /// Of its texts that are in no batch yet.
    fn waiting_tokens(&self) -> usize {
        self.texts.as_slice().iter().map(|text| text.ids().len()).sum()
    }

    fn finished(self, error: Option<QueueError>) -> Finished {
        let Open { reply, vectors, missing, queue_time, inference_time, .. } = self;
        let outcome = match error {
            Some(error) => Some(Err(error)),
            None if missing > 0 => None,
            None => {
                let queue_time = queue_time.unwrap_or_default();
                Some(Ok(Answer { vectors, queue_time, inference_time }))
            }
        };
        Finished { reply, outcome }
    }
}
