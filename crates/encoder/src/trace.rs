//! The forward pass of one sequence in single steps, every tensor of which can be looked at.
//!
//! For those who port the model. [`Encoder::forward`] fuses steps and keeps no tensor longer than it
//! must; here each step is an operation of its own, computed from the same weights, and the bits are the same.
//! And for those who work on accuracy: a tensor can be replaced by another, and the pass goes on with that.

use minilm_kernels::{
    Activation, Epilogue, LayerNorm, NarrowRows, PackedLinear, PositionBias, Precision, activate, layer_norm,
    linear, reference,
};

use crate::architecture::{
    EMBEDDING_NORM, POSITION_EMBEDDINGS, RELATIVE_ATTENTION_BIAS, TOKEN_TYPE_EMBEDDINGS, WORD_EMBEDDINGS,
};
use crate::tensors::Tensors;
use crate::{Encoder, EncoderError};

/// The elements of a traced tensor, row-major.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum TraceValues<'a> {
    /// Token ids.
    Ids(&'a [u32]),
    /// Everything else.
    F32(&'a [f32]),
}

/// A tensor of the traced pass, and how it comes out of those before it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TraceStep<'a> {
    /// The tensor's name, of which there is one in a trace: `layer.0.attention.scores`.
    pub name: String,
    /// The size of each dimension, the slowest first.
    pub shape: Vec<usize>,
    /// The elements.
    pub values: TraceValues<'a>,
    /// How it is computed, in a line.
    pub description: String,
    /// The names of the steps it is computed from, in the order of the specification's arguments. None for the ids, and for
    /// the factors of int8's inputs, which belong to the model.
    pub inputs: Vec<String>,
    /// The names of the tensors of the weights file that it is computed with, in the same order.
    pub weights: Vec<String>,
    /// The function of `minilm_kernels::reference` that specifies it; none where nothing is computed.
    pub reference: Option<&'static str>,
}

impl<'a> TraceStep<'a> {
    /// A step without inputs, weights or a specification.
    pub fn new(name: impl Into<String>, shape: &[usize], values: TraceValues<'a>) -> TraceStep<'a> {
        TraceStep {
            name: name.into(),
            shape: shape.to_vec(),
            values,
            description: String::new(),
            inputs: Vec::new(),
            weights: Vec::new(),
            reference: None,
        }
    }

    /// Sets [`TraceStep::description`].
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Sets [`TraceStep::inputs`].
    #[must_use]
    pub fn inputs(mut self, names: &[&str]) -> Self {
        self.inputs = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// Sets [`TraceStep::weights`].
    #[must_use]
    pub fn weights(mut self, names: Vec<String>) -> Self {
        self.weights = names;
        self
    }

    /// Sets [`TraceStep::reference`].
    #[must_use]
    pub fn reference(mut self, function: &'static str) -> Self {
        self.reference = Some(function);
        self
    }
}

impl Encoder {
    /// The forward pass of one sequence, showing every tensor to `observe` as soon as it is computed; gives
    /// back the last, the states `[ids.len()][hidden_size]` after the last layer.
    ///
    /// Slower than [`Encoder::forward`], and bit for bit the same.
    ///
    /// # Errors
    ///
    /// As [`Encoder::forward`], before anything is shown.
    pub fn trace(
        &self,
        ids: &[u32],
        observe: &mut dyn FnMut(&TraceStep<'_>),
    ) -> Result<Vec<f32>, EncoderError> {
        self.trace_patched(ids, &mut |step| {
            observe(step);
            None
        })
    }

    /// As [`Encoder::trace`], but what `patch` gives back takes the place of the tensor it was shown, in all steps that
    /// are computed from that (activation patching). So a step can be computed from the inputs that it has in another
    /// encoder's pass, and the effect of a single step's error on all that follows can be seen.
    ///
    /// # Errors
    ///
    /// As [`Encoder::trace`].
    ///
    /// # Panics
    ///
    /// If `patch` gives back another number of elements than the tensor has, or anything for a step that is not computed: the
    /// ids and the factors of int8.
    pub fn trace_patched(
        &self,
        ids: &[u32],
        patch: &mut dyn FnMut(&TraceStep<'_>) -> Option<Vec<f32>>,
    ) -> Result<Vec<f32>, EncoderError> {
        let mut trace = Trace { encoder: self, s: ids.len(), patch };
        let mut hidden = trace.embeddings(ids)?;
        let bias = trace.position_bias();
        for i in 0..self.layers.len() {
            hidden = trace.layer(i, hidden, bias.as_ref());
        }
        Ok(hidden.values)
    }
}

/// A traced pass under way.
struct Trace<'a> {
    encoder: &'a Encoder,
    /// The tokens of the sequence.
    s: usize,
    /// Is shown every tensor, and may give back what is to take its place.
    patch: &'a mut dyn FnMut(&TraceStep<'_>) -> Option<Vec<f32>>,
}

/// A tensor that steps are computed from.
struct Traced {
    name: String,
    values: Vec<f32>,
}

impl Trace<'_> {
    /// Shows a tensor `[s][columns]`, described by `describe`.
    fn show(
        &mut self,
        name: &str,
        columns: usize,
        values: Vec<f32>,
        describe: impl FnOnce(TraceStep<'_>) -> TraceStep<'_>,
    ) -> Traced {
        self.show_shape(name, &[self.s, columns], values, describe)
    }

    fn show_shape(
        &mut self,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
        describe: impl FnOnce(TraceStep<'_>) -> TraceStep<'_>,
    ) -> Traced {
        let patch = (self.patch)(&describe(TraceStep::new(name, shape, TraceValues::F32(&values))));
        if let Some(patch) = &patch {
            let (found, expected) = (patch.len(), values.len());
            assert_eq!(
                found, expected,
                "trace: {name} has {expected} elements, and {found} cannot replace them"
            );
        }
        Traced { name: name.to_owned(), values: patch.unwrap_or(values) }
    }

    /// Shows a tensor that the pass begins with.
    fn show_given(&mut self, step: &TraceStep<'_>) {
        let patch = (self.patch)(step);
        assert!(patch.is_none(), "trace: {} is not computed and cannot be replaced", step.name);
    }

    /// What the tensors are called.
    fn tensors(&self) -> Tensors<'_> {
        Tensors::new(self.encoder.weights(), self.encoder.config())
    }

    fn embeddings(&mut self, ids: &[u32]) -> Result<Traced, EncoderError> {
        let (encoder, h) = (self.encoder, self.encoder.config.hidden_size);
        let mut words = vec![0.0; self.s * h];
        encoder.word_embeddings.gather(ids, &mut words)?;
        let mut sum = words.clone();
        encoder.add_positions(ids, &mut sum)?;

        let step = TraceStep::new("input_ids", &[self.s], TraceValues::Ids(ids));
        let what = "the text's token ids, special tokens included, cut to the limit";
        self.show_given(&step.description(what));

        let weights = vec![self.tensors().weight_name(WORD_EMBEDDINGS)];
        let words = self.show("embeddings.word", h, words, |step| {
            let what = "each id's row of the word embeddings, as f32";
            step.description(what).inputs(&["input_ids"]).weights(weights)
        });

        let mut sum = words.values.clone();
        encoder.add_positions(ids, &mut sum)?;
        let has_types = encoder.config.type_vocab_size > 0;
        let types = has_types.then_some(TOKEN_TYPE_EMBEDDINGS);
        let modules = types.into_iter().chain([POSITION_EMBEDDINGS]);
        let weights = modules.map(|module| self.tensors().weight_name(module)).collect();
        let sum = self.show("embeddings.sum", h, sum, |step| {
            let what = match (has_types, encoder.config.position_padding_id) {
                (true, None) => "(word + token type, row 0) + position, token t with row t".to_owned(),
                (false, None) => "(word + 0) + position, token t with row t".to_owned(),
                (true, Some(id)) => {
                    format!("(word + token type, row 0) + position, {}", positions_behind(id))
                }
                (false, Some(id)) => format!("(word + 0) + position, {}", positions_behind(id)),
            };
            let ids = encoder.config.position_padding_id.map(|_| "input_ids");
            let inputs: Vec<&str> = std::iter::once(&words.name[..]).chain(ids).collect();
            step.description(what).inputs(&inputs).weights(weights).reference("embedding_sum")
        });
        Ok(self.layer_norm("embeddings.layer_norm", &sum, &encoder.embedding_norm, EMBEDDING_NORM))
    }

    fn layer(&mut self, i: usize, hidden: Traced, bias: Option<&Traced>) -> Traced {
        let (encoder, layer) = (self.encoder, &self.encoder.layers[i]);
        let name = |step: &str| format!("layer.{i}.{step}");
        let names = encoder.config.architecture.tensor_names();

        let qkv = [names.query, names.key, names.value];
        let qkv = self.dense(&name("attention.qkv"), &hidden, &layer.qkv, (i, &qkv));
        let context = self.attention(i, &qkv, bias);
        let modules = [names.attention_output];
        let dense = self.dense(&name("attention.dense"), &context, &layer.attention_output, (i, &modules));
        let sum = self.residual(&name("attention.residual"), &dense, &hidden);
        let norm = self.tensors().of_layer(i, names.attention_norm);
        let attended = self.layer_norm(&name("attention.layer_norm"), &sum, &layer.attention_norm, &norm);

        let modules = [names.intermediate];
        let dense = self.dense(&name("intermediate.dense"), &attended, &layer.intermediate, (i, &modules));
        let mut active = dense.values.clone();
        activate(encoder.isa, &mut active, layer.activation);
        let columns = encoder.config.intermediate_size;
        let active = self.show(&name("intermediate.activation"), columns, active, |step| {
            let (what, reference) = describe_activation(layer.activation);
            step.description(what).inputs(&[&dense.name]).reference(reference)
        });

        let modules = [names.output];
        let dense = self.dense(&name("output.dense"), &active, &layer.output, (i, &modules));
        let sum = self.residual(&name("output.residual"), &dense, &attended);
        let norm = self.tensors().of_layer(i, names.output_norm);
        self.layer_norm(&name("output.layer_norm"), &sum, &layer.output_norm, &norm)
    }

    /// The biases that the scores of all layers have in common, `[heads][2 s − 1]`, where they have some.
    fn position_bias(&mut self) -> Option<Traced> {
        let (encoder, s) = (self.encoder, self.s);
        let biases = encoder.position_bias.as_deref()?;
        let heads = encoder.config.num_attention_heads;
        // Distances of a shorter sequence are in the middle of each head's.
        let of_head = biases.chunks_exact(biases.len() / heads);
        let columns = (2 * s).saturating_sub(1);
        let values = of_head.flat_map(|of_head| &of_head[(of_head.len() - columns) / 2..][..columns]);
        let values = values.copied().collect();
        let weights = vec![self.tensors().weight_name(RELATIVE_ATTENTION_BIAS)];
        Some(self.show_shape("position_bias", &[heads, columns], values, |step| {
            let what =
                "[head][key − query + s − 1]: each head's bias of the bucket that the distance falls into";
            step.description(what).weights(weights).reference("relative_position_bucket")
        }))
    }

    /// Scores, probabilities and context of one layer, by their specification: the kernel keeps a few rows
    /// of the scores at a time.
    fn attention(&mut self, i: usize, qkv: &Traced, bias: Option<&Traced>) -> Traced {
        let config = &self.encoder.config;
        let (s, heads, head_size) = (self.s, config.num_attention_heads, config.head_size());
        let name = |step: &str| format!("layer.{i}.attention.{step}");
        let inputs: Vec<&str> = std::iter::once(qkv).chain(bias).map(|input| &input.name[..]).collect();
        // Without tokens there are no distances.
        let bias = bias.filter(|_| s > 0).map(|bias| PositionBias::new(&bias.values, heads, s));
        if self.encoder.layers[i].qkv.precision() != Precision::F32 {
            let context = reference::attention_bf16(&qkv.values, s, heads, head_size, bias);
            return self.show(&name("context"), heads * head_size, context, |step| {
                let what = "attention in bf16, the heads side by side";
                step.description(what).inputs(&inputs).reference("attention_bf16")
            });
        }

        let scores = reference::attention_scores(&qkv.values, s, heads, head_size, bias);
        let scores = self.show_shape(&name("scores"), &[heads, s, s], scores, |step| {
            let what = match bias {
                None => "[head][query][key]: (q · k) · 1/√head_size",
                Some(_) => "[head][query][key]: (q · k) · 1/√head_size + the bias of their distance",
            };
            step.description(what).inputs(&inputs).reference("attention_scores")
        });
        let mut p = scores.values.clone();
        // No tokens have no rows; chunks of 0 do not exist.
        for row in p.chunks_mut(s.max(1)) {
            reference::softmax(row);
        }
        let p = self.show_shape(&name("probabilities"), &[heads, s, s], p, |step| {
            step.description("softmax of each row of keys").inputs(&[&scores.name]).reference("softmax")
        });
        let context = reference::attention_context(&p.values, &qkv.values, s, heads, head_size);
        self.show(&name("context"), heads * head_size, context, |step| {
            let what = "probabilities · values, the heads side by side";
            step.description(what).inputs(&[&p.name, &qkv.name]).reference("attention_context")
        })
    }

    /// `nn.Linear`s of these names in layer i, their outputs side by side.
    fn dense(
        &mut self,
        name: &str,
        x: &Traced,
        weight: &PackedLinear,
        (i, modules): (usize, &[&str]),
    ) -> Traced {
        let mut out = vec![0.0; self.s * weight.n()];
        let isa = self.encoder.isa;
        let mut narrow = NarrowRows::default();
        linear(isa, narrow.narrow(isa, &x.values, weight), weight, Epilogue::Bias, &mut out);
        let tensors = self.tensors();
        let of_module = |module: &&str| tensors.linear_names(&tensors.of_layer(i, module));
        let weights = modules.iter().flat_map(of_module).collect();
        let reference = match weight.precision() {
            Precision::Bf16 => "linear_bf16",
            Precision::Int8 => "linear_int8",
            Precision::F32 => "linear",
        };
        let factors = weight.factors().map(|factors| self.show_factors(name, factors));
        self.show(name, weight.n(), out, |step| {
            let mut what = "input · weightᵀ + bias".to_owned();
            let mut inputs = vec![&x.name[..]];
            if let Some(factors) = &factors {
                what = "(input · factors) · (weight / factors)ᵀ + bias".to_owned();
                inputs.push(factors);
            }
            if modules.len() > 1 {
                what += ", the weights (and biases) one below the other";
            }
            step.description(what).inputs(&inputs).weights(weights).reference(reference)
        })
    }

    /// What the inputs of a product are multiplied with before they are quantised. It comes from calibration when the model
    /// is loaded, and not from this sequence. Gives back the step's name.
    fn show_factors(&mut self, product: &str, factors: &[f32]) -> String {
        let name = format!("{product}.factors");
        let step = TraceStep::new(&name[..], &[factors.len()], TraceValues::F32(factors));
        let what = "what calibration found for each input; where a product has none, all are 1";
        self.show_given(&step.description(what));
        name
    }

    fn residual(&mut self, name: &str, x: &Traced, residual: &Traced) -> Traced {
        let sum = reference::residual_sum(&x.values, &residual.values);
        self.show(name, self.encoder.config.hidden_size, sum, |step| {
            let inputs = [&x.name[..], &residual.name];
            step.description("the sum of the two").inputs(&inputs).reference("residual_sum")
        })
    }

    fn layer_norm(&mut self, name: &str, x: &Traced, parameters: &LayerNorm, module: &str) -> Traced {
        let mut y = x.values.clone();
        layer_norm(self.encoder.isa, &mut y, parameters);
        let weights = self.tensors().layer_norm_names(module).to_vec();
        self.show(name, parameters.gamma.len(), y, |step| {
            let what = "LayerNorm of each row, its weight as gamma and its bias as beta, eps from the config";
            step.description(what).inputs(&[&x.name]).weights(weights).reference("layer_norm")
        })
    }
}

/// Which rows of the position embeddings the tokens have, where a padding token is not counted.
fn positions_behind(padding_id: u32) -> String {
    let (padding, first) = (padding_id, padding_id + 1);
    format!(
        "the tokens with rows {first}, {} … but id {padding}, which has row {padding} and is not counted",
        first + 1
    )
}

/// What an activation is, and which function specifies it.
fn describe_activation(activation: Activation) -> (&'static str, &'static str) {
    match activation {
        Activation::Gelu => ("GELU of each element, in the erf form", "gelu"),
        Activation::GeluTanh => ("GELU of each element, in the tanh form", "gelu_tanh"),
        Activation::GeluPolynomial => ("GELU of each element, by a polynomial", "gelu_polynomial"),
        Activation::Relu => ("max(0, x) of each element", "relu"),
        Activation::Silu => ("x / (1 + e⁻ˣ) of each element", "silu"),
        other => unreachable!("no encoder has the activation {other:?}"),
    }
}
