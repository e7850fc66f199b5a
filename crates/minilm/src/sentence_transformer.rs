use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use minilm_bert::{
    Arena, BertConfig, BertEncoder, EncoderOptions, Lead, PackedCacheStatus, Profile, Tap, TraceStep,
    TraceValues, Workers,
};
use minilm_kernels::{Isa, Precision, cls_pool, l2_normalize, max_pool, mean_pool};
use minilm_tokenizer::{Tokenizer, Tokens};
use minilm_weights::{FloatType, WeightsFile};

use crate::calibration::calibration_sequences;
use crate::folder;
use crate::micro_batch::{Row, micro_batches};
use crate::modules::{Pipeline, TextSettings};
use crate::resolve::{ResolvedModel, resolve};
use crate::{Embeddings, EncodeOptions, Error, LoadOptions, PoolingMode, TokenCount};

/// A loaded model: from texts to vectors.
///
/// Encoding takes `&self`, so one model serves any number of threads at once.
#[derive(Debug)]
pub struct SentenceTransformer {
    tokenizer: Tokenizer,
    encoder: BertEncoder,
    pooling: PoolingMode,
    normalize: bool,
    workers: Workers,
    resolved: ResolvedModel,
    packed_cache: PackedCacheStatus,
}

impl SentenceTransformer {
    /// Loads a model by its name or from its directory, with default options.
    ///
    /// A name is `owner/name`, or `name` alone for `sentence-transformers/name`. It is looked for in the local
    /// Hugging Face cache, then downloaded: see [`resolve`](mod@crate::resolve).
    ///
    /// # Errors
    ///
    /// As [`SentenceTransformer::load_with`].
    pub fn load(name_or_path: impl AsRef<Path>) -> Result<SentenceTransformer, Error> {
        SentenceTransformer::load_with(name_or_path, &LoadOptions::default())
    }

    /// Loads a model by its name or from its directory.
    ///
    /// # Errors
    ///
    /// If the model is not found, one of its files is missing, malformed or does not fit the others, it is of
    /// an architecture this engine does not compute, or the instruction set asked for is not there. The
    /// error names the file and says what was expected and what was found.
    pub fn load_with(
        name_or_path: impl AsRef<Path>,
        options: &LoadOptions,
    ) -> Result<SentenceTransformer, Error> {
        // What is wrong with the options is said before anything is fetched.
        let isa = match options.isa {
            Some(isa) => isa,
            None => Isa::from_env()?,
        };
        let resolved = resolve(name_or_path.as_ref(), &options.resolve)?;
        let pipeline = Pipeline::read(resolved.directory())?;
        let transformer = &pipeline.transformer;

        let config = BertConfig::from_file(transformer.join(folder::CONFIG))?;
        let settings = TextSettings::read(transformer, config.max_position_embeddings)?;
        let tokenizer_path = transformer.join(folder::TOKENIZER);
        let mut tokenizer = Tokenizer::from_file(&tokenizer_path, settings.max_seq_length)?;
        if settings.do_lower_case {
            tokenizer = tokenizer.lowercased()?;
        }
        if tokenizer.vocab_size() > config.vocab_size {
            let (tokens, rows) = (tokenizer.vocab_size(), config.vocab_size);
            let reason = format!("it has {tokens} tokens, but config.json's vocab_size is {rows}");
            return Err(Error::Settings { path: tokenizer_path, reason });
        }
        let workers = Workers::new(options.threads)?;
        let weights = WeightsFile::open(transformer.join(folder::WEIGHTS))?;
        let cache_directory = options.packed_cache.directory();
        let mut encoder_options = EncoderOptions::new(isa, &workers).precision(options.precision);
        if options.precision == Precision::Int8 {
            encoder_options = encoder_options.calibration(calibration_sequences(&tokenizer)?);
        }
        if let Ok(Some(directory)) = &cache_directory {
            encoder_options = encoder_options.packed_cache(directory);
        }
        let encoder = BertEncoder::load(config, weights, &encoder_options)?;
        let packed_cache = match cache_directory {
            Ok(_) => encoder.packed_cache().clone(),
            Err(reason) => PackedCacheStatus::Unavailable { reason },
        };
        let Pipeline { pooling, normalize, .. } = pipeline;
        Ok(SentenceTransformer { tokenizer, encoder, pooling, normalize, workers, resolved, packed_cache })
    }

    /// The vector of one text, [`dimension`](Self::dimension) floats.
    ///
    /// A text of more than [`max_seq_length`](Self::max_seq_length) tokens is cut;
    /// [`encode_batch`](Self::encode_batch) reports it.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] if the tokenizer cannot express the text; [`Error::Bert`] if it gives an id that the
    /// encoder has no embedding for, which a model's own tokenizer does not.
    pub fn encode(&self, text: &str) -> Result<Vec<f32>, Error> {
        let mut vector = vec![0.0; self.dimension()];
        // First of all, so that the threads that share the work wake up while the text is tokenised.
        let lead = self.workers.lead();
        self.workers.with_arena(|arena| {
            let mut ids = std::mem::take(&mut arena.ids);
            let tokenised = self.tokenizer.encode_into(text, &mut ids).map_err(Error::from);
            let result = tokenised.and_then(|_| self.run(arena, &mut [(&ids, &mut vector)], &lead));
            arena.ids = ids;
            result
        })?;
        Ok(vector)
    }

    /// The vectors of many texts, and how many tokens each had.
    ///
    /// All threads of the model work on it, and it costs what the tokens cost: the texts may be of any lengths and in
    /// any order. For more texts than fit into memory there is [`encode_stream`](Self::encode_stream).
    ///
    /// # Errors
    ///
    /// As [`SentenceTransformer::encode`], for the first text found that cannot be encoded.
    pub fn encode_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
    ) -> Result<Embeddings, Error> {
        self.encode_part(texts, options, 0, Some(texts.len()))
    }

    /// Some of `total` texts, of which `before` are done.
    pub(crate) fn encode_part<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
        before: usize,
        total: Option<usize>,
    ) -> Result<Embeddings, Error> {
        let tokens = self.workers.try_map(texts, |text| self.tokenizer.encode(text.as_ref()))?;
        let counts = tokens.iter().map(|t| TokenCount::new(t.total, t.ids.len())).collect();

        let dimension = self.dimension();
        let mut data = vec![0.0; texts.len() * dimension];
        let rows = tokens.iter().map(|t| &t.ids[..]).zip(data.chunks_exact_mut(dimension));
        let batches = micro_batches(rows, options.micro_batch_tokens, self.threads());
        let done = AtomicUsize::new(before);
        let one = |arena: &mut Arena, mut rows: Vec<Row<'_>>, lead: &Lead<'_>| {
            self.run(arena, &mut rows, lead)?;
            let texts = done.fetch_add(rows.len(), Ordering::Relaxed) + rows.len();
            if let Some(progress) = options.progress_listener() {
                progress.encoded(texts, total);
            }
            Ok::<(), Error>(())
        };
        // Each micro-batch is one thread's, but where there are fewer than threads: then all threads share each.
        let few = batches.len() < self.threads();
        match few.then(|| self.workers.lead()).filter(|lead| lead.threads() > 1) {
            Some(lead) => self
                .workers
                .with_arena(|arena| batches.into_iter().try_for_each(|rows| one(arena, rows, &lead)))?,
            None => self.each_in_order(batches, |arena, rows| one(arena, rows, &Lead::alone()))?,
        }
        Ok(Embeddings::new(data, dimension, counts))
    }

    /// Every thread takes the next item until none is left, so that none waits while another has several.
    fn each_in_order<T: Send>(
        &self,
        items: Vec<T>,
        f: impl Fn(&mut Arena, T) -> Result<(), Error> + Send + Sync,
    ) -> Result<(), Error> {
        let threads = vec![(); self.threads().min(items.len())];
        let queue = Mutex::new(items.into_iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let failed = AtomicBool::new(false);
        self.workers.try_for_each(threads, |()| {
            self.workers.with_arena(|arena| {
                while !failed.load(Ordering::Relaxed)
                    && let Some(item) = next()
                {
                    f(arena, item).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
                }
                Ok(())
            })
        })
    }

    /// Where the time of a text's forward pass goes, on one thread.
    ///
    /// # Errors
    ///
    /// As [`SentenceTransformer::encode`].
    pub fn profile(&self, text: &str) -> Result<Profile, Error> {
        let tokens = self.tokenizer.encode(text)?;
        Ok(self.workers.with_arena(|arena| {
            arena.tokens.clear();
            arena.tokens.push(&tokens.ids);
            self.encoder.profile(arena)
        })?)
    }

    /// The states `[tokens][hidden_size]` of one text after the embeddings and after each layer.
    ///
    /// For those who port the model and want to compare step by step.
    ///
    /// # Errors
    ///
    /// As [`SentenceTransformer::encode`].
    pub fn hidden_states(&self, text: &str) -> Result<Vec<(Tap, Vec<f32>)>, Error> {
        let tokens = self.tokenizer.encode(text)?;
        let mut states = Vec::new();
        self.workers.with_arena(|arena| {
            arena.tokens.clear();
            arena.tokens.push(&tokens.ids);
            self.encoder.forward_observed(arena, &mut |tap, state| states.push((tap, state.to_vec())))
        })?;
        Ok(states)
    }

    /// Every tensor between the text and its vector, shown to `observe` in the order of their computation, each
    /// with the steps, the weights and the specification it comes from; then the vector, the last of them, and
    /// how many tokens the text had.
    ///
    /// For those who port the model and want to compare step by step, bit by bit. Much slower than
    /// [`encode`](Self::encode), and the vector has the same bits.
    ///
    /// # Errors
    ///
    /// As [`SentenceTransformer::encode`], before anything is shown.
    pub fn trace(
        &self,
        text: &str,
        observe: &mut dyn FnMut(&TraceStep<'_>),
    ) -> Result<(Vec<f32>, TokenCount), Error> {
        self.trace_patched(text, &mut |step| {
            observe(step);
            None
        })
    }

    /// As [`trace`](Self::trace), but what `patch` gives back takes the place of the tensor it was shown, in all steps that
    /// are computed from that (activation patching).
    ///
    /// For those who work on accuracy: with the tensors of another model's pass, a step is computed from the inputs that it
    /// has there, so that its own error is seen; with one tensor alone, what that error does to the vector.
    ///
    /// # Errors
    ///
    /// As [`SentenceTransformer::encode`], before anything is shown.
    ///
    /// # Panics
    ///
    /// If `patch` gives back another number of elements than the tensor has, or anything for a step that is not computed: the
    /// ids and the factors of int8.
    pub fn trace_patched(
        &self,
        text: &str,
        patch: &mut dyn FnMut(&TraceStep<'_>) -> Option<Vec<f32>>,
    ) -> Result<(Vec<f32>, TokenCount), Error> {
        let tokens = self.tokenizer.encode(text)?;
        let mut last = String::new();
        let states = self.encoder.trace_patched(&tokens.ids, &mut |step| {
            last.clone_from(&step.name);
            patch(step)
        })?;

        let mut vector = vec![0.0; self.dimension()];
        self.pool(&states, &mut vector);
        let (description, reference) = match self.pooling {
            PoolingMode::Mean => ("the mean over the tokens", Some("mean_pool")),
            PoolingMode::Max => ("each component's maximum over the tokens", Some("max_pool")),
            PoolingMode::Cls => ("the first token's row", None),
        };
        let shape = [self.dimension()];
        let step = TraceStep::new("pooled", &shape, TraceValues::F32(&vector));
        let mut step = step.description(description).inputs(&[&last]);
        step.reference = reference;
        vector = patched("pooled", patch(&step), vector);

        if self.normalize {
            l2_normalize(self.encoder.isa(), &mut vector);
            let step = TraceStep::new("normalized", &shape, TraceValues::F32(&vector));
            let step = step.description("scaled to unit length").inputs(&["pooled"]);
            vector = patched("normalized", patch(&step.reference("l2_normalize")), vector);
        }
        Ok((vector, TokenCount::new(tokens.total, tokens.ids.len())))
    }

    /// The token ids of a text, cut to [`max_seq_length`](Self::max_seq_length), and how many it has.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] if the tokenizer cannot express the text.
    pub fn tokenize(&self, text: &str) -> Result<(Vec<u32>, TokenCount), Error> {
        let Tokens { ids, total, .. } = self.tokenizer.encode(text)?;
        let count = TokenCount::new(total, ids.len());
        Ok((ids, count))
    }

    /// One micro-batch: forward pass, pooling, scaling; into each text's vector.
    fn run(&self, arena: &mut Arena, rows: &mut [Row<'_>], lead: &Lead<'_>) -> Result<(), Error> {
        arena.tokens.clear();
        for (ids, _) in rows.iter() {
            arena.tokens.push(ids);
        }
        self.encoder.forward(arena, lead)?;
        let h = self.dimension();
        for (sequence, (_, out)) in arena.tokens.sequences().zip(rows) {
            self.pool(&arena.hidden()[sequence.start * h..sequence.end * h], out);
            if self.normalize {
                l2_normalize(self.encoder.isa(), out);
            }
        }
        Ok(())
    }

    /// The states `[tokens][dimension]` of one text → out `[dimension]`, which is zero.
    fn pool(&self, states: &[f32], out: &mut [f32]) {
        // A tokenizer without special tokens makes nothing of an empty text: its vector stays zero, which
        // is also what sentence-transformers' mean pooling gives.
        if states.is_empty() {
            return;
        }
        let isa = self.encoder.isa();
        match self.pooling {
            PoolingMode::Mean => mean_pool(isa, states, out),
            PoolingMode::Max => max_pool(isa, states, out),
            PoolingMode::Cls => cls_pool(states, out),
        }
    }

    /// The number of components of a vector: 384 for all-MiniLM-L6-v2.
    pub fn dimension(&self) -> usize {
        self.encoder.config().hidden_size
    }

    /// The most tokens a text may have, special tokens included: 256 for all-MiniLM-L6-v2.
    pub fn max_seq_length(&self) -> usize {
        self.tokenizer.max_seq_length()
    }

    /// How the tokens' vectors become one.
    pub fn pooling(&self) -> PoolingMode {
        self.pooling
    }

    /// Whether vectors are scaled to unit length.
    pub fn normalizes(&self) -> bool {
        self.normalize
    }

    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The encoder's config.
    pub fn config(&self) -> &BertConfig {
        self.encoder.config()
    }

    /// What products are computed in.
    pub fn precision(&self) -> Precision {
        self.encoder.precision()
    }

    /// The instruction set that the model runs on.
    pub fn isa(&self) -> Isa {
        self.encoder.isa()
    }

    /// How many threads it encodes with.
    pub fn threads(&self) -> usize {
        self.workers.threads()
    }

    /// The size of the weights file in bytes.
    pub fn weights_size(&self) -> usize {
        self.encoder.weights().size()
    }

    /// The type that the weights have in the file; they are computed with in f32.
    pub fn weights_type(&self) -> FloatType {
        self.encoder.weights_type()
    }

    /// Whether the packed weights came from a cache file, and if not although one was asked for, why.
    pub fn packed_cache(&self) -> &PackedCacheStatus {
        &self.packed_cache
    }

    /// Where the model was found.
    pub fn resolved(&self) -> &ResolvedModel {
        &self.resolved
    }
}

/// What the pass goes on with: the patch of a step, if there is one.
fn patched(step: &str, patch: Option<Vec<f32>>, values: Vec<f32>) -> Vec<f32> {
    let Some(patch) = patch else { return values };
    let (found, expected) = (patch.len(), values.len());
    assert_eq!(found, expected, "trace: {step} has {expected} elements, and {found} cannot replace them");
    patch
}
