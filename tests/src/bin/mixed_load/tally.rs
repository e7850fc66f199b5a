//! What happened to requests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Of each request it is known whether it has an answer, has none and need not have one, or is lost.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Given up by the client, or by a server that may.
    pub(crate) unanswered: u64,
    pub(crate) lost: u64,
    pub(crate) wrong: u64,
    /// Texts in answers that are right.
    pub(crate) texts: u64,
    /// In seconds, of answers.
    latencies: Vec<f32>,
}

impl Tally {
    pub(crate) fn answered(&mut self, status: u16, time: Duration) {
        *self.statuses.entry(status).or_default() += 1;
        self.latencies.push(time.as_secs_f32());
    }

    pub(crate) fn with_status(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, other: Tally) {
        self.requests += other.requests;
        for (status, n) in other.statuses {
            *self.statuses.entry(status).or_default() += n;
        }
        self.unanswered += other.unanswered;
        self.lost += other.lost;
        self.wrong += other.wrong;
        self.texts += other.texts;
        self.latencies.extend(other.latencies);
    }

    /// Whether each request has had its one end.
    pub(crate) fn adds_up(&self) -> bool {
        self.requests == self.statuses.values().sum::<u64>() + self.unanswered + self.lost
    }

    /// As a line of the table, under [`HEADINGS`].
    pub(crate) fn line(&self, kind: &str) -> String {
        let statuses: Vec<String> =
            self.statuses.iter().map(|(status, n)| format!("{status}: {n}")).collect();
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let percentile = |percent: usize| match sorted.len() {
            0 => "-".to_owned(),
            n => format!("{:.0} ms", sorted[(n * percent / 100).min(n - 1)] * 1e3),
        };
        let Tally { requests, unanswered, wrong, lost, .. } = self;
        let (p50, p99, statuses) = (percentile(50), percentile(99), statuses.join(", "));
        format!(
            "{kind:<10} {requests:>9} {unanswered:>10} {p50:>9} {p99:>9} {wrong:>6} {lost:>5}  {statuses}"
        )
    }
}

pub(crate) const HEADINGS: &str =
    "kind        requests unanswered       p50       p99  wrong  lost  answers by status";

/// What went wrong, the first of it in words.
#[derive(Default)]
pub(crate) struct Failures {
    number: AtomicUsize,
    first: Mutex<Vec<String>>,
}

impl Failures {
    const MOST: usize = 20;

    pub(crate) fn add(&self, failure: String) {
        self.number.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.len() < Failures::MOST {
            first.push(failure);
        }
    }

    pub(crate) fn number(&self) -> usize {
        self.number.load(Ordering::Relaxed)
    }

    pub(crate) fn first(&self) -> Vec<String> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
