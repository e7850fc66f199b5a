//! The vector of sixteen `f32` lanes that every kernel is written over.
//!
//! One file an instruction set. A new one implements [`Simd`], gets a variant and a trampoline in
//! `dispatch.rs`, and runs the suite: every kernel test compares its bits with `reference.rs`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use scalar::Scalar;

/// How many `f32` a vector holds, on every machine.
pub(crate) const LANES: usize = 16;

/// Sixteen `f32` as one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Lanes(pub(crate) [f32; LANES]);

impl Lanes {
    pub(crate) const ZERO: Self = Lanes([0.0; LANES]);
}

/// An instruction set: operations on vectors of sixteen `f32`.
///
/// A value of an implementing type is the proof that the machine has the instruction set: the types
/// have a private field, and only detection makes one. So every method is safe to call.
///
/// Each operation is the IEEE operation of each lane, rounded to nearest even, denormals kept. Nothing
/// here may be an estimate, and nothing may depend on the machine.
///
/// Implementations and the generic kernels above them are `#[inline(always)]`: they must end up inside
/// the trampoline that carries `#[target_feature]`, or each intrinsic becomes a call.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Sixteen lanes.
    type F32: Copy;

    /// The most rows a product tile may have.
    const TILE_ROWS: usize;

    /// How many vectors of sixteen lanes fit in registers as accumulators of a product tile, beside
    /// one vector of weights and the broadcast activations.
    const ACCUMULATORS: usize;

    /// All lanes are `x`.
    fn splat(self, x: f32) -> Self::F32;

    /// Lane j is `from[j]`.
    fn load(self, from: &[f32; LANES]) -> Self::F32;

    /// `to[j]` is lane j.
    fn store(self, v: Self::F32, to: &mut [f32; LANES]);

    /// Lane j is `from[j]`, or `fill` where `from` (sixteen long or less) has ended.
    #[inline(always)]
    fn load_partial(self, from: &[f32], fill: f32) -> Self::F32 {
        match from.first_chunk() {
            Some(full) => self.load(full),
            None => {
                let mut lanes = [fill; LANES];
                lanes[..from.len()].copy_from_slice(from);
                self.load(&lanes)
            }
        }
    }

    /// `to[j]` is lane j, for as many lanes as `to` (sixteen long or less) has.
    #[inline(always)]
    fn store_partial(self, v: Self::F32, to: &mut [f32]) {
        match to.first_chunk_mut() {
            Some(full) => self.store(v, full),
            None => {
                let mut lanes = [0.0; LANES];
                self.store(v, &mut lanes);
                to.copy_from_slice(&lanes[..to.len()]);
            }
        }
    }

    /// a + b
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// a − b
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// a · b
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// a / b
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// a · b + c, rounded once.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;

    /// a > b ? a : b. So the second operand if they are equal or either is NaN.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// a < b ? a : b. So the second operand if they are equal or either is NaN.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// a < b ? x : y
    fn select_less(self, a: Self::F32, b: Self::F32, x: Self::F32, y: Self::F32) -> Self::F32;

    /// |a|
    fn abs(self, a: Self::F32) -> Self::F32;

    /// The magnitude of `a` with the sign of `sign`.
    fn copy_sign(self, a: Self::F32, sign: Self::F32) -> Self::F32;

    /// 2ⁿ for integral n in −126 … 127; any bits, without a fault, for anything else.
    fn exp2_integral(self, n: Self::F32) -> Self::F32;

    /// The sum of the lanes by the one tree of the contract: lane j adds lane j + 8, then j + 4,
    /// then j + 2, then j + 1.
    fn reduce_add(self, v: Self::F32) -> f32;

    /// The maximum of the lanes by the same tree, each step [`Simd::max`] of the lower and the upper.
    fn reduce_max(self, v: Self::F32) -> f32;
}
