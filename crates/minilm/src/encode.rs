//! From texts to vectors.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use minilm_encoder::{Arena, Lead};
use minilm_kernels::l2_normalize;
use minilm_tokenizer::{Tokens, TruncationSide};

use crate::chunking::WeightedMean;
use crate::micro_batch::{Limits, Row, is_better_shared, micro_batches};
use crate::{Embeddings, EncodeOptions, Error, SentenceTransformer, TokenCount, TokenEmbeddings, Truncation};

/// What is put before a text, and what is left out of both together.
#[derive(Clone, Copy)]
pub(crate) struct Prompt<'a> {
    text: &'a str,
    /// How many tokens at the beginning are not pooled.
    pub(crate) tokens: usize,
    /// Which side is cut if there are too many tokens.
    truncation_side: TruncationSide,
}

/// A text's token ids.
struct Tokenised {
    ids: Vec<u32>,
    /// What did not fit, in pieces, if it was not left out.
    rest: Vec<Vec<u32>>,
    /// How many tokens the text has, special tokens included once.
    total: usize,
}

/// Work for the threads, and who hears of it.
pub(crate) struct Bulk<'a> {
    pub(crate) options: &'a EncodeOptions,
    /// How many texts are done before.
    pub(crate) before: usize,
    /// How many there are in all.
    pub(crate) total: Option<usize>,
}

impl SentenceTransformer {
    /// The vector of one text, [`embedding_dimension`](Self::embedding_dimension) floats.
    ///
    /// The model's default prompt is put before it, if there is one. A text of more than
    /// [`max_seq_length`](Self::max_seq_length) tokens is cut; [`encode_batch`](Self::encode_batch) reports it, and has
    /// options.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] if the tokenizer cannot express the text; [`Error::Encoder`] if it gives an id that the
    /// encoder has no embedding for, which a model's own tokenizer does not.
    pub fn encode(&self, text: &str) -> Result<Vec<f32>, Error> {
        let mut vector = vec![0.0; self.modules.dimension()];
        // First of all, so that the threads that share the work wake up while the text is tokenised.
        let lead = self.workers.lead();
        let prompt = self.default_prompt()?;
        self.workers.with_arena(|arena| {
            let mut ids = std::mem::take(&mut arena.ids);
            let tokenised = self.tokenizer.encode_into(&prompt.before(text), &mut ids).map_err(Error::from);
            let result = tokenised.and_then(|_| {
                let row =
                    Row { ids: &ids, out: &mut vector, prompt_tokens: prompt.tokens, begins_text: true };
                self.run(arena, &mut [row], &lead, |states, row| {
                    self.sentence_vector(states, row, &EncodeOptions::default())
                })
            });
            arena.ids = ids;
            result
        })?;
        vector.truncate(self.embedding_dimension());
        Ok(vector)
    }

    /// The vectors of many texts, and how many tokens each had.
    ///
    /// All threads of the model work on it, and it costs what the tokens cost: the texts may be of any lengths and in
    /// any order. For more texts than fit into memory there is [`encode_stream`](Self::encode_stream).
    ///
    /// ```no_run
    /// use minilm::{EncodeOptions, SentenceTransformer, Truncation};
    ///
    /// # fn main() -> Result<(), minilm::Error> {
    /// let model = SentenceTransformer::load("all-MiniLM-L6-v2")?;
    /// let texts = ["A text may be long.", "Its end is left out then, unless it is split."];
    /// let options = EncodeOptions::default().truncation(Truncation::Split);
    /// assert_eq!(model.encode_batch(&texts, &options)?.len(), 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`SentenceTransformer::encode`], for the first text found that cannot be encoded; [`Error::PromptName`],
    /// [`Error::Option`] and, if asked for, [`Error::TooLong`].
    pub fn encode_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
    ) -> Result<Embeddings, Error> {
        self.encode_part(texts, options, 0, Some(texts.len()))
    }

    /// As [`encode_batch`](Self::encode_batch), with the model's prompt `query`, unless the options have another: for what is
    /// searched with.
    ///
    /// # Errors
    ///
    /// As [`encode_batch`](Self::encode_batch).
    pub fn encode_query<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
    ) -> Result<Embeddings, Error> {
        self.encode_batch(texts, &self.with_prompt_of("query", options))
    }

    /// As [`encode_batch`](Self::encode_batch), with the model's prompt `document`, unless the options have another: for what is
    /// searched in.
    ///
    /// sentence-transformers also names `passage` and `corpus`, for models without a `document`. But there as here every model
    /// has one, which is empty where its files have none; so these have to be asked for by
    /// [`prompt_name`](EncodeOptions::prompt_name).
    ///
    /// # Errors
    ///
    /// As [`encode_batch`](Self::encode_batch).
    pub fn encode_document<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
    ) -> Result<Embeddings, Error> {
        self.encode_batch(texts, &self.document_options(options))
    }

    /// The options with the prompt that texts get in which is searched.
    pub(crate) fn document_options(&self, options: &EncodeOptions) -> EncodeOptions {
        self.with_prompt_of("document", options)
    }

    fn with_prompt_of(&self, name: &str, options: &EncodeOptions) -> EncodeOptions {
        let mut options = options.clone();
        if options.prompt.is_none() && options.prompt_name.is_none() {
            options.prompt_name = Some(name.to_owned());
        }
        options
    }

    /// The vectors of each text's tokens, as the last layer gives them, and the text's own vector, which is made of them.
    ///
    /// `output_value` of sentence-transformers: `"token_embeddings"`, and `None`, which gives both. The tokens' vectors have
    /// all components and any length, whatever the options say. The text's own is what [`encode_batch`](Self::encode_batch) gives,
    /// with [`normalize_embeddings`](EncodeOptions::normalize_embeddings), which sentence-transformers passes over with `None`.
    ///
    /// # Errors
    ///
    /// As [`encode_batch`](Self::encode_batch); and [`Error::Option`] for [`Truncation::Split`], because the pieces of a text
    /// have no common last layer.
    pub fn encode_tokens<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
    ) -> Result<Vec<TokenEmbeddings>, Error> {
        self.encode_tokens_part(texts, options, 0, Some(texts.len()))
    }

    /// Some of `total` texts, of which `before` are done: for a program that encodes the tokens of more texts than fit into
    /// memory, so that errors and progress count all of them.
    #[doc(hidden)]
    pub fn encode_tokens_part<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
        before: usize,
        total: Option<usize>,
    ) -> Result<Vec<TokenEmbeddings>, Error> {
        let texts = self.tokenize_part(texts, options, before)?;
        self.encode_tokens_of_ids_part(&texts, options, before, total)
    }

    /// Some of `total` texts, of which `before` are done.
    pub(crate) fn encode_part<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
        before: usize,
        total: Option<usize>,
    ) -> Result<Embeddings, Error> {
        let prompt = self.prompt(options)?;
        let dimension = self.dimension_of(options)?;
        let tokens = self.tokenise(texts, &prompt, options.truncation, before)?;

        let h = self.modules.dimension();
        let pieces = tokens.iter().map(|t| 1 + t.rest.len()).sum::<usize>();
        let mut data = vec![0.0; pieces * h];
        let ids = tokens.iter().flat_map(|t| {
            let rest = t.rest.iter().map(|ids| (&ids[..], 0, false));
            std::iter::once((&t.ids[..], prompt.tokens, true)).chain(rest)
        });
        let rows = ids.zip(data.chunks_exact_mut(h)).map(|((ids, prompt_tokens, begins_text), out)| Row {
            ids,
            out,
            prompt_tokens,
            begins_text,
        });
        let bulk = Bulk { options, before, total };
        self.compute(rows, &bulk, |states, row| self.sentence_vector(states, row, options))?;

        if pieces > texts.len() {
            data = self.pool_pieces(&tokens, &data, options);
        }
        self.finish(&mut data, dimension, options);
        let used = |t: &Tokenised| if t.rest.is_empty() { t.ids.len() } else { t.total };
        let counts = tokens.iter().map(|t| TokenCount::new(t.total, used(t))).collect();
        Ok(Embeddings::new(data, dimension, counts))
    }

    /// The texts' token ids; `before` texts come before the first.
    fn tokenise<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        prompt: &Prompt<'_>,
        truncation: Truncation,
        before: usize,
    ) -> Result<Vec<Tokenised>, Error> {
        let tokens = self.workers.try_map(texts, |text| {
            let text = text.as_ref();
            let Tokens { ids, total, .. } = self.tokens(text, prompt)?;
            if truncation != Truncation::Split || ids.len() == total {
                return Ok::<_, Error>(Tokenised { ids, rest: Vec::new(), total });
            }
            let mut pieces = self.tokenizer.encode_pieces(&prompt.before(text))?.into_iter();
            Ok(Tokenised { ids: pieces.next().unwrap_or(ids), rest: pieces.collect(), total })
        })?;
        if truncation == Truncation::Error {
            self.check_lengths(tokens.iter().map(|t| t.total), before)?;
        }
        Ok(tokens)
    }

    /// Runs all rows, on all threads; `finish` makes of a row's states `[tokens][hidden_size]` what is wanted.
    pub(crate) fn compute<'a>(
        &self,
        rows: impl IntoIterator<Item = Row<'a>>,
        bulk: &Bulk<'_>,
        finish: impl Fn(&[f32], &mut Row<'_>) + Sync,
    ) -> Result<(), Error> {
        let Bulk { options, before, total } = *bulk;
        let texts = if options.batch_size == 0 { usize::MAX } else { options.batch_size };
        let limits = Limits { tokens: options.micro_batch_tokens, texts };
        let batches = micro_batches(rows, limits, self.threads());
        let done = AtomicUsize::new(before);
        let one = |arena: &mut Arena, mut rows: Vec<Row<'_>>, lead: &Lead<'_>| {
            self.run(arena, &mut rows, lead, &finish)?;
            let texts = rows.iter().filter(|row| row.begins_text).count();
            let texts = done.fetch_add(texts, Ordering::Relaxed) + texts;
            if let Some(progress) = options.progress_listener() {
                progress.encoded(texts, total);
            }
            Ok::<(), Error>(())
        };
        // Each micro-batch is one thread's, but where threads would have to wait for others: then all share each.
        let sizes = || batches.iter().map(|rows| rows.iter().map(|row| row.ids.len()).sum());
        match is_better_shared(sizes(), self.threads())
            .then(|| self.workers.lead())
            .filter(|lead| lead.threads() > 1)
        {
            Some(lead) => self
                .workers
                .with_arena(|arena| batches.into_iter().try_for_each(|rows| one(arena, rows, &lead))),
            None => self.each_in_order(batches, |arena, rows| one(arena, rows, &Lead::alone())),
        }
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

    /// One micro-batch: the forward pass, then of each row what `finish` makes of its states.
    fn run(
        &self,
        arena: &mut Arena,
        rows: &mut [Row<'_>],
        lead: &Lead<'_>,
        finish: impl Fn(&[f32], &mut Row<'_>),
    ) -> Result<(), Error> {
        arena.tokens.clear();
        for row in rows.iter() {
            arena.tokens.push(row.ids);
        }
        self.encoder.forward(arena, lead)?;
        let h = self.encoder.config().hidden_size;
        for (sequence, row) in arena.tokens.sequences().zip(rows) {
            finish(&arena.hidden()[sequence.start * h..sequence.end * h], row);
        }
        Ok(())
    }

    /// The states of one text → its vector, with all components, into `out`.
    pub(crate) fn sentence_vector(&self, states: &[f32], row: &mut Row<'_>, options: &EncodeOptions) {
        let scaling = !options.unscaled;
        self.modules.vector(self.encoder.isa(), states, row.prompt_tokens, scaling, row.out);
    }

    /// The vectors of pieces `[pieces][dimension]` → those of the texts they are of: their means, weighted by tokens, scaled
    /// if the model does so.
    fn pool_pieces(&self, tokens: &[Tokenised], pieces: &[f32], options: &EncodeOptions) -> Vec<f32> {
        let h = self.modules.dimension();
        let mut vectors = vec![0.0; tokens.len() * h];
        let mut pieces = pieces.chunks_exact(h);
        for (text, out) in tokens.iter().zip(vectors.chunks_exact_mut(h)) {
            if text.rest.is_empty() {
                out.copy_from_slice(pieces.next().unwrap_or_default());
                continue;
            }
            let ids = std::iter::once(&text.ids).chain(&text.rest);
            let mut mean = WeightedMean::new(h);
            ids.zip(&mut pieces).for_each(|(ids, piece)| mean.add(piece, ids.len()));
            out.copy_from_slice(&mean.finish());
            if self.scales(options) {
                l2_normalize(self.encoder.isa(), out);
            }
        }
        vectors
    }

    /// Cuts vectors `[n][all components]` to `dimension`, and scales them to unit length if that is asked for and not
    /// so already.
    pub(crate) fn finish(&self, vectors: &mut Vec<f32>, dimension: usize, options: &EncodeOptions) {
        let h = self.modules.dimension();
        if dimension < h {
            let n = vectors.len() / h;
            for row in 1..n {
                vectors.copy_within(row * h..row * h + dimension, row * dimension);
            }
            vectors.truncate(n * dimension);
        }
        if options.normalize_embeddings && (dimension < h || !self.scales(options)) {
            for vector in vectors.chunks_exact_mut(dimension) {
                l2_normalize(self.encoder.isa(), vector);
            }
        }
    }

    /// How many components the vectors of a call have.
    pub(crate) fn dimension_of(&self, options: &EncodeOptions) -> Result<usize, Error> {
        match options.truncate_dim {
            None => Ok(self.embedding_dimension()),
            Some(0) => {
                let (expected, found) = ("at least 1".to_owned(), "0".to_owned());
                Err(Error::Option { option: "truncate_dim", expected, found })
            }
            Some(dimension) => Ok(dimension.min(self.modules.dimension())),
        }
    }

    /// How many components the vectors of a call have, and whether their length is 1.
    pub(crate) fn output(&self, options: &EncodeOptions) -> Result<(usize, bool), Error> {
        let dimension = self.dimension_of(options)?;
        let whole = dimension == self.modules.dimension();
        Ok((dimension, options.normalize_embeddings || (self.scales(options) && whole)))
    }

    /// Whether the model's modules scale the vectors of a call to unit length, in the end.
    pub(crate) fn scales(&self, options: &EncodeOptions) -> bool {
        self.normalizes() && !options.unscaled
    }

    /// What a call puts before its texts.
    pub(crate) fn prompt<'a>(&'a self, options: &'a EncodeOptions) -> Result<Prompt<'a>, Error> {
        let prompt = self.measured(self.prompts.resolve(options)?)?;
        let truncation_side = options.truncation_side.unwrap_or(prompt.truncation_side);
        Ok(Prompt { truncation_side, ..prompt })
    }

    /// What is put before a text if nothing else is said.
    pub(crate) fn default_prompt(&self) -> Result<Prompt<'_>, Error> {
        self.measured(self.prompts.default_prompt())
    }

    fn measured<'a>(&self, text: &'a str) -> Result<Prompt<'a>, Error> {
        let pooled = text.is_empty() || self.modules.pooling.include_prompt;
        let tokens = if pooled { 0 } else { self.tokenizer.prompt_length(text)? };
        Ok(Prompt { text, tokens, truncation_side: self.truncation_side() })
    }

    /// The token ids of a text with what is put before it.
    pub(crate) fn tokens(&self, text: &str, prompt: &Prompt<'_>) -> Result<Tokens, Error> {
        Ok(self.tokenizer.encode_truncated(&prompt.before(text), prompt.truncation_side)?)
    }
}

impl Prompt<'_> {
    fn before<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.text.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(format!("{}{text}", self.text)) }
    }
}
