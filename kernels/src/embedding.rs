//! The sum of a token's three embeddings.

use crate::dispatch::{Isa, Kernel};
use crate::simd::{LANES, Simd};

/// x `[s][h]`, which holds the word embeddings of one sequence, becomes (word + token_type `[h]`) +
/// positions `[s][h]`. See [`crate::reference::embedding_sum`].
///
/// # Panics
///
/// If h is 0, or x and positions are not of the same length, a multiple of h.
pub fn embedding_sum(isa: Isa, x: &mut [f32], token_type: &[f32], positions: &[f32]) {
    let h = token_type.len();
    assert!(h > 0, "embedding_sum: rows of width 0");
    assert_eq!(x.len() % h, 0, "embedding_sum: x has {} elements, no multiple of {h}", x.len());
    assert_eq!(x.len(), positions.len(), "embedding_sum: positions are not of the shape of x");
    isa.run(EmbeddingSum { x, token_type, positions });
}

struct EmbeddingSum<'a> {
    x: &'a mut [f32],
    token_type: &'a [f32],
    positions: &'a [f32],
}

impl Kernel for EmbeddingSum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let h = self.token_type.len();
        for (row, position) in self.x.chunks_exact_mut(h).zip(self.positions.chunks_exact(h)) {
            let others = self.token_type.chunks(LANES).zip(position.chunks(LANES));
            for (word, (token_type, position)) in row.chunks_mut(LANES).zip(others) {
                let sum = simd.add(simd.load_partial(word, 0.0), simd.load_partial(token_type, 0.0));
                simd.store_partial(simd.add(sum, simd.load_partial(position, 0.0)), word);
            }
        }
    }
}
