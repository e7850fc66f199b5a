//! Random weights, packed as the encoder packs those of its model.

use minilm_kernels::{PackedLinear, Precision};

use crate::cases::linear::Layer;
use crate::numbers;

/// That layer's weights, uniform in ± `size` / 2, and its bias in ±½, other ones for each seed. In int8 its inputs have
/// factors where the encoder's calibration finds some.
pub fn packed(precision: Precision, layer: Layer, size: f32, seed: u64) -> PackedLinear {
    let Layer { n, k, .. } = layer;
    let weight: Vec<f32> = numbers(n * k, seed).iter().map(|w| size * w).collect();
    let bias = numbers(n, seed + 1000);
    let parts = [(&weight[..], &bias[..])];
    if precision == Precision::Int8 && layer.follows_layer_norm {
        // From ½ to 1½; how unlike they are changes no time.
        let factors: Vec<f32> = numbers(k, 9).iter().map(|x| 1.0 + x).collect();
        return PackedLinear::pack_with_factors(&parts, &factors);
    }
    PackedLinear::pack(precision, &parts, k)
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
