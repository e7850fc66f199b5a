//! The arithmetic that the network needs, whatever an engine makes of it.

use minilm::{EncoderConfig, Operation};

/// Floating-point operations of one text of that many tokens, a multiply-add being two: the dense layers and the
/// two products of attention. Everything else (activations, LayerNorm, softmax, pooling) is not counted, so that the
/// figure does not depend on how a function is evaluated.
pub(super) fn operations(config: &EncoderConfig, tokens: usize) -> f64 {
    Operation::ALL.iter().map(|&operation| operations_of(config, operation, tokens)).sum()
}

/// What of that is done in one operation, of all layers together.
pub(super) fn operations_of(config: &EncoderConfig, operation: Operation, tokens: usize) -> f64 {
    let (h, f) = (config.hidden_size as f64, config.intermediate_size as f64);
    let (layers, tokens) = (config.num_hidden_layers as f64, tokens as f64);
    let a_token = match operation {
        Operation::Qkv => 2.0 * 3.0 * h * h,
        // A token's query with every key, and its probabilities with every value.
        Operation::Attention => 4.0 * h * tokens,
        Operation::AttentionOutput => 2.0 * h * h,
        Operation::Intermediate | Operation::Output => 2.0 * h * f,
        _ => 0.0,
    };
    layers * tokens * a_token
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_tiny_model_by_hand() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert");
        let config = EncoderConfig::from_file(folder.join("config.json")).unwrap();
        // 2 layers; h = 40, f = 72: 4 · 1600 + 2 · 2880 = 12,160 multiply-adds a token and layer, and 2 · 40 · S.
        assert_eq!(operations(&config, 1), 2.0 * 2.0 * (12_160.0 + 80.0));
        assert_eq!(operations(&config, 10), 10.0 * 2.0 * 2.0 * (12_160.0 + 800.0));
        assert_eq!(operations(&config, 0), 0.0);
    }
}
