//! What the encoder refuses, on the tiny models in `fixtures/`, and what one thread means.

use std::path::{Path, PathBuf};

use minilm_encoder::{Arena, Encoder, EncoderConfig, EncoderError, EncoderOptions, Lead, Workers};
use minilm_kernels::{Isa, Precision};
use minilm_weights::Weights;

fn tiny_bert() -> Encoder {
    load(Precision::F32, Vec::new()).unwrap()
}

fn load(precision: Precision, calibration: Vec<Vec<u32>>) -> Result<Encoder, EncoderError> {
    load_model("tiny-bert", precision, calibration)
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn load_model(
    model: &str,
    precision: Precision,
    calibration: Vec<Vec<u32>>,
) -> Result<Encoder, EncoderError> {
    load_folder(&fixtures().join(model), precision, calibration)
}

fn load_folder(
    folder: &Path,
    precision: Precision,
    calibration: Vec<Vec<u32>>,
) -> Result<Encoder, EncoderError> {
    let config = EncoderConfig::from_file(folder.join("config.json")).unwrap();
    let weights = Weights::open_in(folder).unwrap();
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

/// Also where positions begin behind the padding token's id.
#[test]
fn every_architecture_takes_as_many_tokens_as_it_has_positions() {
    for (model, positions) in [
        ("tiny-bert", 48),
        ("tiny-mpnet", 200),
        ("tiny-roberta", 64),
        ("tiny-xlm-roberta", 128),
        ("tiny-distilbert", 40),
    ] {
        let encoder = load_model(model, Precision::F32, Vec::new()).unwrap();
        assert_eq!(encoder.config().max_positions(), positions, "{model}");
        let mut arena = Arena::default();
        arena.tokens.push(&vec![9; positions]);
        encoder.forward(&mut arena, &Lead::alone()).unwrap();
        assert_eq!(arena.hidden().len(), positions * encoder.config().hidden_size, "{model}");
        arena.tokens.push(&vec![9; positions + 1]);
        let error = encoder.forward(&mut arena, &Lead::alone()).unwrap_err();
        let EncoderError::TooLong { tokens, max_positions } = error else { panic!("{model}: {error}") };
        assert_eq!((tokens, max_positions), (positions + 1, positions), "{model}");
    }
}

/// In transformers, `CamembertModel` and `XLMRobertaModel` are `RobertaModel` by other names.
#[test]
fn roberta_has_two_other_names() {
    let states = |model_type: &str| {
        let folder = tempfile::tempdir().unwrap();
        let roberta = fixtures().join("tiny-roberta");
        for entry in std::fs::read_dir(&roberta).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
            }
        }
        let config = std::fs::read_to_string(roberta.join("config.json")).unwrap();
        let changed = config.replace("\"roberta\"", &format!("{model_type:?}"));
        std::fs::write(folder.path().join("config.json"), changed).unwrap();
        let encoder = load_folder(folder.path(), Precision::F32, Vec::new()).unwrap();
        assert_eq!(encoder.config().architecture.name(), model_type);
        let mut arena = Arena::default();
        arena.tokens.push(&[0, 7, 1, 30, 31, 2]);
        encoder.forward(&mut arena, &Lead::alone()).unwrap();
        arena.hidden().to_vec()
    };
    let expected = states("roberta");
    assert_eq!(states("camembert"), expected);
    assert_eq!(states("xlm-roberta"), expected);
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
