use std::path::PathBuf;

use clap::Args;
use minilm::Precision;

use super::one_of;

/// A model to be loaded: which, in what precision, and from where.
#[derive(Args)]
pub(crate) struct ModelArguments {
    /// What products are computed in: f32 is as accurate as PyTorch, int8 is the fastest, bf16 is faster than f32 with
    /// AVX-512 BF16 only. In bf16 and int8 attention is bf16 and GELU a polynomial. The result depends on the precision,
    /// but not on threads or instruction set
    #[arg(long, value_name = "PRECISION", default_value = "f32", value_parser = one_of(&Precision::ALL, Precision::name))]
    pub(crate) precision: Precision,

    /// The model's name (`owner/name`, or `name` alone for sentence-transformers/name and
    /// well-known ones such as bge-small-en-v1.5), or its directory
    #[arg(short = 'm', long = "model", value_name = "MODEL", default_value = minilm::DEFAULT_MODEL)]
    pub(crate) name_or_path: PathBuf,

    /// The most tokens of a text, special tokens included [default: what the model says; no more than it has positions]
    #[arg(long, value_name = "N")]
    pub(crate) max_seq_length: Option<usize>,

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
