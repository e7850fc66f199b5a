//! Weights that are fetched ahead of their use.

#[cfg(test)]
use crate::dot::Dot;
use crate::simd::Lanes;

/// Weights that will be read soon, to be fetched into L2 a few lines at a time while others are computed with.
///
/// Hardware prefetches no further than a page, and memory takes about as long to bring a tile's weights as a tile of
/// eight rows takes to use them: without this, short texts wait for memory most of the time. Fetching faster than
/// memory delivers would make the loads of this tile wait, so the lines are spread evenly over all tiles of a product, by
/// blocks of steps.
pub(crate) struct Upcoming {
    /// The next line, how many there are from there on, and where it goes on behind them. Hints: the addresses may be any.
    next: *const Lanes,
    left: usize,
    then: *const Lanes,
    /// How many lines there are in all, and how many steps of k to fetch them.
    lines: usize,
    steps: usize,
    /// How many lines are behind the average, times `steps`.
    owed: i64,
}

impl Upcoming {
    pub(crate) fn nothing() -> Upcoming {
        Upcoming::spread(&[], &[], 1)
    }

    /// The first lines and then the others, in so many steps.
    #[inline(always)]
    pub(crate) fn spread(first: &[Lanes], then: &[Lanes], steps: usize) -> Upcoming {
        let lines = first.len() + then.len();
        Upcoming { next: first.as_ptr(), left: first.len(), then: then.as_ptr(), lines, steps, owed: 0 }
    }

    /// How many lines a step of a tile of so many panels fetches in those blocks that do. It reads a line a panel, and
    /// fetches no more: memory could not deliver more, and what is not fetched costs time and nothing else.
    #[inline(always)]
    pub(crate) fn lines_a_step(&self, panels: usize) -> usize {
        match self.lines {
            0 => 0,
            lines if lines <= self.steps => 1,
            lines if lines <= 2 * self.steps => panels.min(2),
            lines if lines <= 3 * self.steps => panels.min(3),
            _ => panels.min(4),
        }
    }

    /// Where the next `steps` steps, of `lines` lines each, begin to fetch, if it is their turn. The last of them may lie
    /// beyond what there is to fetch.
    #[inline(always)]
    pub(crate) fn turn(&mut self, steps: usize, lines: usize) -> Option<*const Lanes> {
        if lines == 0 {
            return None;
        }
        self.owed += steps as i64 * self.lines as i64;
        if self.owed <= 0 {
            return None;
        }
        self.owed -= (steps * lines) as i64 * self.steps as i64;
        if self.left == 0 {
            (self.next, self.left) = (self.then, usize::MAX);
        }
        let first = self.next;
        self.next = first.wrapping_add(steps * lines);
        self.left = self.left.saturating_sub(steps * lines);
        Some(first)
    }

    /// All lines that a tile of k steps and so many panels fetches.
    #[cfg(test)]
    pub(crate) fn fetched_by_a_tile<D: Dot>(&mut self, k: usize, panels: usize) -> Vec<*const Lanes> {
        let lines = self.lines_a_step(panels);
        let blocks = (0..k).step_by(D::BLOCK).map(|first| D::BLOCK.min(k - first));
        let turns = blocks.filter_map(|steps| Some((self.turn(steps, lines)?, steps * lines)));
        turns.flat_map(|(first, lines)| (0..lines).map(move |line| first.wrapping_add(line))).collect()
    }
}
