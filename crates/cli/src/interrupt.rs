//! Signals that end the program before its outputs are finished.

#[cfg(unix)]
use std::sync::Once;

#[cfg(unix)]
use minilm::storage;
#[cfg(unix)]
use signal_hook::consts::{SIGINT, SIGTERM};
#[cfg(unix)]
use signal_hook::iterator::Signals;
#[cfg(unix)]
use signal_hook::low_level::emulate_default_handler;

/// From now on Ctrl-C and `kill` remove what is not finished before they end the program. A thread waits for them, so that
/// there is none where nothing could be left behind.
#[cfg(unix)]
pub(crate) fn leave_nothing_behind() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Without it the signal ends the program all the same.
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
        std::thread::spawn(move || {
            for signal in signals.forever() {
                storage::Output::remove_unfinished();
                // Whoever started the program is told what ended it: a shell that runs a script then ends it, too.
                let _ = emulate_default_handler(signal);
            }
        });
    });
}

/// Elsewhere such files stay behind.
#[cfg(not(unix))]
pub(crate) fn leave_nothing_behind() {}
