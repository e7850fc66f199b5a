//! Work that threads share piece by piece.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// How many threads that is: at most those of rayon's current pool, and all of them for 0.
pub(crate) fn available(threads: usize) -> usize {
    let all = rayon::current_num_threads();
    if threads == 0 { all } else { threads.min(all) }
}

/// Does `work` for each of the pieces 0 … `pieces` − 1, on at most so many threads (see [`available`]). Each takes the next
/// piece until none is left, and brings along what `begin` gave it at first; these come back, in no order.
pub(crate) fn on_pieces<T: Send>(
    threads: usize,
    pieces: usize,
    begin: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, usize) + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let next = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&piece| piece < pieces);
    share(threads, pieces, next, begin, work)
}

/// The same for items: parts of the results, each to be written by the thread that takes it.
pub(crate) fn on_items<I: ExactSizeIterator + Send, T: Send>(
    threads: usize,
    items: I,
    begin: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, I::Item) + Sync,
) {
    let count = items.len();
    let items = Mutex::new(items);
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    share(threads, count, next, begin, work);
}

/// `next` has `count` items, and none after them.
fn share<I, T: Send>(
    threads: usize,
    count: usize,
    next: impl Fn() -> Option<I> + Sync,
    begin: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, I) + Sync,
) -> Vec<T> {
    let run = || {
        let mut item = next()?;
        let mut state = begin();
        loop {
            work(&mut state, item);
            let Some(following) = next() else { return Some(state) };
            item = following;
        }
    };
    // A single item needs no pool, and one thread is the caller's own.
    let threads = if count > 1 && threads != 1 { available(threads).min(count) } else { 1 };
    if threads == 1 {
        return run().into_iter().collect();
    }
    (0..threads).into_par_iter().with_max_len(1).filter_map(|_| run()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_once() {
        for threads in [0, 1, 2, 9] {
            for pieces in [0, 1, 2, 100] {
                let lists = on_pieces(threads, pieces, Vec::new, |done, piece| done.push(piece));
                assert!(lists.len() <= available(threads).min(pieces), "{threads} threads, {pieces} pieces");
                let mut all = lists.concat();
                all.sort_unstable();
                assert_eq!(all, (0..pieces).collect::<Vec<_>>(), "{threads} threads");

                let mut numbers = vec![0; 3 * pieces];
                let items = numbers.chunks_mut(3).enumerate();
                on_items(
                    threads,
                    items,
                    || (),
                    |(), (i, numbers)| numbers.iter_mut().for_each(|n| *n += i + 1),
                );
                let expected: Vec<usize> = (0..3 * pieces).map(|i| i / 3 + 1).collect();
                assert_eq!(numbers, expected, "{threads} threads");
            }
        }
    }

    #[test]
    fn no_more_threads_than_asked_for_or_in_the_pool() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        for (threads, most) in [(0, 4), (1, 1), (3, 3), (9, 4)] {
            let states = pool.install(|| on_pieces(threads, 1000, || (), |(), _| std::thread::yield_now()));
            assert!((1..=most).contains(&states.len()), "{threads} threads: {}", states.len());
            let at_once = AtomicUsize::new(0);
            let work = |(): &mut (), _: usize| {
                assert!(at_once.fetch_add(1, Ordering::SeqCst) < most, "{threads} threads");
                std::thread::yield_now();
                at_once.fetch_sub(1, Ordering::SeqCst);
            };
            pool.install(|| on_items(threads, 0..1000, || (), work));
        }
    }
}
