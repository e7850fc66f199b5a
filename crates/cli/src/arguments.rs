//! What the program is told on its command line, a file a command.

mod bench;
mod chunk;
mod cluster;
mod embed;
mod encode;
mod eval;
mod index;
mod input;
mod model;
mod similarity;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use bench::{BenchArguments, BenchOnly};
pub(crate) use chunk::ChunkArguments;
pub(crate) use cluster::ClusterArguments;
pub(crate) use embed::{EmbedArguments, OutputValue};
pub(crate) use encode::EncodeArguments;
pub(crate) use eval::{EvalArguments, Evaluation, LayersArguments, StsArguments, TableArguments};
pub(crate) use index::{IndexArguments, SearchArguments};
pub(crate) use input::InputArguments;
pub(crate) use model::{CacheArguments, ModelArguments, SourceArguments};
pub(crate) use similarity::SimilarityArguments;

const EXAMPLES: &str = "\
Examples:
  minilm embed \"I like programming and machine learning\"
  minilm embed -i texts.txt -o vectors.npy
  minilm embed -i questions.jsonl --field question --format jsonl
  minilm embed -i articles.csv --field title --id-field key -o vectors.safetensors
  minilm chunk -i book.txt --json -o chunks.jsonl && minilm embed -i chunks.jsonl -o vectors.npy
  minilm index -i articles.jsonl --id-field url -o articles.index
  minilm search articles.index \"how vaccines work\" -k 5
  minilm similarity \"A man eats.\" \"Someone is eating.\" --plot heat-map.svg
  minilm cluster -i texts.txt --k 8 --plot clusters.svg
  minilm info
  minilm pull
  minilm trace \"I like programming\" -o trace
  minilm bench -i texts.txt --threads 1
  minilm eval sts --data stsbenchmark.tsv.gz
  minilm eval layers --data stsbenchmark.tsv.gz --precision int8

Exit status: 0 if all went well, 1 for an error (its message is on standard error), 2 for wrong arguments.";

/// Sentence embeddings on the CPU: the same bits on every machine.
#[derive(Parser)]
#[command(name = "minilm", version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Embed texts: a vector for each
    Embed(EmbedArguments),
    /// Cut a long document into chunks that the model takes whole
    Chunk(ChunkArguments),
    /// Build an index of texts, or add to one, to be searched
    Index(IndexArguments),
    /// Search an index: the texts that are most similar to a query
    Search(SearchArguments),
    /// Compare texts: how similar each is to each other
    Similarity(SimilarityArguments),
    /// Put texts of similar meaning together
    Cluster(ClusterArguments),
    /// Show the instruction sets of this machine and what is known of a model
    Info(InfoArguments),
    /// Fetch a model into the local cache and check every file of it
    Pull(PullArguments),
    /// Write every tensor between a text and its vector, for those who port the model
    Trace(TraceArguments),
    /// Measure latency and throughput, and the share of this machine's peak that they reach
    Bench(BenchArguments),
    /// Measure how good a model's vectors are
    Eval(EvalArguments),
    /// Print a completion script for a shell
    Completions(CompletionsArguments),
    /// Write manual pages, one for the program and one for each command
    Man(ManArguments),
}

#[derive(Args)]
pub(crate) struct InfoArguments {
    /// The model's name, or its directory
    #[arg(value_name = "MODEL", default_value = minilm::DEFAULT_MODEL)]
    pub(crate) model: PathBuf,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

#[derive(Args)]
pub(crate) struct PullArguments {
    /// The model's name
    #[arg(value_name = "MODEL", default_value = minilm::DEFAULT_MODEL)]
    pub(crate) model: PathBuf,

    #[command(flatten)]
    pub(crate) source: SourceArguments,
}

#[derive(Args)]
pub(crate) struct TraceArguments {
    /// The text
    #[arg(value_name = "TEXT")]
    pub(crate) text: String,

    /// Write to a directory, which appears when it is complete: a .npy file a step, in the order of their
    /// computation, and index.json, which says how each is computed and has the SHA-256 of its elements
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,

    #[command(flatten)]
    pub(crate) model: ModelArguments,
}

#[derive(Args)]
pub(crate) struct CompletionsArguments {
    /// The shell. As an example, bash reads `minilm completions bash > ~/.local/share/bash-completion/completions/minilm`
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Args)]
pub(crate) struct ManArguments {
    /// Write to a directory, which appears when it is complete, for instance ~/.local/share/man/man1
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
}
