//! How large the channels are that go into a layer's products, for int8.
//!
//! A row is quantised with one step for all of its channels, and after a LayerNorm some channels are ten times as large as the
//! others. An exact rewrite evens them out: activations are multiplied by a factor a channel, the weights of that channel
//! divided by it. The factor is rms to the power of −½ for the feed-forward layer, and −¾ for queries, keys and values,
//! whose input is less even: between 0, which leaves channels as they are, and −1, which makes all equal at the expense of the
//! weights. SmoothQuant does the same (Xiao et al., <https://arxiv.org/abs/2211.10438>) with the weights' own sizes in it, which
//! are even here.

use crate::{BertEncoder, BertError, TraceStep, TraceValues};

/// To be raised when the same sequences get other factors: cache files made before are then no longer used.
pub(crate) const VERSION: u8 = 1;

/// What the inputs of a layer's products are multiplied with before they are quantised, `[hidden_size]` each.
pub(crate) struct LayerFactors {
    pub(crate) qkv: Vec<f32>,
    pub(crate) intermediate: Vec<f32>,
}

/// The sum of squares of each channel.
type Squares = Vec<f64>;

impl BertEncoder {
    /// The factors that even out the channels of these sequences.
    pub(crate) fn input_factors(&self, sequences: &[Vec<u32>]) -> Result<Vec<LayerFactors>, BertError> {
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
