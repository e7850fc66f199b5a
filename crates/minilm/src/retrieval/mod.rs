//! What vectors are compared for: the functions of sentence-transformers (`util/retrieval.py`), with the same results,
//! exact, on several threads and in bounded memory.
//!
//! There, `query_chunk_size`, `corpus_chunk_size` and `batch_size` say how many vectors are compared at once, because a
//! matrix of all these scores is made. Here it is a few hundred rows that stay in the cache, so there is nothing to say.
//!
//! A score that is NaN is the last of all and above no threshold. Vectors that are compared with all others (queries, or
//! the only set) are checked to be finite at first; a corpus that is searched is not, for that would be another pass over it:
//! check it once, when it is loaded ([`Vectors::check_finite`](minilm_storage::Vectors::check_finite)).

mod community_detection;
mod paraphrase_mining;
mod progress;
mod quantized_search;
mod scan;
mod semantic_search;

pub use community_detection::{CommunityDetectionOptions, community_detection};
pub use paraphrase_mining::{
    ParaphraseMiningOptions, ParaphrasePair, paraphrase_mining, paraphrase_mining_embeddings,
};
pub use progress::RetrievalProgress;
pub use quantized_search::{QuantizedCorpus, QuantizedSearchOptions, semantic_search_quantized};
pub use semantic_search::{SearchHit, SearchOptions, semantic_search};

#[cfg(test)]
mod tests;
