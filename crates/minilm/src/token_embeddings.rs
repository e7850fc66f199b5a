use minilm_storage::Vectors;

use crate::TokenCount;

/// The vectors of one text's tokens, and the text's own: what
/// [`SentenceTransformer::encode_tokens`](crate::SentenceTransformer::encode_tokens) gives.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenEmbeddings {
    ids: Vec<u32>,
    token_count: TokenCount,
    token_embeddings: Vec<f32>,
    sentence_embedding: Vec<f32>,
}

impl TokenEmbeddings {
    pub(crate) fn new(
        token_count: TokenCount,
        ids: Vec<u32>,
        token_embeddings: Vec<f32>,
        sentence_embedding: Vec<f32>,
    ) -> TokenEmbeddings {
        TokenEmbeddings { ids, token_count, token_embeddings, sentence_embedding }
    }

    /// The tokens' ids `[tokens]`, special tokens included.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// How many tokens the text had, and whether it was cut.
    pub fn token_count(&self) -> TokenCount {
        self.token_count
    }

    /// A vector for each of [`ids`](Self::ids), `[tokens][hidden_size]`, as the last layer gives them.
    pub fn token_embeddings(&self) -> Vectors<'_> {
        match self.ids.len() {
            0 => Vectors::from(&[][..]),
            n => Vectors::new(&self.token_embeddings, self.token_embeddings.len() / n)
                .expect("whole vectors by construction"),
        }
    }

    /// The text's own vector, as [`encode_batch`](crate::SentenceTransformer::encode_batch) gives it.
    pub fn sentence_embedding(&self) -> &[f32] {
        &self.sentence_embedding
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{EncodeOptions, SentenceTransformer};

    #[test]
    fn no_more_room_is_kept_than_for_one_more_vector() {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert");
        let model = SentenceTransformer::load(tiny).unwrap();
        let texts = ["", "the cat sat on the mat and so did the dog"];
        for text in model.encode_tokens(&texts, &EncodeOptions::default().truncate_dim(8)).unwrap() {
            let h = model.config().hidden_size;
            assert_eq!(text.token_embeddings.len(), text.ids.len() * h);
            assert!(
                text.token_embeddings.capacity() <= (text.ids.len() + 1) * h,
                "{} tokens",
                text.ids.len()
            );
            assert!(text.sentence_embedding.len() == 8 && text.sentence_embedding.capacity() <= h);
        }
    }
}
