//! How large the channels are that go into a layer's products, for int8.
//!
//! A row is quantised with one step for all of its channels, and after a LayerNorm some channels are ten times as large as the
//! others. An exact rewrite evens them out: activations are multiplied by a factor a channel, the weights of that channel
//! divided by it. A channel's size is the root of the sum of its squares over all calibration tokens, √Σx²; the factor is
//! (√Σx²)^−½ for the feed-forward layer, and (√Σx²)^−¾ for queries, keys and values, whose input is less even, within
//! 10⁻³ … 10³. A power of 0 would leave channels as they are, −1 make all equal at the expense of the weights. The root mean
//! square would do as well, for a factor that all channels share changes no byte but by rounding; nothing is divided here.
//! SmoothQuant does the same (Xiao et al., <https://arxiv.org/abs/2211.10438>) with the weights' own sizes in it, which are even
//! here.

use crate::{Encoder, EncoderError, TraceStep, TraceValues};

/// To be raised when the same sequences get other factors: cache files made before are then no longer used.
pub(crate) const VERSION: u8 = 1;

/// What the inputs of a layer's products are multiplied with before they are quantised, `[hidden_size]` each.
pub(crate) struct LayerFactors {
    pub(crate) qkv: Vec<f32>,
    pub(crate) intermediate: Vec<f32>,
}

/// The sum of squares of each channel.
type Squares = Vec<f64>;

impl Encoder {
    /// The factors that even out the channels of these sequences.
    pub(crate) fn input_factors(&self, sequences: &[Vec<u32>]) -> Result<Vec<LayerFactors>, EncoderError> {
        let h = self.config().hidden_size;
        // What goes into the products of each layer: into the first's qkv the embeddings, into another's what the layer
        // before has put out.
        let names: Vec<[String; 2]> = (0..self.config().num_hidden_layers)
            .map(|i| {
                let input = match i.checked_sub(1) {
                    None => "embeddings.layer_norm".to_owned(),
                    Some(before) => format!("layer.{before}.output.layer_norm"),
                };
                [input, format!("layer.{i}.attention.layer_norm")]
            })
            .collect();
        let mut squares: Vec<[Squares; 2]> = names.iter().map(|_| [vec![0.0; h], vec![0.0; h]]).collect();
        for ids in sequences {
            self.trace(ids, &mut |step: &TraceStep<'_>| {
                let TraceValues::F32(values) = step.values else { return };
                for (names, squares) in names.iter().zip(&mut squares) {
                    for (name, squares) in names.iter().zip(squares) {
                        if *name == step.name {
                            add_squares(values, squares);
                        }
                    }
                }
            })?;
        }
        let of_layer = |[qkv, intermediate]: &[Squares; 2]| LayerFactors {
            qkv: qkv.iter().map(|&sum| factor(sum.sqrt() * sum.sqrt().sqrt())).collect(),
            intermediate: intermediate.iter().map(|&sum| factor(sum.sqrt())).collect(),
        };
        Ok(squares.iter().map(of_layer).collect())
    }
}

/// In order, and in f64: the factors, and so the vectors, are the same on every machine.
fn add_squares(rows: &[f32], squares: &mut Squares) {
    for row in rows.chunks_exact(squares.len()) {
        for (sum, &x) in squares.iter_mut().zip(row) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
}

/// 1 over the root of a size. Within bounds, so that nothing overflows where a channel is always 0 or not finite.
fn factor(size: f64) -> f32 {
    let factor = 1.0 / size.sqrt();
    if factor.is_nan() { 1.0 } else { factor.clamp(1e-3, 1e3) as f32 }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use minilm_kernels::{Isa, Precision};
    use minilm_weights::Weights;

    use super::*;
    use crate::{EncoderConfig, EncoderOptions, Workers};

    fn tiny_bert(precision: Precision, calibration: &[Vec<u32>]) -> Encoder {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert");
        let config = EncoderConfig::from_file(folder.join("config.json")).unwrap();
        let weights = Weights::open(folder.join("model.safetensors")).unwrap();
        let workers = Workers::new(1).unwrap();
        let options = EncoderOptions::new(Isa::best(), &workers).precision(precision);
        Encoder::load(config, weights, &options.calibration(calibration.to_vec())).unwrap()
    }

    /// Every tensor of the sequences in f32, and the names of what each is computed from.
    fn traced(sequences: &[Vec<u32>]) -> (HashMap<String, Vec<f32>>, HashMap<String, Vec<String>>) {
        let encoder = tiny_bert(Precision::F32, &[]);
        let mut tensors: HashMap<String, Vec<f32>> = HashMap::new();
        let mut inputs = HashMap::new();
        for ids in sequences {
            encoder
                .trace(ids, &mut |step| {
                    if let TraceValues::F32(values) = step.values {
                        tensors.entry(step.name.clone()).or_default().extend(values);
                    }
                    inputs.insert(step.name.clone(), step.inputs.clone());
                })
                .unwrap();
        }
        (tensors, inputs)
    }

    #[test]
    fn an_int8_encoder_has_the_factors_of_what_goes_into_its_products() {
        let sequences = [vec![1, 7, 200, 2], (30..77).collect(), vec![5]];
        let encoder = tiny_bert(Precision::Int8, &sequences);
        let (tensors, inputs) = traced(&sequences);
        let h = encoder.config().hidden_size;
        for (i, layer) in encoder.layers.iter().enumerate() {
            for (product, weight, power) in
                [("attention.qkv", &layer.qkv, -0.75), ("intermediate.dense", &layer.intermediate, -0.5)]
            {
                let input = &tensors[&inputs[&format!("layer.{i}.{product}")][0]];
                assert_eq!(input.len(), 52 * h);
                let found = weight.factors().expect("calibration has found some");
                assert_eq!(found.len(), h);
                for (channel, &found) in found.iter().enumerate() {
                    let of_channel = input.iter().skip(channel).step_by(h);
                    let squares: f64 = of_channel.map(|&x| f64::from(x).powi(2)).sum();
                    let expected = squares.sqrt().powf(power).clamp(1e-3, 1e3);
                    let error = (f64::from(found) / expected - 1.0).abs();
                    assert!(error < 1e-7, "layer {i}, {product}, channel {channel}: {found}, not {expected}");
                }
            }
            assert!(layer.attention_output.factors().is_none() && layer.output.factors().is_none());
        }
    }

    #[test]
    fn a_factor_is_a_number_within_bounds_whatever_a_channel_is() {
        assert_eq!(factor(0.0), 1e3);
        assert_eq!(factor(f64::INFINITY), 1e-3);
        assert_eq!(factor(f64::NAN), 1.0);
        assert_eq!(factor(0.25), 2.0);
    }
}
