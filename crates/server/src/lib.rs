//! The HTTP server of `minilm`.
//!
//! [`queue`] is what stands between requests and the model: texts of several requests are computed together, none waits for
//! company, and a large request does not hold up small ones.

#![deny(missing_debug_implementations)]

pub mod queue;
