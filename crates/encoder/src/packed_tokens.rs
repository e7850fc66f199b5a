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
}
