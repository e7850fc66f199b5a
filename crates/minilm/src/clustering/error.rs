use minilm_storage::VectorsError;

/// Why vectors cannot be put into clusters.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClusteringError {
    /// There is nothing to put into clusters.
    #[error("there are no vectors to put into clusters; expected at least one")]
    NoVectors,

    /// More clusters than vectors, or none, are asked for.
    #[error("{found} clusters are asked for; of {vectors} vectors there can be 1 to {vectors}")]
    ClusterCount {
        /// How many are asked for.
        found: usize,
        /// How many vectors there are.
        vectors: usize,
    },

    /// A component that is not finite or too large, or vectors of different dimensions.
    #[error(transparent)]
    Vectors(#[from] VectorsError),

    /// There are not as many initial centroids as clusters.
    #[error("{found} initial centroids are given for {expected} clusters")]
    InitialCentroids {
        /// How many clusters are asked for.
        expected: usize,
        /// How many centroids are given.
        found: usize,
    },

    /// An option that has no meaning.
    #[error("{option} is {found}; expected {expected}")]
    InvalidOption {
        /// Its name.
        option: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },

    /// Ward's linkage is about squared Euclidean distances and has no meaning for others.
    #[error(
        "ward linkage needs euclidean distances; for cosine distances there are average, complete and single"
    )]
    WardNeedsEuclidean,

    /// Agglomerative clustering holds the distances of all pairs of vectors, which would not fit.
    #[error(
        "agglomerative clustering of {vectors} vectors needs {needed} for the distances of all pairs, more than {limit}; \
         k-means needs no such memory", needed = in_gigabytes(*.bytes), limit = limit_of(*.limit)
    )]
    TooManyPairs {
        /// How many vectors there are.
        vectors: usize,
        /// What the distances need, in bytes.
        bytes: u64,
        /// What they may need, in bytes; `None` if the system refused to give so much.
        limit: Option<u64>,
    },
}

fn in_gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

fn limit_of(limit: Option<u64>) -> String {
    match limit {
        Some(limit) => format!("the limit of {}", in_gigabytes(limit)),
        None => "there is free".to_owned(),
    }
}
