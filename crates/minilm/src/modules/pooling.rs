//! How the vectors of a text's tokens become one: `Pooling` of sentence-transformers.

use std::fmt;
use std::path::Path;

use minilm_kernels::{
    Isa, cls_pool, last_token_pool, max_pool, mean_pool, mean_sqrt_len_pool, weighted_mean_pool,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::ModuleStep;
use super::files::read;
use crate::Error;

/// How the vectors of a text's tokens become one, by sentence-transformers' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PoolingMode {
    /// `cls`: the first token's.
    Cls,
    /// `max`: each component's maximum.
    Max,
    /// `mean`: their mean.
    Mean,
    /// `mean_sqrt_len_tokens`: their sum, divided by the square root of their number.
    MeanSqrtLen,
    /// `weightedmean`: their mean, the first token with weight 1, the second with 2, and so on.
    WeightedMean,
    /// `lasttoken`: the last token's.
    LastToken,
}

impl PoolingMode {
    /// All of them, in the order in which sentence-transformers concatenates what old files turn on by a flag each.
    pub const ALL: [PoolingMode; 6] = [
        PoolingMode::Cls,
        PoolingMode::Max,
        PoolingMode::Mean,
        PoolingMode::MeanSqrtLen,
        PoolingMode::WeightedMean,
        PoolingMode::LastToken,
    ];

    /// sentence-transformers' name.
    pub fn name(self) -> &'static str {
        match self {
            PoolingMode::Cls => "cls",
            PoolingMode::Max => "max",
            PoolingMode::Mean => "mean",
            PoolingMode::MeanSqrtLen => "mean_sqrt_len_tokens",
            PoolingMode::WeightedMean => "weightedmean",
            PoolingMode::LastToken => "lasttoken",
        }
    }

    /// What turns it on in an old file, behind `pooling_mode_`.
    fn flag(self) -> &'static str {
        match self {
            PoolingMode::Cls => "cls_token",
            PoolingMode::Max => "max_tokens",
            PoolingMode::Mean => "mean_tokens",
            PoolingMode::MeanSqrtLen => "mean_sqrt_len_tokens",
            PoolingMode::WeightedMean => "weightedmean_tokens",
            PoolingMode::LastToken => "lasttoken",
        }
    }
}

impl PoolingMode {
    /// What it makes of the tokens, and the function that specifies it; none where it is one of them.
    fn describe(self) -> (&'static str, Option<&'static str>) {
        match self {
            PoolingMode::Cls => ("the first token's row", None),
            PoolingMode::Max => ("each component's maximum over the tokens", Some("max_pool")),
            PoolingMode::Mean => ("the mean over the tokens", Some("mean_pool")),
            PoolingMode::MeanSqrtLen => {
                ("the sum over the tokens, divided by the root of their number", Some("mean_sqrt_len_pool"))
            }
            PoolingMode::WeightedMean => {
                ("the mean over the tokens, weighted by their positions", Some("weighted_mean_pool"))
            }
            PoolingMode::LastToken => ("the last token's row", None),
        }
    }
}

impl fmt::Display for PoolingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// More than anybody concatenates.
const MOST_MODES: usize = 16;

/// How a text's tokens become one vector: by each mode in turn, the vectors one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pooling {
    /// At least one.
    pub(crate) modes: Vec<PoolingMode>,
    /// Whether the tokens of a prompt are among them.
    pub(crate) include_prompt: bool,
}

/// The module's `config.json`: a name (or a list of them), or in older files a flag for each mode.
#[derive(Deserialize)]
struct PoolingConfig {
    pooling_mode: Option<Value>,
    #[serde(default = "included")]
    include_prompt: bool,
    #[serde(flatten)]
    others: Map<String, Value>,
}

fn included() -> bool {
    true
}

impl Pooling {
    /// What sentence-transformers does where there are no modules.
    pub(super) fn mean() -> Pooling {
        Pooling { modes: vec![PoolingMode::Mean], include_prompt: true }
    }

    pub(super) fn read(path: &Path) -> Result<Pooling, Error> {
        let config: PoolingConfig = read(path)?;
        let modes = config.modes().map_err(|found| {
            let expected = PoolingMode::ALL.map(PoolingMode::name).join(", ");
            let reason = format!("the pooling mode is {found}; expected one or several of {expected}");
            Error::Settings { path: path.to_owned(), reason }
        })?;
        Ok(Pooling { modes, include_prompt: config.include_prompt })
    }

    /// Its output, for those who want to see it.
    pub(super) fn step(&self) -> ModuleStep {
        let (description, reference) = match self.modes[..] {
            [mode] => mode.describe(),
            _ => ("each pooling mode's vector, one behind the other", None),
        };
        ModuleStep { name: "pooled".to_owned(), description: description.to_owned(), reference }
    }

    /// The states `[tokens][hidden_size]` of one text → out `[modes][hidden_size]`. The first tokens are a prompt's, to be
    /// left out.
    ///
    /// What has no tokens is zero. But the first token of all is taken as the first where nothing but a prompt is left, as
    /// sentence-transformers does it.
    pub(crate) fn pool(&self, isa: Isa, states: &[f32], prompt_tokens: usize, out: &mut [f32]) {
        let h = out.len() / self.modes.len();
        let pooled = states.get(prompt_tokens * h..).unwrap_or_default();
        for (mode, out) in self.modes.iter().zip(out.chunks_exact_mut(h)) {
            match mode {
                PoolingMode::Cls if !states.is_empty() => {
                    cls_pool(if pooled.is_empty() { states } else { pooled }, out);
                }
                _ if pooled.is_empty() => out.fill(0.0),
                PoolingMode::Cls => {}
                PoolingMode::Max => max_pool(isa, pooled, out),
                PoolingMode::Mean => mean_pool(isa, pooled, out),
                PoolingMode::MeanSqrtLen => mean_sqrt_len_pool(isa, pooled, out),
                // Weights are positions in the whole text.
                PoolingMode::WeightedMean => weighted_mean_pool(isa, pooled, prompt_tokens + 1, out),
                PoolingMode::LastToken => last_token_pool(pooled, out),
            }
        }
    }
}

impl PoolingConfig {
    /// Or what is asked for instead.
    fn modes(&self) -> Result<Vec<PoolingMode>, String> {
        let names = match &self.pooling_mode {
            Some(Value::String(name)) => vec![name.as_str()],
            Some(Value::Array(names)) if (1..=MOST_MODES).contains(&names.len()) => {
                let names = names.iter().map(|name| name.as_str().ok_or_else(|| name.to_string()));
                names.collect::<Result<_, _>>()?
            }
            Some(Value::Array(names)) if !names.is_empty() => {
                return Err(format!("a list of {} (at most {MOST_MODES})", names.len()));
            }
            Some(other) => return Err(other.to_string()),
            None => return self.flagged(),
        };
        let of = |name: &str| PoolingMode::ALL.into_iter().find(|mode| mode.name() == name);
        names.into_iter().map(|name| of(name).ok_or_else(|| format!("{name:?}"))).collect()
    }

    /// Without any flag, it is the mean.
    fn flagged(&self) -> Result<Vec<PoolingMode>, String> {
        let mut flags = Vec::new();
        for (name, value) in &self.others {
            let Some(flag) = name.strip_prefix("pooling_mode_") else { continue };
            match value {
                Value::Bool(true) => flags.push(flag),
                Value::Bool(false) | Value::Null => {}
                // True or false to Python, and to nobody else.
                other => return Err(format!("{flag:?} {other}, neither true nor false")),
            }
        }
        let known = |flag: &str| PoolingMode::ALL.iter().any(|mode| mode.flag() == flag);
        if let Some(unknown) = flags.iter().find(|flag| !known(flag)) {
            return Err(format!("\"{unknown}\""));
        }
        let modes: Vec<_> =
            PoolingMode::ALL.into_iter().filter(|mode| flags.contains(&mode.flag())).collect();
        Ok(if modes.is_empty() { vec![PoolingMode::Mean] } else { modes })
    }
}
