//! The modules of a sentence-transformers folder: which follow each other, and what they make of the encoder's states.
//!
//! As `SentenceTransformer` and its modules are in sentence-transformers 5.7: a Transformer, a Pooling, and any number of those
//! that change the text's vector.
//!
//! | module | file |
//! |---|---|
//! | Transformer | the crate `minilm-encoder`; what it says about texts: `text_settings.rs` |
//! | Pooling | `pooling.rs` |
//! | Dense | `dense.rs` |
//! | LayerNorm | `layer_norm.rs` |
//! | Normalize, Dropout | here: a function of the kernels, and nothing |

mod dense;
mod files;
mod layer_norm;
mod pooling;
mod text_settings;

use std::path::{Path, PathBuf};

use minilm_kernels::{Isa, LayerNorm, l2_normalize, layer_norm as normalize_rows};

use crate::Error;
use crate::folder::{ADAPTER_CONFIG, CONFIG, MODULES, Module, WEIGHTS};
use crate::model_settings::ModelSettings;
use dense::{Dense, DenseSettings};
use files::read_bytes;
pub(crate) use files::read_optional;
pub(crate) use pooling::Pooling;
pub use pooling::PoolingMode;
pub(crate) use text_settings::TextSettings;

/// What `modules.json` and the settings of the modules say; no weights have been read.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    /// Whether there is a `modules.json`.
    has_modules: bool,
    /// The directory of the encoder's and the tokenizer's files.
    pub(crate) transformer: PathBuf,
    pooling: Pooling,
    after_pooling: Vec<(PathBuf, ModuleSettings)>,
}

/// A module behind the pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ModuleSettings {
    Dense(DenseSettings),
    LayerNorm { dimension: usize },
    Normalize,
}

/// All modules but the transformer: from the states of a text's tokens to its vector.
#[derive(Debug)]
pub(crate) struct SentenceModules {
    pub(crate) pooling: Pooling,
    /// The encoder's states `[tokens][hidden_size]` are pooled to `[modes · hidden_size]`.
    hidden_size: usize,
    after_pooling: Vec<SentenceModule>,
    /// How many components the text's vector has in the end.
    dimension: usize,
}

/// A module that makes another vector of a text's.
#[derive(Debug)]
enum SentenceModule {
    Dense {
        layer: Dense,
        /// The file.
        weights: PathBuf,
    },
    LayerNorm {
        parameters: LayerNorm,
        /// The file.
        weights: PathBuf,
    },
    Normalize,
}

/// A module's output, for those who want to see each.
pub(crate) struct ModuleStep {
    /// `dense`, and from the second on of a kind also its number: `dense.1`.
    pub(crate) name: String,
    pub(crate) description: String,
    /// The function that specifies it, where one does.
    pub(crate) reference: Option<&'static str>,
}

impl Pipeline {
    /// Reads `modules.json` and the settings of the modules it names. A folder without one is a plain
    /// transformer, whose tokens sentence-transformers pools by their mean. An adapter is refused.
    pub(crate) fn read(directory: &Path) -> Result<Pipeline, Error> {
        let path = directory.join(MODULES);
        let Some(json) = read_bytes(&path)? else {
            let transformer = directory.to_owned();
            refuse_adapter(&transformer)?;
            let (pooling, after_pooling) = (Pooling::mean(), Vec::new());
            return Ok(Pipeline { has_modules: false, transformer, pooling, after_pooling });
        };
        let settings = |reason| Error::Settings { path: path.clone(), reason };
        let modules = Module::parse_list(&json).map_err(settings)?;
        let kinds: Vec<&str> = modules.iter().map(Module::kind).collect();
        let known = ["Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "Dropout"];
        let expected = "expected Transformer, Pooling, then any of Dense, LayerNorm, Normalize and Dropout, in this order";
        let is_known =
            |module: &Module| module.is_of_sentence_transformers() && known.contains(&module.kind());
        if let Some(module) = modules.iter().find(|module| !is_known(module)) {
            let reason = format!("the module type \"{}\" is not supported", module.class);
            return Err(settings(format!("{reason}; {expected}")));
        }
        let (["Transformer", "Pooling", after @ ..], [transformer, pooling, ..]) = (&kinds[..], &modules[..])
        else {
            return Err(settings(format!("the modules are {}; {expected}", kinds.join(", "))));
        };
        if after.iter().any(|kind| ["Transformer", "Pooling"].contains(kind)) {
            return Err(settings(format!("the modules are {}; {expected}", kinds.join(", "))));
        }
        let transformer = directory.join(&transformer.path);
        refuse_adapter(&transformer)?;
        let mut after_pooling = Vec::new();
        for (module, kind) in modules[2..].iter().zip(after) {
            let directory = directory.join(&module.path);
            let settings = match *kind {
                "Dense" => ModuleSettings::Dense(DenseSettings::read(&directory)?),
                "LayerNorm" => {
                    ModuleSettings::LayerNorm { dimension: layer_norm::read_dimension(&directory)? }
                }
                "Normalize" => ModuleSettings::Normalize,
                // Does nothing but in training.
                _ => continue,
            };
            after_pooling.push((directory, settings));
        }
        Ok(Pipeline {
            has_modules: true,
            transformer,
            pooling: Pooling::read(&directory.join(&pooling.path).join(CONFIG))?,
            after_pooling,
        })
    }

    /// Reads what the folder says about texts, for an encoder of so many positions.
    pub(crate) fn text_settings(&self, max_positions: usize) -> Result<TextSettings, Error> {
        let read = if self.has_modules { TextSettings::read } else { TextSettings::of_tokenizer };
        read(&self.transformer, max_positions)
    }

    /// Reads what the folder says about its vectors. sentence-transformers does not look where there are no modules.
    pub(crate) fn model_settings(&self, directory: &Path) -> Result<ModelSettings, Error> {
        if self.has_modules { ModelSettings::read(directory) } else { Ok(ModelSettings::default()) }
    }

    /// Reads the modules' weights, for an encoder of that hidden size.
    pub(crate) fn load(self, hidden_size: usize) -> Result<SentenceModules, Error> {
        let Pipeline { pooling, after_pooling, .. } = self;
        let mut dimension = hidden_size.saturating_mul(pooling.modes.len());
        let mut modules = Vec::new();
        for (directory, settings) in after_pooling {
            let takes = |field: &str, found: usize| {
                if found == dimension {
                    return Ok(());
                }
                let reason =
                    format!("{field} is {found}, but the vector before it has {dimension} components");
                Err(Error::Settings { path: directory.join(CONFIG), reason })
            };
            let weights = directory.join(WEIGHTS);
            modules.push(match settings {
                ModuleSettings::Dense(dense) => {
                    takes("in_features", dense.in_features)?;
                    dimension = dense.out_features;
                    SentenceModule::Dense { layer: dense.load(&weights)?, weights }
                }
                ModuleSettings::LayerNorm { dimension } => {
                    takes("dimension", dimension)?;
                    let parameters = layer_norm::load(&weights, dimension)?;
                    SentenceModule::LayerNorm { parameters, weights }
                }
                ModuleSettings::Normalize => SentenceModule::Normalize,
            });
        }
        Ok(SentenceModules { pooling, hidden_size, after_pooling: modules, dimension })
    }
}

/// With an adapter's config beside it, sentence-transformers computes another network than that of `config.json` and
/// `model.safetensors`, or these are not there.
fn refuse_adapter(transformer: &Path) -> Result<(), Error> {
    let path = transformer.join(ADAPTER_CONFIG);
    if !path.exists() {
        return Ok(());
    }
    let reason = "it is an adapter (PEFT) of another model, and adapters are not applied here; merge it in Python: \
                  model = SentenceTransformer(FOLDER), then \
                  model[0].model = peft.AutoPeftModelForFeatureExtraction.from_pretrained(FOLDER).merge_and_unload(), \
                  then model.save_pretrained(...)"
        .to_owned();
    Err(Error::Settings { path, reason })
}

impl SentenceModules {
    /// How many components a text's vector has.
    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    /// How many components the encoder's states have.
    pub(crate) fn hidden_size(&self) -> usize {
        self.hidden_size
    }

    /// What the modules behind the pooling compute, in their order, and the file of each one's weights.
    pub(crate) fn after_pooling(&self) -> impl Iterator<Item = (String, Option<&Path>)> {
        self.after_pooling.iter().map(|module| {
            let weights = match module {
                SentenceModule::Dense { weights, .. } | SentenceModule::LayerNorm { weights, .. } => {
                    Some(weights.as_path())
                }
                SentenceModule::Normalize => None,
            };
            (module.step(0).description, weights)
        })
    }

    /// All modules behind the transformer in their order, each by its name and what is known of it.
    pub(crate) fn names(&self) -> Vec<String> {
        let modes: Vec<&str> = self.pooling.modes.iter().map(|mode| mode.name()).collect();
        let mut names = vec![format!("Pooling ({})", modes.join(" + "))];
        names.extend(self.after_pooling.iter().map(|module| match module {
            SentenceModule::Dense { layer, .. } => layer.name(),
            SentenceModule::LayerNorm { .. } => "LayerNorm".to_owned(),
            SentenceModule::Normalize => "Normalize".to_owned(),
        }));
        names
    }

    /// Whether vectors are of length 1.
    pub(crate) fn normalizes(&self) -> bool {
        matches!(self.after_pooling.last(), Some(SentenceModule::Normalize))
    }

    /// The states `[tokens][hidden_size]` of a text → its vector `[dimension]`. The first tokens are a prompt's: whether they
    /// are pooled, the caller has looked up. Without `scaling`, a `Normalize` at the end is left out.
    pub(crate) fn vector(
        &self,
        isa: Isa,
        states: &[f32],
        prompt_tokens: usize,
        scaling: bool,
        out: &mut [f32],
    ) {
        let modules = match self.after_pooling.split_last() {
            Some((SentenceModule::Normalize, before)) if !scaling => before,
            _ => &self.after_pooling[..],
        };
        let pooled_dimension = self.pooling.modes.len() * self.hidden_size;
        let has_dense = modules.iter().any(|module| matches!(module, SentenceModule::Dense { .. }));
        if !has_dense {
            self.pooling.pool(isa, states, prompt_tokens, out);
            modules.iter().for_each(|module| module.apply_in_place(isa, out));
            return;
        }
        let mut vector = vec![0.0; pooled_dimension];
        self.pooling.pool(isa, states, prompt_tokens, &mut vector);
        for module in modules {
            vector = module.apply(isa, vector);
        }
        out.copy_from_slice(&vector);
    }

    /// As [`vector`](Self::vector), one module after the other: the pooled vector, then what each module makes of it. `see` is
    /// shown every one, and may give back what is to take its place.
    pub(crate) fn vector_in_steps(
        &self,
        isa: Isa,
        states: &[f32],
        prompt_tokens: usize,
        see: &mut dyn FnMut(&ModuleStep, Vec<f32>) -> Vec<f32>,
    ) -> Vec<f32> {
        let mut vector = vec![0.0; self.pooling.modes.len() * self.hidden_size];
        self.pooling.pool(isa, states, prompt_tokens, &mut vector);
        vector = see(&self.pooling.step(), vector);
        for (i, module) in self.after_pooling.iter().enumerate() {
            let alike = |before: &&SentenceModule| before.output_name() == module.output_name();
            let before = self.after_pooling[..i].iter().filter(alike).count();
            vector = module.apply(isa, vector);
            vector = see(&module.step(before), vector);
        }
        vector
    }
}

impl SentenceModule {
    fn apply(&self, isa: Isa, mut x: Vec<f32>) -> Vec<f32> {
        if let SentenceModule::Dense { layer, .. } = self {
            return layer.apply(isa, &x);
        }
        self.apply_in_place(isa, &mut x);
        x
    }

    /// That of a module which keeps the number of components. A dense layer has others in any case.
    fn apply_in_place(&self, isa: Isa, x: &mut [f32]) {
        match self {
            SentenceModule::Dense { layer, .. } => x.copy_from_slice(&layer.apply(isa, x)),
            SentenceModule::LayerNorm { parameters, .. } => normalize_rows(isa, x, parameters),
            SentenceModule::Normalize => l2_normalize(isa, x),
        }
    }

    /// The name of its output.
    fn output_name(&self) -> &'static str {
        match self {
            SentenceModule::Dense { .. } => "dense",
            SentenceModule::LayerNorm { .. } => "layer_norm",
            SentenceModule::Normalize => "normalized",
        }
    }

    /// Its output, the `before`-th of its kind.
    fn step(&self, before: usize) -> ModuleStep {
        let kind = self.output_name();
        let name = if before == 0 { kind.to_owned() } else { format!("{kind}.{before}") };
        let (description, reference) = match self {
            SentenceModule::Dense { layer, .. } => (layer.describe(), None),
            SentenceModule::LayerNorm { .. } => (
                "LayerNorm by the module's norm.weight and norm.bias, eps 1e-5".to_owned(),
                Some("layer_norm"),
            ),
            SentenceModule::Normalize => ("scaled to unit length".to_owned(), Some("l2_normalize")),
        };
        ModuleStep { name, description, reference }
    }
}

#[cfg(test)]
mod tests;
