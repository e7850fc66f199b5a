//! How the subcommands find a model, and the bars that show its download.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use minilm::resolve::{Progress, ResolveOptions};
use minilm::{PackedCache, PackedCacheStatus, SentenceTransformer};

use crate::arguments::{CacheArguments, PackedCacheArguments, SourceArguments};

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

pub(crate) fn packed_cache(arguments: &PackedCacheArguments) -> PackedCache {
    match &arguments.packed_cache {
        None => PackedCache::Environment,
        Some(None) => PackedCache::Platform,
        Some(Some(directory)) => PackedCache::Directory(directory.clone()),
    }
}

/// Says so if a cache of packed weights was asked for and is of no use.
pub(crate) fn warn_of_unavailable_cache(model: &SentenceTransformer) {
    if let PackedCacheStatus::Unavailable { reason } = model.packed_cache() {
        eprintln!("minilm: warning: packed weights cannot be kept: {reason}");
    }
}

/// Says so if the ends of some texts were ignored, `cut` of `all`.
pub(crate) fn warn_of_truncated_texts(model: &SentenceTransformer, cut: usize, all: usize) {
    if cut > 0 {
        let limit = model.max_seq_length();
        eprintln!(
            "minilm: warning: {cut} of {all} texts had more than {limit} tokens; their ends were ignored"
        );
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
                Some(bytes) => eprintln!("minilm: fetching {name} ({bytes} bytes)"),
                None => eprintln!("minilm: {name}"),
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
            Some(bar) => bar.suspend(|| eprintln!("minilm: {text}")),
            None => eprintln!("minilm: {text}"),
        }
    }
}
