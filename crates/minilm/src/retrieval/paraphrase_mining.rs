use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use minilm_kernels::Isa;
use minilm_storage::{Vectors, VectorsError};

use super::progress::{Comparisons, Listener, pairs};
use super::scan::Scan;
use crate::similarity::default_isa;
use crate::{EncodeOptions, Error, RetrievalProgress, SentenceTransformer, SimilarityFunction};

/// How to mine: [`paraphrase_mining`].
///
/// The `query_chunk_size` and `corpus_chunk_size` of sentence-transformers have no counterpart: a few hundred vectors that stay in the cache are
/// compared at once, and no result depends on how many.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ParaphraseMiningOptions {
    /// With how many others a vector may be paired, at most: those that are most similar to it; 100 by default. A pair is
    /// one if either of its vectors is among the other's.
    pub top_k: usize,
    /// What bounds the number of pairs; 500 000 by default. As in sentence-transformers, the pair (i, j) counts once
    /// because i found j, and once more if j found i, and of those counted one less than `max_pairs` are left once there are
    /// as many: between half of it and all of it are returned, the best ones. Of equal scores at the end of the list it
    /// depends on their indices which are in it, as described at [`paraphrase_mining_embeddings`].
    pub max_pairs: usize,
    /// What is compared; [`SimilarityFunction::Cosine`] by default. Of vectors of length 1,
    /// [`SimilarityFunction::DotProduct`] is the cosine too, and faster, for nothing has to be scaled.
    pub score_function: SimilarityFunction,
    /// Only pairs of a score above that, and not of that score itself (>, where [`SearchOptions::score_threshold`](crate::SearchOptions::score_threshold) is ≥); −1
    /// by default, both as in sentence-transformers. With distances, whose scores are
    /// negative, it leaves out all that are 1 or more apart: set it to [`f32::NEG_INFINITY`] to have them.
    pub min_score: f32,
    /// How many threads compare, at most; 0 (the default) for all of rayon's current pool, which are as many as this process
    /// may use cores unless the program says otherwise. No bit depends on it.
    pub threads: usize,
    progress: Listener,
}

impl Default for ParaphraseMiningOptions {
    fn default() -> Self {
        ParaphraseMiningOptions {
            top_k: 100,
            max_pairs: 500_000,
            score_function: SimilarityFunction::default(),
            min_score: -1.0,
            threads: 0,
            progress: Listener::default(),
        }
    }
}

impl ParaphraseMiningOptions {
    /// Sets [`ParaphraseMiningOptions::top_k`].
    #[must_use]
    pub fn top_k(mut self, top_k: usize) -> Self {
        self.top_k = top_k;
        self
    }

    /// Sets [`ParaphraseMiningOptions::max_pairs`].
    #[must_use]
    pub fn max_pairs(mut self, max_pairs: usize) -> Self {
        self.max_pairs = max_pairs;
        self
    }

    /// Sets [`ParaphraseMiningOptions::score_function`].
    #[must_use]
    pub fn score_function(mut self, function: SimilarityFunction) -> Self {
        self.score_function = function;
        self
    }

    /// Sets [`ParaphraseMiningOptions::min_score`].
    #[must_use]
    pub fn min_score(mut self, min_score: f32) -> Self {
        self.min_score = min_score;
        self
    }

    /// Sets [`ParaphraseMiningOptions::threads`].
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

/// Two vectors, or texts, that are similar.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ParaphrasePair {
    /// How similar they are.
    pub score: f32,
    /// The first one, counted from 0.
    pub i: usize,
    /// The second one, greater than i.
    pub j: usize,
}

/// The pairs of texts that are most similar: [`paraphrase_mining_embeddings`] of their vectors.
///
/// ```no_run
/// use minilm::{EncodeOptions, ParaphraseMiningOptions, SentenceTransformer, paraphrase_mining};
///
/// # fn main() -> Result<(), minilm::Error> {
/// let model = SentenceTransformer::load("all-MiniLM-L6-v2")?;
/// let texts = ["The cat sits outside", "A man is playing guitar", "The cat is sitting outdoors"];
/// let options = ParaphraseMiningOptions::default();
/// for pair in paraphrase_mining(&model, &texts, &EncodeOptions::default(), &options)? {
///     println!("{:.4}: {:?} and {:?}", pair.score, texts[pair.i], texts[pair.j]);
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// As [`SentenceTransformer::encode_batch`].
pub fn paraphrase_mining<T: AsRef<str> + Sync>(
    model: &SentenceTransformer,
    texts: &[T],
    encode_options: &EncodeOptions,
    options: &ParaphraseMiningOptions,
) -> Result<Vec<ParaphrasePair>, Error> {
    let embeddings = model.encode_batch(texts, encode_options)?;
    Ok(paraphrase_mining_embeddings(&embeddings, options)?)
}

/// The pairs of vectors, `[n][dimension]`, that are most similar: best first, equal scores by i and then by j. No pair comes
/// twice.
///
/// Each vector is compared with all others, and paired with the [`top_k`](ParaphraseMiningOptions::top_k) that are most
/// similar to it. As in sentence-transformers, these are the best `top_k` + 1 of all without itself, so it can be one more
/// if it is not among its own best. There, with more than `corpus_chunk_size` (100 000) vectors, it would be `top_k` of each
/// such chunk; here it is `top_k` of all.
///
/// Memory is that of `max_pairs` pairs, which are kept as there: vectors are taken in their order, each with its best ones
/// first; once `max_pairs` have been taken, every further one pushes out the worst, which of equal ones is that of the least
/// vector, and from then on only scores above the last one pushed out are taken.
///
/// ```
/// use minilm::{ParaphraseMiningOptions, Vectors, paraphrase_mining_embeddings};
///
/// let vectors = [1.0, 0.0, 0.0, 1.0, 4.0, 3.0];
/// let pairs =
///     paraphrase_mining_embeddings(Vectors::new(&vectors, 2)?, &ParaphraseMiningOptions::default())?;
/// let pairs: Vec<_> = pairs.iter().map(|pair| (pair.score, pair.i, pair.j)).collect();
/// assert_eq!(pairs, [(0.8, 0, 2), (0.6, 1, 2), (0.0, 0, 1)]);
/// # Ok::<(), minilm::VectorsError>(())
/// ```
///
/// # Errors
///
/// [`VectorsError::NotFinite`] if a component is NaN or infinite.
pub fn paraphrase_mining_embeddings<'a>(
    vectors: impl Into<Vectors<'a>>,
    options: &ParaphraseMiningOptions,
) -> Result<Vec<ParaphrasePair>, VectorsError> {
    mine(default_isa(), vectors.into(), options)
}

pub(super) fn mine(
    isa: Isa,
    vectors: Vectors<'_>,
    options: &ParaphraseMiningOptions,
) -> Result<Vec<ParaphrasePair>, VectorsError> {
    vectors.check_finite()?;
    let &ParaphraseMiningOptions { top_k, max_pairs, score_function, mut min_score, threads, .. } = options;
    let progress = &Comparisons::new(&options.progress, pairs(vectors.len(), vectors.len()));
    let scan = Scan { isa, function: score_function, k: top_k.saturating_add(1), threads, progress };
    // The worst on top.
    let mut best: BinaryHeap<Reverse<Found>> = BinaryHeap::new();
    let mut taken = 0;
    scan.run(vectors, vectors, |by, hits| {
        for hit in hits.into_iter().filter(|hit| hit.index != by) {
            if hit.score > min_score {
                best.push(Reverse(Found { score: hit.score, by, other: hit.index }));
                taken += 1;
                if taken >= max_pairs
                    && let Some(Reverse(worst)) = best.pop()
                {
                    min_score = worst.score;
                }
            }
        }
    });
    // Both have the same score if each found the other, for every function is symmetric to the bit.
    let pair =
        |Reverse(Found { score, by, other })| ParaphrasePair { score, i: by.min(other), j: by.max(other) };
    let mut pairs: Vec<ParaphrasePair> = best.into_iter().map(pair).collect();
    pairs.sort_unstable_by(|a, b| by_score(b.score, a.score).then((a.i, a.j).cmp(&(b.i, b.j))));
    pairs.dedup_by_key(|pair| (pair.i, pair.j));
    Ok(pairs)
}

/// A vector that found another.
struct Found {
    /// Not NaN: it is above some number.
    score: f32,
    by: usize,
    other: usize,
}

/// Of numbers.
fn by_score(a: f32, b: f32) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

impl Ord for Found {
    fn cmp(&self, other: &Self) -> Ordering {
        by_score(self.score, other.score).then((self.by, self.other).cmp(&(other.by, other.other)))
    }
}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Found {}
