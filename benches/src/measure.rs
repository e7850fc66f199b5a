//! Taking times on a machine that is not quiet.
//!
//! Clocks follow temperature and neighbours take their share, so two times that are taken a second apart
//! cannot be compared. Here every sample of a subject lies between two samples of a reference,
//! some milliseconds each. What slows one slows the other, and the median of the ratios stays put when the
//! times do not. What an interrupted thread waits for its core is not part of a sample.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Calls between two looks at whether the thread was interrupted.
const GROUP: u64 = 64;

/// How often to try for a group of calls without an interruption.
const ATTEMPTS: usize = 20;

/// How long `run` takes, without what its thread waited for a core.
pub fn running(run: impl FnOnce()) -> Duration {
    let around = Instant::now();
    let before = waited();
    let start = Instant::now();
    run();
    let taken = start.elapsed();
    let waited = waited().saturating_sub(before);
    // A wait may have come just before or after `run`, where it must not be subtracted from its time; so it is
    // subtracted from that of everything, which is some microseconds longer.
    taken.min(around.elapsed().saturating_sub(waited))
}

/// How long `calls` calls of `run` take together.
pub fn batch(calls: u64, mut run: impl FnMut()) -> Duration {
    running(|| (0..calls).for_each(|_| run()))
}

/// How long `calls` calls of `run` take, `prepare` before each not counted: for kernels that overwrite their
/// input. Reading the clock takes some 20 ns itself, which are subtracted.
pub fn each<T>(calls: u64, state: &mut T, prepare: impl Fn(&mut T), run: impl Fn(&mut T)) -> Duration {
    let mut total = Duration::ZERO;
    for first in (0..calls).step_by(GROUP as usize) {
        // Who waited in a group, the kernel or its preparation, is not known: better to take it again.
        let mut taken = Duration::ZERO;
        for _ in 0..ATTEMPTS {
            let before = waited();
            taken = Duration::ZERO;
            for _ in 0..GROUP.min(calls - first) {
                prepare(state);
                black_box(&mut *state);
                let start = Instant::now();
                run(state);
                taken += start.elapsed().saturating_sub(reading_the_clock());
            }
            if waited() == before {
                break;
            }
        }
        total += taken;
    }
    total
}

/// What an interval with nothing in it measures.
fn reading_the_clock() -> Duration {
    static MEDIAN: OnceLock<Duration> = OnceLock::new();
    *MEDIAN.get_or_init(|| {
        let empty: Vec<f64> = (0..10_001).map(|_| Instant::now().elapsed().as_secs_f64()).collect();
        Duration::from_secs_f64(median(&empty))
    })
}

/// The middle value, or the mean of the two in the middle.
///
/// # Panics
///
/// If there are none, or one is NaN.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("a measured value is a number"));
    let half = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { (sorted[half - 1] + sorted[half]) / 2.0 } else { sorted[half] }
}

/// How long this thread has been waiting for a core since it began, while others had it. Always zero on systems
/// other than Linux, which do not tell.
fn waited() -> Duration {
    // Time on a core, time waiting for one, and how often: <https://docs.kernel.org/scheduler/sched-stats.html>
    let waited = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let waited = waited.and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
    Duration::from_nanos(waited.unwrap_or(0))
}

/// Runs something a number of times and says how long it took.
pub type Run<'a> = Box<dyn FnMut(u64) -> Duration + 'a>;

/// Something to be timed, in samples of about the same length.
pub struct Timed<'a> {
    run: Run<'a>,
    calls: u64,
}

impl<'a> Timed<'a> {
    /// Finds out how many calls make a sample of that length, and warms up by it.
    pub fn new(sample: Duration, mut run: Run<'a>) -> Timed<'a> {
        let (mut calls, mut taken) = (1, run(1));
        while taken < sample / 2 {
            calls *= 2;
            taken = run(calls);
        }
        let wanted = calls as f64 * sample.as_secs_f64() / taken.as_secs_f64();
        Timed { run, calls: (wanted.round() as u64).max(1) }
    }

    /// Takes one sample: seconds a call.
    pub fn sample(&mut self) -> f64 {
        (self.run)(self.calls).as_secs_f64() / self.calls as f64
    }
}

/// One sample of a subject, and what the reference took around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Seconds a call of the subject.
    pub seconds: f64,
    /// Seconds a call of the reference: the mean of the samples before and after.
    pub reference: f64,
}

/// The samples of one subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples(pub Vec<Sample>);

impl Samples {
    /// The median time of a call, in seconds.
    pub fn seconds(&self) -> f64 {
        median(&self.0.iter().map(|sample| sample.seconds).collect::<Vec<_>>())
    }

    /// The median of reference time / subject time.
    pub fn speed(&self) -> f64 {
        median(&self.0.iter().map(|sample| sample.reference / sample.seconds).collect::<Vec<_>>())
    }

    /// How many times faster than `other` this is: the median of the ratios of samples that were taken in the
    /// same round, each relative to the reference around it.
    pub fn speed_relative_to(&self, other: &Samples) -> f64 {
        let speed = |sample: &Sample| sample.reference / sample.seconds;
        let rounds = self.0.iter().zip(&other.0);
        median(&rounds.map(|(a, b)| speed(a) / speed(b)).collect::<Vec<_>>())
    }
}

/// Samples of each subject: in each round the reference, the first subject, the reference, the second …, the
/// reference.
pub fn interleave(rounds: usize, reference: &mut Timed<'_>, subjects: &mut [Timed<'_>]) -> Vec<Samples> {
    let mut samples = vec![Samples(Vec::with_capacity(rounds)); subjects.len()];
    let mut before = reference.sample();
    for _ in 0..rounds {
        for (subject, samples) in subjects.iter_mut().zip(&mut samples) {
            let seconds = subject.sample();
            let after = reference.sample();
            samples.0.push(Sample { seconds, reference: (before + after) / 2.0 });
            before = after;
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 9.0, 2.0]), 3.0);
    }

    #[test]
    fn a_drifting_clock_does_not_change_ratios() {
        let now = Cell::new(0);
        // The machine slows down by a tenth with every sample; the subject needs four times the reference.
        let costs = |work: f64| {
            let now = &now;
            move |calls: u64| {
                now.set(now.get() + 1);
                Duration::from_secs_f64(work * calls as f64 * (1.0 + 0.1 * f64::from(now.get())))
            }
        };
        let mut reference = Timed { run: Box::new(costs(0.5)), calls: 3 };
        let subject = |work| Timed { run: Box::new(costs(work)), calls: 2 };
        let samples = interleave(4, &mut reference, &mut [subject(2.0), subject(1.0)]);

        assert_eq!((samples.len(), samples[0].0.len()), (2, 4));
        // The first sample is the reference at 1.1, then the subject at 1.2, the reference at 1.3.
        assert!((samples[0].0[0].seconds - 2.0 * 1.2).abs() < 1e-9);
        assert!((samples[0].0[0].reference - 0.5 * (1.1 + 1.3) / 2.0).abs() < 1e-9);
        // A linear drift is cancelled by the mean of both sides.
        assert!((samples[0].speed() - 0.25).abs() < 1e-9);
        assert!((samples[1].speed() - 0.5).abs() < 1e-9);
        assert!((samples[1].speed_relative_to(&samples[0]) - 2.0).abs() < 1e-9);
        // Samples at 1.2, 1.6, 2.0, 2.4 of the first subject.
        assert!((samples[0].seconds() - 2.0 * 1.8).abs() < 1e-9);
    }

    #[test]
    fn a_sample_is_as_many_calls_as_it_takes() {
        let timed = Timed::new(
            Duration::from_millis(5),
            Box::new(|calls| Duration::from_micros(10) * u32::try_from(calls).expect("few calls")),
        );
        assert_eq!(timed.calls, 500);
        let slow = Timed::new(Duration::from_millis(5), Box::new(|_| Duration::from_secs(1)));
        assert_eq!(slow.calls, 1);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_that_has_to_share_a_core_has_waited() {
        let before = waited();
        // Twice as many as there are cores, all of them busy.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let busy = || {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(200) {
                std::hint::spin_loop();
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..2 * cores {
                scope.spawn(busy);
            }
            busy();
        });
        assert!(waited() > before);
    }

    #[test]
    fn preparations_are_not_counted() {
        let spin = |duration: Duration| {
            let start = Instant::now();
            while start.elapsed() < duration {}
        };
        let mut order = Vec::new();
        let taken = each(
            3,
            &mut order,
            |order| {
                order.push("prepare");
                spin(Duration::from_millis(20));
            },
            |order| order.push("run"),
        );
        // More than three, if they were interrupted and had to be repeated.
        assert!(order.len() >= 6 && order.chunks(2).all(|call| call == ["prepare", "run"]), "{order:?}");
        assert!(taken < Duration::from_millis(60), "{taken:?}");
    }
}
