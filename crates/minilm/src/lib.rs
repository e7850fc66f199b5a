//! Sentence embeddings on the CPU, written from scratch: all-MiniLM-L6-v2 and its kin.
//!
//! The same text gives **the same bits** on every instruction set, alone or in any batch, with any number
//! of threads; and in f32, the default, the vector that sentence-transformers computes, to 1e-6. With
//! [`Precision::Bf16`] and [`Precision::Int8`] bits are the same everywhere too, but vectors are other ones: the cosine to those
//! of f32 is 0.99999 and 0.9995 in the mean, over the sentences of the STS benchmark (`minilm eval sts` measures it).
//!
//! ```no_run
//! use minilm::{EncodeOptions, SentenceTransformer};
//!
//! # fn main() -> Result<(), minilm::Error> {
//! let model = SentenceTransformer::load("sentence-transformers/all-MiniLM-L6-v2")?;
//!
//! let one = model.encode("I like programming and machine learning")?;
//! assert_eq!(one.len(), 384);
//!
//! let texts = ["How do I read a file?", "Reading files in Rust"];
//! let many = model.encode_batch(&texts, &EncodeOptions::default())?;
//! for (text, vector) in texts.iter().zip(many.rows()) {
//!     println!("{text}: {:?} …", &vector[..3]);
//! }
//! # Ok(()) }
//! ```
//!
//! [`SentenceTransformer::load`] takes a name or a directory. A name is looked for in the local Hugging
//! Face cache and then downloaded, see [`resolve`](mod@resolve). A loaded model is `Send + Sync` and encodes with
//! `&self`: one serves any number of threads. [`SentenceTransformer::encode_stream`] encodes more texts than fit into
//! memory, and [`EncodeOptions::progress`] tells how far it is.
//!
//! # What vectors and long texts are for
//!
//! | to | there is |
//! |---|---|
//! | compare vectors | [`cos_sim`], [`dot_score`] and their like; [`SentenceTransformer::similarity`] |
//! | search vectors in memory or in a mapped file | [`semantic_search`] |
//! | keep texts and vectors to search them later | [`IndexWriter`], [`Index`] |
//! | find what says the same | [`paraphrase_mining`], [`community_detection`] |
//! | embed long documents | [`chunking`], [`SentenceTransformer::encode_pooled`]; [`Truncation::Split`] |
//! | make clusters, and pictures of them | [`clustering`], [`projection`] |
//! | store vectors, and read them back | [`storage`] |
//! | keep vectors in bytes or bits | [`quantize_embeddings`], [`semantic_search_quantized`] |
//!
//! The model, its vectors and its index are in the root, and so are the functions that sentence-transformers has, under its
//! names. Each other use has a module, and everything of it is there.

#![deny(missing_debug_implementations)]

mod calibration;
mod centred;
pub mod chunking;
pub mod clustering;
mod decode;
mod embeddings;
mod encode;
mod error;
mod fingerprint;
mod folder;
mod index;
mod micro_batch;
mod model_settings;
mod modules;
mod options;
mod packed_cache;
mod progress;
pub mod projection;
mod quantization;
pub mod resolve;
mod retrieval;
mod sentence_transformer;
mod similarity;
mod stream;
mod supported;
mod threads;
mod token_embeddings;
mod token_ids;
mod trace;

pub use embeddings::{Embeddings, TokenCount};
pub use error::Error;
pub use index::{Added, Index, IndexError, IndexHit, IndexOptions, IndexWriter};
pub use minilm_encoder::{
    Architecture, EncoderConfig, EncoderError, HiddenAct, Operation, PackedCacheStatus, Profile, Tap,
    TraceStep, TraceValues,
};
pub use minilm_kernels::{ISA_VARIABLE, Isa, Precision, UnavailableIsa, UnknownPrecision, cpu_features};
#[doc(inline)]
pub use minilm_storage as storage;
pub use minilm_storage::{Vectors, VectorsError};
pub use minilm_tokenizer::{
    ReadableToken, ReadableTokens, Span, TokenizeOptions, TokenizerError, TruncationSide,
};
pub use minilm_weights::{FloatType, WeightsError};
pub use modules::PoolingMode;
pub use options::{EncodeOptions, LoadOptions, Truncation};
pub use packed_cache::{PACKED_CACHE_VARIABLE, PackedCache};
pub use progress::EncodeProgress;
pub use quantization::{
    EmbeddingPrecision, QuantizationError, QuantizationRanges, QuantizedEmbeddings,
    UnknownEmbeddingPrecision, quantize_embeddings,
};
pub use resolve::DEFAULT_MODEL;
pub use retrieval::{
    CommunityDetectionOptions, ParaphraseMiningOptions, ParaphrasePair, QuantizedCorpus,
    QuantizedSearchOptions, RetrievalProgress, SearchHit, SearchOptions, community_detection,
    paraphrase_mining, paraphrase_mining_embeddings, semantic_search, semantic_search_quantized,
};
pub use sentence_transformer::SentenceTransformer;
pub use similarity::{
    SimilarityFunction, SimilarityMatrix, UnknownSimilarityFunction, cos_sim, dot_score, euclidean_sim,
    manhattan_sim, pairwise_angle_sim, pairwise_cos_sim, pairwise_dot_score, pairwise_euclidean_sim,
    pairwise_manhattan_sim,
};
pub use stream::StreamError;
pub use token_embeddings::TokenEmbeddings;
pub use token_ids::TokenIds;
