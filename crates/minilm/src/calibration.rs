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
