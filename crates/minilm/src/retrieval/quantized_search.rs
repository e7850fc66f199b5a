use std::sync::Arc;

use minilm_kernels::{Bits, Component, Corpus, Hit, Isa, TopK, rescore, search};
use minilm_storage::{Vectors, VectorsError};

use super::progress::{Comparisons, Listener, pairs};
use super::scan::QUERIES;
use crate::quantization::{QuantizationError, QuantizationRanges, QuantizedEmbeddings, quantize_embeddings};
use crate::similarity::default_isa;
use crate::threads::on_pieces;
use crate::{EmbeddingPrecision, RetrievalProgress, SearchHit};

/// Vectors to be searched that are kept in fewer bits, wherever they lie: `[n][width]` numbers, one vector behind the other, as
/// [`quantize_embeddings`] gives them.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedCorpus<'a> {
    numbers: Numbers<'a>,
    dimension: usize,
}

#[derive(Clone, Copy, Debug)]
enum Numbers<'a> {
    Int8(&'a [i8]),
    Uint8(&'a [u8]),
    /// Bits that differ are the same with and without the 128.
    Binary(&'a [i8]),
    Ubinary(&'a [u8]),
}

impl<'a> QuantizedCorpus<'a> {
    /// [`EmbeddingPrecision::Int8`]: `[n][dimension]`.
    ///
    /// # Errors
    ///
    /// [`VectorsError::Incomplete`] if these are no whole vectors; [`QuantizationError::TooManyComponents`] for vectors of
    /// more than 131 071 components as int8, 33 025 as uint8, some 2³¹ as bits.
    pub fn int8(numbers: &'a [i8], dimension: usize) -> Result<QuantizedCorpus<'a>, QuantizationError> {
        QuantizedCorpus::new(Numbers::Int8(numbers), numbers.len(), dimension, EmbeddingPrecision::Int8)
    }

    /// [`EmbeddingPrecision::Uint8`]: `[n][dimension]`.
    ///
    /// # Errors
    ///
    /// As [`int8`](Self::int8).
    pub fn uint8(numbers: &'a [u8], dimension: usize) -> Result<QuantizedCorpus<'a>, QuantizationError> {
        QuantizedCorpus::new(Numbers::Uint8(numbers), numbers.len(), dimension, EmbeddingPrecision::Uint8)
    }

    /// [`EmbeddingPrecision::Binary`]: `[n][⌈dimension / 8⌉]`.
    ///
    /// # Errors
    ///
    /// As [`int8`](Self::int8).
    pub fn binary(numbers: &'a [i8], dimension: usize) -> Result<QuantizedCorpus<'a>, QuantizationError> {
        QuantizedCorpus::new(Numbers::Binary(numbers), numbers.len(), dimension, EmbeddingPrecision::Binary)
    }

    /// [`EmbeddingPrecision::Ubinary`]: `[n][⌈dimension / 8⌉]`.
    ///
    /// # Errors
    ///
    /// As [`int8`](Self::int8).
    pub fn ubinary(numbers: &'a [u8], dimension: usize) -> Result<QuantizedCorpus<'a>, QuantizationError> {
        QuantizedCorpus::new(Numbers::Ubinary(numbers), numbers.len(), dimension, EmbeddingPrecision::Ubinary)
    }

    fn new(
        numbers: Numbers<'a>,
        len: usize,
        dimension: usize,
        precision: EmbeddingPrecision,
    ) -> Result<QuantizedCorpus<'a>, QuantizationError> {
        let width = precision.width(dimension);
        if !len.is_multiple_of(width) {
            return Err(VectorsError::Incomplete { components: len, dimension: width }.into());
        }
        let most = match numbers {
            Numbers::Int8(_) => i8::MAX_LEN,
            Numbers::Uint8(_) => u8::MAX_LEN,
            Numbers::Binary(_) | Numbers::Ubinary(_) => Bits::MAX_LEN * Bits::NUMBERS,
        };
        if dimension > most {
            return Err(QuantizationError::TooManyComponents { precision, dimension, most });
        }
        Ok(QuantizedCorpus { numbers, dimension })
    }

    /// What the vectors are kept as.
    pub fn precision(&self) -> EmbeddingPrecision {
        match self.numbers {
            Numbers::Int8(_) => EmbeddingPrecision::Int8,
            Numbers::Uint8(_) => EmbeddingPrecision::Uint8,
            Numbers::Binary(_) => EmbeddingPrecision::Binary,
            Numbers::Ubinary(_) => EmbeddingPrecision::Ubinary,
        }
    }
}

/// How to search a [`QuantizedCorpus`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QuantizedSearchOptions {
    /// The most hits of a query; 10 by default.
    pub top_k: usize,
    /// Whether hits are ordered by the query as it is, in floats; by default they are.
    pub rescore: bool,
    /// How many times as many are searched for to be ordered so; 2 by default.
    pub rescore_multiplier: usize,
    /// How many threads search, at most; 0 (the default) for all of rayon's current pool. No bit depends on it.
    pub threads: usize,
    progress: Listener,
}

impl Default for QuantizedSearchOptions {
    fn default() -> Self {
        QuantizedSearchOptions {
            top_k: 10,
            rescore: true,
            rescore_multiplier: 2,
            threads: 0,
            progress: Listener::default(),
        }
    }
}

impl QuantizedSearchOptions {
    /// Sets [`QuantizedSearchOptions::top_k`].
    #[must_use]
    pub fn top_k(mut self, top_k: usize) -> Self {
        self.top_k = top_k;
        self
    }

    /// Sets [`QuantizedSearchOptions::rescore`].
    #[must_use]
    pub fn rescore(mut self, rescore: bool) -> Self {
        self.rescore = rescore;
        self
    }

    /// Sets [`QuantizedSearchOptions::rescore_multiplier`].
    #[must_use]
    pub fn rescore_multiplier(mut self, multiplier: usize) -> Self {
        self.rescore_multiplier = multiplier;
        self
    }

    /// Sets [`QuantizedSearchOptions::threads`].
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

/// For each of the queries, `[m][dimension]`, the vectors of a quantised corpus that are most similar to it: a list a query,
/// best first, equal scores in the order of the corpus.
///
/// A corpus of bytes takes a quarter of the memory and the time of floats, one of bits a 32nd part. As `semantic_search_faiss` of
/// sentence-transformers does it: the query is quantised as the corpus is, by the same `ranges`, which int8 and uint8 need;
/// every vector is compared, bytes by their dot product, bits by how many differ; and of `top_k · rescore_multiplier`
/// candidates the `top_k` are taken that have the largest dot product with the query in floats, where bytes count as the
/// numbers they are, and bits as 0 and 1. The corpus is read once for every 256 queries.
///
/// Scores are these dot products; without rescoring, the dot product of bytes, or the number of bits that differ, below 0.
///
/// ```
/// use minilm::{EmbeddingPrecision, QuantizedSearchOptions, Vectors, quantize_embeddings, semantic_search_quantized};
///
/// let corpus = Vectors::new(&[0.9, -0.1, 0.2, -0.5, 0.4, 0.8, 0.6, 0.7, -0.3], 3)?;
/// let bits = quantize_embeddings(corpus, EmbeddingPrecision::Ubinary, None)?;
/// let options = QuantizedSearchOptions::default().top_k(1);
/// let hits = semantic_search_quantized(&vec![0.8, -0.2, 0.3], bits.corpus(3)?, None, &options)?;
/// assert_eq!(hits[0][0].corpus_id, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`QuantizationError::Vectors`] for queries of another dimension or that are not finite, and ranges of another
/// dimension; [`QuantizationError::NoRanges`] if int8 or uint8 has none.
pub fn semantic_search_quantized<'q>(
    queries: impl Into<Vectors<'q>>,
    corpus: QuantizedCorpus<'_>,
    ranges: Option<&QuantizationRanges>,
    options: &QuantizedSearchOptions,
) -> Result<Vec<Vec<SearchHit>>, QuantizationError> {
    search_quantized(default_isa(), queries.into(), corpus, ranges, options, PIECE)
}

/// How many bytes of the corpus a thread takes at a time.
const PIECE: usize = 4 << 20;

/// With pieces of so many bytes, or of one vector if that has more.
pub(super) fn search_quantized(
    isa: Isa,
    queries: Vectors<'_>,
    corpus: QuantizedCorpus<'_>,
    ranges: Option<&QuantizationRanges>,
    options: &QuantizedSearchOptions,
    piece: usize,
) -> Result<Vec<Vec<SearchHit>>, QuantizationError> {
    if !queries.is_empty() && queries.dimension() != corpus.dimension {
        let (expected, found) = (corpus.dimension, queries.dimension());
        return Err(VectorsError::DimensionMismatch { expected, found }.into());
    }
    let precision = corpus.precision();
    if precision.needs_ranges() && ranges.is_none() {
        return Err(QuantizationError::NoRanges { precision });
    }
    let quantized = quantize_embeddings(queries, precision, ranges)?;
    let run = Run { isa, queries, width: precision.width(corpus.dimension), options, piece };
    Ok(match (quantized, corpus.numbers) {
        (QuantizedEmbeddings::Int8(quantized), Numbers::Int8(rows)) => {
            run.search(&quantized, rows, |query, hits| run.rescored(query, rows, hits))
        }
        (QuantizedEmbeddings::Uint8(quantized), Numbers::Uint8(rows)) => {
            run.search(&quantized, rows, |query, hits| run.rescored(query, rows, hits))
        }
        (QuantizedEmbeddings::Ubinary(quantized), Numbers::Ubinary(rows)) => {
            let rows = Bits::slice(rows);
            run.search(Bits::slice(&quantized), rows, |query, hits| run.rescored(query, rows, hits))
        }
        (QuantizedEmbeddings::Binary(quantized), Numbers::Binary(rows)) => {
            let rows = Bits::of_signed(rows);
            run.search(Bits::of_signed(&quantized), rows, |query, hits| {
                run.rescored_signed(query, rows, hits)
            })
        }
        _ => unreachable!("queries are quantised as the corpus is"),
    })
}

struct Run<'a> {
    isa: Isa,
    queries: Vectors<'a>,
    /// How many numbers a vector of the corpus is made of.
    width: usize,
    options: &'a QuantizedSearchOptions,
    /// How many bytes of the corpus a thread takes at a time.
    piece: usize,
}

impl Run<'_> {
    /// `rescored` orders candidates by the query in floats.
    fn search<C: Component<Score = i32>>(
        &self,
        quantized: &[C],
        rows: &[C],
        rescored: impl Fn(&[f32], Vec<Hit<i32>>) -> Vec<Hit>,
    ) -> Vec<Vec<SearchHit>> {
        let m = self.queries.len();
        if m == 0 || rows.is_empty() {
            return vec![Vec::new(); m];
        }
        let corpus = Corpus::new(rows, self.width);
        let progress = &Comparisons::new(&self.options.progress, pairs(m, corpus.len()));
        let mut lists = Vec::with_capacity(m);
        for first in (0..m).step_by(QUERIES) {
            let end = m.min(first + QUERIES);
            let quantized = &quantized[first * self.width..end * self.width];
            let candidates = self.candidates(quantized, corpus, progress);
            for (candidates, query) in candidates.into_iter().zip(self.queries.range(first, end).rows()) {
                lists.push(match self.options.rescore {
                    true => {
                        let hits = rescored(query, candidates).into_iter();
                        hits.map(|hit| found(hit.index, hit.score)).collect()
                    }
                    false => candidates.into_iter().map(|hit| found(hit.index, hit.score as f32)).collect(),
                });
            }
        }
        lists
    }

    /// The best for each of some queries, by what they were quantised to.
    fn candidates<C: Component<Score = i32>>(
        &self,
        quantized: &[C],
        corpus: Corpus<'_, C>,
        progress: &Comparisons<'_>,
    ) -> Vec<Vec<Hit<i32>>> {
        let &QuantizedSearchOptions { top_k, rescore, rescore_multiplier, threads, .. } = self.options;
        let k = if rescore { top_k.saturating_mul(rescore_multiplier.max(1)) } else { top_k };
        let queries = quantized.len() / self.width;
        let rows = (self.piece / (self.width * size_of::<C>())).max(1);
        let none = || vec![TopK::<i32>::new(k); queries];
        let threads = on_pieces(threads, corpus.len().div_ceil(rows), none, |tops, i| {
            let (first, end) = (i * rows, corpus.len().min((i + 1) * rows));
            search(self.isa, quantized, corpus.range(first..end), tops);
            progress.add(pairs(queries, end - first));
        });
        let mut threads = threads.into_iter();
        let mut best = threads.next().unwrap_or_else(none);
        for tops in threads {
            best.iter_mut().zip(tops).for_each(|(best, top)| best.merge(top));
        }
        best.into_iter().map(TopK::into_sorted).collect()
    }

    fn rescored<C: Component<Score = i32>>(
        &self,
        query: &[f32],
        rows: &[C],
        candidates: Vec<Hit<i32>>,
    ) -> Vec<Hit> {
        rescore(self.isa, query, Corpus::new(rows, self.width), &candidates, self.options.top_k)
    }

    /// Of bits less 128: those of the candidates are made plain, in the order of the corpus, in which equal scores stand.
    fn rescored_signed(&self, query: &[f32], rows: &[Bits], mut candidates: Vec<Hit<i32>>) -> Vec<Hit> {
        candidates.sort_unstable_by_key(|hit| hit.index);
        let row = |hit: &Hit<i32>| &rows[hit.index * self.width..][..self.width];
        let plain: Vec<Bits> = candidates.iter().flat_map(row).map(|bits| Bits(bits.0 ^ 0x80)).collect();
        let renumbered = candidates.iter().enumerate().map(|(index, hit)| Hit { index, ..*hit });
        let hits = self.rescored(query, &plain, renumbered.collect());
        hits.into_iter().map(|hit| Hit { index: candidates[hit.index].index, ..hit }).collect()
    }
}

fn found(corpus_id: usize, score: f32) -> SearchHit {
    SearchHit { corpus_id, score }
}
