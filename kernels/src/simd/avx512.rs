//! Sixteen lanes as one `zmm` register: AVX-512F, nothing beyond the foundation.
#![allow(unsafe_code, reason = "an instruction set is its intrinsics")]

use std::arch::x86_64::*;

use super::avx2::{Avx2, F32x16};
use super::{LANES, Simd};
use crate::dispatch::Kernel;
use crate::reference::BF16_LEAST;

/// The proof that this machine has AVX-512F, AVX2 and FMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512 {
    /// A part of the proof, and the way to what AVX-512 adds nothing to.
    avx2: Avx2,
}

impl Avx512 {
    /// The proof, if this machine can give it.
    pub(crate) fn detect() -> Option<Self> {
        // AVX-512F implies AVX2, FMA and F16C for the compiler, but a hypervisor may have masked them.
        let avx2 = Avx2::detect()?;
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("f16c")).then_some(Avx512 { avx2 })
    }
}

/// # Safety
///
/// The machine must have AVX-512F and what the compiler takes to be implied (AVX2, FMA, F16C), which `token` proves.
#[inline(never)]
#[target_feature(enable = "avx512f")]
unsafe fn trampoline<K: Kernel>(token: Avx512, kernel: K) -> K::Output {
    kernel.run(token)
}

/// An intrinsic that touches registers alone.
macro_rules! register {
    ($($call:tt)+) => {
        // SAFETY: `self` is the proof that the machine has AVX-512F; the intrinsics touch registers alone.
        unsafe { $($call)+ }
    };
}

/// The mask of the first `n` lanes, n ≤ 16.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    assert!(n <= LANES, "{n} lanes of {LANES}");
    // In 32 bits, where a shift by 16 is defined.
    ((1u32 << n) - 1) as __mmask16
}

/// Lane j of vector i becomes lane i of vector j.
///
/// Without closures: they would not be compiled for AVX-512, and each intrinsic in them would be a call.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose16(rows: [__m512; LANES]) -> [__m512; LANES] {
    let zero = _mm512_setzero_ps();
    // In each four rows, 4 × 4 blocks: vector c of group g then has, in its quarter q, column 4 q + c of these rows.
    let mut groups = [[zero; 4]; 4];
    for g in 0..4 {
        let (a, b, c, d) = (rows[4 * g], rows[4 * g + 1], rows[4 * g + 2], rows[4 * g + 3]);
        let ab_low = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
        let ab_high = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
        let cd_low = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
        let cd_high = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
        groups[g][0] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_low, cd_low));
        groups[g][1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_low, cd_low));
        groups[g][2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_high, cd_high));
        groups[g][3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_high, cd_high));
    }
    // Then quarter q of all four groups, for each column.
    let mut columns = rows;
    for c in 0..4 {
        let (first, second, third, fourth) = (groups[0][c], groups[1][c], groups[2][c], groups[3][c]);
        let even_low = _mm512_shuffle_f32x4::<0x88>(first, second);
        let even_high = _mm512_shuffle_f32x4::<0x88>(third, fourth);
        let odd_low = _mm512_shuffle_f32x4::<0xdd>(first, second);
        let odd_high = _mm512_shuffle_f32x4::<0xdd>(third, fourth);
        columns[c] = _mm512_shuffle_f32x4::<0x88>(even_low, even_high);
        columns[4 + c] = _mm512_shuffle_f32x4::<0x88>(odd_low, odd_high);
        columns[8 + c] = _mm512_shuffle_f32x4::<0xdd>(even_low, even_high);
        columns[12 + c] = _mm512_shuffle_f32x4::<0xdd>(odd_low, odd_high);
    }
    columns
}

/// Sixteen trees of the contract at once: lane i is the sum of vector i's lanes, by that addition.
macro_rules! reduce_rows {
    ($rows:expr, $add:path) => {{
        let rows = $rows;
        // Lane j with j + 8: the halves of two rows. Rows are taken in such an order that the last step puts lane i where
        // it belongs.
        let mut eights = [_mm512_setzero_ps(); 8];
        for i in 0..8 {
            let (slot, next) = (2 * i, 2 * i + 1);
            let a = rows[4 * (slot % 4) + slot / 4];
            let b = rows[4 * (next % 4) + next / 4];
            eights[i] = $add(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b));
        }
        // Lane j with j + 4: the quarters of four rows.
        let mut fours = [_mm512_setzero_ps(); 4];
        for i in 0..4 {
            let (a, b) = (eights[2 * i], eights[2 * i + 1]);
            fours[i] = $add(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
        }
        // Lane j with j + 2, in each quarter.
        let mut twos = [_mm512_setzero_ps(); 2];
        for i in 0..2 {
            let (a, b) = (_mm512_castps_pd(fours[2 * i]), _mm512_castps_pd(fours[2 * i + 1]));
            let (low, high) = (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
            twos[i] = $add(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
        }
        let [a, b] = twos;
        $add(_mm512_shuffle_ps::<0x88>(a, b), _mm512_shuffle_ps::<0xdd>(a, b))
    }};
}

#[inline]
#[target_feature(enable = "avx512f")]
fn reduce_rows(rows: [__m512; LANES]) -> __m512 {
    reduce_rows!(rows, _mm512_add_ps)
}

/// The sum of the bits as integers.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_bits(a: __m512, b: __m512) -> __m512 {
    _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn reduce_rows_i32(rows: [__m512i; LANES]) -> __m512i {
    let mut bits = [_mm512_setzero_ps(); LANES];
    for i in 0..LANES {
        bits[i] = _mm512_castsi512_ps(rows[i]);
    }
    _mm512_castps_si512(reduce_rows!(bits, add_bits))
}

impl Avx512 {
    /// The part of the proof that is about AVX2 and FMA.
    pub(crate) fn avx2(self) -> Avx2 {
        self.avx2
    }

    /// Lanes 0 … 7 and 8 … 15, for the last steps of a reduction.
    #[inline(always)]
    fn halves(self, v: __m512) -> F32x16 {
        // The upper half as doubles: as floats it would need AVX-512DQ.
        register!({
            let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v)));
            F32x16(_mm512_castps512_ps256(v), upper)
        })
    }
}

impl Simd for Avx512 {
    type F32 = __m512;
    type I32 = __m512i;

    // 32 zmm registers: 8 rows × 3 panels, 3 of weights, 1 activation broadcast, 4 to spare.
    const TILE_ROWS: usize = 8;
    const ACCUMULATORS: usize = 24;
    const PREFETCHES: bool = true;

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` is the proof that the machine has AVX-512F, AVX2 and FMA.
        unsafe { trampoline(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        register!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m512 {
        // SAFETY: `self` proves the feature; the reference is to sixteen readable f32, and the unaligned
        // load asks for no alignment.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, v: __m512, to: &mut [f32; LANES]) {
        // SAFETY: `self` proves the feature; the reference is to sixteen writable f32, and the unaligned
        // store asks for no alignment.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) }
    }

    #[inline(always)]
    fn load_partial(self, from: &[f32], fill: f32) -> __m512 {
        let mask = first(from.len());
        // SAFETY: `self` proves the feature; the mask has as many lanes as the slice has elements, and lanes
        // outside the mask are not read.
        unsafe { _mm512_mask_loadu_ps(_mm512_set1_ps(fill), mask, from.as_ptr()) }
    }

    #[inline(always)]
    fn store_partial(self, v: __m512, to: &mut [f32]) {
        let mask = first(to.len());
        // SAFETY: `self` proves the feature; the mask has as many lanes as the slice has elements, and lanes
        // outside the mask are not written.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), mask, v) }
    }

    #[inline(always)]
    fn prefetch_l1(self, address: *const f32) {
        self.avx2.prefetch_l1(address);
    }

    #[inline(always)]
    fn prefetch_l2(self, address: *const f32) {
        self.avx2.prefetch_l2(address);
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        register!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        register!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        register!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        register!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        register!(_mm512_fmadd_ps(a, b, c))
    }

    // VMAXPS and VMINPS give the second operand for equal operands and for NaN: the trait's rule.
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        register!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        register!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn select_less(self, a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
        register!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), y, x))
    }

    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        register!(_mm512_abs_ps(a))
    }

    #[inline(always)]
    fn copy_sign(self, a: __m512, sign: __m512) -> __m512 {
        // Bit by bit `mask ? sign : a`, which has the truth table 0xca for (mask, sign, a); AND and OR of
        // floats would need AVX-512DQ.
        register!({
            let mask = _mm512_set1_epi32(i32::MIN);
            let (a, sign) = (_mm512_castps_si512(a), _mm512_castps_si512(sign));
            _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xca>(mask, sign, a))
        })
    }

    #[inline(always)]
    fn exp2_integral(self, n: __m512) -> __m512 {
        // n + 127 in the low bits of the mantissa, then up into the exponent: see the reference.
        let biased = self.add(n, self.splat(8_388_608.0 + 127.0));
        register!(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(biased))))
    }

    #[inline(always)]
    fn add_exponent(self, p: __m512, shifted: __m512) -> __m512 {
        register!({
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(shifted));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), exponent))
        })
    }

    #[inline(always)]
    fn mul_exp2(self, p: __m512, n: __m512) -> __m512 {
        register!(_mm512_scalef_ps(p, n))
    }

    #[inline(always)]
    fn low_bf16(self, pairs: __m512) -> __m512 {
        register!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(pairs))))
    }

    #[inline(always)]
    fn high_bf16(self, pairs: __m512) -> __m512 {
        register!({
            let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(pairs), upper))
        })
    }

    #[inline(always)]
    fn round_bf16(self, v: __m512) -> __m512 {
        register!({
            let bits = _mm512_castps_si512(v);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
            // Greater or equal, or NaN.
            let kept = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(_mm512_abs_ps(v), _mm512_set1_ps(BF16_LEAST));
            let rounded = _mm512_maskz_add_epi32(kept, bits, half);
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
            let rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(1 << 22));
            self.high_bf16(_mm512_castsi512_ps(rounded))
        })
    }

    #[inline(always)]
    fn join_bf16(self, low: __m512, high: __m512) -> __m512 {
        register!({
            let low = _mm512_srli_epi32::<16>(_mm512_castps_si512(low));
            let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            // Bit by bit `upper ? high : low`: as in `copy_sign`.
            _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xca>(upper, _mm512_castps_si512(high), low))
        })
    }

    #[inline(always)]
    fn store_high_halves(self, v: __m512, to: &mut [u16; LANES]) {
        let halves = register!(_mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(_mm512_castps_si512(v))));
        // SAFETY: `self` proves the feature; the reference is to sixteen writable u16, and the unaligned store asks for no
        // alignment.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), halves) }
    }

    #[inline(always)]
    fn store_low_bytes(self, v: __m512, to: &mut [u8; LANES]) {
        let narrow = register!(_mm512_cvtepi32_epi8(_mm512_castps_si512(v)));
        // SAFETY: as above, sixteen writable bytes.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), narrow) }
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m512i {
        register!(_mm512_set1_epi32(x))
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32; LANES]) -> __m512i {
        // SAFETY: `self` proves the feature; the reference is to sixteen readable i32, and the unaligned load asks for no
        // alignment.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_i32(self, v: __m512i, to: &mut [i32; LANES]) {
        // SAFETY: `self` proves the feature; the reference is to sixteen writable i32, and the unaligned store asks for no
        // alignment.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), v) }
    }

    #[inline(always)]
    fn add_i32(self, a: __m512i, b: __m512i) -> __m512i {
        register!(_mm512_add_epi32(a, b))
    }

    #[inline(always)]
    fn to_f32(self, v: __m512i) -> __m512 {
        register!(_mm512_cvtepi32_ps(v))
    }

    #[inline(always)]
    fn any_not_less(self, a: __m512, b: __m512) -> bool {
        register!(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(a, b)) != 0
    }

    #[inline(always)]
    fn any_not_less_i32(self, a: __m512i, b: __m512i) -> bool {
        register!(_mm512_cmpge_epi32_mask(a, b)) != 0
    }

    #[inline(always)]
    fn reduce_add_rows(self, rows: [__m512; LANES]) -> __m512 {
        register!(reduce_rows(rows))
    }

    #[inline(always)]
    fn reduce_add_rows_i32(self, rows: [__m512i; LANES]) -> __m512i {
        register!(reduce_rows_i32(rows))
    }

    #[inline(always)]
    fn transpose(self, rows: [__m512; LANES]) -> [__m512; LANES] {
        // SAFETY: `self` is the proof that the machine has AVX-512F.
        unsafe { transpose16(rows) }
    }

    #[inline(always)]
    fn reduce_add(self, v: __m512) -> f32 {
        self.avx2.reduce_add(self.halves(v))
    }

    #[inline(always)]
    fn reduce_max(self, v: __m512) -> f32 {
        self.avx2.reduce_max(self.halves(v))
    }
}
