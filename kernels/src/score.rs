//! What rows are ordered by: similarities, or what stands for them in exact integers.

use std::cmp::Ordering;
use std::fmt::Debug;

use crate::dispatch::Isa;
use crate::simd::{LANES, Simd};
use crate::top_k::{Push, TopK};

/// What a search orders rows by, the largest first: `f32`, or `i32` where sums are exact integers. Nothing else implements
/// it.
#[allow(
    private_bounds,
    reason = "what a score is to the kernels is a matter of this crate, which also seals the trait"
)]
pub trait Score: ScoreLanes + Copy + Debug + PartialEq + Send + Sync + 'static {}

impl Score for f32 {}
impl Score for i32 {}

/// Sixteen scores on an instruction set.
pub(crate) trait ScoreLanes: Sized {
    /// Sixteen lanes.
    type Vector<S: Simd>: Copy;

    /// The order of results: what is less comes first.
    fn best_first(a: Self, b: Self) -> Ordering;

    /// What a score must not be less than to be as good as `worst`. No score is less than that of none.
    fn threshold(worst: Option<Self>) -> Self;

    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;

    fn load<S: Simd>(simd: S, from: &[Self; LANES]) -> Self::Vector<S>;

    fn store<S: Simd>(simd: S, v: Self::Vector<S>, to: &mut [Self; LANES]);

    fn zeros() -> [Self; LANES];

    fn any_not_less<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> bool;

    /// See [`TopK::push`]. No function of this crate is generic where it is called from outside, or every crate that calls it
    /// would compile all kernels again.
    fn push(isa: Isa, top: &mut TopK<Self>, first_index: usize, scores: &[Self])
    where
        Self: Score;
}

impl ScoreLanes for f32 {
    type Vector<S: Simd> = S::F32;

    #[inline(always)]
    fn best_first(a: f32, b: f32) -> Ordering {
        // Where there is no order, one is NaN: false is less than true.
        b.partial_cmp(&a).unwrap_or(a.is_nan().cmp(&b.is_nan()))
    }

    /// NaN, which nothing is less than, also where NaN is the worst.
    #[inline(always)]
    fn threshold(worst: Option<f32>) -> f32 {
        worst.unwrap_or(f32::NAN)
    }

    #[inline(always)]
    fn splat<S: Simd>(simd: S, x: f32) -> S::F32 {
        simd.splat(x)
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[f32; LANES]) -> S::F32 {
        simd.load(from)
    }

    #[inline(always)]
    fn store<S: Simd>(simd: S, v: S::F32, to: &mut [f32; LANES]) {
        simd.store(v, to);
    }

    #[inline(always)]
    fn zeros() -> [f32; LANES] {
        [0.0; LANES]
    }

    #[inline(always)]
    fn any_not_less<S: Simd>(simd: S, a: S::F32, b: S::F32) -> bool {
        simd.any_not_less(a, b)
    }

    fn push(isa: Isa, top: &mut TopK<f32>, first_index: usize, scores: &[f32]) {
        isa.run(Push { top, first_index, scores });
    }
}

impl ScoreLanes for i32 {
    type Vector<S: Simd> = S::I32;

    #[inline(always)]
    fn best_first(a: i32, b: i32) -> Ordering {
        b.cmp(&a)
    }

    #[inline(always)]
    fn threshold(worst: Option<i32>) -> i32 {
        worst.unwrap_or(i32::MIN)
    }

    #[inline(always)]
    fn splat<S: Simd>(simd: S, x: i32) -> S::I32 {
        simd.splat_i32(x)
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[i32; LANES]) -> S::I32 {
        simd.load_i32(from)
    }

    #[inline(always)]
    fn store<S: Simd>(simd: S, v: S::I32, to: &mut [i32; LANES]) {
        simd.store_i32(v, to);
    }

    #[inline(always)]
    fn zeros() -> [i32; LANES] {
        [0; LANES]
    }

    #[inline(always)]
    fn any_not_less<S: Simd>(simd: S, a: S::I32, b: S::I32) -> bool {
        simd.any_not_less_i32(a, b)
    }

    fn push(isa: Isa, top: &mut TopK<i32>, first_index: usize, scores: &[i32]) {
        isa.run(Push { top, first_index, scores });
    }
}
