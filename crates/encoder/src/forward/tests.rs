//! Teams larger than this machine has cores, on random models whose sizes are no multiples of each other.

use std::path::Path;

use minilm_kernels::reference::RELATIVE_POSITION_BUCKETS;
use minilm_kernels::{Isa, Precision};
use minilm_weights::Weights;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::architecture::{Architecture, RELATIVE_ATTENTION_BIAS};
use crate::team::{Lead, Team};
use crate::{Arena, Encoder, EncoderConfig, EncoderOptions, Workers};

const HEADS: usize = 3;
/// Heads of 16 columns, so that products can be shared by columns.
const HIDDEN: usize = 16 * HEADS;
/// Not a multiple of a panel's columns.
const INTERMEDIATE: usize = 72;
const LAYERS: usize = 3;
const VOCABULARY: usize = 50;
const POSITIONS: usize = 256;

/// ±0.25, the same in every run (xorshift).
fn bytes(elements: usize, state: &mut u64) -> Vec<u8> {
    let mut number = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 40) as f32 / (1u64 << 25) as f32 - 0.25
    };
    (0..elements).flat_map(|_| number().to_le_bytes()).collect()
}

fn write_model(folder: &Path, architecture: Architecture) {
    let mut shapes: Vec<(String, Vec<usize>)> =
        [("word", VOCABULARY), ("position", POSITIONS), ("token_type", 2)]
            .map(|(name, rows)| (format!("embeddings.{name}_embeddings.weight"), vec![rows, HIDDEN]))
            .into();
    if architecture == Architecture::Mpnet {
        let shape = vec![RELATIVE_POSITION_BUCKETS, HEADS];
        shapes.push((format!("{RELATIVE_ATTENTION_BIAS}.weight"), shape));
    }
    let names = architecture.tensor_names();
    let mut module = |name: String, weight: Vec<usize>, n: usize| {
        shapes.push((format!("{name}.weight"), weight));
        shapes.push((format!("{name}.bias"), vec![n]));
    };
    module("embeddings.LayerNorm".to_owned(), vec![HIDDEN], HIDDEN);
    for i in 0..LAYERS {
        for (name, n, k) in [
            (names.query, HIDDEN, HIDDEN),
            (names.key, HIDDEN, HIDDEN),
            (names.value, HIDDEN, HIDDEN),
            (names.attention_output, HIDDEN, HIDDEN),
            (names.intermediate, INTERMEDIATE, HIDDEN),
            (names.output, HIDDEN, INTERMEDIATE),
        ] {
            module(format!("{}.{i}.{name}", names.layer), vec![n, k], n);
        }
        for name in [names.attention_norm, names.output_norm] {
            module(format!("{}.{i}.{name}", names.layer), vec![HIDDEN], HIDDEN);
        }
    }
    let mut state = 1;
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let data = bytes(shape.iter().product(), &mut state);
            (name, shape, data)
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, data)| (name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
    let config = serde_json::json!({
        "model_type": architecture.name(), "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "intermediate_size": INTERMEDIATE, "vocab_size": VOCABULARY,
        "max_position_embeddings": POSITIONS, "type_vocab_size": 2,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

fn bits(encoder: &Encoder, sequences: &[usize], lead: &Lead<'_>, arena: &mut Arena) -> Vec<u32> {
    arena.tokens.clear();
    for (s, &tokens) in sequences.iter().enumerate() {
        let ids: Vec<u32> = (0..tokens).map(|i| ((i * 7 + s) % VOCABULARY) as u32).collect();
        arena.tokens.push(&ids);
    }
    encoder.forward(arena, lead).unwrap();
    arena.hidden().iter().map(|x| x.to_bits()).collect()
}

fn load(folder: &Path, isa: Isa, precision: Precision) -> Encoder {
    let config = EncoderConfig::from_file(folder.join("config.json")).unwrap();
    let weights = Weights::open(folder.join("model.safetensors")).unwrap();
    let calibration = vec![(0..VOCABULARY as u32).collect()];
    let workers = Workers::new(1).unwrap();
    let options = EncoderOptions::new(isa, &workers).precision(precision).calibration(calibration);
    Encoder::load(config, weights, &options).unwrap()
}

/// None, one and several sequences, of lengths at which the work is shared in one way and in the other.
const BATCHES: [&[usize]; 13] =
    [&[], &[0], &[1], &[2], &[11], &[0, 3, 0, 5], &[23], &[47], &[48], &[65], &[130], &[200], &[90, 1, 60]];

#[test]
fn teams_of_any_size_give_the_bits_of_one_thread() {
    // With a bias, and without.
    [Architecture::Bert, Architecture::Mpnet].into_iter().for_each(check_teams);
}

fn check_teams(architecture: Architecture) {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path(), architecture);
    for precision in Precision::ALL {
        let mut of_first_isa = None;
        for isa in Isa::available() {
            let encoder = load(folder.path(), isa, precision);
            let mut alone = Arena::default();
            let expected: Vec<Vec<u32>> =
                BATCHES.iter().map(|batch| bits(&encoder, batch, &Lead::alone(), &mut alone)).collect();
            assert!(*of_first_isa.get_or_insert_with(|| expected.clone()) == expected, "{precision}, {isa}");
            for threads in [2, 3, 5, 16, 64] {
                let team = Team::new(threads).unwrap();
                let lead = team.lead().unwrap();
                let mut arena = Arena::default();
                let batches = BATCHES.iter().zip(&expected);
                for (batch, expected) in batches.clone().chain(batches.rev()) {
                    let found = bits(&encoder, batch, &lead, &mut arena);
                    assert!(
                        found == *expected,
                        "{precision}, {isa}, {threads} threads, sequences of {batch:?} tokens"
                    );
                }
            }
        }
    }
}
