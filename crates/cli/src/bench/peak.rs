//! The peak that work is judged by, taken between pieces of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use minilm::Isa;

/// How long a sample is.
const SAMPLE: Duration = Duration::from_millis(10);

/// How long the cores are busy before a sample begins: workers that still wait for more to do give up, and the clock
/// settles.
const SETTLE: Duration = Duration::from_millis(3);

/// Steps between two looks at the clock: about ten microseconds.
const STEPS: u64 = 1 << 10;

/// What as many threads as work uses can do at best, on the same instruction set.
pub(super) struct Peak {
    pub(super) isa: Isa,
    pub(super) threads: usize,
    /// One of `minilm_kernels::peak`: does that many steps, and returns how many operations that were.
    pub(super) operations: fn(Isa, u64) -> u64,
}

/// What one thread did in a sample.
struct Share {
    start: Instant,
    end: Instant,
    operations: u64,
}

impl Peak {
    /// Operations a second of all threads at once.
    pub(super) fn sample(&self) -> f64 {
        let arrived = AtomicUsize::new(0);
        let shares: Vec<Share> = thread::scope(|scope| {
            let others: Vec<_> = (1..self.threads).map(|_| scope.spawn(|| self.share(&arrived))).collect();
            let own = self.share(&arrived);
            // A thread that panicked has said why.
            let others = others.into_iter().filter_map(|thread| thread.join().ok());
            std::iter::once(own).chain(others).collect()
        });
        rate(&shares)
    }

    fn share(&self, arrived: &AtomicUsize) -> Share {
        arrived.fetch_add(1, Ordering::Relaxed);
        while arrived.load(Ordering::Relaxed) < self.threads {
            thread::yield_now();
        }
        self.run_for(SETTLE);
        self.run_for(SAMPLE)
    }

    fn run_for(&self, time: Duration) -> Share {
        let start = Instant::now();
        let mut operations = 0;
        loop {
            operations += (self.operations)(self.isa, STEPS);
            let end = Instant::now();
            if end - start >= time {
                return Share { start, end, operations };
            }
        }
    }
}

/// Operations a second of all shares together, from the first start to the last end: with more threads than cores some
/// begin or end late.
fn rate(shares: &[Share]) -> f64 {
    let operations: u64 = shares.iter().map(|share| share.operations).sum();
    let start = shares.iter().map(|share| share.start).min();
    let end = shares.iter().map(|share| share.end).max();
    let taken = start.zip(end).map_or(SAMPLE, |(start, end)| end - start);
    operations as f64 / taken.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_all_threads_together() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let share = |from, to, operations| Share { start: at(from), end: at(to), operations };
        assert!((rate(&[share(0, 10, 500)]) - 50_000.0).abs() < 1e-6);
        // Twenty milliseconds from the first start to the last end.
        assert!(
            (rate(&[share(5, 15, 500), share(0, 10, 500), share(10, 20, 1000)]) - 100_000.0).abs() < 1e-6
        );
    }

    #[test]
    fn every_thread_takes_its_share() {
        fn counted(_: Isa, steps: u64) -> u64 {
            CALLS.fetch_add(1, Ordering::Relaxed);
            std::hint::black_box(steps)
        }
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        let peak = Peak { isa: Isa::best(), threads: 3, operations: counted };
        assert!(peak.sample() > 0.0);
        // Each of the three settles and is sampled.
        assert!(CALLS.load(Ordering::Relaxed) >= 6);
    }

    #[test]
    fn more_threads_than_cores_come_to_an_end() {
        let operations = minilm_kernels::peak::f32_fma;
        let peak = Peak { isa: Isa::best(), threads: 9, operations };
        assert!(peak.sample() > 0.0);
    }
}
