//! The arithmetic of `minilm`: every operation of the network, written once over sixteen `f32` lanes
//! and run on every instruction set **with the same bits**.
//!
//! # The sixteen-lane idea
//!
//! A kernel is a generic function over the trait `Simd`: a vector of sixteen `f32`, whatever the
//! machine. With AVX-512 that is one `zmm` register, with AVX2 two `ymm`, with NEON four `q`, in plain Rust
//! an array. Implementing `Simd` is all that an instruction set needs; the kernels, their tests and their
//! benches come for free.
//!
//! # The numerics contract
//!
//! [`mod@reference`] is the specification: plain loops, the order of every sum explicit. The kernels
//! equal it bit for bit, for every shape, on every instruction set:
//!
//! 1. Every element of a product is summed over k = 0, 1, 2 … **in that order**. In f32: a chain of fused
//!    multiply-adds from zero for each block of 128, the blocks' chains added one after the other, the
//!    bias last. In bf16: one chain over all of k, two steps at a time, the second of them first, the bias last. In int8:
//!    exact integer sums of groups of 384, scaled and added one after the other to the bias, which is first.
//! 2. Every other sum, the dot product of two embeddings among them, runs in **sixteen virtual lanes** (but mean
//!    pooling's, which adds the tokens in order): lane j
//!    adds elements j, j + 16, j + 32 … in that order, then one fixed tree 16 → 8 → 4 → 2 → 1.
//! 3. exp, erf and tanh, and GELU beside products in bf16 and int8, are polynomials of this crate, evaluated by explicit
//!    fused multiply-adds. `/` and `sqrt` are the exact IEEE operations. No estimates, no library functions.
//!
//! # Use
//!
//! ```
//! use minilm_kernels::{Epilogue, Isa, PackedLinear, Precision, linear};
//!
//! let weight = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // [n = 2][k = 3]
//! let bias = [0.5, -0.5];
//! let packed = PackedLinear::pack(Precision::F32, &[(&weight, &bias)], 3);
//!
//! let x = [1.0, 0.0, -1.0]; // [m = 1][k = 3]
//! let mut out = [0.0; 2]; // [m = 1][n = 2]
//! linear(Isa::best(), &x, &packed, Epilogue::Bias, &mut out);
//! assert_eq!(out, [-1.5, -2.5]);
//! ```
//!
//! Public functions take safe slices and check their lengths; a wrong length is a mistake of the
//! caller and panics with both lengths. `unsafe` stands in `simd/`, `dot/`, `rows.rs` and `tile.rs` alone.

#![allow(
    clippy::needless_range_loop,
    reason = "rows, panels and lanes are indices into several arrays at once"
)]

mod activation;
mod aligned_buffer;
mod attention;
mod attention_bf16;
mod dispatch;
mod distance;
mod dot;
mod embedding;
mod finish;
mod gemm;
mod layer_norm;
mod linear;
mod math;
mod narrow_rows;
mod normalize;
mod packed_linear;
pub mod peak;
mod pooling;
mod position_bias;
mod precision;
pub mod reference;
mod rows;
mod score;
mod search;
mod simd;
mod similarity;
mod softmax;
mod tile;
mod top_k;
mod upcoming;

pub use activation::{Activation, activate};
pub use aligned_buffer::AlignedBuffer;
pub use attention::{AttentionParameters, AttentionScratch, attention, attention_heads};
pub use dispatch::{ISA_VARIABLE, Isa, UnavailableIsa, cpu_features};
pub use distance::{
    euclidean_distance, euclidean_distance_matrix, manhattan_distance, manhattan_distance_matrix,
};
pub use embedding::embedding_sum;
pub use layer_norm::{LayerNorm, layer_norm};
pub use linear::{Epilogue, linear, linear_columns};
pub use narrow_rows::{Activations, NarrowRows};
pub use normalize::l2_normalize;
pub use packed_linear::{PackedLinear, PanelMut, SharedRegion, WeightColumns};
pub use pooling::{cls_pool, last_token_pool, max_pool, mean_pool, mean_sqrt_len_pool, weighted_mean_pool};
pub use position_bias::PositionBias;
pub use precision::{Precision, UnknownPrecision};
pub use rows::{RowsMut, Shares};
pub use score::Score;
pub use search::{Bits, Component, Corpus, dot_of_numbers, rescore, search};
pub use similarity::{dot, similarity_matrix};
pub use softmax::softmax;
pub use top_k::{Hit, TopK, top_k};
