use std::fmt;
use std::sync::{Mutex, PoisonError};

use minilm_kernels::Shares;
use rayon::prelude::*;

use crate::team::{Lead, Team};
use crate::{Arena, EncoderError};

/// A fixed number of threads and their arenas.
///
/// With one thread no other is started: everything runs on the caller's.
pub struct Workers {
    /// For bulk work: each thread takes whole micro-batches.
    pool: Option<rayon::ThreadPool>,
    /// For a single text, which threads share.
    team: Option<Team>,
    /// The arenas that nobody is using. At most as many as were ever in use at once.
    arenas: Mutex<Vec<Arena>>,
}

impl Workers {
    /// As many threads as [`Workers::threads_for`] says. However many they are, no more than there are cores share a single
    /// text.
    ///
    /// # Errors
    ///
    /// [`EncoderError::Threads`] if the system refuses to start them.
    pub fn new(threads: usize) -> Result<Workers, EncoderError> {
        let cores = available_cores();
        let threads = Workers::threads_for(threads);
        let pool = (threads > 1)
            .then(|| {
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|i| format!("minilm-{i}"))
                    .build()
                    .map_err(|e| EncoderError::Threads { threads, reason: e.to_string() })
            })
            .transpose()?;
        // More threads than cores can only wait for each other.
        let sharing = threads.min(cores).min(Shares::MOST);
        let team = (sharing > 1).then(|| Team::new(sharing)).transpose()?;
        Ok(Workers { pool, team, arenas: Mutex::default() })
    }

    /// How many threads are started where `wanted` are asked for: for 0 as many as this process may use cores, and never more
    /// than four for each of them, or 64 where that is less. More would only wait, and a number that is a mistake would
    /// bring the machine to a halt.
    ///
    /// How many cores that is, [`std::thread::available_parallelism`] says: on Linux those of the affinity mask, or fewer
    /// where the CPU quota of a cgroup (version 2 or 1, whole cores, at least one) is less.
    pub fn threads_for(wanted: usize) -> usize {
        threads_on(available_cores(), wanted)
    }

    /// The lead of the threads that share a single text: woken, if there are any and nobody else leads them; else the
    /// caller is alone.
    pub fn lead(&self) -> Lead<'_> {
        self.team.as_ref().and_then(Team::lead).unwrap_or_else(|| Lead::alone())
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.pool.as_ref().map_or(1, rayon::ThreadPool::current_num_threads)
    }

    /// Runs `f` with an arena that nobody else uses meanwhile, on the caller's thread.
    pub fn with_arena<R>(&self, f: impl FnOnce(&mut Arena) -> R) -> R {
        // A panic elsewhere cannot leave the list of arenas half-changed.
        let free = || self.arenas.lock().unwrap_or_else(PoisonError::into_inner);
        let mut arena = free().pop().unwrap_or_default();
        let result = f(&mut arena);
        free().push(arena);
        result
    }

    /// Runs `f` for every item, in no particular order, on all threads.
    ///
    /// # Errors
    ///
    /// One of the errors of `f`; the items after it may not have been run.
    pub fn try_for_each<T: Send, E: Send>(
        &self,
        items: Vec<T>,
        f: impl Fn(T) -> Result<(), E> + Send + Sync,
    ) -> Result<(), E> {
        match &self.pool {
            Some(pool) if items.len() > 1 => pool.install(|| items.into_par_iter().try_for_each(f)),
            _ => items.into_iter().try_for_each(f),
        }
    }

    /// `f` of every item, in the items' order, on all threads.
    ///
    /// # Errors
    ///
    /// One of the errors of `f`.
    pub fn try_map<T: Sync, U: Send, E: Send>(
        &self,
        items: &[T],
        f: impl Fn(&T) -> Result<U, E> + Send + Sync,
    ) -> Result<Vec<U>, E> {
        match &self.pool {
            Some(pool) if items.len() > 1 => pool.install(|| items.par_iter().map(f).collect()),
            _ => items.iter().map(f).collect(),
        }
    }
}

fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// How many threads so many cores get where `wanted` are asked for.
fn threads_on(cores: usize, wanted: usize) -> usize {
    const PER_CORE: usize = 4;
    const ALWAYS: usize = 64;
    if wanted == 0 { cores } else { wanted.min(ALWAYS.max(PER_CORE * cores)) }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_no_more_than_a_machine_can_bear() {
        for (cores, wanted, expected) in
            [(2, 0, 2), (2, 1, 1), (2, 64, 64), (2, 65, 64), (32, 100_000, 128), (200, 0, 200)]
        {
            assert_eq!(threads_on(cores, wanted), expected, "{wanted} on {cores} cores");
        }
    }
}
