use std::fmt;
use std::sync::Arc;

use minilm_kernels::{Isa, Precision};

use crate::resolve::ResolveOptions;
use crate::{EncodeProgress, PackedCache};

/// How to load a model. [`Default`] is what most programs want.
///
/// ```no_run
/// # fn main() -> Result<(), minilm::Error> {
/// use minilm::{LoadOptions, SentenceTransformer};
///
/// let options = LoadOptions::default().threads(1);
/// let model = SentenceTransformer::load_with("all-MiniLM-L6-v2", &options)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Where to look for the model and how to fetch it.
    pub resolve: ResolveOptions,
    /// How many threads to encode with; 0 (the default) for as many as this process may use cores, by its affinity and,
    /// on Linux, the CPU quota of its cgroup. No more than that share a single text. The bits do not depend on it.
    pub threads: usize,
    /// The instruction set to run on; `None` (the default) for the one that `MINILM_ISA` names, or the
    /// fastest. The bits do not depend on it.
    pub isa: Option<Isa>,
    /// What products are computed in: [`Precision::F32`] by default. It determines the bits, and how close the vectors are
    /// to those of sentence-transformers.
    pub precision: Precision,
    /// Whether packed weights are kept in a file between starts; by default only if `MINILM_PACKED_CACHE` says so.
    pub packed_cache: PackedCache,
}

impl LoadOptions {
    /// Sets [`LoadOptions::resolve`].
    #[must_use]
    pub fn resolve(mut self, resolve: ResolveOptions) -> Self {
        self.resolve = resolve;
        self
    }

    /// Sets [`LoadOptions::threads`].
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets [`LoadOptions::isa`].
    #[must_use]
    pub fn isa(mut self, isa: Isa) -> Self {
        self.isa = Some(isa);
        self
    }

    /// Sets [`LoadOptions::precision`].
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Sets [`LoadOptions::packed_cache`].
    #[must_use]
    pub fn packed_cache(mut self, packed_cache: PackedCache) -> Self {
        self.packed_cache = packed_cache;
        self
    }
}

/// How to encode many texts. [`Default`] is what most programs want.
#[derive(Clone)]
#[non_exhaustive]
pub struct EncodeOptions {
    /// How many tokens of whole texts are computed together; 128 by default. More need more memory; the bits do not
    /// depend on it.
    pub micro_batch_tokens: usize,
    /// How many texts [`encode_stream`](crate::SentenceTransformer::encode_stream) holds at a time; 0 (the default) for
    /// 512 a thread.
    pub window_texts: usize,
    /// After how many bytes of text [`encode_stream`](crate::SentenceTransformer::encode_stream) reads no further text
    /// before it encodes these; 4 MiB by default.
    pub window_bytes: usize,
    progress: Option<Arc<dyn EncodeProgress>>,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        EncodeOptions {
            // 128 rows of activations (hidden 1.5 KiB, qkv 4.5 KiB, feed-forward 6 KiB each) stay in a
            // megabyte of L2 beside the panels of weights that stream through it.
            micro_batch_tokens: 128,
            window_texts: 0,
            window_bytes: 4 << 20,
            progress: None,
        }
    }
}

impl EncodeOptions {
    /// Sets [`EncodeOptions::micro_batch_tokens`].
    #[must_use]
    pub fn micro_batch_tokens(mut self, tokens: usize) -> Self {
        self.micro_batch_tokens = tokens;
        self
    }

    /// Sets [`EncodeOptions::window_texts`].
    #[must_use]
    pub fn window_texts(mut self, texts: usize) -> Self {
        self.window_texts = texts;
        self
    }

    /// Sets [`EncodeOptions::window_bytes`].
    #[must_use]
    pub fn window_bytes(mut self, bytes: usize) -> Self {
        self.window_bytes = bytes;
        self
    }

    /// Who hears how far it is. Default: nobody.
    #[must_use]
    pub fn progress(mut self, progress: Arc<dyn EncodeProgress>) -> Self {
        self.progress = Some(progress);
        self
    }

    pub(crate) fn progress_listener(&self) -> Option<&dyn EncodeProgress> {
        self.progress.as_deref()
    }
}

impl fmt::Debug for EncodeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodeOptions")
            .field("micro_batch_tokens", &self.micro_batch_tokens)
            .field("window_texts", &self.window_texts)
            .field("window_bytes", &self.window_bytes)
            .field("progress", &self.progress.is_some())
            .finish()
    }
}
