//! From a weights file to an encoder: every tensor is checked against the config, and all are packed into one region,
//! or taken from a cache file in which that was done before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use minilm_kernels::reference::relative_position_bucket;
use minilm_kernels::{Isa, Precision};
use minilm_weights::{
    PackedContents, PackedFile, PackedFileError, Region, SAMPLE, Tensor, Weights, WeightsError,
};

use crate::architecture::{EMBEDDING_NORM, WORD_EMBEDDINGS};
use crate::calibration::{self, LayerFactors};
use crate::encoder::Layer;
use crate::packed_model::{Packed, Plan};
use crate::tensors::Tensors;
use crate::word_embeddings::WordEmbeddings;
use crate::{Encoder, EncoderConfig, EncoderError, Workers};

/// Where an encoder's packed weights came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackedCacheStatus {
    /// They were packed; no cache was asked for.
    Off,
    /// They are a mapped cache file.
    Used {
        /// The file.
        path: PathBuf,
    },
    /// They were packed, and written to a cache file that the next start will use.
    Built {
        /// The file.
        path: PathBuf,
        /// Why there was nothing to use.
        reason: String,
    },
    /// They were packed, and the cache file could not be written.
    Unavailable {
        /// What went wrong, with the file's path.
        reason: String,
    },
}

/// How an encoder is loaded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EncoderOptions<'a> {
    /// The instruction set to run on.
    pub isa: Isa,
    /// What products are computed in.
    pub precision: Precision,
    /// The threads to pack with.
    pub workers: &'a Workers,
    /// The directory of a cache file with the packed weights, if there is to be one.
    pub packed_cache: Option<&'a Path>,
    /// The token ids of some sequences for int8 to be calibrated with: see [`Encoder::load`].
    pub calibration: Vec<Vec<u32>>,
}

impl<'a> EncoderOptions<'a> {
    /// f32, without a cache file and calibration.
    pub fn new(isa: Isa, workers: &'a Workers) -> EncoderOptions<'a> {
        EncoderOptions {
            isa,
            precision: Precision::F32,
            workers,
            packed_cache: None,
            calibration: Vec::new(),
        }
    }

    /// Sets [`EncoderOptions::precision`].
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Sets [`EncoderOptions::packed_cache`].
    #[must_use]
    pub fn packed_cache(mut self, directory: &'a Path) -> Self {
        self.packed_cache = Some(directory);
        self
    }

    /// Sets [`EncoderOptions::calibration`].
    #[must_use]
    pub fn calibration(mut self, sequences: Vec<Vec<u32>>) -> Self {
        self.calibration = sequences;
        self
    }
}

impl Encoder {
    /// Checks every tensor's shape against the config and packs the weights, on all of the workers' threads.
    ///
    /// Tensor names are those of the architecture's model in transformers, with or without the prefix that stands before them
    /// in the files of models with a head (`bert.`).
    ///
    /// In int8, some channels of what goes into a layer are ten times as large as the others, and would leave these a few
    /// of 254 steps. With sequences to calibrate with, the weights are packed in f32 first, and a forward pass finds the
    /// channels' sizes. Then each channel is divided by a power of its size, ¾ for queries, keys and values, ½ for the
    /// feed-forward layer, and its weights are multiplied by the same, before both are quantised. The sequences determine
    /// how accurate vectors are, and their bits.
    ///
    /// With a directory for cache files: if it has the packed weights of this weights file, they are mapped
    /// from there; otherwise they are packed, and written there for the next time. The bits are the same.
    /// A directory that cannot be used, or a file in it that is damaged or belongs to other weights, never makes loading
    /// fail: [`Encoder::packed_cache`] says what happened. The file must not be truncated or changed
    /// in place while the encoder lives; this engine replaces it by a rename. Whoever may write to the directory
    /// can change the vectors.
    ///
    /// # Errors
    ///
    /// [`EncoderError::ChangedConfig`] for a config that was changed and contradicts itself; [`EncoderError::Weights`] for a
    /// tensor that is missing or of another shape or type; [`EncoderError::UnknownToken`] or [`EncoderError::TooLong`] for
    /// a sequence to calibrate with.
    pub fn load(
        config: EncoderConfig,
        weights: Weights,
        options: &EncoderOptions<'_>,
    ) -> Result<Encoder, EncoderError> {
        config.check()?;
        load_shared(config, Arc::new(weights), options)
    }
}

fn load_shared(
    config: EncoderConfig,
    weights: Arc<Weights>,
    options: &EncoderOptions<'_>,
) -> Result<Encoder, EncoderError> {
    let &EncoderOptions { isa, precision, workers, packed_cache: cache, .. } = options;
    let tensors = Tensors::new(&weights, &config);
    let words = tensors.word_embeddings()?;
    let words_name = tensors.weight_name(WORD_EMBEDDINGS);
    let weights_type = words.float_type();
    let mut plan = Plan::default();
    let sections = ModelSections::plan(&mut plan, &tensors, &config, precision)?;
    let calibration: &[Vec<u32>] = match precision {
        Precision::Int8 => &options.calibration,
        Precision::F32 | Precision::Bf16 => &[],
    };
    let contents = plan.contents(&weights);
    let planned = plan.sections();
    let mut pack = || -> Result<Region, EncoderError> {
        if !calibration.is_empty() {
            // Not cached: it is not what will be loaded the next time.
            let f32 = load_shared(config.clone(), Arc::clone(&weights), &EncoderOptions::new(isa, workers))?;
            sections.set_factors(&mut plan, f32.input_factors(calibration)?);
        }
        Ok(plan.pack(&weights, workers)?)
    };
    let (region, packed_cache) = match cache {
        None => (pack()?, PackedCacheStatus::Off),
        Some(directory) => {
            let cached = Cached {
                file: PackedFile::of(
                    &weights,
                    directory,
                    precision.name(),
                    &calibration_salt(&config, &words, calibration),
                ),
                contents,
                workers,
            };
            cached.load(pack)?
        }
    };
    // Also the pages that were looked at to recognise the file.
    weights.release();
    let packed = Packed { region: Arc::new(region), sections: planned };
    let eps = config.layer_norm_eps;
    Ok(Encoder {
        isa,
        precision,
        word_embeddings: WordEmbeddings::new(Arc::clone(&weights), words_name, &config),
        weights_type,
        packed_cache,
        position_embeddings: packed.rows(sections.position_embeddings),
        token_type_embedding: match sections.token_type_embedding {
            Some(section) => packed.rows(section).to_vec(),
            None => vec![0.0; config.hidden_size],
        },
        position_bias: sections
            .relative_attention_bias
            .map(|section| bias_by_distance(&packed.rows(section), &config)),
        embedding_norm: packed.layer_norm(sections.embedding_norm, eps),
        layers: sections.layers.iter().map(|layer| layer.of(&packed, &config)).collect(),
        config,
        weights,
    })
}

/// What tells the files of one calibration from those of another: all that the factors come from beside the tensors that
/// are packed. Nothing without a calibration.
fn calibration_salt(config: &EncoderConfig, words: &Tensor<'_>, sequences: &[Vec<u32>]) -> Vec<u8> {
    if sequences.is_empty() {
        return Vec::new();
    }
    let mut sample = vec![0.0; (SAMPLE / size_of::<f32>()).min(words.len())];
    words.read_f32(0, &mut sample);
    let mut salt = vec![calibration::VERSION];
    salt.extend(format!("{config:?}").bytes());
    salt.extend(sample.iter().flat_map(|x| x.to_le_bytes()));
    salt.extend(
        sequences.iter().flat_map(|ids| ids.iter().chain([&u32::MAX])).flat_map(|id| id.to_le_bytes()),
    );
    salt
}

/// A cache file and what it should be.
struct Cached<'a> {
    file: PackedFile,
    contents: PackedContents,
    workers: &'a Workers,
}

impl Cached<'_> {
    /// The region of the file, or a packed one, of which the file is then made.
    fn load(
        &self,
        pack: impl FnOnce() -> Result<Region, EncoderError>,
    ) -> Result<(Region, PackedCacheStatus), EncoderError> {
        let opened = self.file.open(&self.contents, |check| {
            self.workers.try_for_each(self.contents.sections.iter().collect(), check)
        });
        let path = self.file.path().to_owned();
        let error = match opened {
            Ok(region) => return Ok((region, PackedCacheStatus::Used { path })),
            Err(error) => error,
        };
        let region = pack()?;
        let status = match self.file.write(&self.contents, region.as_ref()) {
            Ok(()) => PackedCacheStatus::Built { path, reason: error.to_string() },
            Err(write_error) => {
                let reason = match error {
                    PackedFileError::Absent | PackedFileError::ByteOrder => write_error.to_string(),
                    error => format!("{error}; {write_error}"),
                };
                PackedCacheStatus::Unavailable { reason }
            }
        };
        Ok((region, status))
    }
}

/// The sections of a model by their index.
struct ModelSections {
    position_embeddings: usize,
    /// None where there are no token types.
    token_type_embedding: Option<usize>,
    embedding_norm: usize,
    /// None where scores have no bias.
    relative_attention_bias: Option<usize>,
    layers: Vec<LayerSections>,
}

/// What the parts of a layer are computed in.
#[derive(Clone, Copy)]
struct LayerPrecision {
    /// Queries, keys and values, attention and what is made of its output.
    attention: Precision,
    feed_forward: Precision,
}

impl LayerPrecision {
    /// Of layer i of a model in that precision.
    ///
    /// In bf16 the last layer's attention stays f32: it is where a fifth of the error comes from, and no layer behind it
    /// averages that out. It is 6 % of the arithmetic of six layers.
    fn of(config: &EncoderConfig, i: usize, precision: Precision) -> LayerPrecision {
        let attention = match precision {
            Precision::Bf16 if i + 1 == config.num_hidden_layers => Precision::F32,
            precision => precision,
        };
        LayerPrecision { attention, feed_forward: precision }
    }
}

/// The sections of a layer: what each is, [`Layer`] says.
struct LayerSections {
    precision: LayerPrecision,
    qkv: usize,
    attention_output: usize,
    attention_norm: usize,
    intermediate: usize,
    output: usize,
    output_norm: usize,
}

impl ModelSections {
    /// Plans all sections. A layer is a batch: 7 MB in all-MiniLM-L6-v2.
    fn plan<'a>(
        plan: &mut Plan<'a>,
        tensors: &Tensors<'a>,
        config: &EncoderConfig,
        precision: Precision,
    ) -> Result<ModelSections, WeightsError> {
        let h = config.hidden_size;
        let mut rows = |name: &str, tensor, shape| plan.rows(name.to_owned(), 0, vec![tensor], shape);
        let position_embeddings = rows(
            "embeddings.position_embeddings",
            tensors.position_embeddings()?,
            [config.max_position_embeddings, h],
        );
        let token_type_embedding = tensors
            .token_type_embeddings()?
            .map(|types| rows("embeddings.token_type_embeddings", types, [1, h]));
        let shape = [config.relative_attention_num_buckets, config.num_attention_heads];
        let relative_attention_bias = tensors
            .relative_attention_bias()?
            .map(|biases| rows("encoder.relative_attention_bias", biases, shape));
        Ok(ModelSections {
            position_embeddings,
            token_type_embedding,
            relative_attention_bias,
            embedding_norm: plan_layer_norm(
                plan,
                "embeddings.LayerNorm".to_owned(),
                0,
                tensors.layer_norm(EMBEDDING_NORM)?,
                h,
            ),
            layers: (0..config.num_hidden_layers)
                .map(|i| {
                    let precision = LayerPrecision::of(config, i, precision);
                    LayerSections::plan(plan, tensors, config, i, precision)
                })
                .collect::<Result<_, _>>()?,
        })
    }

    /// Sets the factors of the products' inputs.
    fn set_factors(&self, plan: &mut Plan<'_>, factors: Vec<LayerFactors>) {
        for (layer, LayerFactors { qkv, intermediate }) in self.layers.iter().zip(factors) {
            plan.set_factors(layer.qkv, qkv);
            plan.set_factors(layer.intermediate, intermediate);
        }
    }
}

impl LayerSections {
    fn plan<'a>(
        plan: &mut Plan<'a>,
        tensors: &Tensors<'a>,
        config: &EncoderConfig,
        i: usize,
        precision: LayerPrecision,
    ) -> Result<LayerSections, WeightsError> {
        let (h, f, names) = (config.hidden_size, config.intermediate_size, tensors.names);
        let batch = i + 1;
        let mut dense = |section: &str, modules: &[&str], precision, shape| {
            let parts = modules
                .iter()
                .map(|module| tensors.linear(&tensors.of_layer(i, module), shape))
                .collect::<Result<_, _>>()?;
            Ok::<usize, WeightsError>(plan.dense(section_name(i, section), batch, precision, parts, shape))
        };
        let LayerPrecision { attention, feed_forward } = precision;
        let qkv = dense("attention.self.qkv", &[names.query, names.key, names.value], attention, [h, h])?;
        let attention_output = dense("attention.output.dense", &[names.attention_output], attention, [h, h])?;
        let intermediate = dense("intermediate.dense", &[names.intermediate], feed_forward, [f, h])?;
        let output = dense("output.dense", &[names.output], feed_forward, [h, f])?;
        let mut layer_norm = |section: &str, module: &str| {
            let parameters = tensors.layer_norm(&tensors.of_layer(i, module))?;
            Ok::<usize, WeightsError>(plan_layer_norm(plan, section_name(i, section), batch, parameters, h))
        };
        Ok(LayerSections {
            precision,
            qkv,
            attention_output,
            attention_norm: layer_norm("attention.output.LayerNorm", names.attention_norm)?,
            intermediate,
            output,
            output_norm: layer_norm("output.LayerNorm", names.output_norm)?,
        })
    }

    fn of(&self, packed: &Packed, config: &EncoderConfig) -> Layer {
        let LayerPrecision { attention, feed_forward } = self.precision;
        let eps = config.layer_norm_eps;
        Layer {
            qkv: packed.linear(self.qkv, attention),
            attention_output: packed.linear(self.attention_output, attention),
            attention_norm: packed.layer_norm(self.attention_norm, eps),
            intermediate: packed.linear(self.intermediate, feed_forward),
            activation: config.hidden_act.activation(feed_forward),
            output: packed.linear(self.output, feed_forward),
            output_norm: packed.layer_norm(self.output_norm, eps),
        }
    }
}

/// Of a layer's section: BERT's names, whatever the architecture calls a thing.
fn section_name(layer: usize, part: &str) -> String {
    format!("encoder.layer.{layer}.{part}")
}

/// Plans a section of gamma and beta.
fn plan_layer_norm<'a>(
    plan: &mut Plan<'a>,
    name: String,
    batch: usize,
    parameters: [Tensor<'a>; 2],
    hidden_size: usize,
) -> usize {
    plan.rows(name, batch, parameters.to_vec(), [2, hidden_size])
}

/// Biases `[buckets][heads]` → those of all distances that occur, `[heads][2 · max_positions − 1]`, the most negative distance
/// first: what [`PositionBias`](minilm_kernels::PositionBias) is made of.
fn bias_by_distance(biases: &[f32], config: &EncoderConfig) -> Vec<f32> {
    let heads = config.num_attention_heads;
    let most = config.max_positions().cast_signed() - 1;
    let of_head = |head| (-most..=most).map(move |d| biases[relative_position_bucket(d) * heads + head]);
    (0..heads).flat_map(of_head).collect()
}
