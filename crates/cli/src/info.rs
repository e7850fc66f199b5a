use std::collections::BTreeMap;
use std::io::{self, Write};

use minilm::{Isa, LoadOptions, SentenceTransformer, cpu_features};
use serde::Serialize;

use crate::arguments::InfoArguments;
use crate::error::CliError;
use crate::model::cache_options;
use crate::output::Output;

/// What `info --json` prints.
#[derive(Serialize)]
struct Info {
    version: &'static str,
    isa: IsaInfo,
    threads: usize,
    model: Option<ModelInfo>,
    /// Why there is no model, if there is none.
    model_error: Option<String>,
}

#[derive(Serialize)]
struct IsaInfo {
    selected: &'static str,
    available: Vec<&'static str>,
    cpu_features: Vec<&'static str>,
}

#[derive(Serialize)]
struct ModelInfo {
    name: Option<String>,
    directory: String,
    source: String,
    snapshot: Option<String>,
    /// As the model's card states it.
    license: Option<String>,
    architecture: String,
    dimension: usize,
    max_seq_length: usize,
    pooling: String,
    normalize: bool,
    modules: Vec<String>,
    similarity_function: &'static str,
    prompts: BTreeMap<String, String>,
    default_prompt_name: Option<String>,
    num_hidden_layers: usize,
    hidden_size: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    weights_bytes: usize,
    weights_type: String,
}

/// Looks at what is on this machine, and fetches nothing.
pub(crate) fn run(arguments: &InfoArguments) -> Result<(), CliError> {
    let isa = Isa::from_env()?;
    let resolve = cache_options(&arguments.cache).offline(true);
    let loaded = SentenceTransformer::load_with(&arguments.model, &LoadOptions::default().resolve(resolve));
    let (model, model_error) = match loaded {
        Ok(model) => (Some(ModelInfo::of(&model)), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let info = Info {
        version: env!("CARGO_PKG_VERSION"),
        isa: IsaInfo {
            selected: isa.name(),
            available: Isa::available().into_iter().map(Isa::name).collect(),
            cpu_features: cpu_features(),
        },
        threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
        model,
        model_error,
    };
    Output::stdout().write(|to| {
        if arguments.json {
            serde_json::to_writer_pretty(&mut *to, &info)?;
            writeln!(to)
        } else {
            info.print(to)
        }
    })
}

impl ModelInfo {
    fn of(model: &SentenceTransformer) -> ModelInfo {
        let (config, resolved) = (model.config(), model.resolved());
        ModelInfo {
            name: resolved.name().map(str::to_owned),
            directory: resolved.directory().display().to_string(),
            source: resolved.source().to_string(),
            snapshot: resolved.snapshot().map(str::to_owned),
            license: resolved.license(),
            architecture: config.architecture.to_string(),
            dimension: model.embedding_dimension(),
            max_seq_length: model.max_seq_length(),
            pooling: model.pooling_modes().iter().map(|mode| mode.name()).collect::<Vec<_>>().join(" + "),
            normalize: model.normalizes(),
            modules: model.modules(),
            similarity_function: model.similarity_function().name(),
            prompts: model.prompts().map(|(name, prompt)| (name.to_owned(), prompt.to_owned())).collect(),
            default_prompt_name: model.default_prompt_name().map(str::to_owned),
            num_hidden_layers: config.num_hidden_layers,
            hidden_size: config.hidden_size,
            num_attention_heads: config.num_attention_heads,
            intermediate_size: config.intermediate_size,
            vocab_size: config.vocab_size,
            weights_bytes: model.weights_size(),
            weights_type: model.weights_type().to_string(),
        }
    }
}

impl Info {
    fn print(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut line = |name: &str, value: &dyn std::fmt::Display| writeln!(to, "{name:<18} {value}");
        line("minilm", &self.version)?;
        line("instruction set", &format!("{} (of {})", self.isa.selected, self.isa.available.join(", ")))?;
        line("CPU features", &self.isa.cpu_features.join(", "))?;
        line("threads", &self.threads)?;
        if let Some(error) = &self.model_error {
            line("model", &format!("not loaded: {error}"))?;
            return writeln!(to, "\n`minilm pull NAME` fetches a model that is not on this machine.");
        }
        let Some(model) = &self.model else { return Ok(()) };
        line("model", &model.name.as_deref().unwrap_or("(by path)"))?;
        line("directory", &model.directory)?;
        if let Some(snapshot) = &model.snapshot {
            line("snapshot", snapshot)?;
        }
        if let Some(license) = &model.license {
            line("licence", license)?;
        }
        line("architecture", &model.architecture)?;
        let shape = format!(
            "{} layers of {} × {} heads, feed-forward {}",
            model.num_hidden_layers, model.hidden_size, model.num_attention_heads, model.intermediate_size
        );
        line("layers", &shape)?;
        line("vocabulary", &format!("{} tokens", model.vocab_size))?;
        line("max_seq_length", &format!("{} tokens", model.max_seq_length))?;
        let normalize = if model.normalize { ", scaled to unit length" } else { "" };
        line("vectors", &format!("{} components, {} pooling{normalize}", model.dimension, model.pooling))?;
        line("modules", &format!("Transformer, {}", model.modules.join(", ")))?;
        line("similarity", &model.similarity_function)?;
        for (name, prompt) in model.prompts.iter().filter(|(_, prompt)| !prompt.is_empty()) {
            let default = if model.default_prompt_name.as_ref() == Some(name) { " (default)" } else { "" };
            line("prompt", &format!("{name}: {prompt:?}{default}"))?;
        }
        line("weights", &format!("{}, {} bytes", model.weights_type, model.weights_bytes))
    }
}
