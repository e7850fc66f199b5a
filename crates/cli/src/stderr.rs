//! What is said on standard error.

use std::fmt;
use std::io::{self, Write};

/// As `eprintln!`, behind the name of the program. Where standard error is closed or full, nobody reads it, and nothing fails.
macro_rules! say {
    ($($message:tt)*) => {
        $crate::stderr::write(format_args!($($message)*))
    };
}

pub(crate) use say;

pub(crate) fn write(message: fmt::Arguments<'_>) {
    // In one piece, so that lines stay whole.
    let line = format!("minilm: {message}\n");
    let _ = io::stderr().lock().write_all(line.as_bytes());
}
