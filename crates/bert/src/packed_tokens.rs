use std::ops::Range;

/// The token ids of several sequences, one behind the other, without padding.
#[derive(Clone, Debug, Default)]
pub struct PackedTokens {
    ids: Vec<u32>,
    /// Where each sequence ends in `ids`.
    ends: Vec<usize>,
}

impl PackedTokens {
    /// Puts one more sequence behind the others.
    pub fn push(&mut self, ids: &[u32]) {
        self.ids.extend_from_slice(ids);
        self.ends.push(self.ids.len());
    }

    /// Forgets all sequences and keeps the memory.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.ends.clear();
    }

    /// All ids, `[T]`.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Which of the T tokens belong to each sequence, in order.
    pub fn sequences(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| start..end)
    }
}

/// Cuts sequences of these lengths, in their order, into micro-batches of at most `budget` tokens (or of one
/// sequence, where that alone is longer). Each range is of sequence indices; together they are all.
pub fn micro_batches(lengths: impl IntoIterator<Item = usize>, budget: usize) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut end, mut tokens) = (0, 0, 0usize);
    for length in lengths {
        if end > start && tokens.saturating_add(length) > budget {
            batches.push(start..end);
            (start, tokens) = (end, 0);
        }
        tokens = tokens.saturating_add(length);
        end += 1;
    }
    if end > start {
        batches.push(start..end);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_lie_one_behind_the_other() {
        let mut tokens = PackedTokens::default();
        tokens.push(&[1, 2, 3]);
        tokens.push(&[]);
        tokens.push(&[4]);
        assert_eq!(tokens.ids(), [1, 2, 3, 4]);
        assert_eq!(tokens.sequences().collect::<Vec<_>>(), [0..3, 3..3, 3..4]);
        tokens.clear();
        assert_eq!(tokens.sequences().count(), 0);
    }

    #[test]
    fn micro_batches_keep_to_the_budget_and_lose_nothing() {
        assert_eq!(micro_batches([], 10), []);
        assert_eq!(micro_batches([4, 6, 1, 20, 3, 3], 10), [0..2, 2..3, 3..4, 4..6]);
        assert_eq!(micro_batches([6, 6, 4, 1], 10), [0..1, 1..3, 3..4]);
        assert_eq!(micro_batches([20, 20], 10), [0..1, 1..2]);
        assert_eq!(micro_batches([0, 0, 10, 0, 1], 10), [0..4, 4..5]);
        assert_eq!(micro_batches([1, 1], 0), [0..1, 1..2]);
    }
}
