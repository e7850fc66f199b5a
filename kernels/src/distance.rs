//! Distances of vectors: one with one, and all of one set with all of another, as `similarity.rs` does it.
//!
//! They are sums of differences, not computed from dot products (|a|² − 2 a·b + |b|²), which would be faster for many
//! vectors, but lose what is left when two large numbers cancel: between vectors that are close, all digits.

use crate::dispatch::Isa;
use crate::dot::rows::Metric;
use crate::simd::Simd;
use crate::similarity::{matrix, pair};

/// The Euclidean distance of a `[k]` and b `[k]`, by [`crate::reference::euclidean_distance`].
///
/// # Panics
///
/// If a and b differ in length.
pub fn euclidean_distance(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    pair::<Euclidean>(isa, "euclidean_distance", a, b)
}

/// a `[m][k]`, b `[n][k]` → out `[m][n]`: each element is the [`euclidean_distance`] of a row of a and a row of b, and
/// has its bits.
///
/// # Panics
///
/// If k is 0, a or b is not a multiple of k long, or out is not m · n long.
pub fn euclidean_distance_matrix(isa: Isa, a: &[f32], b: &[f32], k: usize, out: &mut [f32]) {
    matrix::<Euclidean>(isa, "euclidean_distance_matrix", a, b, k, out);
}

/// The Manhattan distance of a `[k]` and b `[k]`, by [`crate::reference::manhattan_distance`].
///
/// # Panics
///
/// If a and b differ in length.
pub fn manhattan_distance(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    pair::<Manhattan>(isa, "manhattan_distance", a, b)
}

/// a `[m][k]`, b `[n][k]` → out `[m][n]`: each element is the [`manhattan_distance`] of a row of a and a row of b, and
/// has its bits.
///
/// # Panics
///
/// If k is 0, a or b is not a multiple of k long, or out is not m · n long.
pub fn manhattan_distance_matrix(isa: Isa, a: &[f32], b: &[f32], k: usize, out: &mut [f32]) {
    matrix::<Manhattan>(isa, "manhattan_distance_matrix", a, b, k, out);
}

/// √Σ (a − b)²
#[derive(Clone, Copy)]
struct Euclidean;

impl Metric for Euclidean {
    // No sum is −0, so that adding 0 changes none.
    const BEYOND: f32 = 0.0;
    // The difference.
    const BETWEEN: usize = 1;

    #[inline(always)]
    fn step<S: Simd>(simd: S, a: S::F32, b: S::F32, sum: S::F32) -> S::F32 {
        let difference = simd.sub(a, b);
        simd.mul_add(difference, difference, sum)
    }

    #[inline(always)]
    fn finish(sum: f32) -> f32 {
        sum.sqrt()
    }
}

/// Σ |a − b|
#[derive(Clone, Copy)]
struct Manhattan;

impl Metric for Manhattan {
    // As above.
    const BEYOND: f32 = 0.0;
    // The difference.
    const BETWEEN: usize = 1;

    #[inline(always)]
    fn step<S: Simd>(simd: S, a: S::F32, b: S::F32, sum: S::F32) -> S::F32 {
        simd.add(sum, simd.abs(simd.sub(a, b)))
    }

    #[inline(always)]
    fn finish(sum: f32) -> f32 {
        sum
    }
}
