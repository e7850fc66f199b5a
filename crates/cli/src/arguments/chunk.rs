use std::path::PathBuf;

use clap::{Args, ValueEnum};
use minilm::chunking::ChunkBy;

use super::SourceArguments;

const EXAMPLES: &str = "\
Examples:
  minilm chunk -i book.txt
  minilm chunk -i handbook.md --max-tokens 128 --overlap 16 --json -o chunks.jsonl
  minilm chunk -i handbook.md --json | minilm index -i - --input-format jsonl --id-field id -o handbook.index";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ChunkArguments {
    /// Read a document (UTF-8) from a file, or from standard input if it is `-`
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: PathBuf,

    /// Write to a file, which appears when it is complete, or to standard output if it is `-` [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// The largest units that are put together, as many as fit; what does not fit is cut into smaller ones
    #[arg(long, value_name = "UNIT", default_value = "paragraphs")]
    pub(crate) by: Unit,

    /// The most tokens of a chunk, special tokens included [default: as many as the model takes]
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,

    /// With how many tokens of the one before a chunk begins, at most
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) overlap: usize,

    /// The document is Markdown: a chunk begins at each heading, and lists and code are kept together if they fit
    /// [default: if the file ends in .md or .markdown]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) markdown: Option<bool>,

    /// Print a JSON object a line, with id (the document's path, start and end, as handbook.md:1234-1580), start and end (in
    /// bytes), tokens, text, and in Markdown headings; `minilm embed` and `minilm index` read it
    #[arg(long)]
    pub(crate) json: bool,

    /// Leave room for this prompt, so that no chunk is cut when it is embedded with it
    #[arg(long, value_name = "PROMPT", conflicts_with = "prompt_name")]
    pub(crate) prompt: Option<String>,

    /// The same for this one of the model's prompts; `minilm info` lists them [default: the model's default prompt, if it
    /// has one]
    #[arg(long, value_name = "NAME")]
    pub(crate) prompt_name: Option<String>,

    /// The name or the directory of the model that the chunks are for
    #[arg(short = 'm', long = "model", value_name = "MODEL", default_value = minilm::DEFAULT_MODEL)]
    pub(crate) name_or_path: PathBuf,

    #[command(flatten)]
    pub(crate) source: SourceArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unit {
    Paragraphs,
    Sentences,
    Tokens,
}

impl From<Unit> for ChunkBy {
    fn from(unit: Unit) -> ChunkBy {
        match unit {
            Unit::Paragraphs => ChunkBy::Paragraphs,
            Unit::Sentences => ChunkBy::Sentences,
            Unit::Tokens => ChunkBy::Tokens,
        }
    }
}
