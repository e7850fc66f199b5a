use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Hears how far a search is, or mining, or the detection of communities:
/// [`SearchOptions::progress`](crate::SearchOptions::progress) and its like.
///
/// A closure is one, too:
///
/// ```
/// use std::sync::Arc;
///
/// use minilm::SearchOptions;
///
/// let options = SearchOptions::default().progress(Arc::new(|pairs: u64, total: u64| {
///     println!("{:.0} %", 100.0 * pairs as f64 / total as f64);
/// }));
/// ```
pub trait RetrievalProgress: Send + Sync {
    /// So many pairs of vectors are compared, of so many in all.
    ///
    /// Called by the threads that compare, every few milliseconds, and not at all if there is nothing to compare: it should
    /// be quick. The threads do not wait for each other, so a smaller number may follow a greater one; the greatest is the
    /// total. Only [`community_detection`](crate::community_detection) changes the total, when it knows more.
    fn compared(&self, pairs: u64, total: u64);
}

impl<F: Fn(u64, u64) + Send + Sync> RetrievalProgress for F {
    fn compared(&self, pairs: u64, total: u64) {
        self(pairs, total);
    }
}

/// Who hears it, if anybody does.
#[derive(Clone, Default)]
pub(super) struct Listener(pub(super) Option<Arc<dyn RetrievalProgress>>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some(_)" } else { "None" })
    }
}

/// How far it is.
pub(super) struct Comparisons<'a> {
    listener: &'a Listener,
    done: AtomicU64,
    total: AtomicU64,
}

impl<'a> Comparisons<'a> {
    pub(super) fn new(listener: &'a Listener, total: u64) -> Comparisons<'a> {
        Comparisons { listener, done: AtomicU64::new(0), total: AtomicU64::new(total) }
    }

    /// Some more are needed than was known.
    pub(super) fn expect(&self, pairs: u64) {
        self.total.fetch_add(pairs, Ordering::Relaxed);
    }

    /// Some are compared.
    pub(super) fn add(&self, pairs: u64) {
        let done = self.done.fetch_add(pairs, Ordering::Relaxed) + pairs;
        if let Some(listener) = &self.listener.0 {
            listener.compared(done, self.total.load(Ordering::Relaxed));
        }
    }
}

/// All vectors of one set with all of another.
pub(super) fn pairs(m: usize, n: usize) -> u64 {
    (m as u64).saturating_mul(n as u64)
}
