/// How to cut documents. [`Default`] is by paragraphs of plain text, as long as the model takes, without overlap.
///
/// ```
/// use minilm::chunking::{ChunkBy, ChunkOptions};
///
/// let small = ChunkOptions::default().by(ChunkBy::Sentences).max_tokens(64).overlap(16);
/// let readme = ChunkOptions::markdown();
/// # assert_eq!((small.max_tokens, readme.markdown), (Some(64), true));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChunkOptions {
    /// The most tokens of a chunk, special tokens (`[CLS]` and `[SEP]`) included; `None` (the default) for the model's
    /// [`max_seq_length`](crate::SentenceTransformer::max_seq_length), beyond which it cannot be.
    pub max_tokens: Option<usize>,
    /// How many tokens of the chunk before a chunk begins with, special tokens not counted; 0 by default. So many at most:
    /// it begins where a sentence begins, or if there is none a word, and has less of the old for the sake of whole
    /// new units. Chunks under different headings have nothing in common. With tokenizers whose words do not add up (byte-level
    /// BPE, for instance) the number is that of the words in the whole document.
    ///
    /// Less than [`max_tokens`](Self::max_tokens) without the special tokens.
    pub overlap: usize,
    /// The largest units that are put together: [`ChunkBy::Paragraphs`] by default.
    pub by: ChunkBy,
    /// Whether documents are Markdown (CommonMark with GitHub's tables and footnotes, and with YAML or TOML in front), of
    /// which headings, lists and code are respected; `false` by default.
    pub markdown: bool,
}

/// The largest units that chunks are made of. What does not fit is cut into smaller ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChunkBy {
    /// Paragraphs, between blank lines; in Markdown, blocks. Where a paragraph is cut, it is cut between sentences.
    #[default]
    Paragraphs,
    /// Sentences, whatever paragraphs they are in.
    Sentences,
    /// Words, as many as fit: chunks of nearly the same number of tokens.
    Tokens,
}

impl ChunkOptions {
    /// For Markdown: sets [`ChunkOptions::markdown`].
    pub fn markdown() -> ChunkOptions {
        ChunkOptions { markdown: true, ..ChunkOptions::default() }
    }

    /// Sets [`ChunkOptions::max_tokens`].
    #[must_use]
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Sets [`ChunkOptions::overlap`].
    #[must_use]
    pub fn overlap(mut self, tokens: usize) -> Self {
        self.overlap = tokens;
        self
    }

    /// Sets [`ChunkOptions::by`].
    #[must_use]
    pub fn by(mut self, by: ChunkBy) -> Self {
        self.by = by;
        self
    }
}
