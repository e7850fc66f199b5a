//! Sixteen lanes as two `ymm` registers: AVX2 with FMA (Haswell and Zen, and everything since).
#![allow(unsafe_code, reason = "an instruction set is its intrinsics")]

use std::arch::x86_64::*;

use super::{LANES, Simd};
use crate::dispatch::Kernel;
use crate::reference::BF16_LEAST;

/// The proof that this machine has AVX2 and FMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2 {
    _detected: (),
}

impl Avx2 {
    /// The proof, if this machine can give it.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"))
            .then_some(Avx2 { _detected: () })
    }
}

/// # Safety
///
/// The machine must have AVX2 and FMA, which `token` proves.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn trampoline<K: Kernel>(token: Avx2, kernel: K) -> K::Output {
    kernel.run(token)
}

/// Lanes 0 … 7 and lanes 8 … 15.
#[derive(Clone, Copy)]
pub(crate) struct F32x16(pub(super) __m256, pub(super) __m256);

/// Lanes 0 … 7 and lanes 8 … 15.
#[derive(Clone, Copy)]
pub(crate) struct I32x16(pub(crate) __m256i, pub(crate) __m256i);

/// Applies an intrinsic to both halves.
macro_rules! halves {
    ($f:ident, $($v:expr),+) => {
        // SAFETY: `self` is the proof that the machine has AVX2 and FMA; the intrinsic touches
        // registers alone.
        unsafe { F32x16($f($($v.0),+), $f($($v.1),+)) }
    };
}

/// The tree of the contract over both halves: 16 → 8 → 4 → 2 → 1 lanes.
macro_rules! tree {
    ($v:expr, $wide:ident, $narrow:ident, $single:ident) => {
        // SAFETY: as in `halves`.
        unsafe {
            let eight = $wide($v.0, $v.1);
            let four = $narrow(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = $narrow(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32($single(two, _mm_shuffle_ps::<1>(two, two)))
        }
    };
}

/// Lane j of vector i becomes lane i of vector j.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn transpose8(rows: [__m256; 8]) -> [__m256; 8] {
    // In each four rows, 4 × 4 blocks: vector c of half h then has column c of these rows, and column 4 + c behind it.
    let halves: [[__m256; 4]; 2] = std::array::from_fn(|h| {
        let [a, b, c, d] = [rows[4 * h], rows[4 * h + 1], rows[4 * h + 2], rows[4 * h + 3]];
        let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        [
            _mm256_shuffle_ps::<0x44>(ab_low, cd_low),
            _mm256_shuffle_ps::<0xee>(ab_low, cd_low),
            _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
            _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
        ]
    });
    std::array::from_fn(|j| {
        let (upper, lower) = (halves[0][j % 4], halves[1][j % 4]);
        if j < 4 {
            _mm256_permute2f128_ps::<0x20>(upper, lower)
        } else {
            _mm256_permute2f128_ps::<0x31>(upper, lower)
        }
    })
}

/// Eight trees of the contract at once, from step 4 on: lane i is the sum of vector i's eight lanes, by that addition.
macro_rules! reduce_rows {
    ($rows:expr, $add:path) => {{
        let rows = $rows;
        // Lane j with j + 4: the halves of two rows. Rows are taken in such an order that the last step puts lane i where
        // it belongs.
        let mut fours = [_mm256_setzero_ps(); 4];
        for i in 0..4 {
            let (a, b) = (rows[i], rows[4 + i]);
            fours[i] = $add(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b));
        }
        // Lane j with j + 2, in each half.
        let mut twos = [_mm256_setzero_ps(); 2];
        for i in 0..2 {
            let (a, b) = (_mm256_castps_pd(fours[2 * i]), _mm256_castps_pd(fours[2 * i + 1]));
            let (low, high) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
            twos[i] = $add(_mm256_castpd_ps(low), _mm256_castpd_ps(high));
        }
        let [a, b] = twos;
        $add(_mm256_shuffle_ps::<0x88>(a, b), _mm256_shuffle_ps::<0xdd>(a, b))
    }};
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn reduce_rows8(rows: [__m256; 8]) -> __m256 {
    reduce_rows!(rows, _mm256_add_ps)
}

/// The sum of the bits as integers.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_bits(a: __m256, b: __m256) -> __m256 {
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn reduce_rows8_i32(rows: [__m256; 8]) -> __m256i {
    _mm256_castps_si256(reduce_rows!(rows, add_bits))
}

/// Eight lanes rounded to bf16: see [`Simd::round_bf16`].
#[inline]
#[target_feature(enable = "avx2,fma")]
fn round_bf16_8(v: __m256) -> __m256 {
    let bits = _mm256_castps_si256(v);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), v);
    // Greater or equal, or NaN.
    let kept = _mm256_cmp_ps::<_CMP_NLT_UQ>(magnitude, _mm256_set1_ps(BF16_LEAST));
    let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(v, v);
    let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(1 << 22));
    let rounded = _mm256_and_ps(_mm256_castsi256_ps(rounded), kept);
    let rounded = _mm256_blendv_ps(rounded, _mm256_castsi256_ps(quiet), nan);
    _mm256_and_ps(rounded, _mm256_set1_ps(f32::from_bits(0xffff_0000)))
}

/// All ones where a is not less than b.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn not_less8(a: __m256, b: __m256) -> __m256 {
    _mm256_cmp_ps::<_CMP_NLT_UQ>(a, b)
}

/// See [`Simd::join_bf16`].
#[inline]
#[target_feature(enable = "avx2,fma")]
fn join_bf16_8(low: __m256, high: __m256) -> __m256 {
    let low = _mm256_srli_epi32::<16>(_mm256_castps_si256(low));
    // Of sixteen halves, every other of `high`.
    _mm256_castsi256_ps(_mm256_blend_epi16::<0b1010_1010>(low, _mm256_castps_si256(high)))
}

impl Simd for Avx2 {
    type F32 = F32x16;
    type I32 = I32x16;

    // 16 ymm registers: 6 rows × 2 accumulators, 2 of weights, 1 activation broadcast, 1 to spare.
    const TILE_ROWS: usize = 6;
    const ACCUMULATORS: usize = 6;
    const PREFETCHES: bool = true;

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` is the proof that the machine has AVX2 and FMA.
        unsafe { trampoline(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F32x16 {
        // SAFETY: as in `halves`.
        let half = unsafe { _mm256_set1_ps(x) };
        F32x16(half, half)
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> F32x16 {
        let from = from.as_ptr();
        // SAFETY: `self` proves the features; the reference is to sixteen readable f32, and the
        // unaligned load asks for no alignment.
        unsafe { F32x16(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }

    #[inline(always)]
    fn store(self, v: F32x16, to: &mut [f32; LANES]) {
        let to = to.as_mut_ptr();
        // SAFETY: `self` proves the features; the reference is to sixteen writable f32, and the
        // unaligned store asks for no alignment.
        unsafe {
            _mm256_storeu_ps(to, v.0);
            _mm256_storeu_ps(to.add(8), v.1);
        }
    }

    #[inline(always)]
    fn prefetch_l1(self, address: *const f32) {
        // SAFETY: PREFETCHT0 is SSE, which every x86-64 has; it reads nothing that the program sees and never
        // faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }

    #[inline(always)]
    fn prefetch_l2(self, address: *const f32) {
        // SAFETY: as above, of PREFETCHT1.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }

    #[inline(always)]
    fn add(self, a: F32x16, b: F32x16) -> F32x16 {
        halves!(_mm256_add_ps, a, b)
    }

    #[inline(always)]
    fn sub(self, a: F32x16, b: F32x16) -> F32x16 {
        halves!(_mm256_sub_ps, a, b)
    }

    #[inline(always)]
    fn mul(self, a: F32x16, b: F32x16) -> F32x16 {
        halves!(_mm256_mul_ps, a, b)
    }

    #[inline(always)]
    fn div(self, a: F32x16, b: F32x16) -> F32x16 {
        halves!(_mm256_div_ps, a, b)
    }

    #[inline(always)]
    fn mul_add(self, a: F32x16, b: F32x16, c: F32x16) -> F32x16 {
        halves!(_mm256_fmadd_ps, a, b, c)
    }

    // MAXPS and MINPS give the second operand for equal operands and for NaN: the trait's rule.
    #[inline(always)]
    fn max(self, a: F32x16, b: F32x16) -> F32x16 {
        halves!(_mm256_max_ps, a, b)
    }

    #[inline(always)]
    fn min(self, a: F32x16, b: F32x16) -> F32x16 {
        halves!(_mm256_min_ps, a, b)
    }

    #[inline(always)]
    fn select_less(self, a: F32x16, b: F32x16, x: F32x16, y: F32x16) -> F32x16 {
        // SAFETY: as in `halves`.
        let less =
            unsafe { F32x16(_mm256_cmp_ps::<_CMP_LT_OQ>(a.0, b.0), _mm256_cmp_ps::<_CMP_LT_OQ>(a.1, b.1)) };
        halves!(_mm256_blendv_ps, y, x, less)
    }

    #[inline(always)]
    fn abs(self, a: F32x16) -> F32x16 {
        let sign = self.splat(-0.0);
        halves!(_mm256_andnot_ps, sign, a)
    }

    #[inline(always)]
    fn copy_sign(self, a: F32x16, sign: F32x16) -> F32x16 {
        let mask = self.splat(-0.0);
        let sign = halves!(_mm256_and_ps, mask, sign);
        let magnitude = halves!(_mm256_andnot_ps, mask, a);
        halves!(_mm256_or_ps, magnitude, sign)
    }

    #[inline(always)]
    fn exp2_integral(self, n: F32x16) -> F32x16 {
        // n + 127 in the low bits of the mantissa, then up into the exponent: see the reference.
        let biased = self.add(n, self.splat(8_388_608.0 + 127.0));
        // SAFETY: as in `halves`.
        unsafe {
            let low = _mm256_slli_epi32::<23>(_mm256_castps_si256(biased.0));
            let high = _mm256_slli_epi32::<23>(_mm256_castps_si256(biased.1));
            F32x16(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high))
        }
    }

    #[inline(always)]
    fn add_exponent(self, p: F32x16, shifted: F32x16) -> F32x16 {
        // SAFETY: as in `halves`.
        unsafe {
            let low = _mm256_slli_epi32::<23>(_mm256_castps_si256(shifted.0));
            let high = _mm256_slli_epi32::<23>(_mm256_castps_si256(shifted.1));
            let low = _mm256_add_epi32(_mm256_castps_si256(p.0), low);
            let high = _mm256_add_epi32(_mm256_castps_si256(p.1), high);
            F32x16(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high))
        }
    }

    #[inline(always)]
    fn low_bf16(self, pairs: F32x16) -> F32x16 {
        // SAFETY: as in `halves`.
        let low = |v| unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(v))) };
        F32x16(low(pairs.0), low(pairs.1))
    }

    #[inline(always)]
    fn high_bf16(self, pairs: F32x16) -> F32x16 {
        let upper = self.splat(f32::from_bits(0xffff_0000));
        halves!(_mm256_and_ps, upper, pairs)
    }

    #[inline(always)]
    fn round_bf16(self, v: F32x16) -> F32x16 {
        halves!(round_bf16_8, v)
    }

    #[inline(always)]
    fn join_bf16(self, low: F32x16, high: F32x16) -> F32x16 {
        halves!(join_bf16_8, low, high)
    }

    #[inline(always)]
    fn store_high_halves(self, v: F32x16, to: &mut [u16; LANES]) {
        // SAFETY: as in `halves`; the reference is to sixteen writable u16, and the unaligned store asks for no alignment.
        unsafe {
            let high = |v| _mm256_srli_epi32::<16>(_mm256_castps_si256(v));
            // Packing works in each 128 bits for itself; then the quarters are 0 2 1 3.
            let packed = _mm256_packus_epi32(high(v.0), high(v.1));
            _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(packed));
        }
    }

    #[inline(always)]
    fn store_low_bytes(self, v: F32x16, to: &mut [u8; LANES]) {
        // SAFETY: as above, sixteen writable bytes.
        unsafe {
            let byte = _mm256_set1_epi32(0xff);
            let low = |v| _mm256_and_si256(_mm256_castps_si256(v), byte);
            let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(low(v.0), low(v.1)));
            let (first, second) = (_mm256_castsi256_si128(packed), _mm256_extracti128_si256::<1>(packed));
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm_packus_epi16(first, second));
        }
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> I32x16 {
        // SAFETY: as in `halves`.
        let half = unsafe { _mm256_set1_epi32(x) };
        I32x16(half, half)
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32; LANES]) -> I32x16 {
        let from: *const __m256i = from.as_ptr().cast();
        // SAFETY: `self` proves the features; the reference is to sixteen readable i32, and the unaligned load asks for no
        // alignment.
        unsafe { I32x16(_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))) }
    }

    #[inline(always)]
    fn store_i32(self, v: I32x16, to: &mut [i32; LANES]) {
        let to: *mut __m256i = to.as_mut_ptr().cast();
        // SAFETY: `self` proves the features; the reference is to sixteen writable i32, and the unaligned stores ask for no
        // alignment.
        unsafe {
            _mm256_storeu_si256(to, v.0);
            _mm256_storeu_si256(to.add(1), v.1);
        }
    }

    #[inline(always)]
    fn add_i32(self, a: I32x16, b: I32x16) -> I32x16 {
        // SAFETY: as in `halves`.
        unsafe { I32x16(_mm256_add_epi32(a.0, b.0), _mm256_add_epi32(a.1, b.1)) }
    }

    #[inline(always)]
    fn any_not_less(self, a: F32x16, b: F32x16) -> bool {
        let not_less = halves!(not_less8, a, b);
        // SAFETY: as in `halves`.
        unsafe { _mm256_movemask_ps(_mm256_or_ps(not_less.0, not_less.1)) != 0 }
    }

    #[inline(always)]
    fn any_not_less_i32(self, a: I32x16, b: I32x16) -> bool {
        // SAFETY: as in `halves`.
        unsafe {
            let less = _mm256_and_si256(_mm256_cmpgt_epi32(b.0, a.0), _mm256_cmpgt_epi32(b.1, a.1));
            _mm256_movemask_epi8(less) != -1
        }
    }

    #[inline(always)]
    fn reduce_add_rows(self, rows: [F32x16; LANES]) -> F32x16 {
        // SAFETY: as in `halves`.
        unsafe {
            let mut eights = [[_mm256_setzero_ps(); 8]; 2];
            for i in 0..LANES {
                eights[i / 8][i % 8] = _mm256_add_ps(rows[i].0, rows[i].1);
            }
            F32x16(reduce_rows8(eights[0]), reduce_rows8(eights[1]))
        }
    }

    #[inline(always)]
    fn reduce_add_rows_i32(self, rows: [I32x16; LANES]) -> I32x16 {
        // SAFETY: as in `halves`.
        unsafe {
            let mut eights = [[_mm256_setzero_ps(); 8]; 2];
            for i in 0..LANES {
                eights[i / 8][i % 8] = _mm256_castsi256_ps(_mm256_add_epi32(rows[i].0, rows[i].1));
            }
            I32x16(reduce_rows8_i32(eights[0]), reduce_rows8_i32(eights[1]))
        }
    }

    #[inline(always)]
    fn to_f32(self, v: I32x16) -> F32x16 {
        // SAFETY: as in `halves`.
        unsafe { F32x16(_mm256_cvtepi32_ps(v.0), _mm256_cvtepi32_ps(v.1)) }
    }

    #[inline(always)]
    fn transpose(self, rows: [F32x16; LANES]) -> [F32x16; LANES] {
        // SAFETY: as in `halves`.
        let eight = |rows: [__m256; 8]| unsafe { transpose8(rows) };
        let upper_left = eight(std::array::from_fn(|i| rows[i].0));
        let lower_left = eight(std::array::from_fn(|i| rows[8 + i].0));
        let upper_right = eight(std::array::from_fn(|i| rows[i].1));
        let lower_right = eight(std::array::from_fn(|i| rows[8 + i].1));
        std::array::from_fn(|j| match j.checked_sub(8) {
            None => F32x16(upper_left[j], lower_left[j]),
            Some(j) => F32x16(upper_right[j], lower_right[j]),
        })
    }

    #[inline(always)]
    fn reduce_add(self, v: F32x16) -> f32 {
        tree!(v, _mm256_add_ps, _mm_add_ps, _mm_add_ss)
    }

    #[inline(always)]
    fn reduce_max(self, v: F32x16) -> f32 {
        tree!(v, _mm256_max_ps, _mm_max_ps, _mm_max_ss)
    }
}
