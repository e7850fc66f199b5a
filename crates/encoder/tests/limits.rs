//! What the encoder refuses, on the tiny model in `fixtures/`, and what one thread means.

use std::path::PathBuf;

use minilm_encoder::{Arena, Encoder, EncoderConfig, EncoderError, EncoderOptions, Lead, Workers};
use minilm_kernels::{Isa, Precision};
use minilm_weights::Weights;

fn tiny_bert() -> Encoder {
    load(Precision::F32, Vec::new()).unwrap()
}

fn load(precision: Precision, calibration: Vec<Vec<u32>>) -> Result<Encoder, EncoderError> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert");
    let config = EncoderConfig::from_file(folder.join("config.json")).unwrap();
    let weights = Weights::open(folder.join("model.safetensors")).unwrap();
    let workers = Workers::new(1).unwrap();
    let options = EncoderOptions::new(Isa::best(), &workers).precision(precision).calibration(calibration);
    Encoder::load(config, weights, &options)
}

#[test]
fn sequences_beyond_the_positions_and_ids_beyond_the_vocabulary_are_refused() {
    let encoder = tiny_bert();
    let mut arena = Arena::default();
    arena.tokens.push(&[9; 48]);
    encoder.forward(&mut arena, &Lead::alone()).unwrap();
    assert_eq!(arena.hidden().len(), 48 * 40);

    arena.tokens.push(&[9; 49]);
    let error = encoder.forward(&mut arena, &Lead::alone()).unwrap_err();
    assert!(matches!(error, EncoderError::TooLong { tokens: 49, max_positions: 48 }), "{error}");

    arena.tokens.clear();
    arena.tokens.push(&[300]);
    encoder.forward(&mut arena, &Lead::alone()).unwrap();
    arena.tokens.push(&[301]);
    let error = encoder.forward(&mut arena, &Lead::alone()).unwrap_err();
    assert!(matches!(error, EncoderError::UnknownToken { id: 301, vocab_size: 301 }), "{error}");
}

#[test]
fn sequences_to_calibrate_with_have_the_same_limits() {
    let too_long = || vec![vec![9; 48], vec![9; 49]];
    let error = load(Precision::Int8, too_long()).unwrap_err();
    assert!(matches!(error, EncoderError::TooLong { tokens: 49, max_positions: 48 }), "{error}");
    let error = load(Precision::Int8, vec![vec![300, 301]]).unwrap_err();
    assert!(matches!(error, EncoderError::UnknownToken { id: 301, vocab_size: 301 }), "{error}");
    load(Precision::Int8, vec![vec![], vec![300; 48]]).unwrap();
    // Who does not calibrate does not look at them.
    for precision in [Precision::F32, Precision::Bf16] {
        assert_eq!(load(precision, too_long()).unwrap().precision(), precision);
    }
}

#[test]
fn one_thread_is_the_callers() {
    let caller = std::thread::current().id();
    let threads_of = |workers: &Workers| {
        workers.try_map(&[(); 100], |()| Ok::<_, ()>(std::thread::current().id())).unwrap()
    };
    assert!(threads_of(&Workers::new(1).unwrap()).iter().all(|&id| id == caller));
    assert!(threads_of(&Workers::new(2).unwrap()).iter().all(|&id| id != caller));
}
