use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ModelArguments;

const EXAMPLES: &str = "\
Examples:
  minilm eval sts --data stsbenchmark.tsv.gz
  minilm eval layers --data stsbenchmark.tsv.gz --precision int8";

const STS_EXAMPLES: &str = "\
Examples:
  minilm eval sts --data stsbenchmark.tsv.gz
  minilm eval sts --data stsbenchmark.tsv.gz --precision int8 --split dev --json
  minilm eval sts --data pairs.csv --sentence1 question --sentence2 answer --score rating";

const LAYERS_EXAMPLES: &str = "\
Examples:
  minilm eval layers --data stsbenchmark.tsv.gz --precision int8
  minilm eval layers --data stsbenchmark.tsv.gz --precision bf16 --texts 256 --json";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EvalArguments {
    #[command(subcommand)]
    pub(crate) evaluation: Evaluation,
}

#[derive(Subcommand)]
pub(crate) enum Evaluation {
    /// Semantic textual similarity: how well the cosine similarities of pairs of sentences agree with people's scores
    ///
    /// Prints Spearman's and Pearson's correlation, and how close the vectors are to those computed in f32.
    Sts(StsArguments),
    /// Where a precision loses accuracy: the error of every product of every layer, compared with f32
    ///
    /// Of each step of the network, three figures. Its own error, which it makes from the inputs that it has in f32. The
    /// error that has accumulated there in the whole pass. And the loss that its own error alone causes: 1 − cosine of the
    /// vector, with all other steps in f32. Errors are relative: the norm of the difference over the norm in f32, of all
    /// tokens of all texts together.
    Layers(LayersArguments),
}

#[derive(Args)]
#[command(after_help = STS_EXAMPLES)]
pub(crate) struct StsArguments {
    #[command(flatten)]
    pub(crate) table: TableArguments,

    /// The column of the scores: numbers of any scale, greater for what is more similar
    #[arg(long, value_name = "NAME", default_value = "score")]
    pub(crate) score: String,

    /// Take only the rows with this value in the column `split` [default: test if there is such a column, else
    /// all rows]
    #[arg(long, value_name = "VALUE")]
    pub(crate) split: Option<String>,

    /// How many threads to use; 0 for as many as there are. The result does not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) model: ModelArguments,
}

#[derive(Args)]
// Without a default: f32 compared with itself says nothing.
#[command(after_help = LAYERS_EXAMPLES, mut_arg("precision", |precision| precision.default_value(None).required(true)))]
pub(crate) struct LayersArguments {
    #[command(flatten)]
    pub(crate) table: TableArguments,

    /// Take only the rows with this value in the column `split` [default: dev if there is such a column, else
    /// all rows]
    #[arg(long, value_name = "VALUE")]
    pub(crate) split: Option<String>,

    /// How many texts to compare: so many of the distinct sentences, in even distances
    #[arg(long, value_name = "N", default_value = "64")]
    pub(crate) texts: NonZeroUsize,

    /// How many threads to use, each for a text of its own; 0 for as many as there are. The result does not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) model: ModelArguments,
}

/// Pairs of sentences in a file.
#[derive(Args)]
pub(crate) struct TableArguments {
    /// Read pairs from a file, or from standard input if it is `-`: a table with a header, separated by tabs if there is one in
    /// the header or the name ends in .tsv, else by commas; plain or gzip
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,

    /// The column of the first sentences
    #[arg(long, value_name = "NAME", default_value = "sentence1")]
    pub(crate) sentence1: String,

    /// The column of the second sentences
    #[arg(long, value_name = "NAME", default_value = "sentence2")]
    pub(crate) sentence2: String,

    /// Take all rows, whatever a column `split` says
    #[arg(long, conflicts_with = "split")]
    pub(crate) all_splits: bool,
}
