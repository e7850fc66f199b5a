mod chunk;
mod cluster;
mod similarity;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use minilm::Precision;
use minilm::storage::{EmbeddingFormat, TextFormat};

pub(crate) use chunk::ChunkArguments;
pub(crate) use cluster::ClusterArguments;
pub(crate) use similarity::SimilarityArguments;

const EXAMPLES: &str = "\
Examples:
  minilm embed \"I like programming and machine learning\"
  minilm embed -i texts.txt -o vectors.npy
  minilm embed -i questions.jsonl --field question --format jsonl
  minilm embed -i articles.csv --field title --id-field key -o vectors.safetensors
  minilm chunk -i book.txt --json -o chunks.jsonl && minilm embed -i chunks.jsonl -o vectors.npy
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
}

#[derive(Args)]
pub(crate) struct EmbedArguments {
    /// Texts to embed
    #[arg(value_name = "TEXT", required_unless_present = "input", conflicts_with = "input")]
    pub(crate) texts: Vec<String>,

    /// Read texts from a file, or from standard input if it is `-`; of any size, because texts are read,
    /// embedded and written piece by piece
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// What the input is: txt has a text a line, jsonl a string or an object a line, json an array of
    /// strings or objects; csv is a table with a header, separated by commas or tabs; parquet and arrow (IPC) need a build
    /// with the feature `arrow` [default: by the file's extension; txt for standard input]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) input_format: Option<InputFormat>,

    /// The field of an input object, or the column, that holds the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub(crate) field: String,

    /// The field or column that holds an id of the text, a string or an integer, which is written beside its vector
    #[arg(long, value_name = "NAME", conflicts_with = "texts")]
    pub(crate) id_field: Option<String>,

    /// Write to a file, which appears when it is complete [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// What to write: json, jsonl, csv, parquet and arrow (IPC) have id, text, embedding, tokens and truncated of each text,
    /// csv the embedding as a JSON array in a column; npy is a float32 array [n, dimension], safetensors a tensor
    /// `embeddings`, with the ids as a JSON array in the metadata, and both need a temporary file if they go to standard
    /// output; parquet and arrow need a build with the feature `arrow` [default: by the output file's extension, else jsonl]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<OutputFormat>,

    /// How many threads to use; 0 for as many as there are. The result does not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,

    #[command(flatten)]
    pub(crate) model: ModelArguments,
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
pub(crate) struct BenchArguments {
    /// Read texts from a file, or from standard input if it is `-` [default: built-in texts]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// What the input is [default: by the file's extension; txt for standard input]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) input_format: Option<InputFormat>,

    /// The field of an input object, or the column, that holds the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub(crate) field: String,

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

#[derive(Args)]
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
#[command(mut_arg("precision", |precision| precision.default_value(None).required(true)))]
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
    /// Read pairs from a file, or from standard input if it is `-`: a table with a header, separated by tabs (read
    /// without quoting) if there is one in the header, else by commas; plain or gzip
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

/// A model to be loaded: which, in what precision, and from where.
#[derive(Args)]
pub(crate) struct ModelArguments {
    /// What products are computed in: f32 is as accurate as PyTorch, int8 is the fastest, bf16 is faster than f32 with
    /// AVX-512 BF16 only. In bf16 and int8 attention is bf16 and GELU a polynomial. The result depends on the precision,
    /// but not on threads or instruction set
    #[arg(long, value_name = "PRECISION", default_value = "f32", value_parser = precisions())]
    pub(crate) precision: Precision,

    /// The model's name (`owner/name`, or `name` alone for sentence-transformers/name), or its directory
    #[arg(short = 'm', long = "model", value_name = "MODEL", default_value = minilm::DEFAULT_MODEL)]
    pub(crate) name_or_path: PathBuf,

    /// Keep packed weights in a file, which the next start maps: in DIR, or without it in the user's cache
    /// directory. The result does not depend on it [default: as MINILM_PACKED_CACHE says, else not]
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    pub(crate) packed_cache: Option<Option<PathBuf>>,

    #[command(flatten)]
    pub(crate) source: SourceArguments,
}

#[derive(Args)]
pub(crate) struct CacheArguments {
    /// The model's branch, tag or commit [default: main]
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: Option<String>,

    /// The Hugging Face cache [default: as HF_HUB_CACHE or HF_HOME say, else ~/.cache/huggingface/hub]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct SourceArguments {
    #[command(flatten)]
    pub(crate) cache: CacheArguments,

    /// Use only what is on this machine
    #[arg(long)]
    pub(crate) offline: bool,

    /// No progress bars
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    Txt,
    Jsonl,
    Json,
    Csv,
    Parquet,
    Arrow,
}

impl From<InputFormat> for TextFormat {
    fn from(format: InputFormat) -> TextFormat {
        match format {
            InputFormat::Txt => TextFormat::Txt,
            InputFormat::Jsonl => TextFormat::Jsonl,
            InputFormat::Json => TextFormat::Json,
            InputFormat::Csv => TextFormat::Csv,
            InputFormat::Parquet => TextFormat::Parquet,
            InputFormat::Arrow => TextFormat::Arrow,
        }
    }
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

fn precisions() -> impl TypedValueParser<Value = Precision> {
    let names = PossibleValuesParser::new(Precision::ALL.map(Precision::name));
    names.try_map(|name| name.parse::<Precision>())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchOnly {
    Latency,
    Throughput,
}
