use std::sync::Arc;

use minilm_kernels::{Hit, Isa};
use minilm_storage::{Vectors, VectorsError};

use super::progress::{Comparisons, Listener, pairs};
use super::scan::Scan;
use crate::similarity::default_isa;
use crate::{RetrievalProgress, SimilarityFunction};

/// How to search: [`semantic_search`].
///
/// The `query_chunk_size` and `corpus_chunk_size` of sentence-transformers have no counterpart: a few hundred vectors that stay in the cache are
/// compared at once, and no result depends on how many.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SearchOptions {
    /// The most hits of a query; 10 by default.
    pub top_k: usize,
    /// What is compared; [`SimilarityFunction::Cosine`] by default. Of vectors of length 1,
    /// [`SimilarityFunction::DotProduct`] is the cosine too, and more than twice as fast for a single query, for nothing has to
    /// be scaled.
    pub score_function: SimilarityFunction,
    /// Only hits of at least that score (≥); `None` (the default) for all.
    pub score_threshold: Option<f32>,
    /// How many threads search, at most; 0 (the default) for all of rayon's current pool, which are as many as this process
    /// may use cores unless the program says otherwise. No bit depends on it.
    pub threads: usize,
    progress: Listener,
}

impl Default for SearchOptions {
    fn default() -> Self {
        SearchOptions {
            top_k: 10,
            score_function: SimilarityFunction::default(),
            score_threshold: None,
            threads: 0,
            progress: Listener::default(),
        }
    }
}

impl SearchOptions {
    /// Sets [`SearchOptions::top_k`].
    #[must_use]
    pub fn top_k(mut self, top_k: usize) -> Self {
        self.top_k = top_k;
        self
    }

    /// Sets [`SearchOptions::score_function`].
    #[must_use]
    pub fn score_function(mut self, function: SimilarityFunction) -> Self {
        self.score_function = function;
        self
    }

    /// Sets [`SearchOptions::score_threshold`].
    #[must_use]
    pub fn score_threshold(mut self, least: f32) -> Self {
        self.score_threshold = Some(least);
        self
    }

    /// Sets [`SearchOptions::threads`].
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

    pub(crate) fn progress_listener(&self) -> Option<Arc<dyn RetrievalProgress>> {
        self.progress.0.clone()
    }
}

/// A vector that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct SearchHit {
    /// Which one of the corpus, counted from 0.
    pub corpus_id: usize,
    /// How similar it is to the query.
    pub score: f32,
}

/// For each of the queries, `[m][dimension]`, the vectors of the corpus, `[n][dimension]`, that are most similar to it: a list
/// a query, best first.
///
/// Every vector of the corpus is compared: the hits are exact. Scores have the bits that [`cos_sim`](crate::cos_sim) (or
/// the function asked for) gives; equal ones stand in the order of the corpus. A list is shorter than
/// [`top_k`](SearchOptions::top_k) if the corpus is, or fewer reach the [threshold](SearchOptions::score_threshold).
///
/// The corpus is read block by block, once for every 256 queries, so it may be a mapped file that is larger than memory.
///
/// ```
/// use minilm::{SearchOptions, Vectors, semantic_search};
///
/// let corpus = [1.0, 0.0, 0.0, 1.0, 4.0, 3.0];
/// let corpus = Vectors::new(&corpus, 2)?;
/// let found = semantic_search(&vec![2.0, 0.0], corpus, &SearchOptions::default().top_k(2))?;
/// let found: Vec<_> = found[0].iter().map(|hit| (hit.corpus_id, hit.score)).collect();
/// assert_eq!(found, [(0, 1.0), (2, 0.8)]);
/// # Ok::<(), minilm::VectorsError>(())
/// ```
///
/// # Errors
///
/// [`VectorsError::DimensionMismatch`] if queries and corpus are of different dimensions, [`VectorsError::NotFinite`] if a
/// component of a query is NaN or infinite. The corpus is not checked; where it is not finite, scores may be NaN, which come
/// last.
pub fn semantic_search<'q, 'c>(
    queries: impl Into<Vectors<'q>>,
    corpus: impl Into<Vectors<'c>>,
    options: &SearchOptions,
) -> Result<Vec<Vec<SearchHit>>, VectorsError> {
    search(default_isa(), queries.into(), corpus.into(), options)
}

pub(super) fn search(
    isa: Isa,
    queries: Vectors<'_>,
    corpus: Vectors<'_>,
    options: &SearchOptions,
) -> Result<Vec<Vec<SearchHit>>, VectorsError> {
    queries.check_dimension(corpus)?;
    queries.check_finite()?;
    let &SearchOptions { top_k, score_function, score_threshold, threads, .. } = options;
    let progress = &Comparisons::new(&options.progress, pairs(queries.len(), corpus.len()));
    let scan = Scan { isa, function: score_function, k: top_k, threads, progress };
    let mut lists = Vec::with_capacity(queries.len());
    scan.run(queries, corpus, |_, hits| {
        // The first that does not reach it, NaN among them, is followed by such ones alone.
        let reached = |hit: &Hit| score_threshold.is_none_or(|least| hit.score >= least);
        let hit = |hit: Hit| SearchHit { corpus_id: hit.index, score: hit.score };
        lists.push(hits.into_iter().take_while(reached).map(hit).collect());
    });
    Ok(lists)
}
