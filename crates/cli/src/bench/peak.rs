//! The peak that work is judged by, taken between pieces of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use minilm::SentenceTransformer;
use minilm_kernels::peak;

use super::measure::median;

/// Slices of a sample, and how long each is. The median counts: a slice in which others had the core is no peak.
const SLICES: usize = 21;
const SLICE: Duration = Duration::from_micros(500);

/// How long the cores are busy before a sample begins: workers that still wait for more to do give up, and the clock
/// settles.
const SETTLE: Duration = Duration::from_millis(3);

/// Steps between two looks at the clock: about ten microseconds.
const STEPS: u64 = 1 << 10;

/// What as many threads as work uses can do at best.
pub(super) struct Peak {
    threads: usize,
    /// Does that many steps, and returns how many operations that were.
    operations: Box<dyn Fn(u64) -> u64 + Sync>,
}

impl Peak {
    /// Of the products that the model's dense layers consist of: same instruction set, same precision, same threads.
    pub(super) fn of(model: &SentenceTransformer) -> Peak {
        let (isa, precision) = (model.isa(), model.precision());
        let operations = Box::new(move |steps| peak::products(isa, precision, steps));
        Peak { threads: model.threads(), operations }
    }

    /// Operations a second of all threads at once; of all cores, if there are more threads than cores.
    pub(super) fn sample(&self) -> f64 {
        let cores = thread::available_parallelism().map_or(1, |n| n.get());
        let threads = self.threads.min(cores);
        let arrived = AtomicUsize::new(0);
        thread::scope(|scope| {
            let others: Vec<_> =
                (1..threads).map(|_| scope.spawn(|| self.rate_of_one(&arrived, threads))).collect();
            let own = self.rate_of_one(&arrived, threads);
            // A thread that panicked has said why.
            own + others.into_iter().filter_map(|thread| thread.join().ok()).sum::<f64>()
        })
    }

    /// Operations a second of the calling thread, while the others do the same.
    fn rate_of_one(&self, arrived: &AtomicUsize, threads: usize) -> f64 {
        arrived.fetch_add(1, Ordering::Relaxed);
        while arrived.load(Ordering::Relaxed) < threads {
            thread::yield_now();
        }
        self.rate_for(SETTLE);
        median(&mut [0.0; SLICES].map(|_| self.rate_for(SLICE)))
    }

    fn rate_for(&self, time: Duration) -> f64 {
        let start = Instant::now();
        let mut operations = 0;
        loop {
            operations += (self.operations)(STEPS);
            let taken = start.elapsed();
            if taken >= time {
                return operations as f64 / taken.as_secs_f64();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_does_not_count() {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        fn interrupted(steps: u64) -> u64 {
            // Every fifth slice, as slow as on a core that others have.
            let pause = if CALLS.fetch_add(1, Ordering::Relaxed) % 5 == 4 { 200 } else { 10 };
            thread::sleep(Duration::from_millis(pause));
            steps
        }
        let peak = Peak { threads: 1, operations: Box::new(interrupted) };
        // The mean would be less than a quarter of this rate.
        let rate = peak.sample();
        assert!(rate > 0.4 * 1e2 * STEPS as f64, "{rate}");
    }

    #[test]
    fn every_core_takes_its_share_and_no_more_than_there_are() {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        fn counted(steps: u64) -> u64 {
            CALLS.fetch_add(1, Ordering::Relaxed);
            thread::sleep(SETTLE);
            steps
        }
        let cores = thread::available_parallelism().map_or(1, |n| n.get());
        for threads in [1, cores, cores + 7] {
            CALLS.store(0, Ordering::Relaxed);
            let rate = Peak { threads, operations: Box::new(counted) }.sample();
            // Once to settle and once a slice.
            let slices = CALLS.load(Ordering::Relaxed);
            assert_eq!(slices, threads.min(cores) * (SLICES + 1), "{threads} threads");
            let most = threads.min(cores) as f64 * STEPS as f64 / SETTLE.as_secs_f64();
            assert!(rate > 0.0 && rate <= most, "{threads} threads: {rate}, {most}");
        }
    }
}
