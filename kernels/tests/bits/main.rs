//! Every operation, on every instruction set of this machine, has the bits of the reference.
//!
//! Never only the best instruction set: a test that dispatches by itself would leave the others untested.

mod activations;
mod alignment;
mod attention;
mod distance;
mod linear;
mod narrow;
mod numbers;
mod packing;
mod properties;
mod required_isas;
mod rows;
mod search;
mod similarity;
mod top_k;

use minilm_kernels::{Isa, cpu_features};
