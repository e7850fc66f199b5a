//! Work that may panic by no mistake of ours.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;

use super::on_one_line;
use crate::error::Problem;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is decoding Parquet or Arrow IPC, so that a panic becomes a [`StorageError`](crate::StorageError): for
/// a program's panic hook, which has nothing to say then.
pub fn is_panic_caught() -> bool {
    GUARDED.get()
}

/// What the crates of the formats do with a file. Some damaged files make them panic, by their own assertions; whoever
/// reads a file hears of it as of any other damage. The reader must not be used after that.
pub(super) fn guarded<T>(format: &str, work: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    let before = GUARDED.replace(true);
    let result = std::panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    result.unwrap_or_else(|panic| {
        let reason = match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(reason), _) => reason,
            (_, Some(reason)) => *reason,
            _ => "it cannot be decoded",
        };
        Err(Problem::anywhere(format!("malformed {format}: {}", on_one_line(reason))))
    })
}
