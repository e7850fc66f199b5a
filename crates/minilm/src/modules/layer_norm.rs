//! A LayerNorm over a text's vector: `LayerNorm` of sentence-transformers.

use std::path::Path;

use minilm_kernels::LayerNorm;
use minilm_weights::Weights;
use serde::Deserialize;

use super::files::read;
use crate::Error;
use crate::folder::CONFIG;

/// `torch.nn.LayerNorm`'s default, which the module leaves.
const EPS: f32 = 1e-5;

/// The module's `config.json`.
#[derive(Deserialize)]
struct LayerNormConfig {
    dimension: usize,
}

/// How many components the module takes.
pub(super) fn read_dimension(directory: &Path) -> Result<usize, Error> {
    let LayerNormConfig { dimension } = read(&directory.join(CONFIG))?;
    Ok(dimension)
}

/// The parameters in that file.
pub(super) fn load(path: &Path, dimension: usize) -> Result<LayerNorm, Error> {
    let weights = Weights::open(path)?;
    let [gamma, beta] = ["norm.weight", "norm.bias"].map(|name| weights.tensor(name, &[dimension]));
    Ok(LayerNorm { gamma: gamma?.to_f32(), beta: beta?.to_f32(), eps: EPS })
}
