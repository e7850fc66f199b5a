use std::path::PathBuf;

use clap::{Args, ValueEnum};
use minilm::EmbeddingPrecision;
use minilm::storage::EmbeddingFormat;

use super::{EncodeArguments, InputArguments, OF_INPUT, one_of};

const EXAMPLES: &str = "\
Examples:
  minilm embed \"one text\" \"another\"
  minilm embed -i texts.txt -o vectors.npy
  minilm embed -i articles.csv --field title --id-field key -o vectors.safetensors
  minilm embed -i questions.jsonl --field question --prompt-name query --truncation error
  minilm embed -i texts.txt -o bits.npy --output-precision ubinary
  minilm embed -i texts.txt -o bytes.npy --output-precision int8 --calibration vectors.npy
  minilm embed \"one text\" --output-value tokens";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EmbedArguments {
    /// Texts to embed
    #[arg(value_name = "TEXT", required_unless_present = "input", conflicts_with_all = OF_INPUT)]
    pub(crate) texts: Vec<String>,

    /// Read texts from a file, or from standard input if it is `-`; of any size, because texts are read,
    /// embedded and written piece by piece
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) reading: InputArguments,

    /// The field or column that holds an id of the text, a string or an integer, which is written beside its vector
    #[arg(long, value_name = "NAME", conflicts_with = "texts")]
    pub(crate) id_field: Option<String>,

    /// Write to a file, which appears when it is complete, or to standard output if it is `-` [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// What to write: json, jsonl, csv, parquet and arrow (IPC) have id, text, embedding, tokens and truncated of each text,
    /// csv the embedding as a JSON array in a column; npy is a float32 array [n, dimension], safetensors a tensor
    /// `embeddings`, with the ids as a JSON array in the metadata, and both need a temporary file if they go to standard
    /// output; parquet and arrow need a build with the feature `arrow` [default: by the output file's extension; jsonl for standard
    /// output, and for a name without an extension]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<OutputFormat>,

    /// What the components of the vectors are written as. int8 and uint8 are the place of a component in its range, which
    /// --calibration or --ranges give; binary and ubinary are a bit for each, eight to a byte, which says whether it is
    /// greater than 0. As quantize_embeddings of sentence-transformers
    #[arg(long, value_name = "TYPE", default_value = "float32", value_parser = one_of(&EmbeddingPrecision::ALL, EmbeddingPrecision::name))]
    pub(crate) output_precision: EmbeddingPrecision,

    /// Take the ranges for int8 and uint8 from the vectors of a file: a few thousand of texts like these, written by `minilm
    /// embed`
    #[arg(long, value_name = "FILE", conflicts_with = "ranges")]
    pub(crate) calibration: Option<PathBuf>,

    /// Take the ranges for int8 and uint8 from a file of two vectors (.npy of [2, dimension], for instance): where the range of
    /// each component starts, and where it ends
    #[arg(long, value_name = "FILE")]
    pub(crate) ranges: Option<PathBuf>,

    /// What to write of each text: its vector, the vectors of its tokens, or both. Those of tokens are written as JSON lines, with
    /// token_ids and token_embeddings
    #[arg(long, value_name = "WHAT", default_value = "sentence")]
    pub(crate) output_value: OutputValue,

    #[command(flatten)]
    pub(crate) encode: EncodeArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    Json,
    Jsonl,
    Csv,
    Npy,
    Safetensors,
    Parquet,
    Arrow,
}

impl From<OutputFormat> for EmbeddingFormat {
    fn from(format: OutputFormat) -> EmbeddingFormat {
        match format {
            OutputFormat::Json => EmbeddingFormat::Json,
            OutputFormat::Jsonl => EmbeddingFormat::Jsonl,
            OutputFormat::Csv => EmbeddingFormat::Csv,
            OutputFormat::Npy => EmbeddingFormat::Npy,
            OutputFormat::Safetensors => EmbeddingFormat::Safetensors,
            OutputFormat::Parquet => EmbeddingFormat::Parquet,
            OutputFormat::Arrow => EmbeddingFormat::Arrow,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputValue {
    Sentence,
    Tokens,
    Both,
}
