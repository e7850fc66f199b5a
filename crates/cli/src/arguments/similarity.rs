use std::path::PathBuf;

use clap::Args;
use minilm::SimilarityFunction;

use super::{EncodeArguments, InputArguments, one_of};

const EXAMPLES: &str = "\
Examples:
  minilm similarity \"A man eats.\" \"Someone is eating.\" \"The sky is blue.\"
  minilm similarity -i sentences.txt --plot heat-map.svg
  minilm similarity \"reset my password\" -i questions.txt
  minilm similarity -i sentences.txt --function euclidean --json";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SimilarityArguments {
    /// Texts to compare with each other; with --input, with each of its texts
    #[arg(value_name = "TEXT", required_unless_present = "input")]
    pub(crate) texts: Vec<String>,

    /// Read texts from a file, or from standard input if it is `-`
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) reading: InputArguments,

    /// What is computed of two vectors: their cosine, their dot product, or their distance below 0, so that the most
    /// similar have the greatest number everywhere
    #[arg(long, value_name = "FUNCTION", default_value = "cosine", value_parser = one_of(&SimilarityFunction::ALL, SimilarityFunction::name))]
    pub(crate) function: SimilarityFunction,

    /// Draw the matrix as a heat map and write the picture to an SVG file, which appears when it is complete
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    /// Print one JSON object: {"texts", "matrix"}, a row a text. Of texts compared with those of --input, the latter are
    /// "columns"
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) encode: EncodeArguments,
}
