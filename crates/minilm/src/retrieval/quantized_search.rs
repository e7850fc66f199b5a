use minilm_kernels::{Bits, Component, Corpus, Hit, Isa, TopK, dot_of_numbers, search};
use minilm_storage::{Vectors, VectorsError};

use crate::quantization::{QuantizationError, QuantizationRanges, QuantizedEmbeddings, quantize_embeddings};
use crate::similarity::default_isa;
use crate::threads::on_pieces;
use crate::{EmbeddingPrecision, SearchHit};

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
    /// [`VectorsError::Incomplete`] if these are no whole vectors.
    pub fn int8(numbers: &'a [i8], dimension: usize) -> Result<QuantizedCorpus<'a>, VectorsError> {
        QuantizedCorpus::new(Numbers::Int8(numbers), numbers.len(), dimension, EmbeddingPrecision::Int8)
    }

    /// [`EmbeddingPrecision::Uint8`]: `[n][dimension]`.
    ///
    /// # Errors
    ///
    /// As [`int8`](Self::int8).
    pub fn uint8(numbers: &'a [u8], dimension: usize) -> Result<QuantizedCorpus<'a>, VectorsError> {
        QuantizedCorpus::new(Numbers::Uint8(numbers), numbers.len(), dimension, EmbeddingPrecision::Uint8)
    }

    /// [`EmbeddingPrecision::Binary`]: `[n][⌈dimension / 8⌉]`.
    ///
    /// # Errors
    ///
    /// As [`int8`](Self::int8).
    pub fn binary(numbers: &'a [i8], dimension: usize) -> Result<QuantizedCorpus<'a>, VectorsError> {
        QuantizedCorpus::new(Numbers::Binary(numbers), numbers.len(), dimension, EmbeddingPrecision::Binary)
    }

    /// [`EmbeddingPrecision::Ubinary`]: `[n][⌈dimension / 8⌉]`.
    ///
    /// # Errors
    ///
    /// As [`int8`](Self::int8).
    pub fn ubinary(numbers: &'a [u8], dimension: usize) -> Result<QuantizedCorpus<'a>, VectorsError> {
        QuantizedCorpus::new(Numbers::Ubinary(numbers), numbers.len(), dimension, EmbeddingPrecision::Ubinary)
    }

    fn new(
        numbers: Numbers<'a>,
        len: usize,
        dimension: usize,
        precision: EmbeddingPrecision,
    ) -> Result<QuantizedCorpus<'a>, VectorsError> {
        if len.is_multiple_of(precision.width(dimension)) {
            Ok(QuantizedCorpus { numbers, dimension })
        } else {
            Err(VectorsError::Incomplete { components: len, dimension: precision.width(dimension) })
        }
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
}

impl Default for QuantizedSearchOptions {
    fn default() -> Self {
        QuantizedSearchOptions { top_k: 10, rescore: true, rescore_multiplier: 2, threads: 0 }
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
}

/// For each of the queries, `[m][dimension]`, the vectors of a quantised corpus that are most similar to it: a list a query,
/// best first, equal scores in the order of the corpus.
///
/// A corpus of bytes takes a quarter of the memory and the time of floats, one of bits a 32nd part. As `semantic_search_faiss` of
/// sentence-transformers does it: the query is quantised as the corpus is, by the same `ranges`, which int8 and uint8 need;
/// every vector is compared, bytes by their dot product, bits by how many differ; and of `top_k · rescore_multiplier`
/// candidates the `top_k` are taken that have the largest dot product with the query in floats, where bytes count as the
/// numbers they are, and bits as 0 and 1.
///
/// Scores are these dot products; without rescoring, the dot product of bytes, or the number of bits that differ, below 0.
///
/// ```
/// use minilm::{EmbeddingPrecision, QuantizedCorpus, QuantizedEmbeddings, QuantizedSearchOptions, Vectors};
/// use minilm::{quantize_embeddings, semantic_search_quantized};
///
/// let corpus = Vectors::new(&[0.9, -0.1, 0.2, -0.5, 0.4, 0.8, 0.6, 0.7, -0.3], 3)?;
/// let QuantizedEmbeddings::Ubinary(bits) = quantize_embeddings(corpus, EmbeddingPrecision::Ubinary, None)? else {
///     unreachable!("what was asked for")
/// };
/// let corpus = QuantizedCorpus::ubinary(&bits, 3)?;
/// let options = QuantizedSearchOptions::default().top_k(1);
/// let hits = semantic_search_quantized(&vec![0.8, -0.2, 0.3], corpus, None, &options)?;
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
    let (queries, isa) = (queries.into(), default_isa());
    if !queries.is_empty() && queries.dimension() != corpus.dimension {
        let (expected, found) = (corpus.dimension, queries.dimension());
        return Err(VectorsError::DimensionMismatch { expected, found }.into());
    }
    let precision = corpus.precision();
    if precision.needs_ranges() && ranges.is_none() {
        return Err(QuantizationError::NoRanges { precision });
    }
    let quantized = quantize_embeddings(queries, precision, ranges)?;
    let run = Run { isa, queries, width: precision.width(corpus.dimension), options };
    Ok(match (quantized, corpus.numbers) {
        (QuantizedEmbeddings::Int8(quantized), Numbers::Int8(rows)) => {
            run.search(&quantized, rows, |row| row.to_vec())
        }
        (QuantizedEmbeddings::Uint8(quantized), Numbers::Uint8(rows)) => {
            run.search(&quantized, rows, |row| row.to_vec())
        }
        (QuantizedEmbeddings::Ubinary(quantized), Numbers::Ubinary(rows)) => {
            run.search(Bits::slice(&quantized), Bits::slice(rows), |row| row.to_vec())
        }
        (QuantizedEmbeddings::Binary(quantized), Numbers::Binary(rows)) => {
            let [quantized, rows] = [&quantized, rows].map(Bits::of_signed);
            run.search(quantized, rows, |row| row.iter().map(|bits| Bits(bits.0 ^ 0x80)).collect())
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
}

/// How many bytes of the corpus a thread takes at a time.
const PIECE: usize = 4 << 20;

impl Run<'_> {
    /// `plain` gives the row that stands for numbers.
    fn search<C: Component<Score = i32>>(
        &self,
        quantized: &[C],
        rows: &[C],
        plain: impl Fn(&[C]) -> Vec<C>,
    ) -> Vec<Vec<SearchHit>> {
        let &QuantizedSearchOptions { top_k, rescore, rescore_multiplier, threads } = self.options;
        let candidates = if rescore { top_k.saturating_mul(rescore_multiplier.max(1)) } else { top_k };
        let m = self.queries.len();
        if m == 0 || rows.is_empty() {
            return vec![Vec::new(); m];
        }
        let corpus = Corpus::new(rows, self.width);
        let piece = (PIECE / (self.width * size_of::<C>())).max(1);
        let none = || (0..m).map(|_| TopK::<i32>::new(candidates)).collect::<Vec<_>>();
        let searched = on_pieces(threads, corpus.len().div_ceil(piece), none, |tops, i| {
            let end = corpus.len().min((i + 1) * piece);
            search(self.isa, quantized, corpus.range(i * piece..end), tops);
        });
        let mut searched = searched.into_iter();
        let mut best = searched.next().unwrap_or_else(none);
        for tops in searched {
            best.iter_mut().zip(tops).for_each(|(best, top)| best.merge(top));
        }
        let hits = best.into_iter().map(TopK::into_sorted).zip(self.queries.rows());
        let lists = hits.map(|(hits, query)| match rescore {
            true => self.rescored(hits, query, rows, &plain),
            false => hits.into_iter().map(|hit| found(hit.index, hit.score as f32)).collect(),
        });
        lists.collect()
    }

    fn rescored<C: Component<Score = i32>>(
        &self,
        candidates: Vec<Hit<i32>>,
        query: &[f32],
        rows: &[C],
        plain: &impl Fn(&[C]) -> Vec<C>,
    ) -> Vec<SearchHit> {
        // Bits stand for as many numbers as are in their bytes.
        let mut query = query.to_vec();
        query.resize(self.width * C::NUMBERS, 0.0);
        let mut top = TopK::new(self.options.top_k);
        for Hit { index, .. } in candidates {
            let row = plain(&rows[index * self.width..][..self.width]);
            top.push(self.isa, index, &[dot_of_numbers(self.isa, &query, &row)]);
        }
        top.into_sorted().into_iter().map(|hit| found(hit.index, hit.score)).collect()
    }
}

fn found(corpus_id: usize, score: f32) -> SearchHit {
    SearchHit { corpus_id, score }
}
