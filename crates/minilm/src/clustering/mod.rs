//! Vectors put into clusters: [`k_means()`] and [`agglomerative()`].
//!
//! k-means wants to know how many clusters there are, and takes any number of vectors: hundreds of thousands are a matter of
//! seconds. Agglomerative clustering can be told instead how far apart the members of a cluster may be, and holds the
//! distances of all pairs: 10 000 vectors need 200 MB.
//!
//! Both are about Euclidean distances. Embeddings of unit length, as those of all-MiniLM-L6-v2 are, are as near to each
//! other as their cosine is large (`|a − b|² = 2 − 2 cos`), so nothing else is needed for them; vectors of any length
//! can be put into clusters by their cosine with [`Distance::Cosine`].
//!
//! ```
//! use minilm::clustering::{AgglomerativeOptions, KMeansOptions, agglomerative, k_means};
//! use minilm::Vectors;
//!
//! let numbers = [0.0, 0.0, 5.0, 5.0, 0.0, 0.4, 0.1, 0.1];
//! let vectors = Vectors::new(&numbers, 2)?;
//!
//! let two = k_means(vectors, 2, &KMeansOptions::default())?;
//! assert_eq!(two.labels(), [0, 1, 0, 0]);
//! // The largest cluster first, and in each the member first that is nearest to its middle.
//! assert_eq!(two.clusters(), [vec![3, 0, 2], vec![1]]);
//!
//! let near = agglomerative(vectors, &AgglomerativeOptions::distance_threshold(1.0))?;
//! assert_eq!(near.labels(), two.labels());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The same vectors and options give the same clusters, centroids and distances, bit for bit, on every instruction set
//! and with any number of threads.

mod agglomerative;
mod distances;
mod error;
mod k_means;
mod random;
mod seeding;

use minilm_bert::Workers;
use minilm_storage::Vectors;
use rayon::ThreadPool;

pub use agglomerative::{AgglomerativeOptions, Distance, Linkage, Merge, Stop, agglomerative};
pub use error::ClusteringError;
pub use k_means::{KMeansOptions, k_means};

use crate::centred::check_size;

/// Which vectors belong together.
///
/// Clusters are numbered by their size, the largest first, and those of one size in the order of their first members.
#[derive(Clone, Debug, PartialEq)]
pub struct Clustering {
    labels: Vec<usize>,
    clusters: Vec<Vec<usize>>,
    centroids: Vec<f32>,
    dimension: usize,
    inertia: f64,
    iterations: usize,
    merges: Vec<Merge>,
}

impl Clustering {
    /// How many clusters there are.
    pub fn len(&self) -> usize {
        self.clusters.len()
    }

    /// Whether there are none, which never happens.
    pub fn is_empty(&self) -> bool {
        self.clusters.is_empty()
    }

    /// The cluster of each vector, `[n]`.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The vectors of each cluster, by their indices: first the one that is nearest to the cluster's centroid. None is
    /// empty.
    pub fn clusters(&self) -> &[Vec<usize>] {
        &self.clusters
    }

    /// The middle of each cluster, `[len][dimension]`: the mean of its members. Of cosine distances, the mean of its
    /// members scaled to unit length.
    pub fn centroids(&self) -> Vectors<'_> {
        Vectors::new(&self.centroids, self.dimension).expect("whole vectors by construction")
    }

    /// The sum of the squared distances of all vectors to their centroids: what k-means makes small.
    pub fn inertia(&self) -> f64 {
        self.inertia
    }

    /// How often k-means assigned all vectors in the run that was the best; 0 for agglomerative clustering.
    pub fn iterations(&self) -> usize {
        self.iterations
    }

    /// How agglomerative clustering would go on to a single cluster: all `n − 1` merges, the nearest clusters first. Of
    /// k-means there are none.
    pub fn merges(&self) -> &[Merge] {
        &self.merges
    }

    /// Numbers the clusters and puts their members in order. Groups without members are left out.
    ///
    /// `labels` are any numbers below the number of `centroids`; `distances` are those of the vectors to their centroids,
    /// squared.
    fn new(labels: &[usize], distances: &[f64], centroids: &[f32], dimension: usize) -> Clustering {
        let mut groups = vec![Vec::new(); centroids.len() / dimension];
        for (vector, &label) in labels.iter().enumerate() {
            groups[label].push(vector);
        }
        let mut order: Vec<usize> = (0..groups.len()).filter(|&group| !groups[group].is_empty()).collect();
        order.sort_by_key(|&group| (usize::MAX - groups[group].len(), groups[group][0]));

        let mut result = Clustering {
            labels: vec![0; labels.len()],
            clusters: Vec::with_capacity(order.len()),
            centroids: Vec::with_capacity(order.len() * dimension),
            dimension,
            inertia: distances.iter().sum(),
            iterations: 0,
            merges: Vec::new(),
        };
        for (label, group) in order.into_iter().enumerate() {
            let mut members = std::mem::take(&mut groups[group]);
            members.iter().for_each(|&member| result.labels[member] = label);
            members.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]).then(a.cmp(&b)));
            result.clusters.push(members);
            result.centroids.extend(&centroids[group * dimension..][..dimension]);
        }
        result
    }
}

/// That there are vectors, of which all can be computed with.
fn check_vectors(vectors: Vectors<'_>) -> Result<(), ClusteringError> {
    if vectors.is_empty() {
        return Err(ClusteringError::NoVectors);
    }
    vectors.check_finite()?;
    Ok(check_size(vectors)?)
}

/// That so many clusters can be made of so many vectors.
fn check_count(found: usize, vectors: usize) -> Result<(), ClusteringError> {
    if (1..=vectors).contains(&found) {
        Ok(())
    } else {
        Err(ClusteringError::ClusterCount { found, vectors })
    }
}

/// As many threads as a model would have.
fn thread_pool(threads: usize) -> Result<ThreadPool, ClusteringError> {
    let threads = Workers::threads_for(threads);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|e| ClusteringError::Threads { threads, reason: e.to_string() })
}

/// |a − b|² in f64: sixteen lanes, lane j takes components j, j + 16, …, and then they are added in their order.
fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for (sum, (&x, &y)) in sums.iter_mut().zip(a.iter().zip(b)) {
            let difference = f64::from(x) - f64::from(y);
            *sum += difference * difference;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_numbered_by_size_and_members_by_distance() {
        let labels = [4, 2, 2, 0, 0, 3, 2];
        let distances = [0.0, 3.0, 1.0, 2.0, 1.0, 0.0, 1.0];
        let centroids: Vec<f32> = (0..5).map(|x| x as f32).collect();
        let clustering = Clustering::new(&labels, &distances, &centroids, 1);
        assert_eq!(clustering.labels(), [2, 0, 0, 1, 1, 3, 0]);
        assert_eq!(clustering.clusters(), [vec![2, 6, 1], vec![4, 3], vec![0], vec![5]]);
        // The second group is empty.
        assert_eq!(clustering.centroids().as_slice(), [2.0, 0.0, 4.0, 3.0]);
        assert_eq!((clustering.inertia(), clustering.len()), (8.0, 4));
    }
}
