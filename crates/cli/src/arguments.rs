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
#[cfg(feature = "serve")]
mod serve;
mod similarity;

use std::error::Error;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use bench::{BenchArguments, BenchOnly};
pub(crate) use chunk::ChunkArguments;
pub(crate) use cluster::ClusterArguments;
pub(crate) use embed::{EmbedArguments, OutputValue};
pub(crate) use encode::EncodeArguments;
pub(crate) use eval::{EvalArguments, Evaluation, LayersArguments, StsArguments, TableArguments};
pub(crate) use index::{IndexArguments, SearchArguments};
pub(crate) use input::{InputArguments, OF_INPUT};
pub(crate) use model::{CacheArguments, ModelArguments, SourceArguments};
#[cfg(feature = "serve")]
pub(crate) use serve::{LogLevel, ServeArguments};
pub(crate) use similarity::SimilarityArguments;

const EXAMPLES: &str = "\
Examples:
  minilm embed \"I like programming and machine learning\"
  minilm embed -i texts.txt -o vectors.npy
  minilm embed -i questions.jsonl --field question --format jsonl
  minilm embed -i articles.csv --field title --id-field key -o vectors.safetensors
  minilm chunk -i book.txt --json -o chunks.jsonl && minilm embed -i chunks.jsonl --id-field id -o vectors.safetensors
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
  minilm serve --port 3000

Exit status: 0 if all went well, 1 for an error (its message is on standard error), 2 for wrong arguments.";

const INFO_EXAMPLES: &str = "\
Examples:
  minilm info
  minilm info all-MiniLM-L12-v2
  minilm info ./my-model --json";

const PULL_EXAMPLES: &str = "\
Examples:
  minilm pull
  minilm pull sentence-transformers/all-MiniLM-L12-v2
  minilm pull --cache-dir /srv/models --quiet";

const TRACE_EXAMPLES: &str = "\
Examples:
  minilm trace \"I like programming\" -o trace
  minilm trace \"I like programming\" -o trace-int8 --precision int8";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  minilm completions bash > ~/.local/share/bash-completion/completions/minilm
  minilm completions zsh > ~/.zfunc/_minilm
  minilm completions fish > ~/.config/fish/completions/minilm.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  minilm man -o ~/.local/share/man/man1";

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
    /// Embed texts for who asks over HTTP, as text-embeddings-inference and OpenAI do
    #[cfg(feature = "serve")]
    Serve(ServeArguments),
    /// Print a completion script for a shell
    Completions(CompletionsArguments),
    /// Write manual pages, one for the program and one for each command
    Man(ManArguments),
}

#[derive(Args)]
#[command(after_help = INFO_EXAMPLES)]
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
#[command(after_help = PULL_EXAMPLES)]
pub(crate) struct PullArguments {
    /// The model's name
    #[arg(value_name = "MODEL", default_value = minilm::DEFAULT_MODEL)]
    pub(crate) model: PathBuf,

    #[command(flatten)]
    pub(crate) source: SourceArguments,
}

#[derive(Args)]
#[command(after_help = TRACE_EXAMPLES)]
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
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct ManArguments {
    /// Write to a directory, which is made if it is not there. A page that is there is replaced
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
}

/// One of these, by its name.
fn one_of<T>(all: &[T], name: fn(T) -> &'static str) -> impl TypedValueParser<Value = T> + use<T>
where
    T: Copy + FromStr<Err: Error + Send + Sync + 'static> + Send + Sync + 'static,
{
    let names = PossibleValuesParser::new(all.iter().map(|&value| name(value)));
    names.try_map(|name| name.parse::<T>())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// A command, however deep, and those below it.
    fn commands(command: &clap::Command) -> Vec<&clap::Command> {
        let below = command.get_subcommands().filter(|command| command.get_name() != "help");
        std::iter::once(command).chain(below.flat_map(commands)).collect()
    }

    /// The words of a line as a shell takes them, of which nothing but spaces and double quotes has a meaning.
    fn words(line: &str) -> Vec<String> {
        let parts = line.split('"').enumerate();
        parts
            .flat_map(|(i, part)| match i % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            })
            .collect()
    }

    #[test]
    fn every_command_has_examples_that_are_understood() {
        let mut program = Arguments::command();
        program.build();
        for command in commands(&program) {
            let name = command.get_display_name().unwrap_or(command.get_name());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples =
                help.strip_prefix("Examples:\n").unwrap_or_else(|| panic!("{name} has no examples"));
            let lines: Vec<&str> = examples.lines().map_while(|line| line.strip_prefix("  ")).collect();
            assert!(!lines.is_empty(), "{name}");
            for line in lines.iter().flat_map(|line| line.split(" && ").flat_map(|line| line.split(" | "))) {
                let line = line.split(" > ").next().unwrap_or(line);
                if let Err(error) = Arguments::try_parse_from(words(line)) {
                    panic!("{name}: {line}\n{error}");
                }
            }
        }
    }

    #[test]
    fn options_that_would_do_nothing_are_refused() {
        for line in [
            "minilm embed a --input-format csv",
            "minilm embed a --field x",
            "minilm embed a --id-field x",
            "minilm similarity a b --input-format csv",
            "minilm search an.index a --field x",
            "minilm bench --field x",
            "minilm cluster -i a.txt --vectors v.npy --model x",
            "minilm cluster -i a.txt --vectors v.npy --prompt x",
            "minilm cluster -i a.txt --vectors v.npy --precision int8",
            "minilm cluster -i a.txt --vectors v.npy --truncate-dim 8",
            "minilm cluster -i a.txt --vectors v.npy --normalize-embeddings",
            "minilm cluster -i a.txt --vectors v.npy --truncation split",
            "minilm cluster -i a.txt --distance-threshold 0.5 --seed 7",
            "minilm cluster -i a.txt --k 3 --linkage average --seed 7",
        ] {
            assert!(Arguments::try_parse_from(words(line)).is_err(), "{line}");
        }
        for line in [
            "minilm embed -i a.csv --input-format csv --field x --id-field y",
            "minilm similarity a -i b.jsonl --field x",
            "minilm bench -i a.jsonl --field x",
            "minilm cluster -i a.txt --vectors v.npy --threads 1 --quiet --k 3 --seed 7",
        ] {
            assert!(Arguments::try_parse_from(words(line)).is_ok(), "{line}");
        }
    }
}
