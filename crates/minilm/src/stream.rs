//! More texts than fit into memory.

use crate::{Embeddings, EncodeOptions, Error, SentenceTransformer};

/// Why [`SentenceTransformer::encode_stream`] stopped: one of the three that have a part in it.
#[derive(Debug, thiserror::Error)]
pub enum StreamError<S, K> {
    /// The texts could not be read: what their iterator said.
    #[error("{0}")]
    Source(S),

    /// A text could not be encoded.
    #[error(transparent)]
    Encode(#[from] Error),

    /// The results could not be kept: what `sink` said.
    #[error("{0}")]
    Sink(K),
}

impl SentenceTransformer {
    /// Encodes any number of texts in bounded memory: reads a window of them, encodes it, hands texts and vectors to
    /// `sink`, and goes on with the next. Returns how many texts there were.
    ///
    /// The windows come in order and none is empty; together they are what [`encode_batch`](Self::encode_batch)
    /// gives for all texts, bit for bit. How much a window holds is
    /// [`window_texts`](EncodeOptions::window_texts) and [`window_bytes`](EncodeOptions::window_bytes) of the options.
    ///
    /// ```no_run
    /// use std::fs::File;
    /// use std::io::{BufRead, BufReader, BufWriter, Write};
    ///
    /// use minilm::{EncodeOptions, SentenceTransformer};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let model = SentenceTransformer::load("all-MiniLM-L6-v2")?;
    /// let lines = BufReader::new(File::open("texts.txt")?).lines();
    /// let mut vectors = BufWriter::new(File::create("vectors.f32")?);
    /// let texts = model.encode_stream(lines, &EncodeOptions::default(), |_, embeddings| {
    ///     embeddings.as_slice().iter().try_for_each(|x| vectors.write_all(&x.to_le_bytes()))
    /// })?;
    /// vectors.flush()?;
    /// println!("{texts} vectors of {} floats", model.embedding_dimension());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`StreamError::Source`] with the first error of `texts`, whose window is not encoded any more;
    /// [`StreamError::Encode`] as for [`encode`](Self::encode); [`StreamError::Sink`] with the first error of `sink`.
    /// Nothing is read or encoded after an error.
    pub fn encode_stream<T, S, K>(
        &self,
        texts: impl IntoIterator<Item = Result<T, S>>,
        options: &EncodeOptions,
        sink: impl FnMut(Vec<T>, Embeddings) -> Result<(), K>,
    ) -> Result<usize, StreamError<S, K>>
    where
        T: AsRef<str> + Sync,
    {
        self.encode_stream_after(0, texts, options, sink)
    }

    /// The same after so many texts that were done before: they count for progress, for the number of a text in an error, and
    /// in the end.
    pub(crate) fn encode_stream_after<T, S, K>(
        &self,
        before: usize,
        texts: impl IntoIterator<Item = Result<T, S>>,
        options: &EncodeOptions,
        mut sink: impl FnMut(Vec<T>, Embeddings) -> Result<(), K>,
    ) -> Result<usize, StreamError<S, K>>
    where
        T: AsRef<str> + Sync,
    {
        let max_texts = match options.window_texts {
            0 => TEXTS_PER_THREAD * self.threads(),
            n => n,
        };
        let mut texts = texts.into_iter();
        let mut done = before;
        loop {
            let window =
                next_window(&mut texts, max_texts, options.window_bytes).map_err(StreamError::Source)?;
            if window.is_empty() {
                return Ok(done);
            }
            let embeddings = self.encode_part(&window, options, done, None)?;
            done += window.len();
            sink(window, embeddings).map_err(StreamError::Sink)?;
        }
    }
}

/// Each thread gets some hundred milliseconds of work, beside which its wait for the last thread is nothing.
const TEXTS_PER_THREAD: usize = 512;

/// The next texts: one at least if there is one, and no more once there are `max_texts` or `max_bytes`.
fn next_window<T: AsRef<str>, S>(
    texts: &mut impl Iterator<Item = Result<T, S>>,
    max_texts: usize,
    max_bytes: usize,
) -> Result<Vec<T>, S> {
    let (mut window, mut bytes) = (Vec::new(), 0);
    while window.is_empty() || (window.len() < max_texts && bytes < max_bytes) {
        let Some(text) = texts.next().transpose()? else { break };
        bytes += text.as_ref().len();
        window.push(text);
    }
    Ok(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many texts each window has.
    fn windows(lengths: &[usize], max_texts: usize, max_bytes: usize) -> Vec<usize> {
        let mut texts = lengths.iter().map(|&n| Ok::<_, ()>("x".repeat(n)));
        let window = || next_window(&mut texts, max_texts, max_bytes).map(|window| window.len());
        std::iter::repeat_with(window).map(Result::unwrap).take_while(|&n| n > 0).collect()
    }

    #[test]
    fn windows_are_bounded_by_texts_and_by_bytes() {
        assert_eq!(windows(&[], 3, 10), [0; 0]);
        assert_eq!(windows(&[1; 7], 3, 10), [3, 3, 1]);
        assert_eq!(windows(&[4, 4, 4, 4, 100, 0, 1], 9, 10), [3, 2, 2]);
        assert_eq!(windows(&[0, 0], 0, 0), [1, 1]);
    }

    #[test]
    fn nothing_is_taken_after_an_error() {
        let mut texts = [Ok("a"), Err("broken"), Ok("b")].into_iter();
        assert_eq!(next_window(&mut texts, 9, 9), Err("broken"));
        assert_eq!(texts.len(), 1);
    }
}
