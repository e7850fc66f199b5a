//! Agglomerative clustering: the two nearest clusters are merged, again and again.
//!
//! `kodama` does it from the distances of all pairs, by the algorithms of Müllner (Modern hierarchical, agglomerative
//! clustering algorithms, 2011) that SciPy has too: in a time that grows with the square of the number of vectors.

use std::fmt;
use std::str::FromStr;

use kodama::Method;
use minilm_kernels::Isa;
use minilm_storage::Vectors;

use super::distances::Prepared;
use super::{Clustering, ClusteringError, check_count, check_vectors, squared_distance, thread_pool};

/// How far two clusters are from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Linkage {
    /// By how much merging them raises the inertia, the sum of the squared distances to the middle of the cluster:
    /// √(2 · the rise), which of two vectors is their distance. Clusters become compact and of similar size. The default.
    #[default]
    Ward,
    /// As far as their members that are farthest from each other.
    Complete,
    /// The mean distance of the members of one and the members of the other.
    Average,
    /// As far as their members that are nearest to each other: clusters may be long chains.
    Single,
}

/// How far two vectors are from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distance {
    /// |a − b|. The default.
    #[default]
    Euclidean,
    /// 1 − cos(a, b), from 0 to 2; 1 if one of them is 0. Not with [`Linkage::Ward`].
    Cosine,
}

/// Where merging ends.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Stop {
    /// When there are so many clusters.
    Clusters(usize),
    /// When all clusters are at least so far from each other.
    Distance(f32),
}

/// How to compute agglomerative clustering, and where it ends.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AgglomerativeOptions {
    /// Where merging ends.
    pub stop: Stop,
    /// How far two clusters are from each other; [`Linkage::Ward`] by default.
    pub linkage: Linkage,
    /// How far two vectors are from each other; [`Distance::Euclidean`] by default.
    pub distance: Distance,
    /// How many bytes the distances of all pairs may need, 2 n (n − 1); 4 GiB by default, enough for 46 000 vectors.
    pub memory_limit: u64,
    /// How many threads to compute distances with; 0 (the default) for as many as this process may use cores, and at most as
    /// many as [`LoadOptions::threads`](crate::LoadOptions::threads) gives. Merging is the work of one. No bit depends on it.
    pub threads: usize,
    /// The instruction set; `None` (the default) for the one of `MINILM_ISA`, or the fastest. No bit depends on it.
    pub isa: Option<Isa>,
}

impl AgglomerativeOptions {
    fn new(stop: Stop) -> AgglomerativeOptions {
        AgglomerativeOptions {
            stop,
            linkage: Linkage::default(),
            distance: Distance::default(),
            memory_limit: 4 << 30,
            threads: 0,
            isa: None,
        }
    }

    /// Ends when there are so many clusters.
    pub fn n_clusters(n: usize) -> AgglomerativeOptions {
        AgglomerativeOptions::new(Stop::Clusters(n))
    }

    /// Ends when all clusters are at least so far from each other, as scikit-learn's `distance_threshold`.
    pub fn distance_threshold(threshold: f32) -> AgglomerativeOptions {
        AgglomerativeOptions::new(Stop::Distance(threshold))
    }

    /// Sets [`AgglomerativeOptions::linkage`].
    #[must_use]
    pub fn linkage(mut self, linkage: Linkage) -> Self {
        self.linkage = linkage;
        self
    }

    /// Sets [`AgglomerativeOptions::distance`].
    #[must_use]
    pub fn distance(mut self, distance: Distance) -> Self {
        self.distance = distance;
        self
    }

    /// Sets [`AgglomerativeOptions::memory_limit`].
    #[must_use]
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Sets [`AgglomerativeOptions::threads`].
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets [`AgglomerativeOptions::isa`].
    #[must_use]
    pub fn isa(mut self, isa: Isa) -> Self {
        self.isa = Some(isa);
        self
    }

    fn check(&self, vectors: usize) -> Result<(), ClusteringError> {
        match self.stop {
            Stop::Clusters(n) => check_count(n, vectors)?,
            // NaN is neither.
            Stop::Distance(threshold) if threshold >= 0.0 => {}
            Stop::Distance(threshold) => {
                return Err(ClusteringError::InvalidOption {
                    option: "distance_threshold",
                    expected: "a number that is not negative",
                    found: threshold.to_string(),
                });
            }
        }
        if self.linkage == Linkage::Ward && self.distance != Distance::Euclidean {
            return Err(ClusteringError::WardNeedsEuclidean);
        }
        Ok(())
    }
}

/// Two clusters that become one.
///
/// Clusters 0 to n − 1 are the vectors alone; cluster n + i is what merge i makes. So does SciPy number them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Merge {
    /// The two clusters, the smaller number first.
    pub clusters: [usize; 2],
    /// How far from each other they are.
    pub distance: f32,
    /// How many vectors the new cluster has.
    pub size: usize,
}

/// Merges the two nearest clusters, beginning with each vector alone, until there are so many clusters or they are so far
/// apart as the options say.
///
/// What scikit-learn's `AgglomerativeClustering` computes without a connectivity. Which of several pairs at the very same
/// distance is merged first is not specified, but always the same.
///
/// # Errors
///
/// If there are no vectors, the number of clusters is 0 or greater than that of the vectors, the threshold is negative or
/// NaN, a component is not finite or beyond 10¹⁵, Ward's linkage is asked for with cosine distances, the distances of all
/// pairs need more memory than the limit or the system gives, or `MINILM_ISA` names an instruction set that is not there.
///
/// ```
/// use minilm::clustering::{AgglomerativeOptions, Distance, Linkage, agglomerative};
/// use minilm::Vectors;
///
/// let numbers = [1.0, 0.0, 0.0, 2.0, 1.0, 1.1, 3.0, 0.1];
/// let options = AgglomerativeOptions::distance_threshold(0.2).linkage(Linkage::Average).distance(Distance::Cosine);
/// let clusters = agglomerative(Vectors::new(&numbers, 2)?, &options)?;
/// assert_eq!(clusters.labels(), [0, 1, 2, 0]);
/// let distances: Vec<f32> = clusters.merges().iter().map(|merge| merge.distance).collect();
/// assert!(distances[0] < 0.01 && distances[1] > 0.2 && distances.is_sorted());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn agglomerative<'a>(
    vectors: impl Into<Vectors<'a>>,
    options: &AgglomerativeOptions,
) -> Result<Clustering, ClusteringError> {
    let vectors = vectors.into();
    check_vectors(vectors)?;
    options.check(vectors.len())?;
    let isa = options.isa.map_or_else(Isa::from_env, Ok)?;
    let mut distances = room_for_pairs(vectors.len(), options.memory_limit)?;
    let pool = thread_pool(options.threads)?;

    let prepared = match options.distance {
        Distance::Euclidean => Prepared::euclidean(vectors, isa),
        Distance::Cosine => Prepared::cosine(vectors, isa),
    };
    pool.install(|| prepared.condensed(&mut distances));
    let method = match options.linkage {
        Linkage::Ward => Method::Ward,
        Linkage::Complete => Method::Complete,
        Linkage::Average => Method::Average,
        Linkage::Single => Method::Single,
    };
    let dendrogram = kodama::linkage(&mut distances, vectors.len(), method);
    drop(distances);
    let merges: Vec<Merge> = dendrogram
        .steps()
        .iter()
        .map(|step| Merge {
            clusters: [step.cluster1, step.cluster2],
            distance: step.dissimilarity,
            size: step.size,
        })
        .collect();
    let clustering = match options.distance {
        Distance::Euclidean => cut(vectors, &merges, options.stop),
        Distance::Cosine => {
            let unit = Vectors::new(&prepared.components, vectors.dimension())?;
            cut(unit, &merges, options.stop)
        }
    };
    Ok(Clustering { merges, ..clustering })
}

/// Zeros for the distances of all pairs of n vectors.
fn room_for_pairs(n: usize, limit: u64) -> Result<Vec<f32>, ClusteringError> {
    let pairs = n as u128 * (n as u128 - 1) / 2;
    let bytes = u64::try_from(pairs * size_of::<f32>() as u128).unwrap_or(u64::MAX);
    let refused = |limit| ClusteringError::TooManyPairs { vectors: n, bytes, limit };
    if bytes > limit {
        return Err(refused(Some(limit)));
    }
    let pairs = usize::try_from(pairs).map_err(|_| refused(None))?;
    let mut distances = Vec::new();
    distances.try_reserve_exact(pairs).map_err(|_| refused(None))?;
    distances.resize(pairs, 0.0);
    Ok(distances)
}

/// The clusters after those merges that come before the end.
fn cut(vectors: Vectors<'_>, merges: &[Merge], stop: Stop) -> Clustering {
    let (n, d) = (vectors.len(), vectors.dimension());
    // Merges are in the order of their distances.
    let done = match stop {
        Stop::Clusters(clusters) => n - clusters,
        Stop::Distance(threshold) => merges.partition_point(|merge| merge.distance < threshold),
    };
    // Of each cluster the one that it goes up in; itself, if it is one of the last.
    let mut parents: Vec<usize> = (0..n + done).collect();
    for (i, merge) in merges[..done].iter().enumerate() {
        merge.clusters.into_iter().for_each(|cluster| parents[cluster] = n + i);
    }
    // A parent has the greater number, so it is known before its children.
    for cluster in (0..parents.len()).rev() {
        parents[cluster] = parents[parents[cluster]];
    }
    let mut groups = vec![usize::MAX; parents.len()];
    let (mut labels, mut count) = (Vec::with_capacity(n), 0);
    for &cluster in &parents[..n] {
        if groups[cluster] == usize::MAX {
            groups[cluster] = count;
            count += 1;
        }
        labels.push(groups[cluster]);
    }

    let (mut sums, mut sizes) = (vec![0.0; count * d], vec![0_usize; count]);
    for (row, &label) in vectors.rows().zip(&labels) {
        sizes[label] += 1;
        sums[label * d..][..d].iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let means = sums.chunks_exact(d).zip(&sizes);
    let centroids: Vec<f32> =
        means.flat_map(|(sum, &size)| sum.iter().map(move |sum| (sum / size as f64) as f32)).collect();
    let distances: Vec<f64> = vectors
        .rows()
        .zip(&labels)
        .map(|(row, &label)| squared_distance(row, &centroids[label * d..][..d]))
        .collect();
    Clustering::new(&labels, &distances, &centroids, d)
}

impl Linkage {
    /// All of them, the default first.
    pub const ALL: [Linkage; 4] = [Linkage::Ward, Linkage::Complete, Linkage::Average, Linkage::Single];

    /// Its name: that of scikit-learn.
    pub fn name(self) -> &'static str {
        match self {
            Linkage::Ward => "ward",
            Linkage::Complete => "complete",
            Linkage::Average => "average",
            Linkage::Single => "single",
        }
    }
}

impl fmt::Display for Linkage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Linkage {
    type Err = ClusteringError;

    fn from_str(name: &str) -> Result<Linkage, ClusteringError> {
        let found = Linkage::ALL.into_iter().find(|linkage| linkage.name() == name);
        found.ok_or_else(|| ClusteringError::InvalidOption {
            option: "linkage",
            expected: "ward, complete, average or single",
            found: format!("{name:?}"),
        })
    }
}

impl Distance {
    /// All of them, the default first.
    pub const ALL: [Distance; 2] = [Distance::Euclidean, Distance::Cosine];

    /// Its name: that of scikit-learn.
    pub fn name(self) -> &'static str {
        match self {
            Distance::Euclidean => "euclidean",
            Distance::Cosine => "cosine",
        }
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Distance {
    type Err = ClusteringError;

    fn from_str(name: &str) -> Result<Distance, ClusteringError> {
        let found = Distance::ALL.into_iter().find(|distance| distance.name() == name);
        found.ok_or_else(|| ClusteringError::InvalidOption {
            option: "distance",
            expected: "euclidean or cosine",
            found: format!("{name:?}"),
        })
    }
}
