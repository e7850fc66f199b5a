use std::fmt;

use minilm_kernels::{
    Activation, AttentionShape, Epilogue, Isa, LayerNorm, PackedLinear, attention, embedding_sum, layer_norm,
    linear,
};
use minilm_weights::{FloatType, Tensor, WeightsError, WeightsFile};

use crate::{Arena, BertConfig, BertError, Workers};

pub(crate) const WORD_EMBEDDINGS: &str = "embeddings.word_embeddings.weight";

/// BERT's weights, packed for the kernels, and its forward pass.
///
/// One encoder serves any number of threads, each with an [`Arena`].
pub struct BertEncoder {
    pub(crate) config: BertConfig,
    pub(crate) isa: Isa,
    /// Stays open: word embeddings are read from it token by token and never loaded as a whole.
    weights: WeightsFile,
    /// `[vocab_size][hidden_size]` in `weights`.
    pub(crate) word_embeddings: String,
    weights_type: FloatType,
    /// `[max_position_embeddings][hidden_size]`
    position_embeddings: Vec<f32>,
    /// `[hidden_size]`: type 0, which every token of a single text has.
    pub(crate) token_type_embedding: Vec<f32>,
    pub(crate) embedding_norm: LayerNorm,
    pub(crate) layers: Vec<Layer>,
}

/// One of `BertLayer`.
pub(crate) struct Layer {
    /// Query, key and value side by side: hidden_size → 3 · hidden_size.
    pub(crate) qkv: PackedLinear,
    pub(crate) attention_output: PackedLinear,
    pub(crate) attention_norm: LayerNorm,
    pub(crate) intermediate: PackedLinear,
    pub(crate) output: PackedLinear,
    pub(crate) output_norm: LayerNorm,
}

/// A place in the forward pass whose state can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tap {
    /// After the embeddings' LayerNorm (`hidden_states[0]` in transformers).
    Embeddings,
    /// After layer i, counted from 0 (`hidden_states[i + 1]` in transformers).
    Layer(usize),
}

impl BertEncoder {
    /// Checks every tensor's shape against the config and packs the weights, on all of the workers' threads.
    ///
    /// Tensor names are those of `BertModel`, with or without the prefix `bert.`.
    ///
    /// # Errors
    ///
    /// [`BertError::Weights`] for a tensor that is missing or of another shape or type.
    pub fn load(
        config: BertConfig,
        weights: WeightsFile,
        isa: Isa,
        workers: &Workers,
    ) -> Result<BertEncoder, BertError> {
        let prefix = if weights.contains(&format!("bert.{WORD_EMBEDDINGS}")) { "bert." } else { "" };
        let tensors = Tensors { weights: &weights, config: &config, prefix };
        let h = config.hidden_size;

        let embeddings =
            |name: &str, rows| tensors.matrix(&format!("embeddings.{name}_embeddings.weight"), rows, h);
        let weights_type = embeddings("word", config.vocab_size)?.float_type();
        let position_embeddings = embeddings("position", config.max_position_embeddings)?.to_f32();
        let mut token_type_embedding = vec![0.0; h];
        embeddings("token_type", config.type_vocab_size)?.read_f32(0, &mut token_type_embedding);
        let embedding_norm = tensors.layer_norm("embeddings.LayerNorm")?;
        let indices: Vec<usize> = (0..config.num_hidden_layers).collect();
        let layers = workers.try_map(&indices, |&i| tensors.layer(i))?;

        Ok(BertEncoder {
            isa,
            word_embeddings: format!("{prefix}{WORD_EMBEDDINGS}"),
            weights_type,
            position_embeddings,
            token_type_embedding,
            embedding_norm,
            layers,
            config,
            weights,
        })
    }

    /// The forward pass over `arena.tokens`; the result is [`Arena::hidden`].
    ///
    /// # Errors
    ///
    /// [`BertError::UnknownToken`] or [`BertError::TooLong`].
    pub fn forward(&self, arena: &mut Arena) -> Result<(), BertError> {
        self.forward_observed(arena, &mut |_, _| {})
    }

    /// The forward pass, showing the state `[T][hidden_size]` of all tokens at each [`Tap`] to `observe`.
    ///
    /// # Errors
    ///
    /// As [`BertEncoder::forward`].
    pub fn forward_observed(
        &self,
        arena: &mut Arena,
        observe: &mut dyn FnMut(Tap, &[f32]),
    ) -> Result<(), BertError> {
        arena.fit(&self.config);
        self.embed(arena)?;
        observe(Tap::Embeddings, &arena.hidden);
        for (i, layer) in self.layers.iter().enumerate() {
            self.run_layer(layer, arena);
            observe(Tap::Layer(i), &arena.hidden);
        }
        Ok(())
    }

    /// `BertEmbeddings`: word + token type + position, LayerNorm.
    fn embed(&self, arena: &mut Arena) -> Result<(), BertError> {
        let h = self.config.hidden_size;
        self.gather_words(arena.tokens.ids(), &mut arena.hidden)?;
        for sequence in arena.tokens.sequences() {
            let positions = self.positions(sequence.len())?;
            let rows = &mut arena.hidden[sequence.start * h..sequence.end * h];
            embedding_sum(self.isa, rows, &self.token_type_embedding, positions);
        }
        layer_norm(self.isa, &mut arena.hidden, &self.embedding_norm);
        Ok(())
    }

    /// The word embeddings of these ids → rows `[ids.len()][hidden_size]`.
    pub(crate) fn gather_words(&self, ids: &[u32], rows: &mut [f32]) -> Result<(), BertError> {
        let BertConfig { hidden_size: h, vocab_size, .. } = self.config;
        let words = self.weights.tensor(&self.word_embeddings, &[vocab_size, h])?;
        for (&id, row) in ids.iter().zip(rows.chunks_exact_mut(h)) {
            let index = usize::try_from(id).ok().filter(|&index| index < vocab_size);
            words.read_f32(index.ok_or(BertError::UnknownToken { id, vocab_size })? * h, row);
        }
        Ok(())
    }

    /// The position embeddings `[tokens][hidden_size]` of a sequence of that many tokens.
    pub(crate) fn positions(&self, tokens: usize) -> Result<&[f32], BertError> {
        let BertConfig { hidden_size: h, max_position_embeddings, .. } = self.config;
        if tokens > max_position_embeddings {
            return Err(BertError::TooLong { tokens, max_position_embeddings });
        }
        Ok(&self.position_embeddings[..tokens * h])
    }

    /// `BertLayer`: attention, residual, LayerNorm; feed-forward, residual, LayerNorm.
    fn run_layer(&self, layer: &Layer, arena: &mut Arena) {
        let isa = self.isa;
        let h = self.config.hidden_size;
        let shape =
            AttentionShape { heads: self.config.num_attention_heads, head_size: self.config.head_size() };
        let Arena { tokens, hidden, qkv, context, attended, intermediate, attention: scratch } = arena;

        linear(isa, hidden, &layer.qkv, Epilogue::Bias, qkv);
        for s in tokens.sequences() {
            let out = &mut context[s.start * h..s.end * h];
            attention(isa, &qkv[s.start * 3 * h..s.end * 3 * h], shape, scratch, out);
        }
        let epilogue = Epilogue::ResidualLayerNorm(hidden, &layer.attention_norm);
        linear(isa, context, &layer.attention_output, epilogue, attended);

        linear(isa, attended, &layer.intermediate, Epilogue::Activation(Activation::Gelu), intermediate);
        let epilogue = Epilogue::ResidualLayerNorm(attended, &layer.output_norm);
        linear(isa, intermediate, &layer.output, epilogue, hidden);
    }

    /// The config the encoder was loaded with.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// The instruction set the forward pass runs on.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The type that the word embeddings, the largest tensor, have in the file.
    pub fn weights_type(&self) -> FloatType {
        self.weights_type
    }

    /// The file that the weights came from.
    pub fn weights(&self) -> &WeightsFile {
        &self.weights
    }
}

impl fmt::Debug for BertEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BertEncoder")
            .field("config", &self.config)
            .field("isa", &self.isa)
            .field("weights", &self.weights)
            .finish_non_exhaustive()
    }
}

/// Tensors by the names of `BertModel`'s state dict, with the shapes that the config asks for.
struct Tensors<'a> {
    weights: &'a WeightsFile,
    config: &'a BertConfig,
    prefix: &'a str,
}

impl Tensors<'_> {
    fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Tensor<'_>, WeightsError> {
        self.weights.tensor(&format!("{}{name}", self.prefix), &[rows, columns])
    }

    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, WeightsError> {
        Ok(self.weights.tensor(&format!("{}{name}", self.prefix), &[len])?.to_f32())
    }

    fn layer_norm(&self, name: &str) -> Result<LayerNorm, WeightsError> {
        let h = self.config.hidden_size;
        Ok(LayerNorm {
            gamma: self.vector(&format!("{name}.weight"), h)?,
            beta: self.vector(&format!("{name}.bias"), h)?,
            eps: self.config.layer_norm_eps,
        })
    }

    /// The `nn.Linear`s of these names, of n outputs each, side by side.
    fn linear<const PARTS: usize>(
        &self,
        names: [&str; PARTS],
        n: usize,
        k: usize,
    ) -> Result<PackedLinear, WeightsError> {
        let mut parts = Vec::with_capacity(PARTS);
        for name in names {
            let weight = self.matrix(&format!("{name}.weight"), n, k)?.to_f32();
            parts.push((weight, self.vector(&format!("{name}.bias"), n)?));
        }
        let parts: Vec<(&[f32], &[f32])> = parts.iter().map(|(w, b)| (&w[..], &b[..])).collect();
        Ok(PackedLinear::pack(&parts, k))
    }

    fn layer(&self, i: usize) -> Result<Layer, WeightsError> {
        let (h, f) = (self.config.hidden_size, self.config.intermediate_size);
        let name = |part: &str| format!("encoder.layer.{i}.{part}");
        let [query, key, value] =
            ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
        Ok(Layer {
            qkv: self.linear([&query, &key, &value], h, h)?,
            attention_output: self.linear([&name("attention.output.dense")], h, h)?,
            attention_norm: self.layer_norm(&name("attention.output.LayerNorm"))?,
            intermediate: self.linear([&name("intermediate.dense")], f, h)?,
            output: self.linear([&name("output.dense")], h, f)?,
            output_norm: self.layer_norm(&name("output.LayerNorm"))?,
        })
    }
}
