//! Bulk work in pieces: which texts are computed together, and in which order.

use std::collections::BTreeMap;

/// Towards the end of the work the pieces get smaller, so that the threads finish together; but not smaller than this,
/// because products of few rows take longer per row.
const SMALLEST_TOKENS: usize = 32;

/// The token ids of a text, and where what is computed of them belongs.
pub(crate) struct Row<'a> {
    pub(crate) ids: &'a [u32],
    pub(crate) out: &'a mut [f32],
    /// How many of the ids are a prompt's that is not pooled.
    pub(crate) prompt_tokens: usize,
    /// Whether a text begins here, and does not go on.
    pub(crate) begins_text: bool,
}

/// How much a micro-batch may hold; a single text always.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) tokens: usize,
    pub(crate) texts: usize,
}

/// Puts the rows together in micro-batches within the limits, to be computed in this order by `threads` threads.
///
/// Nothing is padded, so texts of any lengths may be together. Each micro-batch has the longest text that is left and
/// the longest ones that still fit in beside it: long texts leave room that short ones fill, none of them is begun last
/// while the other threads wait, and any order of the same texts costs the same.
pub(crate) fn micro_batches<'a>(
    rows: impl IntoIterator<Item = Row<'a>>,
    limits: Limits,
    threads: usize,
) -> Vec<Vec<Row<'a>>> {
    let mut by_length: BTreeMap<usize, Vec<Row<'a>>> = BTreeMap::new();
    let mut remaining = 0;
    for row in rows {
        remaining += row.ids.len();
        by_length.entry(row.ids.len()).or_default().push(row);
    }
    let mut batches = Vec::new();
    while let Some(longest) = take_longest(&mut by_length, usize::MAX) {
        let share = remaining.div_ceil(threads.max(1)).max(SMALLEST_TOKENS);
        let mut room = limits.tokens.min(share).saturating_sub(longest.ids.len());
        remaining -= longest.ids.len();
        let mut batch = vec![longest];
        while batch.len() < limits.texts
            && let Some(row) = take_longest(&mut by_length, room)
        {
            room -= row.ids.len();
            remaining -= row.ids.len();
            batch.push(row);
        }
        batches.push(batch);
    }
    batches
}

/// Whether micro-batches of so many tokens are done sooner if all threads share each, one after the other, than if each thread
/// takes the next one.
pub(crate) fn is_better_shared(tokens: impl ExactSizeIterator<Item = usize>, threads: usize) -> bool {
    /// What threads that share lose to each other, a part for each but the first: measured with two.
    const LOSS: f64 = 0.15;
    let batches = tokens.len();
    // Otherwise there would be threads that have nothing to do at all.
    if batches < threads {
        return true;
    }
    // So many even out: they are taken one by one, and the last ones are small.
    if threads < 2 || batches > 8 * threads {
        return false;
    }
    let mut busy = vec![0; threads];
    for tokens in tokens {
        *busy.iter_mut().min().expect("there are threads") += tokens;
    }
    let (last, all) = (busy.iter().max().copied().unwrap_or(0), busy.iter().sum::<usize>());
    (last * threads) as f64 > (1.0 + LOSS * (threads - 1) as f64) * all as f64
}

/// The longest row of at most so many tokens.
fn take_longest<'a>(by_length: &mut BTreeMap<usize, Vec<Row<'a>>>, most: usize) -> Option<Row<'a>> {
    let (&length, rows) = by_length.range_mut(..=most).next_back()?;
    let row = rows.pop();
    if rows.is_empty() {
        by_length.remove(&length);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths of the texts in each micro-batch.
    fn cut(lengths: &[usize], tokens: usize, threads: usize) -> Vec<Vec<usize>> {
        cut_within(lengths, Limits { tokens, texts: usize::MAX }, threads)
    }

    fn cut_within(lengths: &[usize], limits: Limits, threads: usize) -> Vec<Vec<usize>> {
        let ids = vec![0; lengths.iter().copied().max().unwrap_or(0)];
        let mut vectors = vec![0.0; lengths.len()];
        let rows = lengths.iter().zip(vectors.chunks_exact_mut(1)).map(|(&n, out)| Row {
            ids: &ids[..n],
            out,
            prompt_tokens: 0,
            begins_text: true,
        });
        let batches = micro_batches(rows, limits, threads);
        batches.iter().map(|rows| rows.iter().map(|row| row.ids.len()).collect()).collect()
    }

    #[test]
    fn micro_batches_keep_to_the_budget_and_lose_nothing() {
        assert_eq!(cut(&[], 10, 1), [[0; 0]; 0]);
        assert_eq!(cut(&[4, 6, 1, 200, 3, 30], 40, 1), [vec![200], vec![30, 6, 4], vec![3, 1]]);
        assert_eq!(cut(&[70, 20, 3, 80, 60, 30], 100, 1), [vec![80, 20], vec![70, 30], vec![60, 3]]);
        assert_eq!(cut(&[20, 20], 10, 1), [[20], [20]]);
        assert_eq!(cut(&[0, 40, 0], 40, 1), [[40, 0, 0]]);
        assert_eq!(cut(&[1, 1], 0, 0), [[1], [1]]);
    }

    #[test]
    fn micro_batches_have_no_more_texts_than_the_limit() {
        let cut = |texts| cut_within(&[9, 8, 7, 6, 5], Limits { tokens: 30, texts }, 1);
        assert_eq!(cut(2), [vec![9, 8], vec![7, 6], vec![5]]);
        assert_eq!(cut(1), [[9], [8], [7], [6], [5]]);
        assert_eq!(cut(5), [vec![9, 8, 7, 6], vec![5]]);
    }

    #[test]
    fn the_last_pieces_are_smaller_so_that_threads_finish_together() {
        let tokens = |lengths: &[usize], threads| -> Vec<usize> {
            cut(lengths, 128, threads).iter().map(|batch| batch.iter().sum()).collect()
        };
        assert_eq!(tokens(&[8; 60], 1), [128, 128, 128, 96]);
        assert_eq!(tokens(&[8; 60], 2), [128, 128, 112, 56, 32, 24]);
        assert_eq!(tokens(&[16, 16], 2), [32]);
        assert_eq!(tokens(&[30, 30], 2), [30, 30]);
    }

    #[test]
    fn all_threads_share_what_they_would_have_to_wait_for() {
        let shared = |tokens: &[usize], threads| is_better_shared(tokens.iter().copied(), threads);
        assert!(shared(&[], 2) && shared(&[50], 2) && shared(&[50, 50, 50], 4));
        assert!(!shared(&[50], 1) && !shared(&[50, 1], 1));
        assert!(!shared(&[50, 50], 2) && shared(&[50, 30], 2));
        // 157 and 11 beside 91 and 71.
        assert!(!shared(&[157, 91, 71, 11], 2));
        // 100, and 70 beside 60 and 50: the last one waits for 120 of 280.
        assert!(!shared(&[100, 70, 60, 50], 2) && shared(&[100, 60, 10], 2));
        // With more threads, more is lost by sharing.
        assert!(!shared(&[50, 30, 30, 30], 4) && shared(&[100, 10, 10, 10], 4));
        assert!(!shared(&[100; 17], 2));
    }

    #[test]
    fn any_order_of_the_same_texts_costs_the_same() {
        let lengths: Vec<usize> = (0..100).map(|i| (i * 37) % 256).collect();
        let mut sorted = lengths.clone();
        sorted.sort_unstable();
        assert_eq!(cut(&lengths, 128, 2), cut(&sorted, 128, 2));
    }
}
