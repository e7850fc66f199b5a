use std::path::PathBuf;

use clap::Args;

use super::{EncodeArguments, InputArguments, OF_INPUT};

const INDEX_EXAMPLES: &str = "\
Examples:
  minilm index -i articles.jsonl --field body --id-field url -o articles.index
  minilm index -i more.jsonl --field body --id-field url -o articles.index --append
  minilm chunk -i book.md --json | minilm index -i - --input-format jsonl --id-field id -o book.index
  minilm embed -i texts.txt -o vectors.npy && minilm index -i texts.txt --vectors vectors.npy -o texts.index

A build that was interrupted, or failed, goes on where it stopped if the same command is given again.";

const SEARCH_EXAMPLES: &str = "\
Examples:
  minilm search articles.index \"how vaccines work\"
  minilm search articles.index \"how vaccines work\" -k 3 --threshold 0.4 --json
  minilm search articles.index -i questions.txt --json -o hits.jsonl";

#[derive(Args)]
#[command(after_help = INDEX_EXAMPLES)]
pub(crate) struct IndexArguments {
    /// Read texts from a file, or from standard input if it is `-`
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: PathBuf,

    #[command(flatten)]
    pub(crate) reading: InputArguments,

    /// The field or column that holds an id of the text, a string or an integer [default: texts are numbered from 0]
    #[arg(long, value_name = "NAME")]
    pub(crate) id_field: Option<String>,

    /// Take the texts' vectors from a file, as `minilm embed` wrote it for the same texts with the same model and options, and do
    /// not compute them again. Texts of an index get the model's prompt for documents where it has one, and `minilm embed` needs
    /// --prompt-name for it. The first vector is compared with what the model gives
    #[arg(long, value_name = "FILE")]
    pub(crate) vectors: Option<PathBuf>,

    /// The directory of the index. It is not there yet, or empty; or there is an index whose build was interrupted, which
    /// goes on where it stopped. No other files should be kept there
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,

    /// Add to an index that is there
    #[arg(long)]
    pub(crate) append: bool,

    /// Do not go on with a build that was interrupted, but take out first what it added: where its texts are gone or have changed
    #[arg(long)]
    pub(crate) discard_interrupted: bool,

    #[command(flatten)]
    pub(crate) encode: EncodeArguments,
}

#[derive(Args)]
#[command(after_help = SEARCH_EXAMPLES)]
pub(crate) struct SearchArguments {
    /// The directory of the index
    #[arg(value_name = "DIR")]
    pub(crate) index: PathBuf,

    /// What to search for
    #[arg(value_name = "QUERY", required_unless_present = "input", conflicts_with_all = OF_INPUT)]
    pub(crate) queries: Vec<String>,

    /// Read queries from a file, or from standard input if it is `-`
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) reading: InputArguments,

    /// How many texts to find for each query, at most
    #[arg(short = 'k', long, value_name = "K", default_value_t = 10)]
    pub(crate) top_k: usize,

    /// Find only texts of at least this similarity, by the model's own function (`minilm info` shows it; most have the cosine)
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    pub(crate) threshold: Option<f32>,

    /// Write to a file, which appears when it is complete, or to standard output if it is `-` [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Print a JSON object a hit: {"rank", "score", "id", "text"}, and of several queries "query"
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) encode: EncodeArguments,
}
