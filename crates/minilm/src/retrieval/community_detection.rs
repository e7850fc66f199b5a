use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minilm_kernels::Isa;
use minilm_storage::{Vectors, VectorsError};

use super::progress::{Comparisons, Listener, pairs};
use crate::similarity::{Scorer, Scratch, default_isa};
use crate::threads::{available, on_pieces};
use crate::{RetrievalProgress, SimilarityFunction};

/// How to look for communities: [`community_detection`].
///
/// The `batch_size` of sentence-transformers has no counterpart: a few hundred vectors that stay in the cache are
/// compared at once, and no result depends on how many.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CommunityDetectionOptions {
    /// From which cosine on, that one included (≥), two vectors are close; 0.75 by default.
    pub threshold: f32,
    /// How many vectors a community has at least; 10 by default. If there are fewer vectors, all of them; never less than 1.
    pub min_community_size: usize,
    /// How many threads compare, at most; 0 (the default) for all of rayon's current pool, which are as many as this process
    /// may use cores unless the program says otherwise. No bit depends on it.
    pub threads: usize,
    progress: Listener,
}

impl Default for CommunityDetectionOptions {
    fn default() -> Self {
        CommunityDetectionOptions {
            threshold: 0.75,
            min_community_size: 10,
            threads: 0,
            progress: Listener::default(),
        }
    }
}

impl CommunityDetectionOptions {
    /// Sets [`CommunityDetectionOptions::threshold`].
    #[must_use]
    pub fn threshold(mut self, threshold: f32) -> Self {
        self.threshold = threshold;
        self
    }

    /// Sets [`CommunityDetectionOptions::min_community_size`].
    #[must_use]
    pub fn min_community_size(mut self, size: usize) -> Self {
        self.min_community_size = size;
        self
    }

    /// Sets [`CommunityDetectionOptions::threads`].
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Who hears how far it is. Default: nobody.
    #[must_use]
    pub fn progress(mut self, progress: Arc<dyn RetrievalProgress>) -> Self {
        self.progress = Listener(Some(progress));
        self
    }
}

/// The communities among vectors, `[n][dimension]`: sets of vectors close to a central one, as lists of their indices, the
/// largest community first. No vector is in two of them; many may be in none.
///
/// Every vector that is close to enough vectors, itself among them, is the centre of a community of these. Largest first,
/// and of equal size in the order of their centres, each then keeps those that no community before has kept, if they are
/// still enough. A community begins with its centre, unless another has kept that; the others follow by falling cosine to
/// it, and equal ones by their index. Sets of equal size stand in the order in which they were made.
///
/// It is the algorithm of sentence-transformers with its results. There, the members of all communities are held at once,
/// which can be n² numbers. Here they are counted at first, and those of some centres at a time are found again among the
/// vectors that are left: half of all pairs are compared for the one, and few for the other.
///
/// ```
/// use minilm::{CommunityDetectionOptions, Vectors, community_detection};
///
/// let vectors = [1.0, 0.0, 0.0, 1.0, 1.0, 0.1, -1.0, 0.0, 0.1, 1.0, 0.2, 1.0];
/// let options = CommunityDetectionOptions::default().min_community_size(2);
/// let communities = community_detection(Vectors::new(&vectors, 2)?, &options)?;
/// assert_eq!(communities, [vec![1, 4, 5], vec![0, 2]]);
/// # Ok::<(), minilm::VectorsError>(())
/// ```
///
/// # Errors
///
/// [`VectorsError::NotFinite`] if a component is NaN or infinite.
pub fn community_detection<'a>(
    vectors: impl Into<Vectors<'a>>,
    options: &CommunityDetectionOptions,
) -> Result<Vec<Vec<usize>>, VectorsError> {
    detect(default_isa(), vectors.into(), options, MEMBERS)
}

/// How many vectors are compared with a block of others while it is in the cache.
const ROWS: usize = 256;

/// How many members are held at a time, of 16 bytes each, unless a single community has more.
const MEMBERS: usize = 1 << 22;

/// How many communities are found at a time: when they are kept, others need no longer be found among their members.
const CENTRES: usize = 512;

/// With at most so many members at a time.
pub(super) fn detect(
    isa: Isa,
    vectors: Vectors<'_>,
    options: &CommunityDetectionOptions,
    most_members: usize,
) -> Result<Vec<Vec<usize>>, VectorsError> {
    vectors.check_finite()?;
    let n = vectors.len();
    if n == 0 {
        return Ok(Vec::new());
    }
    let least = options.min_community_size.clamp(1, n);
    let progress = &Comparisons::new(&options.progress, pairs(n, n + 1) / 2);
    let detection =
        Detection { isa, vectors, threshold: options.threshold, threads: options.threads, progress };

    let sizes = detection.sizes();
    let mut centres: Vec<usize> = (0..n).filter(|&i| sizes[i] >= least).collect();
    // Stable: of equal size in their order.
    centres.sort_by_key(|&i| Reverse(sizes[i]));

    let mut left: Vec<usize> = (0..n).collect();
    let mut kept = vec![false; n];
    let mut communities: Vec<Vec<usize>> = Vec::new();
    let mut centres = &centres[..];
    while !centres.is_empty() && left.len() >= least {
        let mut members = 0;
        let fitting = centres.iter().take(CENTRES).take_while(|&&centre| {
            members += sizes[centre].min(left.len());
            members <= most_members
        });
        let (now, later) = centres.split_at(fitting.count().max(1));
        for members in detection.members(now, &left) {
            let free: Vec<usize> = members.into_iter().filter(|&member| !kept[member]).collect();
            if free.len() >= least {
                free.iter().for_each(|&member| kept[member] = true);
                communities.push(free);
            }
        }
        left.retain(|&i| !kept[i]);
        centres = later;
    }
    communities.sort_by_key(|community| Reverse(community.len()));
    Ok(communities)
}

struct Detection<'a> {
    isa: Isa,
    vectors: Vectors<'a>,
    threshold: f32,
    threads: usize,
    progress: &'a Comparisons<'a>,
}

impl Detection<'_> {
    /// To how many vectors each is close, itself among them.
    ///
    /// A cosine is symmetric to the bit, so each piece of rows is compared with itself and what comes after it.
    fn sizes(&self) -> Vec<usize> {
        let n = self.vectors.len();
        let sizes: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
        let block = Scorer::block(self.vectors.dimension());
        // Fewer rows where they would not be enough pieces for all threads.
        let rows = ROWS.min(n.div_ceil(4 * available(self.threads))).max(16);
        on_pieces(
            self.threads,
            n.div_ceil(rows),
            || (Scratch::default(), Vec::new()),
            |(scratch, of_columns), piece| {
                let (first, end) = (piece * rows, n.min((piece + 1) * rows));
                let scorer =
                    Scorer::new(self.isa, SimilarityFunction::Cosine, self.vectors.range(first, end));
                let mut of_rows = vec![0; end - first];
                let within = (first..end).step_by(block).map(|start| (start, end.min(start + block)));
                let after = (end..n).step_by(block).map(|start| (start, n.min(start + block)));
                for (start, stop) in within.chain(after) {
                    let scores = scorer.score(0..end - first, self.vectors.range(start, stop), scratch);
                    of_columns.clear();
                    of_columns.resize(stop - start, 0);
                    for (of_row, scores) in of_rows.iter_mut().zip(scores.chunks_exact(stop - start)) {
                        *of_row += count(scores, self.threshold, of_columns);
                    }
                    if start >= end {
                        for (size, &close) in sizes[start..stop].iter().zip(of_columns.iter()) {
                            size.fetch_add(close as usize, Ordering::Relaxed);
                        }
                    }
                }
                for (size, close) in sizes[first..end].iter().zip(of_rows) {
                    size.fetch_add(close, Ordering::Relaxed);
                }
                let within = pairs(end - first, end - first + 1) / 2;
                self.progress.add(within + pairs(end - first, n - end));
            },
        );
        sizes.into_iter().map(AtomicUsize::into_inner).collect()
    }

    /// For each of the centres the vectors close to it among `left`: itself first, if it is there, then by falling cosine,
    /// then by index.
    fn members(&self, centres: &[usize], left: &[usize]) -> Vec<Vec<usize>> {
        let dimension = self.vectors.dimension();
        let gather = |indices: &[usize], rows: &mut Vec<f32>| {
            rows.clear();
            indices.iter().for_each(|&i| rows.extend_from_slice(self.vectors.row(i)));
        };
        let mut rows = Vec::new();
        gather(centres, &mut rows);
        let scorer = Scorer::new(self.isa, SimilarityFunction::Cosine, whole(&rows, dimension));
        let block = Scorer::block(dimension);
        self.progress.expect(pairs(centres.len(), left.len()));
        let threads = on_pieces(
            self.threads,
            left.len().div_ceil(block),
            || (Scratch::default(), Vec::new(), vec![Vec::new(); centres.len()]),
            |(scratch, rows, close), piece| {
                let left = &left[piece * block..left.len().min((piece + 1) * block)];
                gather(left, rows);
                let scores = scorer.score(0..centres.len(), whole(rows, dimension), scratch);
                for (close, scores) in close.iter_mut().zip(scores.chunks_exact(left.len())) {
                    let both = left.iter().zip(scores.iter());
                    close.extend(
                        both.filter(|(_, score)| **score >= self.threshold).map(|(&i, &score)| (i, score)),
                    );
                }
                self.progress.add(pairs(centres.len(), left.len()));
            },
        );
        let mut found: Vec<Vec<(usize, f32)>> = vec![Vec::new(); centres.len()];
        for (_, _, close) in threads {
            found.iter_mut().zip(close).for_each(|(found, close)| found.extend(close));
        }
        let sorted = |(&centre, mut close): (&usize, Vec<(usize, f32)>)| {
            close.sort_unstable_by(|(i, a), (j, b)| {
                // Numbers all, for they are at least another.
                let by_score = b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal);
                (*i != centre).cmp(&(*j != centre)).then(by_score).then(i.cmp(j))
            });
            close.into_iter().map(|(i, _)| i).collect()
        };
        centres.iter().zip(found).map(sorted).collect()
    }
}

fn whole(rows: &[f32], dimension: usize) -> Vectors<'_> {
    Vectors::new(rows, dimension).expect("whole vectors were gathered")
}

/// How many scores reach the threshold, and one more in each column where one does.
fn count(scores: &[f32], threshold: f32, columns: &mut [u32]) -> usize {
    let mut total = 0;
    for (column, &score) in columns.iter_mut().zip(scores) {
        let close = u32::from(score >= threshold);
        total += close;
        *column += close;
    }
    total as usize
}
