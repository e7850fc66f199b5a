//! Every [`RowDot`] that this machine has, not only those that [`Isa`] chooses: a machine with AVX-VNNI would leave others
//! untested.

use super::scan::{Scan, Sink};
use super::*;
#[cfg(target_arch = "x86_64")]
use crate::dot::rows::BinaryRows;
use crate::dot::rows::{ByteProducts, Int8Rows, RowKernel, Uint8Rows};
use crate::reference;
use crate::simd::Scalar;

/// Keeps every score, `[m][n]`.
struct Everything<C: Component> {
    scores: Vec<Option<C::Score>>,
    n: usize,
}

impl<C: Component> Sink<C> for &mut Everything<C> {
    #[inline(always)]
    fn take<D: RowDot<Component = C>>(
        &mut self,
        dot: D,
        query: usize,
        first_row: usize,
        count: usize,
        scores: RowSums<D>,
    ) {
        let mut sixteen = <ScoreOf<D>>::zeros();
        <ScoreOf<D>>::store(dot.simd(), scores, &mut sixteen);
        for i in 0..count {
            let place = &mut self.scores[query * self.n + first_row + i];
            assert!(place.is_none(), "query {query} and row {} twice", first_row + i);
            *place = Some(sixteen[i]);
        }
    }
}

/// Scores on whatever kernels of these components run on.
struct Scores<'a, C> {
    queries: &'a [C],
    rows: &'a [C],
    k: usize,
}

impl<C: Component> RowKernel<C> for Scores<'_, C> {
    type Output = Vec<C::Score>;

    #[inline(always)]
    fn run<D: RowDot<Component = C>>(self, dot: D) -> Vec<C::Score> {
        let Scores { queries, rows, k } = self;
        let n = rows.len() / k;
        let mut all = Everything::<C> { scores: vec![None; queries.len() / k * n], n };
        Scan { queries, rows, k, sink: &mut all }.run(dot);
        all.scores.into_iter().map(|score| score.expect("every query meets every row")).collect()
    }
}

fn bytes(n: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if state >> 62 == 0 {
                [0, 255, 128, 127][(state >> 40 & 3) as usize]
            } else {
                (state >> 40) as u8
            }
        })
        .collect()
}

/// Compares int8 and uint8 on that instruction set with the reference.
fn check_bytes<B: ByteProducts>(name: &str, products: B) {
    for (m, n, k) in [(1, 33, 384), (5, 40, 64), (7, 17, 100), (2, 19, 31), (4, 16, 1), (3, 50, 33)] {
        let (queries, rows) = (bytes(m * k, 1), bytes(n * k, 2));
        let what = format!("{name}, {m} × {n} × {k}");
        let expected: Vec<i32> = queries
            .chunks(k)
            .flat_map(|query| rows.chunks(k).map(|row| reference::dot_uint8(query, row)))
            .collect();
        let found = Uint8Rows(products).call(Scores { queries: &queries, rows: &rows, k });
        assert_eq!(found, expected, "uint8 by {what}");
        let (queries, rows): (&[i8], &[i8]) = (bytemuck::cast_slice(&queries), bytemuck::cast_slice(&rows));
        let expected: Vec<i32> = queries
            .chunks(k)
            .flat_map(|query| rows.chunks(k).map(|row| reference::dot_int8(query, row)))
            .collect();
        assert_eq!(Int8Rows(products).call(Scores { queries, rows, k }), expected, "int8 by {what}");
    }
}

#[test]
fn bytes_have_exact_sums_on_everything_there_is() {
    check_bytes("plain Rust", Scalar::<false>);
    #[cfg(target_arch = "x86_64")]
    {
        use crate::dot::{Avx512Vnni, AvxVnni};
        use crate::simd::{Avx2, Avx512};
        let avx2 = Avx2::detect();
        avx2.into_iter().for_each(|simd| check_bytes("AVX2", simd));
        avx2.and_then(AvxVnni::detect).into_iter().for_each(|products| check_bytes("AVX-VNNI", products));
        let avx512 = Avx512::detect().and_then(Avx512Vnni::detect);
        avx512.into_iter().for_each(|products| check_bytes("AVX-512 VNNI", products));
    }
    #[cfg(target_arch = "aarch64")]
    {
        use crate::dot::{NeonInt8, NeonSdot};
        use crate::simd::Neon;
        let neon = Neon::detect();
        neon.into_iter().for_each(|simd| check_bytes("NEON", NeonInt8(simd)));
        neon.and_then(NeonSdot::detect)
            .into_iter()
            .for_each(|products| check_bytes("sdot and udot", products));
    }
}

/// The rest of what they run on is [`Isa`]'s choice, and tested with it.
#[test]
#[cfg(target_arch = "x86_64")]
fn bits_are_counted_with_avx2_and_with_vpopcntdq() {
    use crate::dot::rows::{Avx512Vpopcntdq, BitCounts};
    use crate::simd::{Avx2, Avx512};

    fn check<B: BitCounts>(name: &str, counts: B) {
        for (m, n, k) in [(1, 40, 48), (5, 33, 64), (3, 17, 96), (2, 18, 1), (4, 20, 130)] {
            let (queries, rows) = (bytes(m * k, 3), bytes(n * k, 4));
            let expected: Vec<i32> = queries
                .chunks(k)
                .flat_map(|query| rows.chunks(k).map(|row| -reference::hamming_distance(query, row)))
                .collect();
            let kernel = Scores { queries: Bits::slice(&queries), rows: Bits::slice(&rows), k };
            assert_eq!(BinaryRows(counts).call(kernel), expected, "{name}, {m} × {n} × {k}");
        }
    }
    Avx2::detect().into_iter().for_each(|simd| check("AVX2", simd));
    let avx512 = Avx512::detect().and_then(Avx512Vpopcntdq::detect);
    avx512.into_iter().for_each(|counts| check("VPOPCNTDQ", counts));
}
