//! Texts and their vectors in a directory, to be searched.
//!
//! An index is a list of segments, each written once and never changed, and `index.json`, which names them and is replaced
//! as a whole: whoever reads sees the index before or after a change, and nothing that an interruption leaves behind is part of
//! it. `segment.rs` has the files' formats; vectors are `.npy` and texts JSON lines, for anybody to read.

mod adding;
mod directory;
mod error;
mod manifest;
mod options;
mod segment;
mod writer;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minilm_kernels::l2_normalize;
use minilm_storage::{Id, Vectors};

pub use adding::Added;
pub use error::IndexError;
use manifest::Manifest;
pub use options::IndexOptions;
use segment::Segment;
pub use writer::IndexWriter;

use crate::similarity::default_isa;
use crate::{
    EncodeOptions, SearchHit, SearchOptions, SentenceTransformer, SimilarityFunction, semantic_search,
};

/// An index that is open to be searched. Its vectors are mapped into memory: opening it is quick, and what it takes is shared
/// with all other processes that search it.
///
/// ```no_run
/// use minilm::{EncodeOptions, Index, IndexOptions, IndexWriter, SearchOptions, SentenceTransformer};
/// use minilm::storage::{TextOptions, TextReader};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = SentenceTransformer::load("all-MiniLM-L6-v2")?;
/// let mut writer = IndexWriter::create("questions.index", &model, &IndexOptions::default())?;
/// writer.add(TextReader::open("questions.jsonl", &TextOptions::default())?)?;
///
/// let index = Index::open("questions.index")?;
/// let query = ["How do I read a file?"];
/// for hit in &index.search(&model, &query, &EncodeOptions::default(), &SearchOptions::default())?[0] {
///     println!("{:.4} {} {}", hit.score, hit.id, hit.text);
/// }
/// # Ok(()) }
/// ```
///
/// While it is open, nobody may change or truncate its files. [`IndexWriter`] does not: it adds new ones, replaces
/// `index.json`, and removes files that are no longer part of the index, which stay readable for whoever has them open.
pub struct Index {
    directory: PathBuf,
    manifest: Manifest,
    segments: Vec<Segment>,
}

/// A text that was found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct IndexHit {
    /// How similar it is.
    pub score: f32,
    /// Which text of the index, counted from 0.
    pub row: usize,
    /// What it is called.
    pub id: Id,
    /// The text.
    pub text: String,
}

impl Index {
    /// Opens an index as it is now; what is added later is not seen.
    ///
    /// # Errors
    ///
    /// [`IndexError::NotAnIndex`]; [`IndexError::Damaged`] or [`IndexError::Storage`] if a file is not what was written, or
    /// missing; [`IndexError::Io`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Index, IndexError> {
        let directory = directory.as_ref().to_owned();
        let mut manifest = Manifest::read(&directory)?;
        loop {
            let open = |entry| Segment::open(&directory, entry, manifest.dimension);
            match manifest.segments.iter().map(open).collect() {
                Ok(segments) => return Ok(Index { directory, manifest, segments }),
                // What was named a moment ago may be part of a larger segment now.
                Err(error) => match Manifest::read(&directory)? {
                    now if now == manifest => return Err(error),
                    now => manifest = now,
                },
            }
        }
    }

    /// That the index was built with this model, in whichever precision.
    ///
    /// # Errors
    ///
    /// [`IndexError::OtherModel`]; [`IndexError::Model`] if the model's files can no longer be read.
    pub fn check_model(&self, model: &SentenceTransformer) -> Result<(), IndexError> {
        self.manifest.check_model(model, &self.directory)
    }

    /// The texts that are most similar to each query, best first.
    ///
    /// Queries get the model's prompt for queries, unless the options have another, and otherwise become vectors as the index's
    /// texts did: cut to the same dimension, and scaled to length 1 if these were. Every vector of the index is compared, so
    /// nothing that is more similar is missed.
    ///
    /// As in [`semantic_search`], they are compared by their cosine, whatever the model's own function is; for that set
    /// [`score_function`](SearchOptions::score_function) to its
    /// [`similarity_function`](SentenceTransformer::similarity_function).
    ///
    /// # Errors
    ///
    /// [`IndexError::OtherModel`] for another model than the index was built with; [`IndexError::Model`];
    /// [`IndexError::Damaged`] if a text cannot be read; [`IndexError::Vectors`] if the options cut queries to another dimension.
    pub fn search<T: AsRef<str> + Sync>(
        &self,
        model: &SentenceTransformer,
        queries: &[T],
        encode_options: &EncodeOptions,
        options: &SearchOptions,
    ) -> Result<Vec<Vec<IndexHit>>, IndexError> {
        self.check_model(model)?;
        let mut encode_options = encode_options.clone();
        if encode_options.truncate_dim.is_none() {
            encode_options.truncate_dim = Some(self.manifest.dimension);
        }
        encode_options.normalize_embeddings |= self.manifest.normalized;
        let queries = model.encode_query(queries, &encode_options)?;
        let hit = |hit: SearchHit| {
            let (id, text) = self.document(hit.corpus_id)?;
            Ok(IndexHit { score: hit.score, row: hit.corpus_id, id, text })
        };
        let found = self.search_vectors(&queries, options)?;
        found.into_iter().map(|hits| hits.into_iter().map(hit).collect()).collect()
    }

    /// As [`search`](Self::search), with the queries' vectors, of any lengths, and rows in the place of texts.
    ///
    /// Scores have the bits that [`cos_sim`](crate::cos_sim) gives, or the function asked for; but where the index's vectors have
    /// length 1, as those of all-MiniLM-L6-v2, they are not scaled again for the cosine, which is faster and differs from
    /// `cos_sim` by no more than their lengths from 1: 1e-6 of vectors that [`IndexWriter::add`] made, 1e-4 of others.
    ///
    /// # Errors
    ///
    /// [`IndexError::Vectors`] for vectors of another dimension, or that are not finite.
    pub fn search_vectors<'a>(
        &self,
        queries: impl Into<Vectors<'a>>,
        options: &SearchOptions,
    ) -> Result<Vec<Vec<SearchHit>>, IndexError> {
        let queries = queries.into();
        self.manifest.check_dimension(queries)?;
        queries.check_finite()?;
        let (mut options, mut components) = (options.clone(), Cow::Borrowed(queries.as_slice()));
        if self.manifest.normalized && options.score_function == SimilarityFunction::Cosine {
            options.score_function = SimilarityFunction::DotProduct;
            let isa = default_isa();
            let rows = components.to_mut().chunks_exact_mut(queries.dimension().max(1));
            rows.for_each(|query| l2_normalize(isa, query));
        }
        let queries = Vectors::new(&components, queries.dimension())?;
        let pairs = |rows: usize| (queries.len() as u64).saturating_mul(rows as u64);
        let (listener, total) = (options.progress_listener(), pairs(self.len()));
        let mut found = vec![Vec::new(); queries.len()];
        let mut first = 0;
        for segment in &self.segments {
            if let Some(listener) = listener.clone() {
                let before = pairs(first);
                options = options
                    .progress(Arc::new(move |pairs: u64, _: u64| listener.compared(before + pairs, total)));
            }
            for (all, hits) in found.iter_mut().zip(semantic_search(queries, segment.vectors(), &options)?) {
                let hits = hits.into_iter().map(|hit| SearchHit { corpus_id: first + hit.corpus_id, ..hit });
                *all = merged(std::mem::take(all), hits.collect(), options.top_k);
            }
            first += segment.vectors().len();
        }
        Ok(found)
    }

    /// The id and the text of a row.
    ///
    /// # Errors
    ///
    /// [`IndexError::Damaged`] if it is not what was written.
    ///
    /// # Panics
    ///
    /// If there are not that many rows.
    pub fn document(&self, row: usize) -> Result<(Id, String), IndexError> {
        let mut at = row;
        for segment in &self.segments {
            match at.checked_sub(segment.vectors().len()) {
                None => return segment.document(at),
                Some(rest) => at = rest,
            }
        }
        panic!("row {row} of an index of {} texts", self.len());
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.manifest.rows()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of components of each vector.
    pub fn dimension(&self) -> usize {
        self.manifest.dimension
    }

    /// The name of the model that it was built with.
    pub fn model_name(&self) -> &str {
        &self.manifest.model.name
    }

    /// Whether a call of [`IndexWriter::add`] was interrupted, so that only some of its texts are there.
    pub fn is_unfinished(&self) -> bool {
        self.manifest.unfinished.is_some()
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("directory", &self.directory)
            .field("rows", &self.len())
            .field("dimension", &self.dimension())
            .finish_non_exhaustive()
    }
}

/// The best `k` of two lists that are in order, the first of which has the smaller rows.
fn merged(a: Vec<SearchHit>, b: Vec<SearchHit>, k: usize) -> Vec<SearchHit> {
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    let next = std::iter::from_fn(|| match (a.peek(), b.peek()) {
        // NaN is last, and of equal ones the smaller row is first.
        (Some(x), Some(y)) if y.score > x.score || (x.score.is_nan() && !y.score.is_nan()) => b.next(),
        (Some(_), _) => a.next(),
        (None, _) => b.next(),
    });
    next.take(k).collect()
}
