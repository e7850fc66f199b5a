use std::fmt;
use std::sync::Arc;

use minilm_kernels::{Isa, Precision};

use crate::resolve::ResolveOptions;
use crate::{EncodeProgress, PackedCache, TruncationSide};

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
    /// on Linux, the CPU quota of its cgroup. No more than that share a single text, and never are there more than four for
    /// each core, or 64 where that is less, whatever is asked for. The bits do not depend on it.
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
///
/// Options have the names and the meanings that they have in sentence-transformers' `SentenceTransformer.encode`:
///
/// | there | here |
/// |---|---|
/// | `prompt`, `prompt_name` | [`prompt`](Self::prompt), [`prompt_name`](Self::prompt_name) |
/// | `batch_size` | [`batch_size`](Self::batch_size), and [`micro_batch_tokens`](Self::micro_batch_tokens), which says more |
/// | `show_progress_bar` | [`progress`](Self::progress) |
/// | `output_value` | [`encode_batch`] for `sentence_embedding`, [`encode_tokens`] for `token_embeddings` and for both |
/// | `precision` | [`quantize_embeddings`](crate::quantize_embeddings), by which it is done there too |
/// | `normalize_embeddings` | [`normalize_embeddings`](Self::normalize_embeddings) |
/// | `truncate_dim` | [`truncate_dim`](Self::truncate_dim) |
/// | (none: long texts are cut silently) | [`truncation`](Self::truncation) |
///
/// [`encode_batch`]: crate::SentenceTransformer::encode_batch
/// [`encode_tokens`]: crate::SentenceTransformer::encode_tokens
#[derive(Clone)]
#[non_exhaustive]
pub struct EncodeOptions {
    /// What is put before every text, whatever [`prompt_name`](Self::prompt_name) says: `"query: "` makes `"query: Where?"` of
    /// `"Where?"`. By default what the name says; an empty one is none.
    pub prompt: Option<String>,
    /// The name of one of the model's prompts ([`prompts`](crate::SentenceTransformer::prompts)). By default the model's default
    /// prompt, which most have not.
    pub prompt_name: Option<String>,
    /// Whether vectors are scaled to unit length at the end. Not by default; many models do so themselves
    /// ([`normalizes`](crate::SentenceTransformer::normalizes)), but before they are cut to
    /// [`truncate_dim`](Self::truncate_dim).
    pub normalize_embeddings: bool,
    /// Whether the model's own scaling to unit length, a `Normalize` at the end of its modules, is left out: vectors are then as
    /// long as the module before it makes them. Where [`normalize_embeddings`](Self::normalize_embeddings) is set too, they are
    /// scaled all the same. sentence-transformers has no such option.
    pub unscaled: bool,
    /// How many components vectors are cut to, the first ones: for models that were trained for it (Matryoshka). By default
    /// what the model says; no more than vectors have.
    pub truncate_dim: Option<usize>,
    /// What becomes of a text that has more tokens than the model takes.
    pub truncation: Truncation,
    /// Which side of such a text is left out; by default the one that the model says
    /// ([`truncation_side`](crate::SentenceTransformer::truncation_side)). sentence-transformers has it at the tokenizer alone.
    pub truncation_side: Option<TruncationSide>,
    /// The most texts that are computed together; 0 (the default) for as many as
    /// [`micro_batch_tokens`](Self::micro_batch_tokens) allow. Nothing is padded, so there is no best value to look for; the
    /// bits do not depend on it.
    pub batch_size: usize,
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

/// What becomes of a text that has more tokens than the model takes ([`max_seq_length`]).
///
/// [`max_seq_length`]: crate::SentenceTransformer::max_seq_length
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Truncation {
    /// Its end is left out, or its beginning ([`EncodeOptions::truncation_side`]), as in sentence-transformers, and the text's
    /// [`TokenCount`](crate::TokenCount) says so.
    #[default]
    Report,
    /// The call fails with [`Error::TooLong`](crate::Error::TooLong), before anything is computed.
    Error,
    /// It is split into as few pieces as possible, of equal lengths, and its vector is the mean of theirs, weighted by their
    /// tokens and, if the model does so with its vectors, scaled to unit length. Nothing is left out, but no piece
    /// knows of the others, and words at the cuts may be torn: [`Chunker`](crate::chunking::Chunker) cuts where the text does.
    Split,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        EncodeOptions {
            prompt: None,
            prompt_name: None,
            normalize_embeddings: false,
            unscaled: false,
            truncate_dim: None,
            truncation: Truncation::Report,
            truncation_side: None,
            batch_size: 0,
            // The queries, keys and values of 128 tokens (4.5 KiB each in all-MiniLM-L6-v2) stay in a megabyte of L2
            // until attention has read them. Twice as many take 3 % longer, and no less in BERT-base.
            micro_batch_tokens: 128,
            window_texts: 0,
            window_bytes: 4 << 20,
            progress: None,
        }
    }
}

impl EncodeOptions {
    /// Sets [`EncodeOptions::prompt`].
    #[must_use]
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = Some(prompt.into());
        self
    }

    /// Sets [`EncodeOptions::prompt_name`].
    #[must_use]
    pub fn prompt_name(mut self, name: impl Into<String>) -> Self {
        self.prompt_name = Some(name.into());
        self
    }

    /// Sets [`EncodeOptions::normalize_embeddings`].
    #[must_use]
    pub fn normalize_embeddings(mut self, normalize: bool) -> Self {
        self.normalize_embeddings = normalize;
        self
    }

    /// Sets [`EncodeOptions::unscaled`].
    #[must_use]
    pub fn unscaled(mut self, unscaled: bool) -> Self {
        self.unscaled = unscaled;
        self
    }

    /// Sets [`EncodeOptions::truncate_dim`].
    #[must_use]
    pub fn truncate_dim(mut self, dimension: usize) -> Self {
        self.truncate_dim = Some(dimension);
        self
    }

    /// Sets [`EncodeOptions::truncation`].
    #[must_use]
    pub fn truncation(mut self, truncation: Truncation) -> Self {
        self.truncation = truncation;
        self
    }

    /// Sets [`EncodeOptions::truncation_side`].
    #[must_use]
    pub fn truncation_side(mut self, side: TruncationSide) -> Self {
        self.truncation_side = Some(side);
        self
    }

    /// Sets [`EncodeOptions::batch_size`].
    #[must_use]
    pub fn batch_size(mut self, texts: usize) -> Self {
        self.batch_size = texts;
        self
    }

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
            .field("prompt", &self.prompt)
            .field("prompt_name", &self.prompt_name)
            .field("normalize_embeddings", &self.normalize_embeddings)
            .field("unscaled", &self.unscaled)
            .field("truncate_dim", &self.truncate_dim)
            .field("truncation", &self.truncation)
            .field("truncation_side", &self.truncation_side)
            .field("batch_size", &self.batch_size)
            .field("micro_batch_tokens", &self.micro_batch_tokens)
            .field("window_texts", &self.window_texts)
            .field("window_bytes", &self.window_bytes)
            .field("progress", &self.progress.is_some())
            .finish()
    }
}
