//! Lloyd's algorithm on the kernels of similarity, for the nearest centroid of a point is a matter of dot products:
//! `|x − c|² = |x|² − 2 (x·c − |c|² / 2)`.
//!
//! `linfa-clustering` 0.8, the crate there is for it, was measured and is not used: it computes distances one by one (100 000
//! vectors of 384 components and 100 centroids: 1.7 s an iteration, and 0.15 here, on a core with AVX-512), ends at a worse
//! inertia, accepts more clusters than points, panics without points, and brings 60 packages.

use minilm_kernels::{Isa, dot, similarity_matrix};
use minilm_storage::Vectors;
use rayon::prelude::*;

use super::random::SplitMix64;
use super::seeding::k_means_plus_plus;
use super::{Clustering, ClusteringError, check_count, check_vectors, squared_distance, thread_pool};
use crate::centred::Centred;

/// How to compute k-means. [`Default`] is what most programs want; the names are scikit-learn's.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KMeansOptions {
    /// What the random numbers of the initialisation begin with; 0 by default. Another seed may give other clusters.
    pub seed: u64,
    /// How often to begin anew from other initial centroids, to keep the clustering of least inertia; 1 by default.
    pub n_init: usize,
    /// How often at most all vectors are assigned to their nearest centroid in a run; 300 by default.
    pub max_iterations: usize,
    /// A run ends when the centroids move less than this, all squared movements together as a share of the variance of a
    /// component; 1e-4 by default. 0 goes on until no vector changes its cluster.
    pub tolerance: f64,
    /// How many threads to use; 0 (the default) for as many as this process may use cores, and at most as many as
    /// [`LoadOptions::threads`](crate::LoadOptions::threads) gives. No bit depends on it.
    pub threads: usize,
    /// The instruction set; `None` (the default) for the one of `MINILM_ISA`, or the fastest. No bit depends on it.
    pub isa: Option<Isa>,
    initial_centroids: Option<(Vec<f32>, usize)>,
}

impl Default for KMeansOptions {
    fn default() -> Self {
        KMeansOptions {
            seed: 0,
            n_init: 1,
            max_iterations: 300,
            tolerance: 1e-4,
            threads: 0,
            isa: None,
            initial_centroids: None,
        }
    }
}

impl KMeansOptions {
    /// Sets [`KMeansOptions::seed`].
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets [`KMeansOptions::n_init`].
    #[must_use]
    pub fn n_init(mut self, n_init: usize) -> Self {
        self.n_init = n_init;
        self
    }

    /// Sets [`KMeansOptions::max_iterations`].
    #[must_use]
    pub fn max_iterations(mut self, max_iterations: usize) -> Self {
        self.max_iterations = max_iterations;
        self
    }

    /// Sets [`KMeansOptions::tolerance`].
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets [`KMeansOptions::threads`].
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets [`KMeansOptions::isa`].
    #[must_use]
    pub fn isa(mut self, isa: Isa) -> Self {
        self.isa = Some(isa);
        self
    }

    /// Begins with these centroids in the place of random ones: as many as clusters, of the vectors' dimension. There is
    /// one run then, whatever [`n_init`](KMeansOptions::n_init) is.
    #[must_use]
    pub fn initial_centroids<'a>(mut self, centroids: impl Into<Vectors<'a>>) -> Self {
        let centroids = centroids.into();
        self.initial_centroids = Some((centroids.as_slice().to_vec(), centroids.dimension()));
        self
    }
}

/// Puts vectors into k clusters so that the squared Euclidean distances to the clusters' means are small: Lloyd's
/// algorithm from the centroids of k-means++.
///
/// What scikit-learn's `KMeans` computes: the same clusters from the same initial centroids, as far as f32 can tell. The random
/// numbers are others. There are fewer than k clusters if there are fewer than k different vectors.
///
/// # Errors
///
/// If there are no vectors, k is 0 or greater than their number, a component is not finite or beyond 10¹⁵, the initial
/// centroids do not fit, an option has no meaning (`n_init` or `max_iterations` 0, a negative `tolerance`), or `MINILM_ISA`
/// names an instruction set that is not there.
///
/// ```
/// use minilm::clustering::{KMeansOptions, k_means};
/// use minilm::Vectors;
///
/// let numbers = [1.0, 1.5, 9.0, 9.5, 10.0];
/// let clusters = k_means(Vectors::new(&numbers, 1)?, 2, &KMeansOptions::default())?;
/// assert_eq!(clusters.clusters(), [vec![3, 2, 4], vec![0, 1]]);
/// assert_eq!(clusters.centroids().as_slice(), [9.5, 1.25]);
/// assert_eq!(clusters.inertia(), 0.25 + 0.25 + 2.0 * 0.0625);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn k_means<'a>(
    vectors: impl Into<Vectors<'a>>,
    k: usize,
    options: &KMeansOptions,
) -> Result<Clustering, ClusteringError> {
    let vectors = vectors.into();
    options.check()?;
    check_vectors(vectors)?;
    check_count(k, vectors.len())?;
    if let Some((centroids, dimension)) = &options.initial_centroids {
        let centroids = Vectors::new(centroids, *dimension)?;
        if centroids.len() != k {
            return Err(ClusteringError::InitialCentroids { expected: k, found: centroids.len() });
        }
        vectors.check_dimension(centroids)?;
        check_vectors(centroids)?;
    }
    let isa = options.isa.map_or_else(Isa::from_env, Ok)?;
    let pool = thread_pool(options.threads)?;
    Ok(pool.install(|| cluster(&Points::new(vectors, isa), k, options)))
}

impl KMeansOptions {
    fn check(&self) -> Result<(), ClusteringError> {
        let refused =
            |option, expected, found| Err(ClusteringError::InvalidOption { option, expected, found });
        if self.n_init == 0 {
            return refused("n_init", "at least 1", "0".to_owned());
        }
        if self.max_iterations == 0 {
            return refused("max_iterations", "at least 1", "0".to_owned());
        }
        if !(self.tolerance >= 0.0 && self.tolerance.is_finite()) {
            return refused("tolerance", "a number that is not negative", self.tolerance.to_string());
        }
        Ok(())
    }
}

/// The best of the runs.
fn cluster(points: &Points<'_>, k: usize, options: &KMeansOptions) -> Clustering {
    if let Some((centroids, dimension)) = &options.initial_centroids {
        let mean = points.centred.mean();
        let centroids = centroids.chunks_exact(*dimension).flat_map(|row| row.iter().zip(mean));
        return points.run(centroids.map(|(x, mean)| x - mean).collect(), options).finish(points);
    }
    let mut random = SplitMix64::new(options.seed);
    let mut best: Option<Run> = None;
    for _ in 0..options.n_init {
        let mut centroids = Vec::with_capacity(k * points.dimension());
        for point in k_means_plus_plus(points, k, &mut random) {
            centroids.extend(points.centred.row(point));
        }
        let run = points.run(centroids, options);
        if best.as_ref().is_none_or(|best| run.inertia() < best.inertia()) {
            best = Some(run);
        }
    }
    best.expect("at least one run: checked").finish(points)
}

/// What is put into clusters.
pub(super) struct Points<'a> {
    pub(super) centred: Centred<'a>,
    /// |x|² of each.
    pub(super) norms: Vec<f32>,
    pub(super) isa: Isa,
}

/// Where a run of Lloyd's algorithm ended. Centroids are less the mean of the points.
struct Run {
    labels: Vec<usize>,
    centroids: Vec<f32>,
    /// Squared distances of the points to their centroids.
    distances: Vec<f64>,
    iterations: usize,
}

/// The nearest centroid of each point, and how far it is, squared and in f32.
struct Assignment {
    labels: Vec<usize>,
    distances: Vec<f32>,
}

/// Members of a cluster that one thread adds up.
const PIECE: usize = 1024;

/// Of a block of points, so many distances to centroids at most are in the cache at once.
const BLOCK_DISTANCES: usize = 64 * 1024;

impl<'a> Points<'a> {
    fn new(vectors: Vectors<'a>, isa: Isa) -> Points<'a> {
        let centred = Centred::new(vectors);
        let mut norms = vec![0.0; centred.len()];
        norms.par_chunks_mut(PIECE).enumerate().for_each_init(Vec::new, |row, (piece, norms)| {
            for (i, norm) in norms.iter_mut().enumerate() {
                let at = piece * PIECE + i;
                centred.rows(at..at + 1, row);
                *norm = dot(isa, row, row);
            }
        });
        Points { centred, norms, isa }
    }

    pub(super) fn len(&self) -> usize {
        self.centred.len()
    }

    pub(super) fn dimension(&self) -> usize {
        self.centred.dimension()
    }

    /// Lloyd's algorithm, as scikit-learn ends it: when no point has changed its cluster, or the centroids hardly move.
    fn run(&self, mut centroids: Vec<f32>, options: &KMeansOptions) -> Run {
        let variance = self.norms.iter().map(|&norm| f64::from(norm)).sum::<f64>()
            / (self.len() * self.dimension()) as f64;
        let mut labels: Vec<usize> = Vec::new();
        let (mut settled, mut iterations) = (false, 0);
        while iterations < options.max_iterations {
            iterations += 1;
            let assignment = self.assign(&centroids);
            // Then the centroids are the means of these very clusters.
            settled = assignment.labels == labels;
            if settled {
                break;
            }
            labels.clone_from(&assignment.labels);
            let moved = self.means(assignment, &centroids);
            let movement = squared_distance(&moved, &centroids);
            centroids = moved;
            if movement <= options.tolerance * variance {
                break;
            }
        }
        if !settled {
            labels = self.assign(&centroids).labels;
        }
        let distances = self.distances(&labels, &centroids);
        Run { labels, centroids, distances, iterations }
    }

    /// The nearest of the centroids, of equally near ones the first.
    fn assign(&self, centroids: &[f32]) -> Assignment {
        let (isa, d, n) = (self.isa, self.dimension(), self.len());
        let k = centroids.len() / d;
        let halves: Vec<f32> = centroids.chunks_exact(d).map(|c| 0.5 * dot(isa, c, c)).collect();
        let block = (BLOCK_DISTANCES / k).clamp(8, 256);
        let (mut labels, mut distances) = (vec![0; n], vec![0.0; n]);
        let work = labels.par_chunks_mut(block).zip(distances.par_chunks_mut(block)).enumerate();
        work.for_each_init(Default::default, |(rows, products): &mut (Vec<f32>, Vec<f32>), (i, chunk)| {
            let (labels, distances) = chunk;
            let start = i * block;
            self.centred.rows(start..start + labels.len(), rows);
            products.resize(labels.len() * k, 0.0);
            similarity_matrix(isa, rows, centroids, d, products);
            for (i, products) in products.chunks_exact(k).enumerate() {
                let (mut nearest, mut greatest) = (0, f32::NEG_INFINITY);
                for (centroid, (product, half)) in products.iter().zip(&halves).enumerate() {
                    let score = product - half;
                    if score > greatest {
                        (nearest, greatest) = (centroid, score);
                    }
                }
                labels[i] = nearest;
                distances[i] = (self.norms[start + i] - 2.0 * greatest).max(0.0);
            }
        });
        Assignment { labels, distances }
    }

    /// The means of the clusters. A cluster without members gets the point that is farthest from its own centroid, as in
    /// scikit-learn; if there is none to be had, its centroid stays where it is.
    fn means(&self, assignment: Assignment, centroids: &[f32]) -> Vec<f32> {
        let Assignment { mut labels, distances } = assignment;
        let d = self.dimension();
        let k = centroids.len() / d;
        let mut sizes = vec![0; k];
        labels.iter().for_each(|&label| sizes[label] += 1);
        let empty: Vec<usize> = (0..k).filter(|&cluster| sizes[cluster] == 0).collect();
        if !empty.is_empty() {
            let mut farthest: Vec<usize> = (0..self.len()).collect();
            farthest.sort_by(|&a, &b| distances[b].total_cmp(&distances[a]).then(a.cmp(&b)));
            let mut farthest = farthest.into_iter().take_while(|&point| distances[point] > 0.0);
            for cluster in empty {
                let Some(point) = farthest.find(|&point| sizes[labels[point]] > 1) else { break };
                sizes[labels[point]] -= 1;
                (sizes[cluster], labels[point]) = (1, cluster);
            }
        }

        // The points of each cluster in their order, and the clusters in pieces.
        let mut starts = vec![0; k];
        for cluster in 1..k {
            starts[cluster] = starts[cluster - 1] + sizes[cluster - 1];
        }
        let mut members = vec![0; self.len()];
        let mut next = starts.clone();
        for (point, &label) in labels.iter().enumerate() {
            members[next[label]] = point;
            next[label] += 1;
        }
        let clusters = || starts.iter().zip(&sizes).map(|(&start, &size)| &members[start..start + size]);
        let pieces: Vec<&[usize]> = clusters().flat_map(|members| members.chunks(PIECE)).collect();
        let sums: Vec<Vec<f64>> = pieces.par_iter().map(|piece| self.sum(piece)).collect();

        let (mut means, mut sums) = (centroids.to_vec(), sums.into_iter());
        for (mean, members) in means.chunks_exact_mut(d).zip(clusters()) {
            let pieces = sums.by_ref().take(members.len().div_ceil(PIECE));
            let sum = pieces.reduce(|mut sum, piece| {
                sum.iter_mut().zip(&piece).for_each(|(sum, x)| *sum += x);
                sum
            });
            for (mean, sum) in mean.iter_mut().zip(sum.iter().flatten()) {
                *mean = (sum / members.len() as f64) as f32;
            }
        }
        means
    }

    /// The sum of some points.
    fn sum(&self, points: &[usize]) -> Vec<f64> {
        let mut sums = vec![0.0; self.dimension()];
        for &point in points {
            sums.iter_mut().zip(self.centred.row(point)).for_each(|(sum, x)| *sum += f64::from(x));
        }
        sums
    }

    /// Of each point to its centroid, squared.
    fn distances(&self, labels: &[usize], centroids: &[f32]) -> Vec<f64> {
        let d = self.dimension();
        let work = labels.par_iter().enumerate().map_init(Vec::new, |row, (point, &label)| {
            self.centred.rows(point..point + 1, row);
            squared_distance(row, &centroids[label * d..][..d])
        });
        work.collect()
    }
}

impl Run {
    fn inertia(&self) -> f64 {
        self.distances.iter().sum()
    }

    fn finish(mut self, points: &Points<'_>) -> Clustering {
        for centroid in self.centroids.chunks_exact_mut(points.dimension()) {
            centroid.iter_mut().zip(points.centred.mean()).for_each(|(x, mean)| *x += mean);
        }
        let clustering = Clustering::new(&self.labels, &self.distances, &self.centroids, points.dimension());
        Clustering { iterations: self.iterations, ..clustering }
    }
}
