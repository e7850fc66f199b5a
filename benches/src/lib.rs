//! How fast the kernels are: what is measured and how, for the criterion benches in `benches/benches/` and for
//! the roofline report (`src/bin/roofline.rs`). `benches/README.md` says how to run and read them.
//!
//! - [`cases`]: each kernel at the shapes of all-MiniLM-L6-v2, ready to be timed.
//! - [`weights`]: the weights of products, in every precision.
//! - [`rivals`]: the same products by others.
//! - [`scan`]: exact search over a corpus in memory, with threads.
//! - [`measure`]: taking times on a machine that is not quiet.
//! - [`machine`], [`peaks`]: what the machine is, and what it can do at best.
//! - [`forward`]: what each operation's share of a forward pass is.
//! - [`record`]: all of that as data; [`report`] and [`plot`] show it.

pub mod cases;
pub mod forward;
pub mod machine;
pub mod measure;
pub mod peaks;
pub mod plot;
pub mod record;
pub mod report;
pub mod rivals;
pub mod scan;
pub mod weights;

use minilm_kernels::AlignedBuffer;

/// Uniform in ±0.5, the same in every run (xorshift): neither zeros nor denormals, and no pattern.
pub fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        })
        .collect()
}

/// These values from a cache line on, as the encoder's activations lie.
pub fn aligned(values: &[f32]) -> AlignedBuffer {
    let mut room = AlignedBuffer::default();
    room.resize(values.len());
    room.copy_from_slice(values);
    room
}
