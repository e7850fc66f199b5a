//! The tensors of a weights file, by what they are to the encoder: every one is checked against the config.

use minilm_weights::{Tensor, Weights, WeightsError};

use crate::EncoderConfig;
use crate::architecture::{
    POSITION_EMBEDDINGS, RELATIVE_ATTENTION_BIAS, TOKEN_TYPE_EMBEDDINGS, TensorNames, WORD_EMBEDDINGS,
};

/// A weights file and what its tensors are called.
pub(crate) struct Tensors<'a> {
    weights: &'a Weights,
    config: &'a EncoderConfig,
    pub(crate) names: &'static TensorNames,
    prefix: &'static str,
}

impl<'a> Tensors<'a> {
    pub(crate) fn new(weights: &'a Weights, config: &'a EncoderConfig) -> Tensors<'a> {
        let names = config.architecture.tensor_names();
        let has_prefix = weights.contains(&format!("{}{WORD_EMBEDDINGS}.weight", names.prefix));
        Tensors { weights, config, names, prefix: if has_prefix { names.prefix } else { "" } }
    }

    /// A part of layer i, without the prefix.
    pub(crate) fn of_layer(&self, i: usize, part: &str) -> String {
        format!("{}.{i}.{part}", self.names.layer)
    }

    /// The name of a module's weight.
    pub(crate) fn weight_name(&self, module: &str) -> String {
        format!("{}{module}.weight", self.prefix)
    }

    /// The names of an `nn.Linear`'s weight and bias.
    pub(crate) fn linear_names(&self, module: &str) -> [String; 2] {
        [self.weight_name(module), format!("{}{module}.bias", self.prefix)]
    }

    /// The names of a LayerNorm's weight and bias. Files converted from TensorFlow call them gamma and beta, as
    /// bert-base-uncased's does.
    pub(crate) fn layer_norm_names(&self, module: &str) -> [String; 2] {
        let old = ["gamma", "beta"].map(|end| format!("{}{module}.{end}", self.prefix));
        if self.weights.contains(&old[0]) { old } else { self.linear_names(module) }
    }

    /// `[vocab_size][hidden_size]`
    pub(crate) fn word_embeddings(&self) -> Result<Tensor<'a>, WeightsError> {
        self.embeddings(WORD_EMBEDDINGS, [self.config.vocab_size, self.config.hidden_size])
    }

    /// `[max_position_embeddings][hidden_size]`
    pub(crate) fn position_embeddings(&self) -> Result<Tensor<'a>, WeightsError> {
        let shape = [self.config.max_position_embeddings, self.config.hidden_size];
        self.embeddings(POSITION_EMBEDDINGS, shape)
    }

    /// `[type_vocab_size][hidden_size]`, where there are token types.
    pub(crate) fn token_type_embeddings(&self) -> Result<Option<Tensor<'a>>, WeightsError> {
        let shape = [self.config.type_vocab_size, self.config.hidden_size];
        (shape[0] > 0).then(|| self.embeddings(TOKEN_TYPE_EMBEDDINGS, shape)).transpose()
    }

    /// `[relative_attention_num_buckets][num_attention_heads]`, where there are such.
    pub(crate) fn relative_attention_bias(&self) -> Result<Option<Tensor<'a>>, WeightsError> {
        let shape = [self.config.relative_attention_num_buckets, self.config.num_attention_heads];
        (shape[0] > 0).then(|| self.embeddings(RELATIVE_ATTENTION_BIAS, shape)).transpose()
    }

    fn embeddings(&self, module: &str, shape: [usize; 2]) -> Result<Tensor<'a>, WeightsError> {
        self.weights.tensor(&self.weight_name(module), &shape)
    }

    /// Weight and bias of an `nn.Linear` of n outputs and k inputs.
    pub(crate) fn linear(
        &self,
        module: &str,
        [n, k]: [usize; 2],
    ) -> Result<(Tensor<'a>, Tensor<'a>), WeightsError> {
        let [weight, bias] = self.linear_names(module);
        Ok((self.weights.tensor(&weight, &[n, k])?, self.weights.tensor(&bias, &[n])?))
    }

    /// gamma and beta of a LayerNorm.
    pub(crate) fn layer_norm(&self, module: &str) -> Result<[Tensor<'a>; 2], WeightsError> {
        let [gamma, beta] = self.layer_norm_names(module);
        let shape = [self.config.hidden_size];
        Ok([self.weights.tensor(&gamma, &shape)?, self.weights.tensor(&beta, &shape)?])
    }
}
