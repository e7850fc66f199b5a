use std::path::PathBuf;

use clap::Args;

use super::{EncodeArguments, InputArguments, ModelArguments};

#[derive(Args)]
pub(crate) struct IndexArguments {
    /// Read texts from a file, or from standard input if it is `-`
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: PathBuf,

    #[command(flatten)]
    pub(crate) reading: InputArguments,

    /// The field or column that holds an id of the text, a string or an integer [default: texts are numbered from 0]
    #[arg(long, value_name = "NAME")]
    pub(crate) id_field: Option<String>,

    /// The directory of the index. It is not there yet, or empty; or there is an index whose build was interrupted, which
    /// goes on where it stopped
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,

    /// Add to an index that is there
    #[arg(long)]
    pub(crate) append: bool,

    #[command(flatten)]
    pub(crate) encode: EncodeArguments,

    /// How many threads to use; 0 for as many as there are. The result does not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,

    #[command(flatten)]
    pub(crate) model: ModelArguments,
}

#[derive(Args)]
pub(crate) struct SearchArguments {
    /// The directory of the index
    #[arg(value_name = "DIR")]
    pub(crate) index: PathBuf,

    /// What to search for
    #[arg(value_name = "QUERY", required_unless_present = "input", conflicts_with = "input")]
    pub(crate) queries: Vec<String>,

    /// Read queries from a file, or from standard input if it is `-`
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) reading: InputArguments,

    /// How many texts to find for each query, at most
    #[arg(short = 'k', long, value_name = "K", default_value_t = 10)]
    pub(crate) top_k: usize,

    /// Find only texts of at least this similarity
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    pub(crate) threshold: Option<f32>,

    /// Print a JSON object a hit: {"rank", "score", "id", "text"}, and of several queries "query"
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) encode: EncodeArguments,

    /// How many threads to use; 0 for as many as there are. The result does not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,

    #[command(flatten)]
    pub(crate) model: ModelArguments,
}
