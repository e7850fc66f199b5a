use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{InputArguments, ModelArguments};

const EXAMPLES: &str = "\
Examples:
  minilm bench
  minilm bench -i texts.txt --threads 1 --only latency
  minilm bench --precision int8 --json
  minilm bench --profile";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArguments {
    /// Read texts from a file, or from standard input if it is `-` [default: built-in texts]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) reading: InputArguments,

    /// How many threads to use; 0 for as many as there are
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,

    /// Measure this alone: latency is of every text alone, throughput of all texts in one call
    #[arg(long, value_name = "FIGURE")]
    pub(crate) only: Option<BenchOnly>,

    /// Show instead where the time of texts of 12, 48 and 256 tokens goes, operation by operation, on one thread
    #[arg(long, conflicts_with_all = ["input", "threads", "only"])]
    pub(crate) profile: bool,

    /// Go over the texts as often as fits in this time, for each figure; at least once
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) seconds: u32,

    /// Go over the texts this often, for each figure, however long it takes
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) model: ModelArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchOnly {
    Latency,
    Throughput,
}
