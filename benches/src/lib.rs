//! The benches of the engine are in `benches/benches/`; run them with `cargo bench`.
//!
//! - `linear`: the network's products on every instruction set, beside `matrixmultiply` and plain loops.
//! - `search`: similarities and the best of them on every instruction set, beside a plain read of the memory.
//! - `encode`: whole texts, tokenisation included, on every instruction set.
