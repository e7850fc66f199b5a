//! A config that was changed after it was read, on the tiny models in `fixtures/`: refused by the field's name when an encoder
//! is loaded, or computed as it says; never a panic.

use std::path::PathBuf;

use minilm_encoder::{
    Architecture, Arena, Encoder, EncoderConfig, EncoderError, EncoderOptions, Lead, Workers,
};
use minilm_kernels::{Isa, Precision};
use minilm_weights::{Weights, WeightsError};
use proptest::prelude::*;

const MODELS: [&str; 5] = ["tiny-bert", "tiny-mpnet", "tiny-roberta", "tiny-xlm-roberta", "tiny-distilbert"];

fn folder(model: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(model)
}

fn config(model: &str) -> EncoderConfig {
    EncoderConfig::from_file(folder(model).join("config.json")).unwrap()
}

fn load(model: &str, config: EncoderConfig, precision: Precision) -> Result<Encoder, EncoderError> {
    let weights = Weights::open_in(folder(model)).unwrap();
    let workers = Workers::new(1).unwrap();
    let options = EncoderOptions::new(Isa::best(), &workers).precision(precision);
    Encoder::load(config, weights, &options.calibration(vec![vec![5, 9, 7]]))
}

/// The states of some tokens, as the forward pass and the trace compute them.
fn states(encoder: &Encoder) -> Vec<f32> {
    let ids: Vec<u32> = (3..11).take(encoder.config().max_positions()).collect();
    let mut arena = Arena::default();
    arena.tokens.push(&ids);
    encoder.forward(&mut arena, &Lead::alone()).unwrap();
    let traced = encoder.trace(&ids, &mut |_| {}).unwrap();
    let bits = |states: &[f32]| states.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(arena.hidden()), bits(&traced));
    traced
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    type Change = fn(&mut EncoderConfig);
    let cases: [(&str, Change, &str, &str); 18] = [
        ("tiny-bert", |c| c.vocab_size = 0, "vocab_size is 0", "at least 1"),
        ("tiny-bert", |c| c.hidden_size = 0, "hidden_size is 0", "at least 1"),
        ("tiny-bert", |c| c.num_attention_heads = 0, "num_attention_heads is 0", "at least 1"),
        ("tiny-bert", |c| c.intermediate_size = 0, "intermediate_size is 0", "at least 1"),
        ("tiny-bert", |c| c.max_position_embeddings = 0, "max_position_embeddings is 0", "at least 1"),
        (
            "tiny-bert",
            |c| c.num_attention_heads = 7,
            "num_attention_heads is 7",
            "a divisor of hidden_size, which is 40",
        ),
        ("tiny-bert", |c| c.type_vocab_size = 0, "type_vocab_size is 0", "at least 1"),
        (
            "tiny-bert",
            |c| c.position_padding_id = Some(1),
            "position_padding_id is 1",
            "none, for in bert positions begin at 0",
        ),
        (
            "tiny-bert",
            |c| c.relative_attention_num_buckets = 32,
            "relative_attention_num_buckets is 32",
            "0, for bert has none",
        ),
        ("tiny-bert", |c| c.layer_norm_eps = f32::NAN, "layer_norm_eps is NaN", "a number from 0 on"),
        ("tiny-bert", |c| c.layer_norm_eps = -1e-9, "layer_norm_eps is -0.000000001", "a number from 0 on"),
        ("tiny-bert", |c| c.layer_norm_eps = f32::INFINITY, "layer_norm_eps is inf", "a number from 0 on"),
        ("tiny-mpnet", |c| c.relative_attention_num_buckets = 0, "relative_attention_num_buckets is 0", "32"),
        ("tiny-mpnet", |c| c.type_vocab_size = 2, "type_vocab_size is 2", "0, for mpnet has none"),
        (
            "tiny-distilbert",
            |c| c.num_attention_heads = 3,
            "num_attention_heads is 3",
            "a divisor of hidden_size",
        ),
        (
            "tiny-roberta",
            |c| c.position_padding_id = None,
            "position_padding_id is none",
            "a token id, for in roberta",
        ),
        (
            "tiny-roberta",
            |c| c.position_padding_id = Some(u32::MAX),
            "position_padding_id is 4294967295",
            "less than max_position_embeddings − 1",
        ),
        (
            "tiny-bert",
            |c| c.architecture = Architecture::Mpnet,
            "type_vocab_size is 2",
            "0, for mpnet has none",
        ),
    ];
    for (model, change, found, expected) in cases {
        let mut config = config(model);
        change(&mut config);
        let error = load(model, config, Precision::F32).unwrap_err();
        assert!(matches!(error, EncoderError::ChangedConfig { .. }), "{error:?}");
        let says = error.to_string();
        assert!(says.contains(found) && says.contains(&format!("expected {expected}")), "{says}");
    }
}

/// Sizes that are not those of the weights.
#[test]
fn what_does_not_fit_the_weights_is_refused_by_the_tensors_name() {
    type Change = fn(&mut EncoderConfig);
    let cases: [(&str, Change, &str); 8] = [
        ("tiny-bert", |c| c.vocab_size = usize::MAX, "embeddings.word_embeddings.weight"),
        ("tiny-bert", |c| c.hidden_size = 80, "embeddings.word_embeddings.weight"),
        ("tiny-bert", |c| c.num_hidden_layers = usize::MAX, "encoder.layer.2.attention.self.query.weight"),
        ("tiny-bert", |c| c.intermediate_size = usize::MAX, "encoder.layer.0.intermediate.dense.weight"),
        ("tiny-bert", |c| c.max_position_embeddings += 1, "embeddings.position_embeddings.weight"),
        ("tiny-bert", |c| c.type_vocab_size = 3, "embeddings.token_type_embeddings.weight"),
        ("tiny-mpnet", |c| c.num_attention_heads = 6, "encoder.relative_attention_bias.weight"),
        ("tiny-roberta", |c| c.architecture = Architecture::Camembert, ""),
    ];
    for (model, change, tensor) in cases {
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let mut config = config(model);
            change(&mut config);
            match load(model, config, precision) {
                // The same network.
                Ok(encoder) => assert!(tensor.is_empty() && !states(&encoder).is_empty()),
                Err(error) => {
                    assert!(matches!(error, EncoderError::Weights(_)), "{error:?}");
                    assert!(!tensor.is_empty() && error.to_string().contains(tensor), "{error}");
                }
            }
        }
    }
}

/// The states are then the embeddings.
#[test]
fn there_may_be_no_layers() {
    for model in MODELS {
        let encoder = load(model, config(model), Precision::F32).unwrap();
        let mut embeddings = Vec::new();
        let ids: Vec<u32> = (3..11).collect();
        let mut arena = Arena::default();
        arena.tokens.push(&ids);
        encoder
            .forward_observed(&mut arena, &mut |tap, states| {
                if tap == minilm_encoder::Tap::Embeddings {
                    embeddings = states.to_vec();
                }
            })
            .unwrap();
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let mut config = config(model);
            config.num_hidden_layers = 0;
            let encoder = load(model, config, precision).unwrap();
            assert_eq!(states(&encoder), embeddings, "{model} in {precision}");
        }
    }
}

/// A size, or what a size cannot be.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..13usize, 1 => 0..400usize, 1 => Just(usize::MAX), 1 => Just(usize::MAX / 2), 1 => any::<usize>()]
}

fn eps() -> impl Strategy<Value = f32> {
    prop_oneof![Just(0.0), Just(1e-5), any::<f32>()]
}

fn padding_id() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![Just(None), (0..70u32).prop_map(Some), any::<u32>().prop_map(Some)]
}

/// A field with another value.
fn change() -> impl Strategy<Value = (usize, usize, f32, Option<u32>, Architecture)> {
    (0..11usize, size(), eps(), padding_id(), prop::sample::select(Architecture::ALL.to_vec()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_a_config_panics(
        model in prop::sample::select(MODELS.to_vec()),
        precision in prop::sample::select(vec![Precision::F32, Precision::Bf16, Precision::Int8]),
        changes in prop::collection::vec(change(), 1..4),
    ) {
        let original = config(model);
        let mut config = original.clone();
        for (field, size, eps, padding_id, architecture) in changes {
            match field {
                0 => config.vocab_size = size,
                1 => config.hidden_size = size,
                2 => config.num_hidden_layers = size,
                3 | 4 => config.num_attention_heads = size,
                5 => config.intermediate_size = size,
                6 => config.max_position_embeddings = size,
                7 => config.type_vocab_size = size,
                8 => config.position_padding_id = padding_id,
                9 => config.layer_norm_eps = eps,
                _ => config.architecture = architecture,
            }
        }
        // What is asked of a config alone does not panic, either.
        let (_, _) = (config.head_size(), config.max_positions());
        match load(model, config.clone(), precision) {
            Ok(encoder) => {
                prop_assert_eq!(encoder.config(), &config);
                prop_assert!(config.hidden_size.is_multiple_of(config.num_attention_heads));
                prop_assert_eq!(states(&encoder).len(), 8.min(config.max_positions()) * config.hidden_size);
            }
            Err(EncoderError::ChangedConfig { .. }) => prop_assert_ne!(config, original),
            Err(EncoderError::Weights(error)) => {
                let about_a_tensor =
                    matches!(error, WeightsError::MissingTensor { .. } | WeightsError::WrongShape { .. });
                prop_assert!(about_a_tensor, "{}", error);
            }
            // Positions for fewer tokens than calibration has.
            Err(EncoderError::TooLong { tokens: 3, max_positions }) => prop_assert!(max_positions < 3),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}
