//! `minilm bench --profile`: where the time of a short, a middling and a long text goes.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use minilm::{Error, Operation, SentenceTransformer};
use serde::Serialize;

use super::cost;
use super::measure::{Budget, median};
use super::peak::Peak;

/// How many tokens the texts have, where the model takes as many.
const TOKENS: [usize; 3] = [12, 48, 256];

/// Where the time of one text goes, on one thread: medians over the rounds.
#[derive(Serialize)]
pub(super) struct TextProfile {
    tokens: usize,
    /// A call of `encode`, all included.
    encode_ms: f64,
    /// Arithmetic done in that time over the peak.
    peak_fraction: f64,
    parts: Vec<Part>,
}

/// A part of a call of `encode`.
#[derive(Serialize)]
struct Part {
    operation: String,
    ms: f64,
    /// Of the sum of all parts.
    share: f64,
    /// Arithmetic of the operation over the peak; `None` for what is no product.
    peak_fraction: Option<f64>,
}

/// Takes the profiles; each gets as much of the budget as the others.
pub(super) fn profiles(
    model: &SentenceTransformer,
    peak: &Peak,
    budget: Budget,
) -> Result<Vec<TextProfile>, Error> {
    let budget = budget.part_of(TOKENS.len() as u32);
    TOKENS.iter().map(|&tokens| profile(model, peak, &text_of(model, tokens)?, budget)).collect()
}

fn profile(
    model: &SentenceTransformer,
    peak: &Peak,
    text: &str,
    budget: Budget,
) -> Result<TextProfile, Error> {
    let tokens = model.tokenize(text)?.1.used;
    for _ in 0..3 {
        black_box(model.encode(text)?);
    }
    let before = peak.sample();
    let (mut whole, mut tokenisation) = (Vec::new(), Vec::new());
    let mut operations = Operation::ALL.map(|_| Vec::new());
    let (start, mut rounds) = (Instant::now(), 0);
    while !budget.is_spent(rounds, start) {
        whole.push(timed(|| model.encode(text).map(black_box))?);
        tokenisation.push(timed(|| model.tokenize(text).map(black_box))?);
        let profile = model.profile(text)?;
        for (times, operation) in operations.iter_mut().zip(Operation::ALL) {
            times.push(profile.time(operation).as_secs_f64());
        }
        rounds += 1;
    }
    let peak = (before + peak.sample()) / 2.0;

    let encode = median(&mut whole);
    let mut times = vec![("tokenisation".to_owned(), median(&mut tokenisation), 0.0)];
    for (mut of_rounds, operation) in operations.into_iter().zip(Operation::ALL) {
        let arithmetic = cost::operations_of(model.config(), operation, tokens);
        times.push((operation.to_string(), median(&mut of_rounds), arithmetic));
    }
    let sum: f64 = times.iter().map(|(_, seconds, _)| seconds).sum();
    let parts = times.into_iter().map(|(operation, seconds, arithmetic)| Part {
        operation,
        ms: 1e3 * seconds,
        share: seconds / sum,
        peak_fraction: (arithmetic > 0.0).then(|| arithmetic / seconds / peak),
    });
    let peak_fraction = cost::operations(model.config(), tokens) / encode / peak;
    Ok(TextProfile { tokens, encode_ms: 1e3 * encode, peak_fraction, parts: parts.collect() })
}

fn timed<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<f64, Error> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed().max(Duration::from_nanos(1)).as_secs_f64())
}

/// A text of at least that many tokens, or of as many as the model takes.
fn text_of(model: &SentenceTransformer, tokens: usize) -> Result<String, Error> {
    let mut text = String::new();
    for word in super::BUILT_IN_TEXTS.split_whitespace().cycle() {
        text.push_str(word);
        let used = model.tokenize(&text)?.1;
        if used.used >= tokens || used.truncated() {
            break;
        }
        text.push(' ');
    }
    Ok(text)
}

impl TextProfile {
    pub(super) fn print(&self, to: &mut dyn Write) -> io::Result<()> {
        let TextProfile { tokens, encode_ms, peak_fraction, parts } = self;
        let whole = format!("{tokens} tokens");
        writeln!(
            to,
            "{whole:<30} {encode_ms:>9.3} ms   100.0 %   {:>5.1} % of the peak",
            100.0 * peak_fraction
        )?;
        for Part { operation, ms, share, peak_fraction } in parts {
            write!(to, "  {operation:<28} {ms:>9.3} ms   {:>5.1} %", 100.0 * share)?;
            match peak_fraction {
                Some(fraction) => writeln!(to, "   {:>5.1} % of the peak", 100.0 * fraction)?,
                None => writeln!(to)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use minilm::EncoderConfig;

    use super::*;

    #[test]
    fn operations_add_up_to_the_whole() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert");
        let config = EncoderConfig::from_file(folder.join("config.json")).unwrap();
        for tokens in [0, 1, 17] {
            let sum: f64 = Operation::ALL.iter().map(|&o| cost::operations_of(&config, o, tokens)).sum();
            assert_eq!(sum, cost::operations(&config, tokens));
        }
    }
}
