use crate::EncodeOptions;

/// How to build an index. [`Default`] is what most programs want.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IndexOptions {
    /// How texts are encoded. They get the model's prompt for documents, unless there is another.
    pub encode: EncodeOptions,
    /// After how many texts they are kept for good, so that an interrupted build can go on from there; 65,536 by default, which are
    /// 100 MB of 384 components.
    pub segment_texts: usize,
}

impl Default for IndexOptions {
    fn default() -> Self {
        IndexOptions { encode: EncodeOptions::default(), segment_texts: 65_536 }
    }
}

impl IndexOptions {
    /// Sets [`IndexOptions::encode`].
    #[must_use]
    pub fn encode(mut self, encode: EncodeOptions) -> Self {
        self.encode = encode;
        self
    }

    /// Sets [`IndexOptions::segment_texts`].
    #[must_use]
    pub fn segment_texts(mut self, texts: usize) -> Self {
        self.segment_texts = texts;
        self
    }
}
