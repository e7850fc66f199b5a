//! Threads that share the work on one text.
//!
//! A pass over a short text has some two dozen joins and lasts a millisecond: what a thread pool for large tasks takes to
//! wake its threads and to collect them would be a good part of that. So the threads of a [`Team`] spin for a short time
//! when they run out of work, and only then park; and a join is one atomic word:
//!
//! ```text
//! ticket = epoch (32 bits) │ pieces (16 bits) │ next piece (16 bits)
//!
//! leader:  job = the closure; finished = 0; ticket = (epoch + 1, pieces, 0)
//! anybody: ticket (e, n, i) with i < n  ─ compare and swap to (e, n, i + 1) ─▶  job(i); finished += 1
//! leader:  waits until finished = pieces
//! ```
//!
//! Pieces are claimed and not assigned. A thread that the system is not running claims nothing, so the leader does all
//! of the work itself rather than wait for a thread that is not there; only for one that was interrupted in the middle of
//! a piece it has to wait. Whoever has claimed a piece keeps the job alive, for the leader waits for it; a claim of an
//! old epoch fails, because the epoch is a part of the word.
#![allow(unsafe_code, reason = "threads that outlive a call run its closure, which no lifetime can say")]

use std::any::Any;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::EncoderError;

/// How long a thread without work spins before it parks: longer than what lies between two pieces of a pass, and than
/// tokenising the next text. Waking a parked thread takes about as long.
const SPIN: Duration = Duration::from_micros(100);

/// How often a waiting thread looks before it lets other processes have the core for once.
const LOOKS: u32 = 200;

/// The closure of a job: called with the number of a piece.
type Job = dyn Fn(usize) + Sync + 'static;

/// Threads that wait for a leader. The leader is a caller's thread and one of the team.
pub(crate) struct Team {
    shared: Arc<Shared>,
    /// One less than the team has.
    members: Vec<JoinHandle<()>>,
}

/// A cache line of its own for what many threads write.
#[repr(align(128))]
#[derive(Default)]
struct Line<T>(T);

struct Shared {
    ticket: Line<AtomicU64>,
    finished: Line<AtomicU32>,
    /// The job of the ticket's epoch. Written by the leader while no piece can be claimed or is unfinished, read by
    /// those who have claimed a piece.
    job: JobCell,
    /// What the first of the pieces that panicked did so with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Whether somebody leads.
    led: AtomicBool,
    stop: AtomicBool,
    /// Those members that have parked or are about to.
    parked: Mutex<Vec<Thread>>,
    /// How many these are.
    parked_count: Line<AtomicU32>,
}

/// Where a job waits for those who claim its pieces.
struct JobCell(UnsafeCell<Option<*const Job>>);

// SAFETY: it is written by the one leader (`led`) and only when nobody may read it: before a ticket is published, when
// all pieces of the one before are finished. It is read only between a successful claim and the report that the piece is
// finished. Publishing releases the ticket and a claim acquires it; reports release `finished` and the leader acquires
// it before it writes again. Jobs are `Sync`, so several threads may call one at a time.
unsafe impl Sync for JobCell {}

// SAFETY: the pointer is to something `Sync`, and only dereferenced as said above.
unsafe impl Send for JobCell {}

const PIECES_SHIFT: u32 = 16;
const EPOCH_SHIFT: u32 = 32;
const FIELD: u64 = 0xffff;

impl Shared {
    fn new() -> Shared {
        Shared {
            ticket: Line::default(),
            finished: Line::default(),
            job: JobCell(UnsafeCell::new(None)),
            panic: Mutex::default(),
            led: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            parked: Mutex::default(),
            parked_count: Line::default(),
        }
    }

    /// Claims a piece, runs it and reports it; `false` if there is none.
    fn work(&self) -> bool {
        let mut ticket = self.ticket.0.load(Ordering::Acquire);
        loop {
            let (pieces, next) = (ticket >> PIECES_SHIFT & FIELD, ticket & FIELD);
            if next >= pieces {
                return false;
            }
            let claimed =
                self.ticket.0.compare_exchange_weak(ticket, ticket + 1, Ordering::AcqRel, Ordering::Acquire);
            match claimed {
                Ok(_) => {
                    self.run_piece(next as usize);
                    return true;
                }
                Err(changed) => ticket = changed,
            }
        }
    }

    /// Runs a piece that this thread has claimed.
    fn run_piece(&self, piece: usize) {
        // SAFETY: this thread has claimed a piece and not yet reported it, so nobody writes `job`, and the closure is
        // borrowed by the leader's `run`, which does not return before the report.
        let job = unsafe { (*self.job.0.get()).map(|job| &*job) };
        let result = catch_unwind(AssertUnwindSafe(|| job.expect("a ticket has a job")(piece)));
        if let Err(panic) = result {
            let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            match *first {
                None => *first = Some(panic),
                // Dropping it could panic again, and the piece would never be reported.
                Some(_) => std::mem::forget(panic),
            }
        }
        self.finished.0.fetch_add(1, Ordering::Release);
    }

    /// What a member does all its life.
    fn serve(&self) {
        let mut idle_since = None;
        let mut looks = 0;
        while !self.stop.load(Ordering::Relaxed) {
            if self.work() {
                idle_since = None;
                continue;
            }
            looks += 1;
            if looks < LOOKS {
                std::hint::spin_loop();
                continue;
            }
            looks = 0;
            if idle_since.get_or_insert_with(Instant::now).elapsed() < SPIN {
                std::thread::yield_now();
            } else {
                self.park();
                idle_since = None;
            }
        }
    }

    fn park(&self) {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner).push(std::thread::current());
        self.parked_count.0.fetch_add(1, Ordering::SeqCst);
        // Whoever publishes after this sees the count; what was published before is seen here. A wake-up for no reason
        // leads to another look and back here, with this thread in the list once more, which does no harm.
        let ticket = self.ticket.0.load(Ordering::SeqCst);
        let has_work = ticket & FIELD < ticket >> PIECES_SHIFT & FIELD;
        if !has_work && !self.stop.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }

    fn wake(&self) {
        if self.parked_count.0.load(Ordering::SeqCst) > 0 {
            let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
            self.parked_count.0.store(0, Ordering::SeqCst);
            parked.drain(..).for_each(|thread| thread.unpark());
        }
    }
}

impl Team {
    /// Starts `threads` − 1 threads.
    pub(crate) fn new(threads: usize) -> Result<Team, EncoderError> {
        let mut team = Team { shared: Arc::new(Shared::new()), members: Vec::new() };
        for i in 1..threads {
            let shared = Arc::clone(&team.shared);
            let member = std::thread::Builder::new()
                .name(format!("minilm-team-{i}"))
                .spawn(move || shared.serve())
                .map_err(|e| EncoderError::Threads { threads, reason: e.to_string() })?;
            team.members.push(member);
        }
        Ok(team)
    }

    /// Makes the caller the leader and wakes the members, unless the team has a leader.
    pub(crate) fn lead(&self) -> Option<Lead<'_>> {
        let free = self.shared.led.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        free.ok().map(|_| {
            self.shared.wake();
            Lead { team: Some(self), one_thread: PhantomData }
        })
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.wake();
        for member in self.members.drain(..) {
            member.thread().unpark();
            // A member ends by itself; its panics were its leaders'.
            let _ = member.join();
        }
    }
}

/// The right to give a team work, for as long as it lives.
///
/// It stays on one thread: a team has one job at a time.
pub struct Lead<'a> {
    team: Option<&'a Team>,
    one_thread: PhantomData<*const ()>,
}

impl Lead<'_> {
    /// A leader without a team, who does everything alone.
    pub fn alone() -> Lead<'static> {
        Lead { team: None, one_thread: PhantomData }
    }

    /// How many threads there are, the leader's among them.
    pub fn threads(&self) -> usize {
        self.team.map_or(1, |team| team.members.len() + 1)
    }

    /// Calls `job` with 0 … pieces − 1, each once, on whichever threads are there; returns when all are done.
    ///
    /// # Panics
    ///
    /// If a piece panics, or there are more than 65,535.
    pub(crate) fn run(&self, pieces: usize, job: impl Fn(usize) + Sync) {
        let Some(Team { shared, .. }) = self.team.filter(|_| pieces > 1) else {
            return (0..pieces).for_each(job);
        };
        assert!(pieces as u64 <= FIELD, "a job of {pieces} pieces");
        let job: &(dyn Fn(usize) + Sync) = &job;
        // SAFETY: the type says 'static, which the closure is not; it is called only by those who have claimed a piece
        // of this job, and this function returns, or unwinds, only after all pieces were reported and none can be
        // claimed any more.
        let job: *const Job = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static Job>(job) };
        // SAFETY: this is the one leader, and all pieces of the job before are finished: nobody reads `job` now.
        unsafe { *shared.job.0.get() = Some(job) };
        shared.finished.0.store(0, Ordering::Relaxed);
        let epoch = (shared.ticket.0.load(Ordering::Relaxed) >> EPOCH_SHIFT).wrapping_add(1) & 0xffff_ffff;
        let ticket = epoch << EPOCH_SHIFT | (pieces as u64) << PIECES_SHIFT;
        shared.ticket.0.store(ticket, Ordering::SeqCst);
        shared.wake();

        // Panics in a piece are caught, so nothing unwinds past the wait.
        while shared.work() {}
        let mut looks = 0;
        while shared.finished.0.load(Ordering::Acquire) != pieces as u32 {
            looks += 1;
            if looks == LOOKS {
                looks = 0;
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
        let panic = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if let Some(team) = self.team {
            team.shared.led.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn every_piece_runs_once() {
        for threads in [1, 2, 5] {
            let team = Team::new(threads).unwrap();
            let lead = team.lead().unwrap();
            assert_eq!(lead.threads(), threads);
            for round in 0..2000 {
                let pieces = round % 9;
                let counts: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
                lead.run(pieces, |i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn members_that_have_parked_are_woken() {
        let team = Team::new(2).unwrap();
        for _ in 0..20 {
            std::thread::sleep(10 * SPIN);
            let lead = team.lead().unwrap();
            // Each piece waits for the other, so two threads must be there.
            let arrived = AtomicUsize::new(0);
            lead.run(2, |_| {
                arrived.fetch_add(1, Ordering::Relaxed);
                while arrived.load(Ordering::Relaxed) < 2 {
                    std::thread::yield_now();
                }
            });
        }
    }

    #[test]
    fn there_is_one_leader_at_a_time() {
        let team = Team::new(2).unwrap();
        let lead = team.lead();
        assert!(lead.is_some() && team.lead().is_none());
        drop(lead);
        assert!(team.lead().is_some());
    }

    #[test]
    fn a_panic_reaches_the_leader_and_the_team_goes_on() {
        let team = Team::new(3).unwrap();
        let lead = team.lead().unwrap();
        let done = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            lead.run(6, |i| {
                assert_ne!(i, 3, "the fourth piece");
                done.fetch_add(1, Ordering::Relaxed);
            });
        }));
        let message = result.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("the fourth piece"), "{message}");
        assert_eq!(done.load(Ordering::Relaxed), 5);
        lead.run(4, |_| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.load(Ordering::Relaxed), 9);
    }

    #[test]
    fn pieces_borrow_from_the_leaders_stack() {
        let team = Team::new(4).unwrap();
        let lead = team.lead().unwrap();
        for n in 1..200usize {
            let numbers: Vec<usize> = (0..n).collect();
            let sum = AtomicUsize::new(0);
            lead.run(n, |i| {
                sum.fetch_add(numbers[i], Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), n * (n - 1) / 2);
        }
    }
}
