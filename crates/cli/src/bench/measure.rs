//! Times of texts, between samples of the peak.

use std::hint::black_box;
use std::time::{Duration, Instant};

use minilm::{EncodeOptions, Error, SentenceTransformer};
use serde::Serialize;

use super::cost;
use super::peak::Peak;
use crate::percentile::nearest_rank;

/// How long to warm up, unless all texts have been encoded before that.
const WARM_UP: Duration = Duration::from_millis(300);

/// How long texts are encoded alone between two samples of the peak.
const BLOCK: Duration = Duration::from_millis(250);

/// When to stop going over the texts once more.
#[derive(Clone, Copy)]
pub(super) enum Budget {
    /// After that many rounds.
    Rounds(u32),
    /// When another round would end after that time; there is always one.
    Time(Duration),
}

impl Budget {
    /// An equal part of a time; of rounds, each part has all.
    pub(super) fn part_of(self, parts: u32) -> Budget {
        match self {
            Budget::Rounds(rounds) => Budget::Rounds(rounds),
            Budget::Time(limit) => Budget::Time(limit / parts),
        }
    }

    pub(super) fn is_spent(self, rounds: u32, start: Instant) -> bool {
        match self {
            Budget::Rounds(wanted) => rounds >= wanted,
            Budget::Time(limit) => {
                let elapsed = start.elapsed();
                rounds > 0 && elapsed + elapsed / rounds > limit
            }
        }
    }
}

/// Of texts that are encoded one at a time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) mean: f64,
}

/// Of all texts in one call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Throughput {
    pub(super) texts_per_s: f64,
    pub(super) tokens_per_s: f64,
}

/// What to measure: at least one text, and how many tokens of each are computed.
pub(super) struct Work<'a> {
    pub(super) model: &'a SentenceTransformer,
    pub(super) texts: &'a [String],
    pub(super) tokens: &'a [usize],
}

impl Work<'_> {
    /// Encodes texts until memory is there and caches are warm.
    pub(super) fn warm_up(&self) -> Result<(), Error> {
        let start = Instant::now();
        for text in self.texts {
            black_box(self.model.encode(text)?);
            if start.elapsed() >= WARM_UP {
                break;
            }
        }
        Ok(())
    }

    /// Every text alone, tokenisation included; and the median share of the peak, over blocks of texts.
    pub(super) fn latency(&self, peak: &Peak, budget: Budget) -> Result<(Latency, f64), Error> {
        let (mut seconds, mut shares) = (Vec::new(), Vec::new());
        let (start, mut rounds) = (Instant::now(), 0);
        let mut before = peak.sample();
        while !budget.is_spent(rounds, start) {
            let mut next = 0;
            while next < self.texts.len() {
                // Workers have gone to sleep meanwhile: the sample of the peak is not the text's fault.
                black_box(
                    self.model.encode(&self.texts[next.checked_sub(1).unwrap_or(self.texts.len() - 1)])?,
                );
                let (mut block, mut operations) = (0.0, 0.0);
                while next < self.texts.len() && block < BLOCK.as_secs_f64() {
                    let start = Instant::now();
                    black_box(self.model.encode(&self.texts[next])?);
                    let taken = start.elapsed().as_secs_f64();
                    seconds.push(taken);
                    block += taken;
                    operations += cost::operations(self.model.config(), self.tokens[next]);
                    next += 1;
                }
                let after = peak.sample();
                shares.push(operations / block / ((before + after) / 2.0));
                before = after;
            }
            rounds += 1;
        }
        seconds.sort_by(f64::total_cmp);
        let latency = Latency {
            p50: 1e3 * nearest_rank(&seconds, 50),
            p90: 1e3 * nearest_rank(&seconds, 90),
            p99: 1e3 * nearest_rank(&seconds, 99),
            mean: 1e3 * seconds.iter().sum::<f64>() / seconds.len() as f64,
        };
        Ok((latency, median(&mut shares)))
    }

    /// All texts in one call, the median of the rounds; and the median share of the peak.
    pub(super) fn throughput(&self, peak: &Peak, budget: Budget) -> Result<(Throughput, f64), Error> {
        let operations: f64 =
            self.tokens.iter().map(|&tokens| cost::operations(self.model.config(), tokens)).sum();
        let (mut seconds, mut shares) = (Vec::new(), Vec::new());
        let (start, mut rounds) = (Instant::now(), 0);
        let mut before = peak.sample();
        while !budget.is_spent(rounds, start) {
            let start = Instant::now();
            black_box(self.model.encode_batch(self.texts, &EncodeOptions::default())?);
            let taken = start.elapsed().as_secs_f64();
            let after = peak.sample();
            seconds.push(taken);
            shares.push(operations / taken / ((before + after) / 2.0));
            before = after;
            rounds += 1;
        }
        let taken = median(&mut seconds);
        let throughput = Throughput {
            texts_per_s: self.texts.len() as f64 / taken,
            tokens_per_s: self.tokens.iter().sum::<usize>() as f64 / taken,
        };
        Ok((throughput, median(&mut shares)))
    }
}

/// The middle value, or the mean of the two in the middle.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) { (values[half - 1] + values[half]) / 2.0 } else { values[half] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&mut [9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [9.0, 1.0, 2.0, 4.0]), 3.0);
    }

    #[test]
    fn budgets_end() {
        let start = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        let rounds = Budget::Rounds(3);
        assert!(!rounds.is_spent(2, start) && rounds.is_spent(3, start));
        // Two rounds took ten seconds: a third would end after fifteen.
        assert!(!Budget::Time(Duration::from_secs(16)).is_spent(2, start));
        assert!(Budget::Time(Duration::from_secs(14)).is_spent(2, start));
        assert!(!Budget::Time(Duration::ZERO).is_spent(0, start));
    }
}
