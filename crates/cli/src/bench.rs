//! `minilm bench`: how fast texts are embedded, and what share of the machine's peak that is.

mod cost;
mod measure;
mod peak;
mod profile;

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use crate::arguments::{BenchArguments, BenchOnly};
use crate::error::CliError;
use crate::input::{Input, place_of};
use crate::model::{load, warn_of_truncated_texts};
use crate::output::Output;
use crate::stderr::say;
use measure::{Budget, Latency, Throughput};
use peak::Peak;

/// Sentences, paragraphs and a long text, in the proportions of a search index and its queries.
const BUILT_IN_TEXTS: &str = include_str!("bench/texts.txt");

/// What `bench --json` prints.
#[derive(Serialize)]
struct Report {
    isa: &'static str,
    precision: &'static str,
    threads: usize,
    texts: usize,
    /// Special tokens included, after truncation: what is computed.
    tokens_mean: f64,
    /// `None` if it was not asked for.
    latency_ms: Option<Latency>,
    /// `None` if it was not asked for.
    throughput: Option<Throughput>,
    /// Of the throughput, or of the latency where that alone was asked for.
    peak_fraction: f64,
}

pub(crate) fn run(arguments: &BenchArguments) -> Result<(), CliError> {
    // What can be wrong is found out before the model is fetched and the work begins.
    let texts = texts(arguments)?;
    let threads = if arguments.profile { 1 } else { arguments.threads };
    let model = load(&arguments.model, threads)?;

    if cfg!(debug_assertions) {
        say!("warning: this is a debug build; build with --release for figures that mean something");
    }
    let budget = match arguments.rounds {
        Some(rounds) => Budget::Rounds(rounds),
        None => Budget::Time(Duration::from_secs(arguments.seconds.into())),
    };
    if arguments.profile {
        let profiles = profile::profiles(&model, &Peak::of(&model), budget)?;
        return Output::stdout().report(arguments.json, &profiles, |profiles, to| {
            profiles.iter().try_for_each(|profile| profile.print(to))
        });
    }

    let counts: Vec<_> =
        texts.iter().map(|text| Ok(model.tokenize(text)?.1)).collect::<Result<_, minilm::Error>>()?;
    let cut = counts.iter().filter(|count| count.truncated()).count();
    warn_of_truncated_texts(&model, cut, texts.len());

    let tokens: Vec<usize> = counts.iter().map(|count| count.used).collect();
    let work = measure::Work { model: &model, texts: &texts, tokens: &tokens };
    let peak = Peak::of(&model);
    work.warm_up()?;
    let wants = |figure| arguments.only.is_none_or(|only| only == figure);
    let latency = wants(BenchOnly::Latency).then(|| work.latency(&peak, budget)).transpose()?;
    let throughput = wants(BenchOnly::Throughput).then(|| work.throughput(&peak, budget)).transpose()?;

    let (latency_ms, of_latency) = latency.unzip();
    let (throughput, of_throughput) = throughput.unzip();
    let report = Report {
        isa: model.isa().name(),
        precision: model.precision().name(),
        threads: model.threads(),
        texts: texts.len(),
        tokens_mean: tokens.iter().sum::<usize>() as f64 / texts.len() as f64,
        latency_ms,
        throughput,
        peak_fraction: of_throughput.or(of_latency).unwrap_or_default(),
    };
    Output::stdout().report(arguments.json, &report, Report::print)
}

/// The file's texts, or the built-in ones; never none.
fn texts(arguments: &BenchArguments) -> Result<Vec<String>, CliError> {
    let Some(path) = &arguments.input else {
        return Ok(BUILT_IN_TEXTS.lines().map(str::to_owned).collect());
    };
    let input = Input::open(path, &arguments.reading, None)?;
    let texts: Vec<String> = input.map(|item| Ok(item?.text)).collect::<Result<_, CliError>>()?;
    if texts.is_empty() {
        let reason = "expected at least one text, found none".to_owned();
        return Err(CliError::Input { place: place_of(path), reason });
    }
    Ok(texts)
}

impl Report {
    fn print(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut line = |name: &str, value: String| writeln!(to, "{name:<16} {value}");
        line("instruction set", self.isa.to_owned())?;
        line("precision", self.precision.to_owned())?;
        line("threads", self.threads.to_string())?;
        line("texts", format!("{}, {:.1} tokens on average", self.texts, self.tokens_mean))?;
        if let Some(Latency { p50, p90, p99, mean }) = self.latency_ms {
            let value = format!("p50 {p50:.3} ms, p90 {p90:.3} ms, p99 {p99:.3} ms, mean {mean:.3} ms");
            line("latency", value)?;
        }
        if let Some(Throughput { texts_per_s, tokens_per_s }) = self.throughput {
            line("throughput", format!("{texts_per_s:.1} texts/s, {tokens_per_s:.0} tokens/s"))?;
        }
        line("of the peak", format!("{:.1} %", 100.0 * self.peak_fraction))
    }
}
