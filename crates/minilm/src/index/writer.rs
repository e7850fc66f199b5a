use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use minilm_storage::{Id, TextItem, Vectors, VectorsError};
use sha2::{Digest, Sha256};

use super::IndexError;
use super::manifest::{Manifest, ModelIdentity, Unfinished};
use super::segment::{SegmentWriter, segment_of_file};
use crate::resolve::hex;
use crate::{EncodeOptions, SentenceTransformer, StreamError};

/// How many texts whose vectors are there are held at a time.
const ENCODED_WINDOW: usize = 1024;

/// A file that the writer holds locked. It stays.
const LOCK: &str = "lock";

/// How to build an index. [`Default`] is what most programs want.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IndexOptions {
    /// How texts are encoded. They get the model's prompt for documents, unless there is another.
    pub encode: EncodeOptions,
    /// After how many texts they are kept for good, so that an interrupted build can go on from there; 65,536 by default, which are
    /// 100 MB of 384 components.
    pub segment_texts: usize,
}

impl Default for IndexOptions {
    fn default() -> Self {
        IndexOptions { encode: EncodeOptions::default(), segment_texts: 65_536 }
    }
}

impl IndexOptions {
    /// Sets [`IndexOptions::encode`].
    #[must_use]
    pub fn encode(mut self, encode: EncodeOptions) -> Self {
        self.encode = encode;
        self
    }

    /// Sets [`IndexOptions::segment_texts`].
    #[must_use]
    pub fn segment_texts(mut self, texts: usize) -> Self {
        self.segment_texts = texts;
        self
    }
}

/// What [`IndexWriter::add`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Added {
    /// How many texts it added, without those that were there already from a build that was interrupted.
    pub texts: usize,
    /// How many of these had more tokens than the model takes, so that their ends cannot be found.
    pub truncated: usize,
    /// How many texts were there already, from a build that was interrupted.
    pub resumed: usize,
}

/// Adds texts to an [index](super::Index). One writer at a time; meanwhile others may search what is there.
pub struct IndexWriter<'m> {
    directory: PathBuf,
    model: &'m SentenceTransformer,
    options: IndexOptions,
    manifest: Manifest,
    /// Locked until it is closed.
    _lock: File,
}

impl<'m> IndexWriter<'m> {
    /// Begins a new index in a directory that is empty or not there; or takes up one whose first texts were never all added,
    /// because the program was interrupted.
    ///
    /// # Errors
    ///
    /// [`IndexError::Exists`] if there is anything else; [`IndexError::OtherModel`]; [`IndexError::Locked`];
    /// [`IndexError::Io`].
    pub fn create(
        directory: impl AsRef<Path>,
        model: &'m SentenceTransformer,
        options: &IndexOptions,
    ) -> Result<IndexWriter<'m>, IndexError> {
        let directory = directory.as_ref();
        std::fs::create_dir_all(directory).map_err(IndexError::io(directory))?;
        let exists = |found: String| IndexError::Exists { directory: directory.to_owned(), found };
        if Manifest::path(directory).exists() {
            let manifest = Manifest::read(directory)?;
            let first_add = manifest.unfinished.as_ref().is_some_and(|added| added.rows == manifest.rows());
            if !first_add {
                return Err(exists(format!("is an index of {} texts", manifest.rows())));
            }
            return IndexWriter::open(directory, model, options);
        }
        for entry in std::fs::read_dir(directory).map_err(IndexError::io(directory))? {
            let name = entry.map_err(IndexError::io(directory))?.file_name();
            if name != LOCK && name.to_str().and_then(segment_of_file).is_none() {
                return Err(exists(format!("has other files, {} among them", name.display())));
            }
        }
        let lock = lock(directory)?;
        let options = with_document_prompt(model, options);
        let (dimension, normalized) = model.output(&options.encode)?;
        let manifest = Manifest::new(identity(model, &options)?, dimension, normalized);
        manifest.write(directory)?;
        IndexWriter { directory: directory.to_owned(), model, options, manifest, _lock: lock }.cleaned()
    }

    /// Opens an index to add to it.
    ///
    /// # Errors
    ///
    /// [`IndexError::NotAnIndex`]; [`IndexError::OtherModel`], also for another precision or another prompt;
    /// [`IndexError::Locked`]; [`IndexError::Damaged`]; [`IndexError::Io`].
    pub fn open(
        directory: impl AsRef<Path>,
        model: &'m SentenceTransformer,
        options: &IndexOptions,
    ) -> Result<IndexWriter<'m>, IndexError> {
        let directory = directory.as_ref();
        // Before a lock is made in a directory that has nothing to do with it.
        Manifest::read(directory)?;
        let lock = lock(directory)?;
        let manifest = Manifest::read(directory)?;
        let options = with_document_prompt(model, options);
        let found = identity(model, &options)?;
        let expected = &manifest.model;
        let (dimension, _) = model.output(&options.encode)?;
        let what = [
            ("the fingerprint", &expected.fingerprint, &found.fingerprint),
            ("the precision", &expected.precision, &found.precision),
            ("the prompt of documents", &expected.prompt, &found.prompt),
            ("the dimension", &manifest.dimension.to_string(), &dimension.to_string()),
        ];
        if let Some((what, expected_value, found_value)) = what.into_iter().find(|(_, a, b)| a != b) {
            return Err(IndexError::OtherModel {
                directory: directory.to_owned(),
                expected: expected.name.clone(),
                found: found.name,
                what: format!("{what} ({expected_value:?} and {found_value:?})"),
            });
        }
        IndexWriter { directory: directory.to_owned(), model, options, manifest, _lock: lock }.cleaned()
    }

    /// Takes away what an interrupted writer left and nothing names.
    fn cleaned(self) -> Result<Self, IndexError> {
        let named = |name: &str| self.manifest.segments.iter().any(|segment| segment.name == name);
        for entry in std::fs::read_dir(&self.directory).map_err(IndexError::io(&self.directory))? {
            let entry = entry.map_err(IndexError::io(&self.directory))?;
            let file = entry.file_name();
            if file.to_str().and_then(segment_of_file).is_some_and(|name| !named(name)) {
                std::fs::remove_file(entry.path()).map_err(IndexError::io(&entry.path()))?;
            }
        }
        Ok(self)
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
    /// them, and does not encode them again.
    pub fn interrupted(&self) -> Option<usize> {
        self.manifest.unfinished.as_ref().map(|unfinished| unfinished.rows)
    }

    /// Encodes texts and adds them, in bounded memory. A text without an id gets the number of its row.
    ///
    /// Every [`segment_texts`](IndexOptions::segment_texts) texts they are kept for good, and the rest in the end. If the
    /// call fails or the program ends before, nothing else is kept; the same call can then go on.
    ///
    /// # Errors
    ///
    /// [`StreamError::Source`] with the first error of `texts`; [`StreamError::Encode`];
    /// [`StreamError::Sink`] with [`IndexError::OtherTexts`] if they do not begin with those of a call that was
    /// interrupted, or with what could not be written.
    pub fn add<S>(
        &mut self,
        texts: impl IntoIterator<Item = Result<TextItem, S>>,
    ) -> Result<Added, StreamError<S, IndexError>> {
        let mut texts = texts.into_iter();
        let mut adding = Adding::default();
        self.skip(&mut texts, &mut adding)?;
        let (model, encode) = (self.model, self.options.encode.clone());
        model.encode_stream(texts, &encode, |window, embeddings| {
            let counts = embeddings.token_counts().iter();
            adding.added.truncated += counts.filter(|count| count.truncated()).count();
            self.write(&mut adding, &window, embeddings.vectors())
        })?;
        self.finish(adding).map_err(StreamError::Sink)
    }

    /// Adds texts whose vectors are there already: those that [`encode_document`](SentenceTransformer::encode_document) of this
    /// model gives. Otherwise as [`add`](Self::add).
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add); and [`StreamError::Sink`] with [`IndexError::Vectors`] if vectors are of another dimension or not
    /// finite, before anything is written, or if there are not as many as texts.
    pub fn add_encoded<'v, S>(
        &mut self,
        texts: impl IntoIterator<Item = Result<TextItem, S>>,
        vectors: impl Into<Vectors<'v>>,
    ) -> Result<Added, StreamError<S, IndexError>> {
        let refused = |error: VectorsError| StreamError::Sink(IndexError::Vectors(error));
        let vectors = vectors.into();
        if !vectors.is_empty() && vectors.dimension() != self.manifest.dimension {
            let (expected, found) = (self.manifest.dimension, vectors.dimension());
            return Err(refused(VectorsError::DimensionMismatch { expected, found }));
        }
        vectors.check_finite().map_err(refused)?;
        let mut texts = texts.into_iter();
        let mut adding = Adding::default();
        self.skip(&mut texts, &mut adding)?;
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
                return Err(refused(VectorsError::LengthMismatch { expected, found: vectors.len() }));
            }
            self.write(&mut adding, &window, vectors.range(start, end)).map_err(StreamError::Sink)?;
        }
    }

    fn write(
        &mut self,
        adding: &mut Adding,
        window: &[TextItem],
        vectors: Vectors<'_>,
    ) -> Result<(), IndexError> {
        let mut segment = match adding.segment.take() {
            Some(segment) => segment,
            None => {
                let name = self.manifest.next_segment();
                SegmentWriter::create(&self.directory, name, self.manifest.dimension)?
            }
        };
        let begin = self.manifest.rows() + segment.rows();
        let ids = window.iter().enumerate().map(|(i, item)| match &item.id {
            Some(id) => id.clone(),
            None => Id::Integer((begin + i) as i64),
        });
        segment.write(ids.zip(window.iter().map(|item| &item.text[..])), vectors)?;
        window.iter().for_each(|item| adding.digest.add(item));
        adding.added.texts += window.len();
        if segment.rows() >= self.options.segment_texts {
            return self.keep(segment, Some(adding.digest.unfinished()));
        }
        adding.segment = Some(segment);
        Ok(())
    }

    /// All texts are there.
    fn finish(&mut self, adding: Adding) -> Result<Added, IndexError> {
        match adding.segment {
            Some(rest) => self.keep(rest, None)?,
            None if self.manifest.unfinished.is_some() => {
                self.manifest.unfinished = None;
                self.manifest.write(&self.directory)?;
            }
            None => {}
        }
        Ok(adding.added)
    }

    /// Passes over the texts of a call that was interrupted.
    fn skip<S>(
        &self,
        texts: &mut impl Iterator<Item = Result<TextItem, S>>,
        adding: &mut Adding,
    ) -> Result<(), StreamError<S, IndexError>> {
        let Some(unfinished) = &self.manifest.unfinished else { return Ok(()) };
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
        adding.added.resumed = unfinished.rows;
        if digest.unfinished() == *unfinished { Ok(()) } else { Err(other("these are others".to_owned())) }
    }

    /// From now on a segment is part of the index.
    fn keep(&mut self, segment: SegmentWriter, unfinished: Option<Unfinished>) -> Result<(), IndexError> {
        self.manifest.segments.push(segment.finish()?);
        self.manifest.unfinished = unfinished;
        self.manifest.write(&self.directory)
    }
}

/// A call, as far as it is.
#[derive(Default)]
struct Adding {
    added: Added,
    digest: TextDigest,
    /// What is not kept for good yet.
    segment: Option<SegmentWriter>,
}

/// Which texts have been read.
#[derive(Default)]
struct TextDigest {
    texts: usize,
    hasher: Sha256,
}

impl TextDigest {
    fn add(&mut self, item: &TextItem) {
        self.texts += 1;
        // With their lengths, so that nothing can be shifted from one to the next.
        let id = item.id.as_ref().map(Id::to_string).unwrap_or_default();
        for part in [&id, &item.text] {
            self.hasher.update((part.len() as u64).to_le_bytes());
            self.hasher.update(part);
        }
    }

    fn unfinished(&self) -> Unfinished {
        Unfinished { rows: self.texts, sha256: hex(&self.hasher.clone().finalize()) }
    }
}

fn with_document_prompt(model: &SentenceTransformer, options: &IndexOptions) -> IndexOptions {
    IndexOptions { encode: model.document_options(&options.encode), ..options.clone() }
}

fn identity(model: &SentenceTransformer, options: &IndexOptions) -> Result<ModelIdentity, IndexError> {
    let resolved = model.resolved();
    let name = resolved.name().map_or_else(|| resolved.directory().display().to_string(), str::to_owned);
    Ok(ModelIdentity {
        name,
        fingerprint: model.fingerprint()?.to_owned(),
        precision: model.precision().to_string(),
        prompt: model.prompts.resolve(&options.encode)?.to_owned(),
    })
}

fn lock(directory: &Path) -> Result<File, IndexError> {
    let path = directory.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(IndexError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(IndexError::Locked { directory: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(IndexError::Io { path, source }),
    }
}
