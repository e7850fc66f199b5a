//! A dense layer over a text's vector: `Dense` of sentence-transformers.

use std::path::Path;

use minilm_kernels::{Activation, Epilogue, Isa, PackedLinear, Precision, linear};
use minilm_weights::Weights;
use serde::Deserialize;

use super::files::read;
use crate::Error;
use crate::folder::CONFIG;

/// The module's `config.json`.
#[derive(Deserialize)]
struct DenseConfig {
    in_features: usize,
    out_features: usize,
    #[serde(default = "yes")]
    bias: bool,
    /// The class in Python.
    #[serde(default = "tanh")]
    activation_function: String,
    module_input_name: Option<String>,
    module_output_name: Option<String>,
}

fn yes() -> bool {
    true
}

fn tanh() -> String {
    "torch.nn.modules.activation.Tanh".to_owned()
}

/// x `[in_features]` → activation(weight `[out_features][in_features]` · x + bias `[out_features]`), in f32 whatever the
/// encoder computes in: it is one row a text.
#[derive(Debug)]
pub(crate) struct Dense {
    weight: PackedLinear,
    has_bias: bool,
    /// None for the identity.
    activation: Option<Activation>,
}

/// What is known of a dense layer before its weights are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DenseSettings {
    pub(crate) in_features: usize,
    pub(crate) out_features: usize,
    pub(crate) activation: Option<Activation>,
    bias: bool,
}

impl DenseSettings {
    pub(super) fn read(directory: &Path) -> Result<DenseSettings, Error> {
        let path = directory.join(CONFIG);
        let config: DenseConfig = read(&path)?;
        let settings = |reason| Error::Settings { path: path.clone(), reason };
        for (name, size) in [("in_features", config.in_features), ("out_features", config.out_features)] {
            if size == 0 {
                return Err(settings(format!("{name} is 0, expected at least 1")));
            }
        }
        let names = [("input", &config.module_input_name), ("output", &config.module_output_name)];
        for (end, name) in names {
            if let Some(name) = name.as_ref().filter(|&name| name != "sentence_embedding") {
                let expected = "expected \"sentence_embedding\"";
                return Err(settings(format!("module_{end}_name is {name:?}, {expected}")));
            }
        }
        let class = &config.activation_function[..];
        let of_torch = class.strip_prefix("torch.nn.").and_then(|class| class.rsplit('.').next());
        let activation = match of_torch {
            Some("Identity") => None,
            Some("Tanh") => Some(Activation::Tanh),
            Some("ReLU") => Some(Activation::Relu),
            Some("GELU") => Some(Activation::Gelu),
            Some("Sigmoid") => Some(Activation::Sigmoid),
            Some("SiLU") => Some(Activation::Silu),
            _ => {
                let expected = "expected Identity, Tanh, ReLU, GELU, Sigmoid or SiLU of torch.nn";
                return Err(settings(format!("activation_function is {class:?}, {expected}")));
            }
        };
        let DenseConfig { in_features, out_features, bias, .. } = config;
        Ok(DenseSettings { in_features, out_features, activation, bias })
    }

    /// The layer with the weights of that file.
    pub(super) fn load(self, path: &Path) -> Result<Dense, Error> {
        let DenseSettings { in_features: k, out_features: n, activation, bias: has_bias } = self;
        let weights = Weights::open(path)?;
        if !has_bias && weights.contains("linear.bias") {
            let reason = "it has the tensor \"linear.bias\", but config.json's bias is false".to_owned();
            return Err(Error::Settings { path: path.to_owned(), reason });
        }
        let weight = weights.tensor("linear.weight", &[n, k])?.to_f32();
        let bias = if has_bias { weights.tensor("linear.bias", &[n])?.to_f32() } else { vec![0.0; n] };
        let weight = PackedLinear::pack(Precision::F32, &[(&weight, &bias)], k);
        Ok(Dense { weight, has_bias, activation })
    }
}

impl Dense {
    /// What it computes, by the functions that specify it.
    pub(super) fn describe(&self) -> String {
        let linear = "linear with the module's linear.weight and linear.bias";
        let linear = if self.has_bias {
            linear.to_owned()
        } else {
            "linear with the module's linear.weight".to_owned()
        };
        match self.activation {
            None => linear,
            Some(activation) => format!("{linear}, then {} of each", function(activation)),
        }
    }

    /// `Dense 768 → 512, tanh`
    pub(super) fn name(&self) -> String {
        let activation = self.activation.map_or(String::new(), |a| format!(", {}", function(a)));
        format!("Dense {} → {}{activation}", self.weight.k(), self.weight.n())
    }

    /// One vector.
    pub(super) fn apply(&self, isa: Isa, x: &[f32]) -> Vec<f32> {
        let epilogue = self.activation.map_or(Epilogue::Bias, Epilogue::Activation);
        let mut out = vec![0.0; self.weight.n()];
        linear(isa, x, &self.weight, epilogue, &mut out);
        out
    }
}

/// The function of `minilm_kernels::reference` that specifies an activation.
fn function(activation: Activation) -> &'static str {
    match activation {
        Activation::Tanh => "tanh",
        Activation::Relu => "relu",
        Activation::Sigmoid => "sigmoid",
        Activation::Silu => "silu",
        _ => "gelu",
    }
}
