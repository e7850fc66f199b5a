use std::path::PathBuf;

use clap::Args;
use minilm::clustering::{Distance, Linkage};

use super::{EncodeArguments, InputArguments, one_of};

const EXAMPLES: &str = "\
Examples:
  minilm cluster -i questions.txt
  minilm cluster -i questions.txt --k 12 --plot questions.svg
  minilm cluster -i reviews.jsonl --field review --distance-threshold 0.9 --linkage average --json
  minilm cluster -i big.txt --vectors big.npy --k 200 --json";

/// What says how texts become vectors, but for the threads.
const OF_ENCODING: [&str; 12] = [
    "prompt",
    "prompt_name",
    "truncate_dim",
    "normalize_embeddings",
    "truncation",
    "batch_size",
    "name_or_path",
    "precision",
    "max_seq_length",
    "packed_cache",
    "revision",
    "cache_dir",
];

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ClusterArguments {
    /// Read texts from a file, or from standard input if it is `-`
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: PathBuf,

    #[command(flatten)]
    pub(crate) reading: InputArguments,

    /// Take the texts' vectors from a file, as `minilm embed` wrote it for the same texts, and compute none
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_ENCODING)]
    pub(crate) vectors: Option<PathBuf>,

    /// How many clusters to make: by k-means, or with --linkage by merging [default: √(n / 2) for n texts]
    #[arg(short, long, value_name = "N", conflicts_with = "distance_threshold")]
    pub(crate) k: Option<usize>,

    /// Merge clusters that are less than this apart (agglomerative clustering), however many that leaves. Needs memory
    /// for the distances of all pairs: 10,000 texts need 200 MB
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub(crate) distance_threshold: Option<f32>,

    /// How far two clusters are from each other: ward is for compact clusters, complete and average are the greatest and
    /// the mean distance of their members, single the least [default: ward; average with --distance cosine]
    #[arg(long, value_name = "LINKAGE", value_parser = one_of(&Linkage::ALL, Linkage::name))]
    pub(crate) linkage: Option<Linkage>,

    /// How far two texts are from each other, in agglomerative clustering: euclidean is 0 to 2 for vectors of unit length,
    /// cosine is 1 − their cosine similarity [default: euclidean]
    #[arg(long, value_name = "DISTANCE", value_parser = one_of(&Distance::ALL, Distance::name))]
    pub(crate) distance: Option<Distance>,

    /// What the random numbers of k-means begin with. Another seed may give other clusters
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with_all = ["distance_threshold", "linkage", "distance"])]
    pub(crate) seed: u64,

    /// Draw the texts as points, a colour a cluster, along the two principal components of their vectors, and write the
    /// picture to an SVG file, which appears when it is complete
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    /// Print a JSON object a cluster: {"cluster", "members"}, each member with its index in the input and its text, the
    /// one nearest to the cluster's middle first
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) encode: EncodeArguments,
}
