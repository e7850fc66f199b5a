//! Vectors of documents that are longer than the model takes.

use minilm_kernels::l2_normalize;
use minilm_storage::{Vectors, VectorsError};

use super::{Chunk, ChunkError, ChunkOptions, Chunker};
use crate::{Embeddings, EncodeOptions, Error, SentenceTransformer, StreamError};

/// The mean of vectors with weights: of the chunks of a document by their numbers of tokens, for instance. It is not
/// scaled to unit length.
///
/// Sums are f64 and in the vectors' order, and the quotient is rounded to f32. The mean of no vectors, or of vectors that
/// all weigh nothing, is zero.
///
/// ```
/// use minilm::Vectors;
/// use minilm::chunking::pool_chunks;
///
/// let chunks = [1.0, 0.0, 0.0, 1.0];
/// let mean = pool_chunks(Vectors::new(&chunks, 2)?, &[30, 10])?;
/// assert_eq!(mean, [0.75, 0.25]);
/// # Ok::<(), minilm::VectorsError>(())
/// ```
///
/// # Errors
///
/// [`VectorsError::LengthMismatch`] if there are not as many weights as vectors.
pub fn pool_chunks<'a>(vectors: impl Into<Vectors<'a>>, weights: &[usize]) -> Result<Vec<f32>, VectorsError> {
    let vectors = vectors.into();
    let (expected, found) = (vectors.len(), weights.len());
    if expected != found {
        return Err(VectorsError::LengthMismatch { expected, found });
    }
    let mut mean = WeightedMean::new(vectors.dimension());
    vectors.rows().zip(weights).for_each(|(vector, &weight)| mean.add(vector, weight));
    Ok(mean.finish())
}

/// Of vectors that come one after the other.
pub(crate) struct WeightedMean {
    sums: Vec<f64>,
    weight: f64,
}

impl WeightedMean {
    pub(crate) fn new(dimension: usize) -> WeightedMean {
        WeightedMean { sums: vec![0.0; dimension], weight: 0.0 }
    }

    pub(crate) fn add(&mut self, vector: &[f32], weight: usize) {
        let weight = weight as f64;
        self.sums.iter_mut().zip(vector).for_each(|(sum, &x)| *sum += weight * f64::from(x));
        self.weight += weight;
    }

    pub(crate) fn finish(self) -> Vec<f32> {
        let weight = if self.weight > 0.0 { self.weight } else { 1.0 };
        self.sums.iter().map(|sum| (sum / weight) as f32).collect()
    }
}

impl SentenceTransformer {
    /// Cuts a document into chunks, and encodes each of them.
    ///
    /// No chunk is truncated: where the options put a prompt before texts, chunks have at most as many tokens as the model takes
    /// beside it. (A prompt should end with white space, for its tokens and the text's are counted apart.) For documents whose vectors do not fit into memory, give
    /// [`Chunker::chunks`] to [`encode_stream`](Self::encode_stream).
    ///
    /// # Errors
    ///
    /// Those of [`chunker`](Self::chunker), of [`Chunker::chunks`] and of [`encode_batch`](Self::encode_batch);
    /// [`ChunkError::Prompt`] if the model takes no text beside the prompt.
    pub fn encode_chunks<'a>(
        &self,
        document: &'a str,
        options: &ChunkOptions,
        encode_options: &EncodeOptions,
    ) -> Result<(Vec<Chunk<'a>>, Embeddings), Error> {
        // What is wrong with the options is said before the document is read.
        self.output(encode_options)?;
        let chunker = self.chunker_for(options, encode_options)?;
        let chunks = chunker.chunks(document).collect::<Result<Vec<_>, _>>()?;
        let embeddings = self.encode_batch(&chunks, encode_options)?;
        Ok((chunks, embeddings))
    }

    /// One vector for a document of any length: the mean of its chunks' vectors, weighted by their tokens (special ones
    /// included) as [`pool_chunks`] does it, and scaled to unit length if the model does so.
    ///
    /// Of a document of one chunk it is the vector of that chunk, of a document without any, white space alone, that of the
    /// empty text: what [`encode`](Self::encode) gives. Works in windows, as [`encode_stream`](Self::encode_stream)
    /// does, so that beside the document little is held. For an input of sentence-transformers' `encode_document`, which
    /// is about prompts, this is not.
    ///
    /// # Errors
    ///
    /// Those of [`encode_chunks`](Self::encode_chunks).
    pub fn encode_pooled(
        &self,
        document: &str,
        options: &ChunkOptions,
        encode_options: &EncodeOptions,
    ) -> Result<Vec<f32>, Error> {
        let (dimension, _) = self.output(encode_options)?;
        let chunker = self.chunker_for(options, encode_options)?;
        // What the options do with vectors is done with the document's.
        let all = self.modules.dimension();
        let whole = encode_options.clone().truncate_dim(all).normalize_embeddings(false);
        let mut mean = WeightedMean::new(all);
        let mut first = Vec::new();
        let encoded = self.encode_stream(chunker.chunks(document), &whole, |chunks, embeddings| {
            if first.is_empty() {
                first = embeddings.row(0).to_vec();
            }
            chunks.iter().zip(embeddings.rows()).for_each(|(chunk, vector)| mean.add(vector, chunk.tokens));
            Ok::<(), Error>(())
        });
        let chunks = encoded.map_err(|error| match error {
            StreamError::Source(error) | StreamError::Sink(error) | StreamError::Encode(error) => error,
        })?;
        let mut vector = match chunks {
            0 => return Ok(self.encode_batch(&[""], encode_options)?.into_vec()),
            1 => first,
            _ => {
                let mut pooled = mean.finish();
                if self.scales(encode_options) {
                    l2_normalize(self.isa(), &mut pooled);
                }
                pooled
            }
        };
        self.finish(&mut vector, dimension, encode_options);
        Ok(vector)
    }

    /// A chunker whose chunks leave room for the prompt that these options put before each of them, so that none is cut when it is
    /// encoded with them.
    ///
    /// # Errors
    ///
    /// Those of [`chunker`](Self::chunker); [`Error::PromptName`] and [`Error::Tokenizer`].
    pub fn chunker_for(
        &self,
        options: &ChunkOptions,
        encode_options: &EncodeOptions,
    ) -> Result<Chunker<'_>, Error> {
        let chunker = self.chunker(options)?;
        let prompt = self.prompts.resolve(encode_options)?;
        if prompt.is_empty() {
            return Ok(chunker);
        }
        let (special_tokens, max_seq_length) = (self.tokenizer.special_tokens(), self.max_seq_length());
        let tokens = self.tokenizer.encode(prompt)?.total - special_tokens;
        let room = max_seq_length.saturating_sub(tokens);
        if room <= special_tokens {
            return Err(ChunkError::Prompt { tokens, max_seq_length, special_tokens }.into());
        }
        self.chunker(&options.clone().max_tokens(chunker.max_tokens().min(room)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_weighted() {
        let vectors = [1.0, 2.0, 3.0, 4.0, -5.0, 0.5];
        let mean = pool_chunks(Vectors::new(&vectors, 2).unwrap(), &[1, 0, 3]).unwrap();
        assert_eq!(mean, [-3.5, 0.875]);
    }

    #[test]
    fn one_vector_is_its_own_mean() {
        let vector = [0.1_f32, -1.0e-30, 3.0e30, f32::MIN_POSITIVE / 3.0];
        for weight in [1, 3, 254, 100_003] {
            assert_eq!(pool_chunks(&vector[..], &[weight]).unwrap(), vector);
        }
    }

    #[test]
    fn what_has_no_mean_is_zero_and_what_does_not_fit_is_an_error() {
        let vectors = [1.0, 2.0];
        assert_eq!(pool_chunks(&vectors[..], &[0]).unwrap(), [0.0, 0.0]);
        assert_eq!(pool_chunks(Vectors::new(&[], 2).unwrap(), &[]).unwrap(), [0.0, 0.0]);
        let error = pool_chunks(&vectors[..], &[1, 2]).unwrap_err();
        assert_eq!(error, VectorsError::LengthMismatch { expected: 1, found: 2 });
    }
}
