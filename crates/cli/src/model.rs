//! How the subcommands find and load a model, and the bars that show its download.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use minilm::resolve::{Progress, ResolveOptions};
use minilm::{LoadOptions, PackedCache, PackedCacheStatus, Precision, SentenceTransformer};

use crate::arguments::{CacheArguments, ModelArguments, SourceArguments};
use crate::error::CliError;
use crate::stderr::say;

/// The model that the arguments ask for.
pub(crate) fn load(arguments: &ModelArguments, threads: usize) -> Result<SentenceTransformer, CliError> {
    load_in(arguments.precision, arguments, threads)
}

/// The same model in a precision that may be another than the arguments', to compare with.
pub(crate) fn load_in(
    precision: Precision,
    arguments: &ModelArguments,
    threads: usize,
) -> Result<SentenceTransformer, CliError> {
    let options = LoadOptions::default()
        .resolve(resolve_options(&arguments.source))
        .threads(threads)
        .precision(precision)
        .packed_cache(packed_cache(arguments));
    let mut model = SentenceTransformer::load_with(&arguments.name_or_path, &options)?;
    if let Some(limit) = arguments.max_seq_length {
        model.set_max_seq_length(limit)?;
    }
    // Nobody who asked for a cache should wonder why every start is slow.
    if let PackedCacheStatus::Unavailable { reason } = model.packed_cache() {
        say!("warning: packed weights cannot be kept: {reason}");
    }
    Ok(model)
}

/// The model's name, or its directory.
pub(crate) fn name_of(model: &SentenceTransformer) -> String {
    let resolved = model.resolved();
    match resolved.name() {
        Some(name) => name.to_owned(),
        None => resolved.directory().display().to_string(),
    }
}

pub(crate) fn resolve_options(arguments: &SourceArguments) -> ResolveOptions {
    let mut options = cache_options(&arguments.cache);
    if arguments.offline {
        options = options.offline(true);
    }
    if !arguments.quiet {
        options = options.progress(Arc::new(DownloadBar::default()));
    }
    options
}

pub(crate) fn cache_options(arguments: &CacheArguments) -> ResolveOptions {
    let mut options = ResolveOptions::new();
    if let Some(revision) = &arguments.revision {
        options = options.revision(revision);
    }
    if let Some(directory) = &arguments.cache_dir {
        options = options.cache_dir(directory);
    }
    options
}

fn packed_cache(arguments: &ModelArguments) -> PackedCache {
    match &arguments.packed_cache {
        None => PackedCache::Environment,
        Some(None) => PackedCache::Platform,
        Some(Some(directory)) => PackedCache::Directory(directory.clone()),
    }
}

/// Says so if the ends of some texts were ignored, `cut` of `all`.
pub(crate) fn warn_of_truncated_texts(model: &SentenceTransformer, cut: usize, all: usize) {
    if cut > 0 {
        let limit = model.max_seq_length();
        say!("warning: {cut} of {all} texts had more than {limit} tokens; the rest of each was ignored");
    }
}

/// A bar a file on standard error; where that is no terminal, a line a file.
#[derive(Default)]
struct DownloadBar(Mutex<Option<ProgressBar>>);

impl DownloadBar {
    fn bar(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for DownloadBar {
    fn start(&self, name: &str, total_bytes: Option<u64>) {
        if !std::io::stderr().is_terminal() {
            match total_bytes {
                Some(bytes) => say!("fetching {name} ({bytes} bytes)"),
                None => say!("{name}"),
            }
            return;
        }
        let (bar, template) = match total_bytes {
            Some(bytes) => {
                (ProgressBar::new(bytes), "{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}")
            }
            None => (ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(name.to_owned());
        if total_bytes.is_none() {
            bar.enable_steady_tick(std::time::Duration::from_millis(100));
        }
        *self.bar() = Some(bar);
    }

    fn position(&self, _name: &str, bytes: u64) {
        if let Some(bar) = &*self.bar() {
            bar.set_position(bytes);
        }
    }

    fn finish(&self, _name: &str) {
        if let Some(bar) = self.bar().take() {
            bar.finish_and_clear();
        }
    }

    fn note(&self, text: &str) {
        match &*self.bar() {
            Some(bar) => bar.suspend(|| say!("{text}")),
            None => say!("{text}"),
        }
    }
}
