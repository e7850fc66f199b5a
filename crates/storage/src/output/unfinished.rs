//! Files and directories that have their temporary names still: for a program that ends before they are finished.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// What has a temporary name as long as this exists.
pub(super) struct Unfinished(PathBuf);

impl Unfinished {
    /// Makes it; `path` says where it is.
    pub(super) fn create<T>(
        make: impl FnOnce() -> io::Result<T>,
        path: impl FnOnce(&T) -> &Path,
    ) -> io::Result<(T, Unfinished)> {
        // Nobody takes away what is there before it is here that it is made.
        let mut unfinished = lock();
        let made = make()?;
        let path = path(&made).to_owned();
        unfinished.insert(path.clone());
        Ok((made, Unfinished(path)))
    }

    /// Gives it its name, unless the program is about to end.
    pub(super) fn finish<T>(self, rename: impl FnOnce() -> T) -> T {
        let _unfinished = lock();
        rename()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        lock().remove(&self.0);
    }
}

/// Removes all there are, and lets no other be made or finished.
pub(super) fn remove_all() {
    let unfinished = lock();
    for path in &*unfinished {
        // Nobody could do anything about an error.
        let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
    std::mem::forget(unfinished);
}

fn lock() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}
