//! Where the time of a forward pass goes.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{Arena, Encoder, EncoderError, Lead};

/// A part of the forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// The embeddings' sum and LayerNorm.
    Embeddings,
    /// Queries, keys and values: a dense layer hidden_size → 3 · hidden_size.
    Qkv,
    /// Scores, softmax, context.
    Attention,
    /// Attention's dense layer hidden_size → hidden_size, with the residual.
    AttentionOutput,
    /// The feed-forward's first dense layer hidden_size → intermediate_size, with its activation.
    Intermediate,
    /// The feed-forward's second dense layer intermediate_size → hidden_size, with the residual.
    Output,
    /// Both LayerNorms of each layer.
    LayerNorm,
}

impl Operation {
    /// All of them, in the order of the pass.
    pub const ALL: [Operation; 7] = [
        Operation::Embeddings,
        Operation::Qkv,
        Operation::Attention,
        Operation::AttentionOutput,
        Operation::Intermediate,
        Operation::Output,
        Operation::LayerNorm,
    ];
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Embeddings => "embeddings, LayerNorm",
            Operation::Qkv => "query, key, value",
            Operation::Attention => "attention",
            Operation::AttentionOutput => "attention output + residual",
            Operation::Intermediate => "intermediate, activation",
            Operation::Output => "output + residual",
            Operation::LayerNorm => "LayerNorm",
        })
    }
}

/// How long each operation of a forward pass took.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Profile {
    times: [Duration; Operation::ALL.len()],
}

impl Profile {
    /// The time of an operation, of all layers together.
    pub fn time(&self, operation: Operation) -> Duration {
        self.times[operation as usize]
    }

    /// The time of the pass.
    pub fn total(&self) -> Duration {
        self.times.iter().sum()
    }
}

impl Encoder {
    /// The forward pass over `arena.tokens` on this thread alone, which is told where its time went. The result is
    /// [`Arena::hidden`], with the same bits.
    ///
    /// # Errors
    ///
    /// As [`Encoder::forward`].
    pub fn profile(&self, arena: &mut Arena) -> Result<Profile, EncoderError> {
        let clock = Clock(Mutex::new((Instant::now(), Profile::default())));
        self.forward_probed(arena, &Lead::alone(), &clock, &mut |_, _| {})?;
        let (_, profile) = clock.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(profile)
    }
}

/// Is told of every operation when it has ended.
pub(crate) trait Probe: Sync {
    fn ended(&self, operation: Operation);
}

/// Nobody wants to know.
pub(crate) struct NoProbe;

impl Probe for NoProbe {
    #[inline(always)]
    fn ended(&self, _operation: Operation) {}
}

/// When the last operation ended, and the times so far.
struct Clock(Mutex<(Instant, Profile)>);

impl Probe for Clock {
    fn ended(&self, operation: Operation) {
        let mut clock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let taken = now - std::mem::replace(&mut clock.0, now);
        clock.1.times[operation as usize] += taken;
    }
}
