use minilm_storage::Vectors;

/// The vectors of several texts, `[n][dimension]`, contiguous and in the texts' order.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    data: Vec<f32>,
    dimension: usize,
    token_counts: Vec<TokenCount>,
}

/// How many tokens a text had, special tokens included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenCount {
    /// What the whole text has.
    pub total: usize,
    /// What its vector was computed from: at most the model's `max_seq_length`.
    pub used: usize,
}

impl TokenCount {
    pub(crate) fn new(total: usize, used: usize) -> TokenCount {
        TokenCount { total, used }
    }

    /// Whether the text was too long for the model, so that its vector says nothing of its end.
    pub fn truncated(self) -> bool {
        self.used < self.total
    }
}

impl Embeddings {
    pub(crate) fn new(data: Vec<f32>, dimension: usize, token_counts: Vec<TokenCount>) -> Embeddings {
        debug_assert_eq!(data.len(), dimension * token_counts.len());
        Embeddings { data, dimension, token_counts }
    }

    /// The number of texts.
    pub fn len(&self) -> usize {
        self.token_counts.len()
    }

    /// Whether there are no texts.
    pub fn is_empty(&self) -> bool {
        self.token_counts.is_empty()
    }

    /// The number of components of each vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Text i's vector.
    ///
    /// # Panics
    ///
    /// If there are not that many texts.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.dimension..][..self.dimension]
    }

    /// The vectors in the texts' order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.data.chunks_exact(self.dimension)
    }

    /// All components, `[n][dimension]`.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// The vectors, as what similarity and search take.
    pub fn vectors(&self) -> Vectors<'_> {
        self.into()
    }

    /// All components, `[n][dimension]`.
    pub fn into_vec(self) -> Vec<f32> {
        self.data
    }

    /// How many tokens each text had, and whether it was cut.
    pub fn token_counts(&self) -> &[TokenCount] {
        &self.token_counts
    }
}

impl<'a> From<&'a Embeddings> for Vectors<'a> {
    fn from(embeddings: &'a Embeddings) -> Vectors<'a> {
        Vectors::new(&embeddings.data, embeddings.dimension).expect("whole vectors by construction")
    }
}
