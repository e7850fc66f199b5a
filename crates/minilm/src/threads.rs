//! Work that threads share piece by piece.

use std::sync::atomic::{AtomicUsize, Ordering};

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
    let run = || {
        let mut piece = next()?;
        let mut state = begin();
        loop {
            work(&mut state, piece);
            let Some(following) = next() else { return Some(state) };
            piece = following;
        }
    };
    // A single piece needs no pool, and one thread is the caller's own.
    let threads = if pieces > 1 && threads != 1 { available(threads).min(pieces) } else { 1 };
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
            }
        }
    }
}
