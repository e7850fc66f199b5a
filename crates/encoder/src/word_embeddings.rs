//! The rows of the word embeddings, half of a small model's weights, of which texts need few.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use minilm_weights::Weights;

use crate::{EncoderConfig, EncoderError};

/// At most so many rows are kept, 25 MB of all-MiniLM-L6-v2: the 17,256 sentences of the STS benchmark need 13,073. What is met
/// after them is read from the file each time.
const KEPT_ROWS: usize = 16_384;

/// When so many more rows are kept, the file's pages are given back: each brings its neighbours, 64 KB on Linux, which would
/// count as this process's memory from then on. Not so when no more rows are kept: pages that come and go cost more than the
/// rows.
const ROWS_A_RELEASE: usize = 64;

/// Word embeddings `[vocab_size][hidden_size]`: rows are read from the weights file when they are first needed, and kept.
pub(crate) struct WordEmbeddings {
    weights: Arc<Weights>,
    /// The tensor's name in the file.
    name: String,
    shape: [usize; 2],
    /// `[vocab_size]`
    rows: Box<[OnceLock<Box<[f32]>>]>,
    kept: AtomicUsize,
}

impl WordEmbeddings {
    /// Those of the tensor of that name, which the file has in the shape that the config says.
    pub(crate) fn new(weights: Arc<Weights>, name: String, config: &EncoderConfig) -> WordEmbeddings {
        let shape = [config.vocab_size, config.hidden_size];
        let rows = (0..config.vocab_size).map(|_| OnceLock::new()).collect();
        WordEmbeddings { weights, name, shape, rows, kept: AtomicUsize::new(0) }
    }

    /// The rows of these ids → `[ids.len()][hidden_size]`.
    pub(crate) fn gather(&self, ids: &[u32], rows: &mut [f32]) -> Result<(), EncoderError> {
        let [vocab_size, h] = self.shape;
        for (&id, to) in ids.iter().zip(rows.chunks_exact_mut(h)) {
            let index = usize::try_from(id).ok().filter(|&index| index < vocab_size);
            let index = index.ok_or(EncoderError::UnknownToken { id, vocab_size })?;
            let row = &self.rows[index];
            if let Some(row) = row.get() {
                to.copy_from_slice(row);
                continue;
            }
            self.weights.tensor(&self.name, &self.shape)?.read_f32(index * h, to);
            // Several threads at once may keep a few rows too many.
            if self.kept.load(Ordering::Relaxed) < KEPT_ROWS && row.set(to.into()).is_ok() {
                let kept = self.kept.fetch_add(1, Ordering::Relaxed) + 1;
                if kept.is_multiple_of(ROWS_A_RELEASE) {
                    self.weights.release();
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const NAME: &str = "embeddings.word_embeddings.weight";

    fn tiny_bert() -> (Arc<Weights>, EncoderConfig) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert");
        let weights = Weights::open(folder.join("model.safetensors")).unwrap();
        (Arc::new(weights), EncoderConfig::from_file(folder.join("config.json")).unwrap())
    }

    /// Again and again, so that a row is read, kept, and found; and from threads that meet.
    #[test]
    fn rows_are_those_of_the_file_whether_kept_or_not() {
        let (weights, config) = tiny_bert();
        let (vocab_size, h) = (config.vocab_size, config.hidden_size);
        let expected = weights.tensor(NAME, &[vocab_size, h]).unwrap().to_f32();
        let ids: Vec<u32> = (0..vocab_size as u32).rev().chain(0..vocab_size as u32).collect();
        let words = WordEmbeddings::new(Arc::clone(&weights), NAME.to_owned(), &config);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut rows = vec![f32::NAN; ids.len() * h];
                    words.gather(&ids, &mut rows).unwrap();
                    for (&id, row) in ids.iter().zip(rows.chunks_exact(h)) {
                        assert_eq!(row, &expected[id as usize * h..][..h], "row {id}");
                    }
                });
            }
        });
        assert_eq!(words.kept.load(Ordering::Relaxed), vocab_size.min(KEPT_ROWS));
        for (id, row) in words.rows.iter().enumerate() {
            assert_eq!(row.get().expect("there is room for all")[..], expected[id * h..][..h], "row {id}");
        }
        // With no room left, rows are the file's all the same.
        let full = WordEmbeddings::new(weights, NAME.to_owned(), &config);
        full.kept.store(KEPT_ROWS, Ordering::Relaxed);
        for _ in 0..2 {
            let mut rows = vec![f32::NAN; ids.len() * h];
            full.gather(&ids, &mut rows).unwrap();
            assert_eq!(rows[..h], expected[(vocab_size - 1) * h..]);
        }
        assert!(full.rows.iter().all(|row| row.get().is_none()));
    }

    #[test]
    fn ids_beyond_the_vocabulary_are_errors() {
        let (weights, config) = tiny_bert();
        let words = WordEmbeddings::new(weights, NAME.to_owned(), &config);
        for id in [config.vocab_size as u32, u32::MAX] {
            let found = words.gather(&[0, id], &mut vec![0.0; 2 * config.hidden_size]);
            assert!(matches!(found, Err(EncoderError::UnknownToken { id: of, .. }) if of == id), "{found:?}");
        }
    }
}
