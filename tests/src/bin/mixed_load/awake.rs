//! Time in which this program ran: what it waits for is not late because the machine was stopped, or was another's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(50);

/// What a tick may take where there is much to do; what is beyond that was no time for this program.
const LONGEST: Duration = Duration::from_millis(300);

static MICROSECONDS: AtomicU64 = AtomicU64::new(0);

/// Starts the clock, which goes on until the program ends.
pub(crate) fn start() {
    std::thread::spawn(|| {
        let mut last = Instant::now();
        loop {
            std::thread::sleep(TICK);
            let now = Instant::now();
            MICROSECONDS.fetch_add((now - last).min(LONGEST).as_micros() as u64, Ordering::Relaxed);
            last = now;
        }
    });
}

/// Since the clock was started.
pub(crate) fn time() -> Duration {
    Duration::from_micros(MICROSECONDS.load(Ordering::Relaxed))
}

/// A moment, by both clocks.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    at: Instant,
    awake: Duration,
}

impl Moment {
    pub(crate) fn now() -> Moment {
        Moment { at: Instant::now(), awake: time() }
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.at.elapsed()
    }

    /// How much of that was time in which this program ran.
    pub(crate) fn awake(self) -> Duration {
        time().saturating_sub(self.awake)
    }

    /// How long it took, as far as that can be known.
    pub(crate) fn taken(self) -> Duration {
        if self.was_held_up() { self.awake() } else { self.elapsed() }
    }

    /// Whether this program did not run for so long that a server may have given it up.
    pub(crate) fn was_held_up(self) -> bool {
        const MUCH: Duration = Duration::from_secs(1);
        self.elapsed().saturating_sub(self.awake()) > MUCH
    }
}
