//! Every [`RowDot`] that this machine has, not only those that [`Isa`] chooses: a machine with AVX-VNNI would leave others
//! untested.

use super::scan::{Scan, Sink};
use super::*;
#[cfg(target_arch = "x86_64")]
use crate::dot::rows::BinaryRows;
use crate::dot::rows::{ByteProducts, Int8Rows, RowKernel, Uint8Rows};
use crate::reference;
use crate::simd::{LANES, Scalar};

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

/// What a search needs of an instruction set besides products.
struct Methods {
    floats: [[f32; LANES]; LANES],
    integers: [[i32; LANES]; LANES],
}

#[derive(Debug, PartialEq)]
struct Results {
    sums: [u32; LANES],
    integer_sums: [i32; LANES],
    added: [i32; LANES],
    not_less: Vec<bool>,
}

impl crate::dispatch::Kernel for Methods {
    type Output = Results;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Results {
        let Methods { floats, integers } = self;
        let (mut sums, mut integer_sums, mut added) = ([0.0; LANES], [0; LANES], [0; LANES]);
        let mut rows = [simd.splat(0.0); LANES];
        let mut integer_rows = [simd.splat_i32(0); LANES];
        for i in 0..LANES {
            rows[i] = simd.load(&floats[i]);
            integer_rows[i] = simd.load_i32(&integers[i]);
        }
        simd.store(simd.reduce_add_rows(rows), &mut sums);
        simd.store_i32(simd.reduce_add_rows_i32(integer_rows), &mut integer_sums);
        simd.store_i32(simd.add_i32(integer_rows[0], integer_rows[1]), &mut added);
        let mut not_less = Vec::new();
        for i in 0..LANES {
            for x in [f32::NEG_INFINITY, -0.0, 0.0, 1.0, f32::INFINITY, f32::NAN] {
                // All lanes but one are less.
                for at in 0..LANES {
                    let (mut a, mut b) = ([-1.0; LANES], [2.0; LANES]);
                    (a[at], b[at]) = (floats[i][at], x);
                    not_less.push(simd.any_not_less(simd.load(&a), simd.load(&b)));
                    let (mut a, mut b) = ([-1; LANES], [2; LANES]);
                    (a[at], b[at]) = (integers[i][at], integers[0][at]);
                    not_less.push(simd.any_not_less_i32(simd.load_i32(&a), simd.load_i32(&b)));
                }
            }
        }
        Results { sums: sums.map(f32::to_bits), integer_sums, added, not_less }
    }
}

#[test]
fn trees_of_sixteen_rows_are_those_of_one() {
    let integers = std::array::from_fn(|i| {
        std::array::from_fn(|j| match (i + j) % 5 {
            0 => i32::MAX,
            1 => i32::MIN,
            _ => (i * 1000 + j * 7) as i32 - 5000,
        })
    });
    // Sums that another order would round otherwise; and zeros of both signs.
    let thirds: [[f32; LANES]; LANES] =
        std::array::from_fn(|i| std::array::from_fn(|j| 1.0 / (3 * (j * 5 + i) + 1) as f32));
    let zeros =
        std::array::from_fn(|i| std::array::from_fn(|j| if (j + 1) % (i + 1) == 0 { -0.0 } else { 0.0 }));
    let negative = [[-0.0; LANES]; LANES];
    for floats in [thirds, zeros, negative] {
        for isa in Isa::available() {
            let found = isa.run(Methods { floats, integers });
            let expected = Methods { floats, integers };
            let expected = crate::dispatch::Kernel::run(expected, Scalar::<false>);
            assert_eq!(found, expected, "{isa}");
            for (sum, row) in found.sums.iter().zip(floats) {
                assert_eq!(*sum, reference::tree(row, |a, b| a + b).to_bits(), "{isa}");
            }
            for (sum, row) in found.integer_sums.iter().zip(integers) {
                assert_eq!(*sum, row.iter().fold(0, |sum: i32, &x| sum.wrapping_add(x)), "{isa}");
            }
        }
    }
}
