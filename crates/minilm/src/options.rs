use minilm_kernels::Isa;

use crate::PackedCache;
use crate::resolve::ResolveOptions;

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
    /// How many threads to encode with; 0 (the default) for as many as this process may use. The bits do not depend on it.
    pub threads: usize,
    /// The instruction set to run on; `None` (the default) for the one that `MINILM_ISA` names, or the
    /// fastest. The bits do not depend on it.
    pub isa: Option<Isa>,
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

    /// Sets [`LoadOptions::packed_cache`].
    #[must_use]
    pub fn packed_cache(mut self, packed_cache: PackedCache) -> Self {
        self.packed_cache = packed_cache;
        self
    }
}

/// How to encode many texts. [`Default`] is what most programs want.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EncodeOptions {
    /// How many tokens of whole texts are computed together; 128 by default. More need more memory; the bits do not
    /// depend on it.
    pub micro_batch_tokens: usize,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        // 128 rows of activations (hidden 1.5 KiB, qkv 4.5 KiB, feed-forward 6 KiB each) stay in a
        // megabyte of L2 beside the panels of weights that stream through it.
        EncodeOptions { micro_batch_tokens: 128 }
    }
}

impl EncodeOptions {
    /// Sets [`EncodeOptions::micro_batch_tokens`].
    #[must_use]
    pub fn micro_batch_tokens(mut self, tokens: usize) -> Self {
        self.micro_batch_tokens = tokens;
        self
    }
}
