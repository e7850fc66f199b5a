//! Each kernel at the shapes of all-MiniLM-L6-v2, ready to be timed.

use std::time::Duration;

use minilm_kernels::Isa;

pub mod attention;
pub mod linear;
pub mod rows;

/// Hidden size of all-MiniLM-L6-v2.
pub const HIDDEN: usize = 384;

/// Intermediate size of all-MiniLM-L6-v2.
pub const INTERMEDIATE: usize = 1536;

/// Layers of all-MiniLM-L6-v2.
pub const LAYERS: usize = 6;

/// How many rows the encoder takes through a layer at once, so that what lies between its products stays in L2.
pub const PIECE: usize = 64;

/// What one call of a kernel has to do, whatever the implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Operations, of floating point or, in products of int8, of integers; a multiply-add is two. None where the
    /// definition does not say how many it takes: exp and erf are as long as the polynomial that computes them.
    pub operations: Option<u64>,
    /// Bytes of the operands, each read once, and of the results, each written once. Scales of rows and columns, which are
    /// one or two in a hundred of them, are not counted.
    pub bytes: u64,
    /// Elements of the result.
    pub elements: u64,
}

impl Work {
    /// Operations a byte: what the roofline model calls arithmetic intensity (Williams, Waterman and Patterson 2009,
    /// <https://doi.org/10.1145/1498765.1498785>).
    pub fn intensity(&self) -> Option<f64> {
        self.operations.map(|operations| operations as f64 / self.bytes as f64)
    }
}

/// A kernel with inputs of one shape.
pub struct Case {
    /// The operation, and what is fused with it.
    pub operation: &'static str,
    /// The sizes that do not vary within a group of cases, for example `384 → 1152`.
    pub shape: String,
    /// The size that varies, for example `m = 8`.
    pub size: String,
    /// What a call has to do.
    pub work: Work,
    run: Box<dyn FnMut(Isa, u64) -> Duration>,
}

impl Case {
    /// How long that many calls take on that instruction set.
    pub fn run(&mut self, isa: Isa, calls: u64) -> Duration {
        (self.run)(isa, calls)
    }
}

/// The bytes of `n` f32.
fn bytes(n: usize) -> u64 {
    (n * size_of::<f32>()) as u64
}
