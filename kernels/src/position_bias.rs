//! What attention adds to a head's scores by how far apart query and key are.

use std::fmt;
use std::ops::Range;

/// What is added to the scaled score of query q and key k of a head: a number for each distance k − q, as MPNet and T5
/// have learned it.
///
/// It belongs to a number of heads and to a longest sequence. Those of one query are neighbours, so that a kernel loads
/// sixteen at once.
///
/// ```
/// use minilm_kernels::PositionBias;
///
/// // Of two heads, for sequences of up to two tokens: the distances are -1, 0 and 1.
/// let values = [0.5, 0.0, -0.5, 2.0, 0.0, 3.0];
/// let bias = PositionBias::new(&values, 2, 2);
/// assert_eq!(bias.at(0, 1, 0), 0.5);
/// assert_eq!(bias.at(1, 0, 1), 3.0);
/// ```
#[derive(Clone, Copy, PartialEq)]
pub struct PositionBias<'a> {
    /// `[heads][2 · max_tokens − 1]`
    values: &'a [f32],
    heads: usize,
    max_tokens: usize,
}

impl<'a> PositionBias<'a> {
    /// values `[heads][2 · max_tokens − 1]`, a head's from distance −(max_tokens − 1) to max_tokens − 1: that of head h,
    /// query q and key k is `values[h · (2 · max_tokens − 1) + max_tokens − 1 + k − q]`.
    ///
    /// # Panics
    ///
    /// If there are no heads or no tokens, or the values are not as many.
    pub fn new(values: &'a [f32], heads: usize, max_tokens: usize) -> Self {
        assert!(heads > 0 && max_tokens > 0, "position bias: {heads} heads of {max_tokens} tokens");
        let needed = max_tokens.checked_mul(2).and_then(|twice| (twice - 1).checked_mul(heads));
        assert_eq!(
            Some(values.len()),
            needed,
            "position bias: {} values for {heads} heads of {max_tokens} tokens",
            values.len()
        );
        PositionBias { values, heads, max_tokens }
    }

    /// How many heads it is for.
    pub fn heads(self) -> usize {
        self.heads
    }

    /// How many tokens the longest sequence may have.
    pub fn max_tokens(self) -> usize {
        self.max_tokens
    }

    /// That of some heads, which become the heads from 0 on.
    ///
    /// # Panics
    ///
    /// If they are none, or not all there.
    pub fn of_heads(self, heads: Range<usize>) -> PositionBias<'a> {
        assert!(
            heads.start < heads.end && heads.end <= self.heads,
            "position bias: heads {heads:?} of {}",
            self.heads
        );
        let width = 2 * self.max_tokens - 1;
        PositionBias {
            values: &self.values[heads.start * width..heads.end * width],
            heads: heads.len(),
            ..self
        }
    }

    /// That of one head, query and key.
    ///
    /// # Panics
    ///
    /// If there is no such head, or query or key is beyond the longest sequence.
    pub fn at(self, head: usize, query: usize, key: usize) -> f32 {
        let PositionBias { heads, max_tokens, .. } = self;
        assert!(
            head < heads && query < max_tokens && key < max_tokens,
            "position bias: head {head} of {heads}, query {query} and key {key} of {max_tokens}"
        );
        self.values[head * (2 * max_tokens - 1) + max_tokens - 1 + key - query]
    }
}

/// What attention is compiled for: a bias, or none, so that it costs nothing where there is none.
pub(crate) trait Bias: Copy {
    /// Those of a head in a sequence of s > 0 tokens: from distance −(s − 1) to s − 1.
    fn of_sequence(&self, head: usize, s: usize) -> Option<&[f32]>;
}

#[derive(Clone, Copy)]
pub(crate) struct NoBias;

impl Bias for NoBias {
    #[inline(always)]
    fn of_sequence(&self, _head: usize, _s: usize) -> Option<&[f32]> {
        None
    }
}

impl Bias for PositionBias<'_> {
    #[inline(always)]
    fn of_sequence(&self, head: usize, s: usize) -> Option<&[f32]> {
        let width = 2 * self.max_tokens - 1;
        let head = &self.values[head * width..][..width];
        Some(&head[self.max_tokens - s..self.max_tokens + s - 1])
    }
}

/// Its sizes alone: the values are as many as a model's longest text is long.
impl fmt::Debug for PositionBias<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PositionBias { heads, max_tokens, .. } = self;
        f.debug_struct("PositionBias")
            .field("heads", heads)
            .field("max_tokens", max_tokens)
            .finish_non_exhaustive()
    }
}

/// What makes a query's scores of its products with the keys: they are scaled, then a bias is added. Whether there is one is
/// known where this is compiled.
#[derive(Clone, Copy)]
pub(crate) struct Scaling<'a> {
    /// Above 0.
    pub(crate) scale: f32,
    pub(crate) bias: Option<BiasRows<'a>>,
}

/// The biases of some queries in order: a row of s for each.
#[derive(Clone, Copy)]
pub(crate) struct BiasRows<'a> {
    /// `[2 s − 1]`, as [`Bias::of_sequence`] has them.
    pub(crate) distances: &'a [f32],
    /// The query of row 0.
    pub(crate) first_query: usize,
}

impl<'a> BiasRows<'a> {
    /// Those from row `row` on.
    #[inline(always)]
    pub(crate) fn skip(self, row: usize) -> Self {
        BiasRows { first_query: self.first_query + row, ..self }
    }

    /// Row `row`. The next query's is the same one, moved by one key.
    #[inline(always)]
    pub(crate) fn row(self, row: usize) -> &'a [f32] {
        let s = self.distances.len().div_ceil(2);
        &self.distances[s - 1 - (self.first_query + row)..][..s]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_sequence_are_its_distances() {
        let values: Vec<f32> = (0..2 * 9).map(|i| i as f32).collect();
        let bias = PositionBias::new(&values, 2, 5);
        for s in 1..=5 {
            for head in 0..2 {
                let rows = BiasRows { distances: bias.of_sequence(head, s).expect("a bias"), first_query: 0 };
                for query in 0..s {
                    let expected: Vec<f32> = (0..s).map(|key| bias.at(head, query, key)).collect();
                    assert_eq!(rows.row(query), expected, "head {head}, query {query} of {s}");
                    assert_eq!(rows.skip(query).row(0), expected);
                    assert_eq!(expected[query], (9 * head + 4) as f32);
                }
            }
        }
    }

    #[test]
    fn some_heads_are_counted_from_0() {
        let values: Vec<f32> = (0..4 * 5).map(|i| i as f32).collect();
        let bias = PositionBias::new(&values, 4, 3);
        let some = bias.of_heads(1..3);
        assert_eq!((some.heads(), some.max_tokens()), (2, 3));
        for (query, key) in [(0, 2), (1, 1), (2, 0)] {
            assert_eq!(some.at(1, query, key), bias.at(2, query, key));
        }
    }

    #[test]
    #[should_panic(expected = "position bias: 6 values for 2 heads of 3 tokens")]
    fn too_few_values() {
        PositionBias::new(&[0.0; 6], 2, 3);
    }

    #[test]
    #[should_panic(expected = "position bias: 0 heads of 3 tokens")]
    fn no_heads() {
        PositionBias::new(&[], 0, 3);
    }

    #[test]
    #[should_panic(expected = "position bias: 9 values for 9 heads of")]
    fn more_tokens_than_memory() {
        PositionBias::new(&[0.0; 9], 9, usize::MAX / 2 + 2);
    }

    #[test]
    #[should_panic(expected = "position bias: heads 1..3 of 2")]
    fn heads_that_are_not_there() {
        PositionBias::new(&[0.0; 6], 2, 2).of_heads(1..3);
    }

    #[test]
    #[should_panic(expected = "position bias: head 0 of 2, query 2 and key 0 of 2")]
    fn a_query_behind_the_longest_sequence() {
        PositionBias::new(&[0.0; 6], 2, 2).at(0, 2, 0);
    }
}
