//! Random weights, packed as the encoder packs those of its model.

use std::sync::Arc;

use minilm_kernels::{AlignedBuffer, PackedLinear, Precision};

use crate::cases::linear::Layer;
use crate::{aligned, numbers};

/// Outputs of a panel of packed weights.
const PANEL: usize = minilm_kernels::reference::LANES;

/// Packed weights, as memory that several may share.
struct Region(AlignedBuffer);

impl AsRef<[f32]> for Region {
    fn as_ref(&self) -> &[f32] {
        &self.0
    }
}

/// That layer's weights, uniform in ± `size` / 2, and its bias in ±½, other ones for each seed. In int8 its inputs have
/// factors where the encoder's calibration finds some.
pub fn packed(precision: Precision, layer: Layer, size: f32, seed: u64) -> PackedLinear {
    let Layer { n, k, .. } = layer;
    let weight: Vec<f32> = numbers(n * k, seed).iter().map(|w| size * w).collect();
    let bias = numbers(n, seed + 1000);
    let factors = (precision == Precision::Int8 && layer.evened).then(|| factors(k));
    let len = PackedLinear::packed_len(precision, n, k).expect("a layer's weights fit into memory");
    let mut room = aligned(&vec![0.0; len]);
    let panels = PackedLinear::panels_mut(precision, [n, k], factors.as_deref(), &mut room);
    let rows: Vec<&[f32]> = weight.chunks_exact(k).collect();
    for ((panel, rows), biases) in panels.zip(rows.chunks(PANEL)).zip(bias.chunks(PANEL)) {
        panel.pack(rows, biases);
    }
    PackedLinear::from_region(precision, Arc::new(Region(room)), 0, n, k)
}

/// From ½ to 1½: as unlike as those of a calibration.
fn factors(k: usize) -> Vec<f32> {
    numbers(k, 9).iter().map(|x| 1.0 + x).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::linear::PRODUCTS;

    #[test]
    fn only_int8_and_what_follows_a_layer_norm_has_factors() {
        for layer in PRODUCTS {
            for precision in Precision::ALL {
                let packed = packed(precision, layer, 1.0, 1);
                assert_eq!((packed.n(), packed.k(), packed.precision()), (layer.n, layer.k, precision));
                let expected =
                    precision == Precision::Int8 && ["qkv", "intermediate"].contains(&layer.operation);
                assert_eq!(packed.factors().is_some(), expected, "{layer:?} {precision}");
            }
        }
    }
}
