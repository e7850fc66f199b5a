//! The server's resident memory: it may grow until the server has seen all that it will see, and not after that.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use crate::awake;

/// By how much memory may grow.
const GROWTH: f64 = 0.05;

/// How long memory may take to reach its level, in a run of so long.
pub(crate) fn warm_up(run: Duration) -> Duration {
    (run / 6).min(Duration::from_secs(300))
}

/// The memory of the process that is no file's, in bytes; `None` if it cannot be known.
pub(crate) fn resident(id: u32) -> Option<u64> {
    if cfg!(target_os = "linux") {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        return Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10);
    }
    let output = Command::new("ps").args(["-o", "rss=", "-p", &id.to_string()]).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().parse::<u64>().ok()? << 10)
}

/// The samples of a run, each with its time since the beginning.
pub(crate) struct Memory {
    began: Duration,
    samples: Vec<(Duration, u64)>,
    /// When nobody asked.
    at_rest: Vec<u64>,
}

impl Memory {
    pub(crate) fn new() -> Memory {
        Memory { began: awake::time(), samples: Vec::new(), at_rest: Vec::new() }
    }

    /// Since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        awake::time() - self.began
    }

    pub(crate) fn sample(&mut self, id: u32) {
        let now = self.elapsed();
        self.samples.extend(resident(id).map(|bytes| (now, bytes)));
    }

    pub(crate) fn last(&self) -> u64 {
        self.samples.last().map_or(0, |&(_, bytes)| bytes)
    }

    /// Takes down what the server has when nobody asks.
    pub(crate) fn at_rest(&mut self, id: u32) {
        // What clients left behind that went away is given up within a moment.
        const MOMENT: Duration = Duration::from_secs(2);
        std::thread::sleep(MOMENT);
        self.at_rest.extend(resident(id));
    }

    /// What there is to say of it, and whether it has grown. Nothing where no memory can be known.
    pub(crate) fn growth(&self) -> Option<Growth> {
        let (&(_, start), &(end, _)) = (self.samples.first()?, self.samples.last()?);
        let tenth = end / 10;
        let median = |from: Duration, to: Duration| {
            let within = self.samples.iter().filter(|&&(time, _)| time >= from && time <= to);
            let mut bytes: Vec<u64> = within.map(|&(_, bytes)| bytes).collect();
            bytes.sort_unstable();
            bytes.get(bytes.len() / 2).copied()
        };
        Some(Growth {
            start,
            tenths: (0..10).filter_map(|i| median(tenth * i, tenth * (i + 1))).collect(),
            most: self.samples.iter().map(|&(_, bytes)| bytes).max()?,
            after_warm_up: *self.at_rest.first()?,
            end: *self.at_rest.get(1)?,
        })
    }
}

/// In bytes; medians of each tenth of the run.
pub(crate) struct Growth {
    start: u64,
    tenths: Vec<u64>,
    most: u64,
    after_warm_up: u64,
    end: u64,
}

impl Growth {
    fn ratio(&self) -> f64 {
        self.end as f64 / self.after_warm_up as f64 - 1.0
    }

    pub(crate) fn failure(&self) -> Option<String> {
        let is_too_much = self.ratio() > GROWTH;
        is_too_much.then(|| format!("memory has grown by more than {} %: {self}", GROWTH * 100.0))
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
        let tenths: Vec<String> = self.tenths.iter().map(|&bytes| mib(bytes)).collect();
        let [start, most, warm, end] = [self.start, self.most, self.after_warm_up, self.end].map(mib);
        write!(
            f,
            "{start} MiB at the start, {most} at most, medians {}; without requests {warm} after the warm-up, {end} at the \
             end ({:+.1} %)",
            tenths.join(" "),
            self.ratio() * 100.0
        )
    }
}
