//! What the encoder refuses, on the tiny model in `fixtures/`, and what one thread means.

use std::path::PathBuf;

use minilm_bert::{Arena, BertConfig, BertEncoder, BertError, Lead, Workers};
use minilm_kernels::Isa;
use minilm_weights::WeightsFile;

fn tiny_bert() -> BertEncoder {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert");
    let config = BertConfig::from_file(folder.join("config.json")).unwrap();
    let weights = WeightsFile::open(folder.join("model.safetensors")).unwrap();
    BertEncoder::load(config, weights, Isa::best(), &Workers::new(1).unwrap()).unwrap()
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
    assert!(matches!(error, BertError::TooLong { tokens: 49, max_position_embeddings: 48 }), "{error}");

    arena.tokens.clear();
    arena.tokens.push(&[300]);
    encoder.forward(&mut arena, &Lead::alone()).unwrap();
    arena.tokens.push(&[301]);
    let error = encoder.forward(&mut arena, &Lead::alone()).unwrap_err();
    assert!(matches!(error, BertError::UnknownToken { id: 301, vocab_size: 301 }), "{error}");
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
