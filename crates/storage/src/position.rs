use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How far an input has been read: a counter that all clones share.
///
/// It counts texts, and beside them what the input's length is known in: the bytes of a file, or the rows of Parquet.
#[derive(Clone, Debug)]
pub struct Position {
    read: Arc<AtomicU64>,
    texts_read: Arc<AtomicU64>,
    length: Option<u64>,
}

impl Position {
    /// At the begin of an input of that length, in bytes or rows, if it is known.
    pub fn new(length: Option<u64>) -> Position {
        Position { read: Arc::default(), texts_read: Arc::default(), length }
    }

    /// The input's length, in bytes or rows, if it is known.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// So many more bytes or rows have been read.
    pub fn count(&self, read: u64) {
        self.read.fetch_add(read, Ordering::Relaxed);
    }

    /// One more text has been read.
    pub fn count_text(&self) {
        self.texts_read.fetch_add(1, Ordering::Relaxed);
    }

    /// About how much of [`Position::length`] the first so many texts are: their share of what has been read.
    pub fn of_texts(&self, texts: u64) -> u64 {
        let (read, texts_read) = (self.read.load(Ordering::Relaxed), self.texts_read.load(Ordering::Relaxed));
        (read as f64 * texts as f64 / texts_read.max(texts).max(1) as f64) as u64
    }
}
