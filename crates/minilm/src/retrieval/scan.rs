//! The best of a corpus for each of many queries: what searching and mining are made of.

use minilm_kernels::{Corpus, Hit, Isa, TopK, search};
use minilm_storage::Vectors;

use super::progress::Comparisons;
use crate::SimilarityFunction;
use crate::similarity::{Scorer, Scratch};
use crate::threads::{available, on_pieces};

/// How many queries are compared with a block of the corpus while it is in the cache: enough for the pace to be that of the
/// arithmetic, and to make up for scaling the block.
pub(super) const QUERIES: usize = 256;

/// How many blocks of the corpus a thread takes at a time, at most: some megabytes, read from one end to the other.
const BLOCKS: usize = 16;

/// How to scan.
pub(super) struct Scan<'a> {
    pub(super) isa: Isa,
    pub(super) function: SimilarityFunction,
    /// The most hits of a query.
    pub(super) k: usize,
    /// 0 for all.
    pub(super) threads: usize,
    pub(super) progress: &'a Comparisons<'a>,
}

impl Scan<'_> {
    /// Gives to `found` the k best of the corpus for each query, in the order of the queries, best first: larger scores first,
    /// equal ones by their index, NaN last.
    ///
    /// The corpus is read once for every [`QUERIES`] queries, block by block, and nothing of it is kept. Threads take pieces
    /// of it as they come; as the order of hits is total, it does not matter which.
    pub(super) fn run(
        &self,
        queries: Vectors<'_>,
        corpus: Vectors<'_>,
        mut found: impl FnMut(usize, Vec<Hit>),
    ) {
        for first in (0..queries.len()).step_by(QUERIES) {
            let queries = queries.range(first, queries.len().min(first + QUERIES));
            for (i, top) in self.chunk(queries, corpus).into_iter().enumerate() {
                found(first + i, top.into_sorted());
            }
        }
    }

    fn chunk(&self, queries: Vectors<'_>, corpus: Vectors<'_>) -> Vec<TopK> {
        let none = || vec![TopK::new(self.k); queries.len()];
        if corpus.is_empty() || queries.is_empty() {
            return none();
        }
        // Dot products need no block of their own: what is better than the best so far is seen in registers.
        let scorer = match self.function {
            SimilarityFunction::DotProduct => None,
            function => Some(Scorer::new(self.isa, function, queries)),
        };
        let rows = Corpus::new(corpus.as_slice(), corpus.dimension());
        let block = Scorer::block(corpus.dimension());
        // Several pieces a thread, so that none waits long for the last.
        let blocks = corpus.len().div_ceil(block);
        let piece = block * (blocks / (8 * available(self.threads))).clamp(1, BLOCKS);
        let threads = on_pieces(
            self.threads,
            corpus.len().div_ceil(piece),
            || (none(), Scratch::default()),
            |(tops, scratch), i| {
                let (first, end) = (i * piece, corpus.len().min((i + 1) * piece));
                match &scorer {
                    None => search(self.isa, queries.as_slice(), rows.range(first..end), tops),
                    Some(scorer) => {
                        for start in (first..end).step_by(block) {
                            let block = corpus.range(start, end.min(start + block));
                            let scores = scorer.score(0..queries.len(), block, scratch);
                            for (top, scores) in tops.iter_mut().zip(scores.chunks_exact(block.len())) {
                                top.push(self.isa, start, scores);
                            }
                        }
                    }
                }
                self.progress.add(super::progress::pairs(queries.len(), end - first));
            },
        );
        let mut threads = threads.into_iter().map(|(tops, _)| tops);
        let mut best = threads.next().unwrap_or_else(none);
        for tops in threads {
            best.iter_mut().zip(tops).for_each(|(best, top)| best.merge(top));
        }
        best
    }
}
