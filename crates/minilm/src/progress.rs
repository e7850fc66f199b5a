/// Hears how far encoding is: [`EncodeOptions::progress`](crate::EncodeOptions::progress).
///
/// A closure is one, too:
///
/// ```
/// use std::sync::Arc;
///
/// use minilm::EncodeOptions;
///
/// let options = EncodeOptions::default().progress(Arc::new(|texts: usize, total: Option<usize>| match total {
///     Some(total) => println!("{texts} of {total}"),
///     None => println!("{texts} so far"),
/// }));
/// ```
pub trait EncodeProgress: Send + Sync {
    /// So many texts are encoded, of so many in all if that is known ([`encode_batch`] knows it, [`encode_stream`]
    /// does not).
    ///
    /// Called by the threads that encode, after each micro-batch (every few milliseconds) and not at all if there
    /// are no texts: it should be quick. The threads do not wait for each other, so a smaller number may follow a
    /// greater one. No number comes twice, and the greatest is that of all texts.
    ///
    /// [`encode_batch`]: crate::SentenceTransformer::encode_batch
    /// [`encode_stream`]: crate::SentenceTransformer::encode_stream
    fn encoded(&self, texts: usize, total: Option<usize>);
}

impl<F: Fn(usize, Option<usize>) + Send + Sync> EncodeProgress for F {
    fn encoded(&self, texts: usize, total: Option<usize>) {
        self(texts, total);
    }
}
