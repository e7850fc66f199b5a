//! The server's resident memory: it may grow until the server has seen all that it will see, and not after that.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use crate::awake;

/// By how much memory may grow.
const GROWTH: f64 = 0.05;

/// The longest time that memory may take to reach its level.
const WARM_UP: Duration = Duration::from_secs(300);

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
}

impl Memory {
    pub(crate) fn new() -> Memory {
        Memory { began: awake::time(), samples: Vec::new() }
    }

    pub(crate) fn sample(&mut self, id: u32) {
        let now = awake::time() - self.began;
        self.samples.extend(resident(id).map(|bytes| (now, bytes)));
    }

    pub(crate) fn last(&self) -> u64 {
        self.samples.last().map_or(0, |&(_, bytes)| bytes)
    }

    /// What there is to say of it, and whether it has grown. Nothing where no memory can be known.
    pub(crate) fn growth(&self) -> Option<Growth> {
        let &(end, _) = self.samples.last()?;
        let warm = (end / 4).min(WARM_UP);
        let tenth = (end - warm) / 10;
        let median = |from: Duration, to: Duration| {
            let within = self.samples.iter().filter(|&&(time, _)| time >= from && time <= to);
            let mut bytes: Vec<u64> = within.map(|&(_, bytes)| bytes).collect();
            bytes.sort_unstable();
            bytes.get(bytes.len() / 2).copied()
        };
        let tenths = (0..10).filter_map(|i| median(warm + tenth * i, warm + tenth * (i + 1)));
        Some(Growth {
            start: self.samples.first()?.1,
            tenths: tenths.collect(),
            most: self.samples.iter().map(|&(_, bytes)| bytes).max()?,
        })
    }
}

/// In bytes; medians of each tenth of the run after the warm-up.
pub(crate) struct Growth {
    start: u64,
    tenths: Vec<u64>,
    most: u64,
}

impl Growth {
    fn ratio(&self) -> f64 {
        match (self.tenths.first(), self.tenths.last()) {
            (Some(&first), Some(&last)) => last as f64 / first as f64 - 1.0,
            _ => 0.0,
        }
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
        let (start, most, percent) = (mib(self.start), mib(self.most), self.ratio() * 100.0);
        write!(
            f,
            "{start} MiB at the start, {most} at most, medians after the warm-up: {} ({percent:+.1} %)",
            tenths.join(" ")
        )
    }
}
