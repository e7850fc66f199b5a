use clap::{Args, ValueEnum};
use minilm::{EncodeOptions, SentenceTransformer};

use super::ModelArguments;
use crate::error::CliError;
use crate::model::load;

/// How texts become vectors: by which model, on how many threads, and what is done before and after.
#[derive(Args)]
pub(crate) struct EncodeArguments {
    /// Put this before every text, as "query: "
    #[arg(long, value_name = "PROMPT", conflicts_with = "prompt_name")]
    pub(crate) prompt: Option<String>,

    /// Put this one of the model's prompts before every text; `minilm info` lists them [default: the model's default
    /// prompt, if it has one]
    #[arg(long, value_name = "NAME")]
    pub(crate) prompt_name: Option<String>,

    /// Keep only the first N components of each vector, for models that were trained for it [default: all, or what the
    /// model says]
    #[arg(long, value_name = "N")]
    pub(crate) truncate_dim: Option<usize>,

    /// Scale vectors to unit length, also if the model does not, or not after they are cut
    #[arg(long)]
    pub(crate) normalize_embeddings: bool,

    /// What to do with a text that has more tokens than the model takes: report leaves the rest out (its end, for most models) and says how
    /// many texts that happened to, error stops, split takes the mean of the vectors of its pieces
    #[arg(long, value_name = "POLICY", default_value = "report")]
    pub(crate) truncation: Truncation,

    /// The most texts that are computed together; 0 for as many as are best. The result does not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) batch_size: usize,

    /// How many threads to use; 0 for as many as there are cores. More than 4 for each, or 64, are never started. The result does
    /// not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,

    #[command(flatten)]
    pub(crate) model: ModelArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Truncation {
    Report,
    Error,
    Split,
}

impl EncodeArguments {
    /// The model, with so many threads.
    pub(crate) fn load(&self) -> Result<SentenceTransformer, CliError> {
        load(&self.model, self.threads)
    }

    /// As options.
    pub(crate) fn options(&self) -> EncodeOptions {
        let mut options = EncodeOptions::default()
            .normalize_embeddings(self.normalize_embeddings)
            .batch_size(self.batch_size)
            .truncation(match self.truncation {
                Truncation::Report => minilm::Truncation::Report,
                Truncation::Error => minilm::Truncation::Error,
                Truncation::Split => minilm::Truncation::Split,
            });
        options.prompt = self.prompt.clone();
        options.prompt_name = self.prompt_name.clone();
        options.truncate_dim = self.truncate_dim;
        options
    }
}
