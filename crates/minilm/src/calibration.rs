//! What int8 is calibrated with: random tokens.
//!
//! Which channels of a layer's input are large is a property of the model, more than of the text: sixteen short sequences of
//! random ids find it as well as thousands of real sentences do. So no data set is needed, whatever language a model is
//! for, and nothing is fitted to texts that somebody might evaluate on.

use minilm_tokenizer::Tokenizer;

use crate::Error;

const SEQUENCES: usize = 16;

/// Random tokens of each; the tokenizer's special tokens stand around them.
const TOKENS: usize = 12;

/// The sequences, the same for a tokenizer every time.
///
/// # Errors
///
/// [`Error::Tokenizer`] if the tokenizer cannot encode an empty text.
pub(crate) fn calibration_sequences(tokenizer: &Tokenizer) -> Result<Vec<Vec<u32>>, Error> {
    let special = tokenizer.encode("")?.ids;
    let (before, after) = special.split_at(special.len().min(1));
    let room = tokenizer.max_seq_length().saturating_sub(special.len());
    let vocab_size = tokenizer.vocab_size() as u64;
    // xorshift64, from an arbitrary seed.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random_id = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % vocab_size.max(1)) as u32
    };
    Ok((0..SEQUENCES)
        .map(|_| {
            let mut ids = before.to_vec();
            ids.extend((0..TOKENS.min(room)).map(|_| random_id()));
            ids.extend(after);
            ids
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    /// The tiny model's tokenizer, changed in one way.
    fn tokenizer(max_seq_length: usize, change: impl FnOnce(&mut Value)) -> Tokenizer {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert/tokenizer.json");
        let mut json: Value = serde_json::from_slice(&std::fs::read(tiny).unwrap()).unwrap();
        change(&mut json);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, json.to_string()).unwrap();
        Tokenizer::from_file(path, max_seq_length).unwrap()
    }

    fn without_special_tokens(json: &mut Value) {
        json["post_processor"] = Value::Null;
    }

    #[test]
    fn they_are_the_same_every_time_and_differ_from_each_other() {
        let sequences = calibration_sequences(&tokenizer(32, |_| {})).unwrap();
        assert_eq!(sequences, calibration_sequences(&tokenizer(32, |_| {})).unwrap());
        // The limit does not matter where there is room.
        assert_eq!(sequences, calibration_sequences(&tokenizer(500, |_| {})).unwrap());
        assert_eq!(sequences.iter().collect::<HashSet<_>>().len(), SEQUENCES);
        let ids: HashSet<u32> = sequences.iter().flatten().copied().collect();
        assert!(ids.len() > 100, "{} different ids", ids.len());
    }

    #[test]
    fn they_are_tokens_between_the_special_ones_and_within_the_limit() {
        for max_seq_length in [3, 4, 13, 14, 15, 32] {
            let tokenizer = tokenizer(max_seq_length, |_| {});
            let special = tokenizer.encode("").unwrap().ids;
            for ids in calibration_sequences(&tokenizer).unwrap() {
                assert_eq!(ids.len(), max_seq_length.min(TOKENS + 2));
                assert_eq!([ids[0], ids[ids.len() - 1]], special[..]);
                assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()), "{ids:?}");
            }
        }
    }

    #[test]
    fn a_tokenizer_without_special_tokens_has_none_in_them() {
        for max_seq_length in [1, 5, 12, 32] {
            let tokenizer = tokenizer(max_seq_length, without_special_tokens);
            let sequences = calibration_sequences(&tokenizer).unwrap();
            assert!(sequences.iter().all(|ids| ids.len() == max_seq_length.min(TOKENS)), "{sequences:?}");
        }
        let around = calibration_sequences(&tokenizer(32, |_| {})).unwrap();
        let alone = calibration_sequences(&tokenizer(32, without_special_tokens)).unwrap();
        for (around, alone) in around.iter().zip(&alone) {
            assert_eq!(around[1..around.len() - 1], alone[..]);
        }
    }

    #[test]
    fn a_vocabulary_may_have_one_word() {
        let one_word = tokenizer(32, |json| {
            without_special_tokens(json);
            json["added_tokens"] = json!([]);
            json["model"] = json!({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"});
        });
        assert_eq!(one_word.vocab_size(), 1);
        assert_eq!(calibration_sequences(&one_word).unwrap(), vec![vec![0; TOKENS]; SEQUENCES]);
    }
}
