use std::path::Path;
use std::sync::OnceLock;

use minilm_encoder::{Encoder, EncoderConfig, EncoderOptions, PackedCacheStatus, Workers};
use minilm_kernels::{Isa, Precision};
use minilm_tokenizer::{Tokenizer, Tokens, TruncationSide};
use minilm_weights::{FloatType, Weights};

use crate::calibration::calibration_sequences;
use crate::folder;
use crate::model_settings::{ModelSettings, Prompts};
use crate::modules::{Pipeline, SentenceModules};
use crate::resolve::{ResolvedModel, resolve};
use crate::supported::read_tokenizer;
use crate::{
    Error, LoadOptions, PoolingMode, SimilarityFunction, SimilarityMatrix, TokenCount, Vectors, VectorsError,
};

/// A loaded model: from texts to vectors.
///
/// Encoding takes `&self`, so one model serves any number of threads at once.
#[derive(Debug)]
pub struct SentenceTransformer {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) encoder: Encoder,
    /// Whether texts are lower-cased whatever `tokenizer.json` says.
    pub(crate) do_lower_case: bool,
    pub(crate) modules: SentenceModules,
    pub(crate) prompts: Prompts,
    /// What vectors are cut to if a call does not say otherwise.
    pub(crate) truncate_dim: Option<usize>,
    similarity: SimilarityFunction,
    pub(crate) workers: Workers,
    resolved: ResolvedModel,
    packed_cache: PackedCacheStatus,
    /// Once it is asked for.
    pub(crate) fingerprint: OnceLock<String>,
}

impl SentenceTransformer {
    /// Loads a model by its name or from its directory, with default options.
    ///
    /// A name is `owner/name`, or `name` alone for `sentence-transformers/name` and for well-known models of others
    /// (`bge-small-en-v1.5`). It is looked for in the local
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
        let ModelSettings { prompts, truncate_dim, similarity } =
            pipeline.model_settings(resolved.directory())?;
        let transformer = &pipeline.transformer;

        let config = EncoderConfig::from_file(transformer.join(folder::CONFIG))?;
        let (tokenizer, settings) = read_tokenizer(&pipeline, &config)?;
        let workers = Workers::new(options.threads)?;
        let weights = Weights::open_in(transformer)?;
        let modules = pipeline.load(config.hidden_size)?;
        let cache_directory = options.packed_cache.directory();
        let mut encoder_options = EncoderOptions::new(isa, &workers).precision(options.precision);
        if options.precision == Precision::Int8 {
            encoder_options = encoder_options.calibration(calibration_sequences(&tokenizer)?);
        }
        if let Ok(Some(directory)) = &cache_directory {
            encoder_options = encoder_options.packed_cache(directory);
        }
        let encoder = Encoder::load(config, weights, &encoder_options)?;
        let packed_cache = match cache_directory {
            Ok(_) => encoder.packed_cache().clone(),
            Err(reason) => PackedCacheStatus::Unavailable { reason },
        };
        Ok(SentenceTransformer {
            tokenizer,
            encoder,
            do_lower_case: settings.do_lower_case,
            modules,
            prompts,
            truncate_dim,
            similarity,
            workers,
            resolved,
            packed_cache,
            fingerprint: OnceLock::new(),
        })
    }

    /// The token ids of a text as it is, without a prompt, cut to [`max_seq_length`](Self::max_seq_length), and how many it
    /// has.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] if the tokenizer cannot express the text.
    pub fn tokenize(&self, text: &str) -> Result<(Vec<u32>, TokenCount), Error> {
        let Tokens { ids, total, .. } = self.tokenizer.encode(text)?;
        let count = TokenCount::new(total, ids.len());
        Ok((ids, count))
    }

    /// The number of components of a vector: 384 for all-MiniLM-L6-v2. A call may ask for fewer by
    /// [`EncodeOptions::truncate_dim`](crate::EncodeOptions::truncate_dim).
    pub fn embedding_dimension(&self) -> usize {
        let dimension = self.modules.dimension();
        self.truncate_dim.map_or(dimension, |truncated| truncated.min(dimension))
    }

    /// The most tokens a text may have, special tokens included: 256 for all-MiniLM-L6-v2.
    pub fn max_seq_length(&self) -> usize {
        self.tokenizer.max_seq_length()
    }

    /// Sets the most tokens a text may have, special tokens included.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] if it leaves no room beside the special tokens, or is more than the model has positions.
    pub fn set_max_seq_length(&mut self, max_seq_length: usize) -> Result<(), Error> {
        let most = self.encoder.config().max_positions();
        let least = self.tokenizer.special_tokens() + 1;
        if max_seq_length > most || self.tokenizer.set_max_seq_length(max_seq_length).is_err() {
            let (expected, found) = (format!("{least} to {most}"), max_seq_length.to_string());
            return Err(Error::Option { option: "max_seq_length", expected, found });
        }
        // The limit is a part of it.
        self.fingerprint.take();
        Ok(())
    }

    /// The model's prompts, names and what is put before texts, in the names' order. Each model has `query` and `document`;
    /// one that was trained without prompts has empty ones.
    pub fn prompts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.prompts.iter()
    }

    /// The name of the prompt that is put before every text for which no other is asked.
    pub fn default_prompt_name(&self) -> Option<&str> {
        self.prompts.default_name()
    }

    /// What the model's vectors are compared by (`similarity_fn_name`): the cosine, if its files do not say otherwise.
    pub fn similarity_function(&self) -> SimilarityFunction {
        self.similarity
    }

    /// The similarity of every vector of `a` and every vector of `b`, by the model's
    /// [`similarity_function`](Self::similarity_function): `[m][n]`.
    ///
    /// # Errors
    ///
    /// [`VectorsError::DimensionMismatch`].
    pub fn similarity<'a, 'b>(
        &self,
        a: impl Into<Vectors<'a>>,
        b: impl Into<Vectors<'b>>,
    ) -> Result<SimilarityMatrix, VectorsError> {
        self.similarity.similarity(a, b)
    }

    /// The similarity of vector i of `a` and vector i of `b`, for every i, by the model's
    /// [`similarity_function`](Self::similarity_function).
    ///
    /// # Errors
    ///
    /// [`VectorsError::LengthMismatch`], [`VectorsError::DimensionMismatch`].
    pub fn similarity_pairwise<'a, 'b>(
        &self,
        a: impl Into<Vectors<'a>>,
        b: impl Into<Vectors<'b>>,
    ) -> Result<Vec<f32>, VectorsError> {
        self.similarity.similarity_pairwise(a, b)
    }

    /// How the tokens' vectors become one; several where the vectors of as many poolings lie one behind the other.
    pub fn pooling_modes(&self) -> &[PoolingMode] {
        &self.modules.pooling.modes
    }

    /// The modules behind the transformer, in their order and in words: `Pooling (mean)`, `Dense 768 → 512, tanh`, `Normalize`.
    pub fn modules(&self) -> Vec<String> {
        self.modules.names()
    }

    /// Whether vectors are scaled to unit length, in the end.
    pub fn normalizes(&self) -> bool {
        self.modules.normalizes()
    }

    /// Which side of a text is cut off if it has too many tokens: of most models its end.
    pub fn truncation_side(&self) -> TruncationSide {
        self.tokenizer.truncation_side()
    }

    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The encoder's config.
    pub fn config(&self) -> &EncoderConfig {
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

    /// The size of the weights in bytes, in one file or in all shards.
    pub fn weights_size(&self) -> usize {
        self.encoder.weights().size()
    }

    /// The type that the weights have in their file; they are computed with in f32.
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
