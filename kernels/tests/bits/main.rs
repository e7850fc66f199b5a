//! Every operation, on every instruction set of this machine, has the bits of the reference.
//!
//! Never only the best instruction set: a test that dispatches by itself would leave the others untested.

mod activations;
mod alignment;
mod attention;
mod linear;
mod numbers;
mod properties;
mod rows;
mod similarity;
mod top_k;
mod required_isas;
mod rows;

use minilm_kernels::Isa;
