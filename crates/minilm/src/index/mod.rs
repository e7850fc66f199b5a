//! Texts and their vectors in a directory, to be searched.
//!
//! An index is a list of segments, each written once and never changed, and `index.json`, which names them and is replaced
//! as a whole: whoever reads sees the index before or after a change, and nothing that an interruption leaves behind is part of
//! it. `segment.rs` has the files' formats; vectors are `.npy` and texts JSON lines, for anybody to read.

mod error;
mod manifest;
mod segment;
mod writer;

use std::path::{Path, PathBuf};

use minilm_storage::{Id, Vectors};

pub use error::IndexError;
use manifest::Manifest;
use segment::Segment;
pub use writer::{Added, IndexOptions, IndexWriter};

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
/// While it is open, nobody may truncate its files; [`IndexWriter`] only adds new ones, and replaces `index.json`.
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
        let manifest = Manifest::read(&directory)?;
        let open = |entry| Segment::open(&directory, entry, manifest.dimension);
        let segments = manifest.segments.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Index { directory, manifest, segments })
    }

    /// That the index was built with this model, in whichever precision.
    ///
    /// # Errors
    ///
    /// [`IndexError::OtherModel`]; [`IndexError::Model`] if the model's files can no longer be read.
    pub fn check_model(&self, model: &SentenceTransformer) -> Result<(), IndexError> {
        let (expected, found) = (&self.manifest.model.fingerprint, model.fingerprint()?);
        if expected == found {
            return Ok(());
        }
        let resolved = model.resolved();
        Err(IndexError::OtherModel {
            directory: self.directory.clone(),
            expected: self.manifest.model.name.clone(),
            found: resolved.name().map_or_else(|| resolved.directory().display().to_string(), str::to_owned),
            what: format!("the fingerprint ({expected} and {found})"),
        })
    }

    /// The texts that are most similar to each query, best first.
    ///
    /// Queries get the model's prompt for queries, unless the options have another. Every vector of the index is compared, so
    /// nothing that is more similar is missed. Where the index's vectors have length 1, as those of all-MiniLM-L6-v2, cosines
    /// are dot products.
    ///
    /// # Errors
    ///
    /// [`IndexError::OtherModel`] for another model than the index was built with; [`IndexError::Model`];
    /// [`IndexError::Damaged`] and [`IndexError::Io`] if a text cannot be read.
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
        let queries = model.encode_query(queries, &encode_options)?;
        let hit = |hit: SearchHit| {
            let (id, text) = self.document(hit.corpus_id)?;
            Ok(IndexHit { score: hit.score, row: hit.corpus_id, id, text })
        };
        let found = self.search_vectors(&queries, options)?;
        found.into_iter().map(|hits| hits.into_iter().map(hit).collect()).collect()
    }

    /// As [`search`](Self::search), with the queries' vectors, and rows in the place of texts.
    ///
    /// # Errors
    ///
    /// [`IndexError::Vectors`] for vectors of another dimension.
    pub fn search_vectors<'a>(
        &self,
        queries: impl Into<Vectors<'a>>,
        options: &SearchOptions,
    ) -> Result<Vec<Vec<SearchHit>>, IndexError> {
        let queries = queries.into();
        let mut options = options.clone();
        if self.manifest.normalized && options.score_function == SimilarityFunction::Cosine {
            options.score_function = SimilarityFunction::DotProduct;
        }
        let mut found = vec![Vec::new(); queries.len()];
        let mut first = 0;
        for segment in &self.segments {
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
    /// [`IndexError::Damaged`] and [`IndexError::Io`] if it cannot be read.
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
    pub fn model(&self) -> &str {
        &self.manifest.model.name
    }

    /// Whether a call of [`IndexWriter::add`] was interrupted, so that only some of its texts are there.
    pub fn is_unfinished(&self) -> bool {
        self.manifest.unfinished.is_some()
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
