use std::fmt;
use std::path::{Path, PathBuf};

use minilm_kernels::dot;
use minilm_storage::{TextItem, Vectors, VectorsError};

use super::adding::{Added, Adding};
use super::directory::{Lock, begun, remove_leftovers};
use super::manifest::Manifest;
use super::{IndexError, IndexOptions};
use crate::similarity::default_isa;
use crate::{SentenceTransformer, StreamError};

/// How many texts whose vectors are there are held at a time.
const ENCODED_WINDOW: usize = 1024;

/// How far from 1 the square of a length may be that is 1 to within 1e-4.
const UNIT_TOLERANCE: f32 = 2e-4;

/// Adds texts to an [index](super::Index). One writer at a time; meanwhile others may search what is there.
///
/// The directory is the index's own: files in it that are called as those of an index, and are not part of it, are taken for
/// what an interrupted writer left, and removed.
pub struct IndexWriter<'m> {
    directory: PathBuf,
    model: &'m SentenceTransformer,
    options: IndexOptions,
    manifest: Manifest,
    _lock: Lock,
}

impl<'m> IndexWriter<'m> {
    /// Begins a new index in a directory that is empty or not there; or takes up one whose first texts were never all added,
    /// because the program was interrupted or failed.
    ///
    /// # Errors
    ///
    /// [`IndexError::Exists`] and [`IndexError::NotEmpty`] if there is anything else; [`IndexError::OtherModel`] and
    /// [`IndexError::OtherOption`] if texts are there that were encoded otherwise; [`IndexError::Locked`]; [`IndexError::Io`].
    pub fn create(
        directory: impl AsRef<Path>,
        model: &'m SentenceTransformer,
        options: &IndexOptions,
    ) -> Result<IndexWriter<'m>, IndexError> {
        let directory = directory.as_ref();
        std::fs::create_dir_all(directory).map_err(IndexError::io(directory))?;
        // Twice: before a lock is made in a directory that has nothing to do with it, and when no other writer can change
        // the answer.
        begun(directory)?;
        let lock = Lock::take(directory)?;
        let begun = begun(directory)?;
        IndexWriter::locked(directory, lock, begun, model, options)
    }

    /// Opens an index to add to it. Without texts it is as good as new: they may be of another model, or encoded otherwise,
    /// than the one who made it had in mind.
    ///
    /// # Errors
    ///
    /// [`IndexError::NotAnIndex`]; [`IndexError::OtherModel`] for a model of another fingerprint, [`IndexError::OtherOption`] for
    /// another precision, or options that make other vectors, which must not stand beside those that are there;
    /// [`IndexError::Locked`]; [`IndexError::Damaged`]; [`IndexError::Io`].
    pub fn open(
        directory: impl AsRef<Path>,
        model: &'m SentenceTransformer,
        options: &IndexOptions,
    ) -> Result<IndexWriter<'m>, IndexError> {
        let directory = directory.as_ref();
        // Twice, as in `create`.
        Manifest::read(directory)?;
        let lock = Lock::take(directory)?;
        let manifest = Manifest::read(directory)?;
        IndexWriter::locked(directory, lock, Some(manifest), model, options)
    }

    fn locked(
        directory: &Path,
        lock: Lock,
        found: Option<Manifest>,
        model: &'m SentenceTransformer,
        options: &IndexOptions,
    ) -> Result<IndexWriter<'m>, IndexError> {
        let options = IndexOptions { encode: model.document_options(&options.encode), ..options.clone() };
        let new = Manifest::new(model, &options.encode)?;
        let manifest = match found {
            None => new,
            Some(found) => found.extended_by(new, directory)?,
        };
        if manifest.segments.is_empty() {
            manifest.write(directory)?;
        }
        remove_leftovers(directory)?;
        Ok(IndexWriter { directory: directory.to_owned(), model, options, manifest, _lock: lock })
    }

    /// How many texts are in the index.
    pub fn len(&self) -> usize {
        self.manifest.rows()
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many texts of a call of [`add`](Self::add) that was interrupted are in the index. The next call has to begin with
    /// them, and does not encode them again; unless they are [discarded](Self::discard_interrupted).
    pub fn interrupted(&self) -> Option<usize> {
        self.manifest.unfinished.as_ref().map(|unfinished| unfinished.rows)
    }

    /// Takes the texts of a call that was [interrupted](Self::interrupted) out of the index: where they are no longer wanted, or
    /// not to be had any more to go on with. Gives how many they were.
    ///
    /// # Errors
    ///
    /// [`IndexError::Storage`] if `index.json` cannot be written; nothing is changed then.
    pub fn discard_interrupted(&mut self) -> Result<usize, IndexError> {
        let before = self.len();
        if let Some(first) = self.manifest.first_unfinished() {
            let mut next = self.manifest.clone();
            next.segments.truncate(first);
            next.unfinished = None;
            self.publish(next)?;
        }
        Ok(before - self.len())
    }

    /// Encodes texts and adds them, in bounded memory. A text without an id gets the number of its row.
    ///
    /// Every [`segment_texts`](IndexOptions::segment_texts) texts they are kept for good, and the rest in the end. If the
    /// call fails or the program ends before, nothing else is kept; the same call can then go on. Texts that are kept already
    /// count for progress, and for the number of a text in an error.
    ///
    /// A call for each text is fine, too, but slower: each waits for the disk several times. Small segments that such calls leave
    /// are put together when they are many, so that there are never more than some twenty behind the full ones.
    ///
    /// # Errors
    ///
    /// [`StreamError::Source`] with the first error of `texts`; [`StreamError::Encode`];
    /// [`StreamError::Sink`] with [`IndexError::OtherTexts`] if they do not begin with those of a call that was
    /// interrupted, with [`IndexError::Vectors`] if the model's weights are so broken that a vector is not finite, or with what
    /// could not be written.
    pub fn add<S>(
        &mut self,
        texts: impl IntoIterator<Item = Result<TextItem, S>>,
    ) -> Result<Added, StreamError<S, IndexError>> {
        let added = self.encode(texts.into_iter());
        self.without_leftovers(added)
    }

    fn encode<S>(
        &mut self,
        mut texts: impl Iterator<Item = Result<TextItem, S>>,
    ) -> Result<Added, StreamError<S, IndexError>> {
        let directory = self.directory.clone();
        let mut adding = self.begin(&directory, &mut texts)?;
        let (model, encode, resumed) = (self.model, self.options.encode.clone(), adding.added.resumed);
        model.encode_stream_after(resumed, texts, &encode, |window, embeddings| {
            embeddings.vectors().check_finite().map_err(|error| {
                IndexError::Vectors(match error {
                    VectorsError::NotFinite { vector, component, value } => {
                        VectorsError::NotFinite { vector: adding.digest.texts + vector, component, value }
                    }
                    error => error,
                })
            })?;
            let counts = embeddings.token_counts().iter();
            adding.added.truncated += counts.filter(|count| count.truncated()).count();
            if adding.write(&window, embeddings.vectors())? {
                adding.next.unfinished = Some(adding.digest.unfinished());
                self.publish(adding.next.clone())?;
            }
            Ok(())
        })?;
        self.finish(adding).map_err(StreamError::Sink)
    }

    /// Adds texts whose vectors are there already: those that [`encode_document`](SentenceTransformer::encode_document) of this
    /// model gives with [these options](IndexOptions::encode), with the same prompt. [`encode_batch`] gives the same unless the
    /// model has a prompt for documents. Where they come from cannot be seen, and the index takes the caller's word.
    ///
    /// All of them become part of the index at once, in the end, and none if the call fails. It goes on with a call that was
    /// interrupted as [`add`](Self::add) does.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add); and [`StreamError::Sink`] with [`IndexError::Vectors`] if vectors are of another dimension, not
    /// finite, or not as many as texts, and with [`IndexError::NotNormalized`] if those of the index have length 1 and one has
    /// not, to within 1e-4. Zeros have no length that could be 1, and are taken.
    ///
    /// [`encode_batch`]: SentenceTransformer::encode_batch
    pub fn add_encoded<'v, S>(
        &mut self,
        texts: impl IntoIterator<Item = Result<TextItem, S>>,
        vectors: impl Into<Vectors<'v>>,
    ) -> Result<Added, StreamError<S, IndexError>> {
        let vectors = vectors.into();
        self.check_vectors(vectors).map_err(StreamError::Sink)?;
        let added = self.pair(texts.into_iter(), vectors);
        self.without_leftovers(added)
    }

    fn check_vectors(&self, vectors: Vectors<'_>) -> Result<(), IndexError> {
        self.manifest.check_dimension(vectors)?;
        vectors.check_finite()?;
        if !self.manifest.normalized {
            return Ok(());
        }
        let isa = default_isa();
        let squares = vectors.rows().map(|vector| dot(isa, vector, vector));
        let wrong = |&(_, square): &(usize, f32)| square != 0.0 && (square - 1.0).abs() > UNIT_TOLERANCE;
        match squares.enumerate().find(wrong) {
            None => Ok(()),
            Some((vector, square)) => Err(IndexError::NotNormalized { vector, norm: square.sqrt() }),
        }
    }

    fn pair<S>(
        &mut self,
        mut texts: impl Iterator<Item = Result<TextItem, S>>,
        vectors: Vectors<'_>,
    ) -> Result<Added, StreamError<S, IndexError>> {
        let directory = self.directory.clone();
        let mut adding = self.begin(&directory, &mut texts)?;
        loop {
            let window = texts.by_ref().take(ENCODED_WINDOW).collect::<Result<Vec<_>, _>>();
            let window = window.map_err(StreamError::Source)?;
            let start = adding.digest.texts;
            if window.is_empty() && start == vectors.len() {
                return self.finish(adding).map_err(StreamError::Sink);
            }
            let end = start + window.len();
            if window.is_empty() || end > vectors.len() {
                // How many texts there are is not known before all are read.
                let expected = end + texts.by_ref().count();
                let error = VectorsError::LengthMismatch { expected, found: vectors.len() };
                return Err(StreamError::Sink(error.into()));
            }
            adding.write(&window, vectors.range(start, end)).map_err(StreamError::Sink)?;
        }
    }

    /// Begins a call: passes over the texts of one that was interrupted.
    fn begin<'d, S>(
        &self,
        directory: &'d Path,
        texts: &mut impl Iterator<Item = Result<TextItem, S>>,
    ) -> Result<Adding<'d>, StreamError<S, IndexError>> {
        let mut adding = Adding::new(directory, self.options.segment_texts, &self.manifest);
        let Some(unfinished) = &self.manifest.unfinished else { return Ok(adding) };
        let other = |found: String| {
            let (directory, rows) = (self.directory.clone(), unfinished.rows);
            StreamError::Sink(IndexError::OtherTexts { directory, rows, found })
        };
        let digest = &mut adding.digest;
        while digest.texts < unfinished.rows {
            let Some(item) = texts.next().transpose().map_err(StreamError::Source)? else {
                return Err(other(format!("there are only {} now", digest.texts)));
            };
            digest.add(&item);
        }
        if digest.unfinished() != *unfinished {
            return Err(other("these are others".to_owned()));
        }
        adding.added.resumed = unfinished.rows;
        Ok(adding)
    }

    fn finish(&mut self, adding: Adding<'_>) -> Result<Added, IndexError> {
        let (added, next) = adding.finish()?;
        self.publish(next)?;
        Ok(added)
    }

    /// From now on this is the index.
    fn publish(&mut self, next: Manifest) -> Result<(), IndexError> {
        if next == self.manifest {
            return Ok(());
        }
        // At first on the disk: what could not be written there must not count as added.
        next.write(&self.directory)?;
        let before = std::mem::replace(&mut self.manifest, next);
        let gone = |entry| !self.manifest.segments.contains(entry);
        if before.segments.iter().any(gone) {
            self.remove_leftovers();
        }
        Ok(())
    }

    /// What a call wrote that failed is taken away.
    fn without_leftovers<T, E>(&self, result: Result<T, E>) -> Result<T, E> {
        if result.is_err() {
            self.remove_leftovers();
        }
        result
    }

    fn remove_leftovers(&self) {
        // They do no harm, and what the call did before is what counts. The next writer tries again.
        let _ = remove_leftovers(&self.directory);
    }
}

impl fmt::Debug for IndexWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexWriter")
            .field("directory", &self.directory)
            .field("rows", &self.len())
            .field("dimension", &self.manifest.dimension)
            .finish_non_exhaustive()
    }
}
