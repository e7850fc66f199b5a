//! Search: scores of all kinds of rows, the best of them, parts of a corpus, and candidates ordered again.

use std::fmt::Debug;

use minilm_kernels::{
    Bits, Component, Corpus, Hit, Isa, Score, TopK, dot_of_numbers, reference, rescore, search, top_k,
};

use crate::numbers::{assert_bits, numbers};

/// Bytes without a pattern, the same in every run (xorshift); the extremes come up often.
pub(crate) fn bytes(n: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            match state >> 61 {
                0 => 0,
                1 => 255,
                2 => 128,
                _ => (state >> 40) as u8,
            }
        })
        .collect()
}

pub(crate) fn signed(bytes: &[u8]) -> Vec<i8> {
    bytes.iter().map(|&byte| byte as i8).collect()
}

pub(crate) fn unpacked(bits: &[Bits]) -> Vec<u8> {
    bits.iter().map(|bits| bits.0).collect()
}

/// Index and score, as bits where it is a float.
trait Exact: Score {
    type Bits: Debug + PartialEq;

    fn exact(self) -> Self::Bits;

    fn best(scores: &[Self], k: usize) -> Vec<(usize, Self)>;
}

impl Exact for f32 {
    type Bits = u32;

    fn exact(self) -> u32 {
        self.to_bits()
    }

    fn best(scores: &[f32], k: usize) -> Vec<(usize, f32)> {
        reference::top_k(scores, k)
    }
}

impl Exact for i32 {
    type Bits = i32;

    fn exact(self) -> i32 {
        self
    }

    fn best(scores: &[i32], k: usize) -> Vec<(usize, i32)> {
        reference::top_k_integers(scores, k)
    }
}

fn exact<S: Exact>(hits: impl IntoIterator<Item = (usize, S)>) -> Vec<(usize, S::Bits)> {
    hits.into_iter().map(|(index, score)| (index, score.exact())).collect()
}

fn found<S: Exact>(top: TopK<S>) -> Vec<(usize, S::Bits)> {
    exact(top.into_sorted().into_iter().map(|hit| (hit.index, hit.score)))
}

/// What the specification says of one row.
type Specified<C> = fn(&[C], &[C]) -> <C as Component>::Score;

/// The `best` of every query among all rows, on every instruction set: at once, in parts that are merged, from the last to
/// the first, and one part after the other into the same.
fn check<C: Component>(queries: &[C], rows: &[C], k: usize, best: usize, specified: Specified<C>)
where
    C::Score: Exact,
{
    let expected: Vec<_> = queries
        .chunks(k)
        .map(|query| {
            let scores: Vec<_> = rows.chunks(k).map(|row| specified(query, row)).collect();
            exact(<C::Score as Exact>::best(&scores, best))
        })
        .collect();
    let m = queries.len() / k;
    let corpus = Corpus::new(rows, k);
    for isa in Isa::available() {
        let what = format!("{best} of {m} × {} × {k} on {isa}", corpus.len());
        let empty = || vec![TopK::new(best); m];
        let mut whole = empty();
        search(isa, queries, corpus, &mut whole);
        for parts in [1, 2, 3, 7] {
            let (mut merged, mut one) = (empty(), empty());
            let parts: Vec<_> = corpus.parts(parts).collect();
            for &part in parts.iter().rev() {
                let mut found = empty();
                search(isa, queries, part, &mut found);
                merged.iter_mut().zip(found).for_each(|(merged, found)| merged.merge(found));
                search(isa, queries, part, &mut one);
            }
            for (all, expected) in [merged, one].into_iter().flat_map(|tops| tops.into_iter().zip(&expected))
            {
                assert_eq!(&found(all), expected, "{what}, {} parts", parts.len());
            }
        }
        for (whole, expected) in whole.into_iter().zip(&expected) {
            assert_eq!(&found(whole), expected, "{what}");
        }
    }
}

fn check_f32(m: usize, n: usize, k: usize, best: usize) {
    check::<f32>(&numbers(m * k, 50), &numbers(n * k, 51), k, best, reference::dot);
}

fn check_narrow(m: usize, n: usize, k: usize, best: usize) {
    let (queries, rows) = (bytes(m * k, 52), bytes(n * k, 53));
    check::<u8>(&queries, &rows, k, best, reference::dot_uint8);
    check::<i8>(&signed(&queries), &signed(&rows), k, best, reference::dot_int8);
    check::<Bits>(Bits::slice(&queries), Bits::slice(&rows), k, best, hamming);
}

fn hamming(query: &[Bits], row: &[Bits]) -> i32 {
    -reference::hamming_distance(&unpacked(query), &unpacked(row))
}

#[test]
fn rows_of_all_lengths() {
    for k in (1..=70).chain([95, 96, 97, 127, 128, 129, 255, 384, 1000]) {
        check_f32(2, 19, k, 5);
        check_narrow(2, 19, k, 5);
    }
}

/// Blocks that are whole, end early or do not exist, tiles of all shapes.
#[test]
fn all_numbers_of_queries_and_rows() {
    for m in 0..=9 {
        for n in (0..=18).chain([31, 32, 33, 100]) {
            check_f32(m, n, 33, 3);
            check_f32(m, n, 32, 3);
            check_narrow(m, n, 48, 3);
            check_narrow(m, n, 64, 3);
        }
    }
}

#[test]
fn none_one_and_more_than_there_are() {
    for best in [0, 1, 2, 20, 99, 100, 101, 1000, usize::MAX] {
        check_f32(3, 100, 16, best);
        check_narrow(3, 100, 24, best);
    }
}

/// More queries than a block holds.
#[test]
fn queries_of_several_blocks() {
    check_f32(100, 37, 384, 4);
    check_narrow(400, 37, 384, 4);
    // Of vectors so long that a block is one tile.
    check_f32(9, 20, 40_000, 4);
    check_narrow(9, 20, 33_000, 4);
}

/// Rows that are equal are found in their order, in whatever parts.
#[test]
fn equal_rows_stand_in_their_order() {
    let (row, other) = (numbers(48, 54), bytes(48, 55));
    let (rows, others): (Vec<f32>, Vec<u8>) = (row.repeat(100), other.repeat(100));
    check::<f32>(&row, &rows, 48, 30, reference::dot);
    check::<u8>(&other, &others, 48, 30, reference::dot_uint8);
    check::<i8>(&signed(&other), &signed(&others), 48, 30, reference::dot_int8);
    check::<Bits>(Bits::slice(&other), Bits::slice(&others), 48, 30, hamming);
    // The better ones last, so that every block has some.
    let ascending: Vec<f32> = (0..100).flat_map(|i| [i as f32 / 8.0, 0.0]).collect();
    check::<f32>(&[1.0, 2.0], &ascending, 2, 30, reference::dot);
}

/// In a component of the row or of the query, in the last place of a row or the first: each as NaN, infinity, −0 or denormal.
/// What lies behind a row, which the last chunk of a row has too, has no say.
#[test]
fn nans_infinities_and_zeros() {
    let special =
        [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-40, -1e-40, f32::MAX, 1.0];
    let only = |score: f32| if score.is_nan() { f32::NAN } else { score };
    for k in [1, 2, 16, 17, 31, 384] {
        for at in [0, k - 1] {
            let mut rows = vec![0.5; 40 * k];
            for (i, row) in rows.chunks_mut(k).enumerate() {
                row[at] = special[i % special.len()];
            }
            for other in special.into_iter().chain([-1.0, 1e-30]) {
                let mut query = vec![0.25; k];
                query[at] = other;
                let scores: Vec<f32> = rows.chunks(k).map(|row| reference::dot(&query, row)).collect();
                for isa in Isa::available() {
                    let mut top = [TopK::new(40)];
                    search(isa, &query, Corpus::new(&rows, k), &mut top);
                    let [top] = top;
                    // The bits of a NaN are not specified.
                    let found = top.into_sorted().into_iter().map(|hit| (hit.index, only(hit.score)));
                    let expected =
                        reference::top_k(&scores, 40).into_iter().map(|(i, score)| (i, only(score)));
                    assert_eq!(exact(found), exact(expected), "{isa}, k = {k}, at {at}, {query:?}");
                }
            }
        }
    }
}

/// Sums at the ends of the range of i32, over the longest vectors there may be.
#[test]
fn the_longest_vectors_of_the_largest_bytes() {
    for isa in Isa::available() {
        let score = |queries: &[u8], rows: &[u8], k| {
            let mut top = [TopK::new(1)];
            search(isa, queries, Corpus::new(rows, k), &mut top);
            let [top] = top;
            top.into_sorted()[0].score
        };
        let k = <u8 as Component>::MAX_LEN;
        assert_eq!(i64::from(score(&vec![255; k], &vec![255; k], k)), 255 * 255 * k as i64, "{isa}");
        assert_eq!(score(&vec![255; k], &vec![0; k], k), 0, "{isa}");
        let k = <i8 as Component>::MAX_LEN;
        for (a, b) in [(-128i8, -128i8), (-128, 127), (127, -128), (127, 127)] {
            let mut top = [TopK::new(1)];
            search(isa, &vec![a; k], Corpus::new(&vec![b; k], k), &mut top);
            let [top] = top;
            let expected = i64::from(a) * i64::from(b) * k as i64;
            assert_eq!(i64::from(top.into_sorted()[0].score), expected, "{isa}: {a} · {b}");
        }
    }
}

#[test]
fn a_part_keeps_the_numbers_of_its_rows() {
    let rows: Vec<f32> = (0..50).map(|i| i as f32).collect();
    let corpus = Corpus::new(&rows, 1).range(10..40).range(5..20);
    assert_eq!((corpus.len(), corpus.is_empty()), (15, false));
    for isa in Isa::available() {
        let mut top = [TopK::new(2)];
        search(isa, &[1.0], corpus, &mut top);
        let [top] = top;
        assert_eq!(top.into_sorted(), [Hit { index: 29, score: 29.0 }, Hit { index: 28, score: 28.0 }]);
    }
    let lengths: Vec<usize> = corpus.parts(4).map(|part| part.len()).collect();
    assert_eq!(lengths, [4, 4, 4, 3]);
    assert!(Corpus::<f32>::new(&[], 3).parts(2).all(|part| part.is_empty()));
}

#[test]
fn integers_have_their_order() {
    let scores = [3, i32::MIN, 7, i32::MAX, 7, -1, i32::MIN, 0];
    for isa in Isa::available() {
        for n in 0..=scores.len() {
            // Whole vectors and what is left.
            let long: Vec<i32> = scores.iter().copied().cycle().take(40 + n).collect();
            for k in [0, 1, 3, 8, 100] {
                let hits = top_k(isa, &long, k).into_iter().map(|hit| (hit.index, hit.score));
                assert_eq!(
                    exact(hits),
                    exact(reference::top_k_integers(&long, k)),
                    "{isa}: {k} of {}",
                    long.len()
                );
            }
        }
    }
}

#[test]
fn candidates_are_ordered_by_numbers() {
    for k in [1, 7, 16, 33, 384] {
        let (rows, query) = (bytes(30 * k, 59), numbers(k, 60));
        let signed = signed(&rows);
        for isa in Isa::available() {
            let dot_of = |row: &[f32]| reference::dot_of_numbers(&query, row);
            let (mut as_bytes, mut as_signed) = (Vec::new(), Vec::new());
            for (row, signed) in rows.chunks(k).zip(signed.chunks(k)) {
                let numbers: Vec<f32> = row.iter().map(|&byte| f32::from(byte)).collect();
                let signed_numbers: Vec<f32> = signed.iter().map(|&byte| f32::from(byte)).collect();
                as_bytes.push(dot_of(&numbers));
                as_signed.push(dot_of(&signed_numbers));
                assert_bits(
                    "dot of bytes",
                    isa,
                    &[dot_of_numbers(isa, &query, row)],
                    &as_bytes[as_bytes.len() - 1..],
                );
                assert_bits(
                    "dot of int8",
                    isa,
                    &[dot_of_numbers(isa, &query, signed)],
                    &as_signed[as_signed.len() - 1..],
                );
            }
            // All but some are candidates, in an order that is not that of their rows.
            let candidates: Vec<Hit<i32>> =
                (0..30).rev().filter(|i| i % 4 != 0).map(|index| Hit { index, score: 0 }).collect();
            let hits = rescore(isa, &query, Corpus::new(&rows, k), &candidates, 5);
            let mut scores = as_bytes.clone();
            (0..30).step_by(4).for_each(|i| scores[i] = f32::NEG_INFINITY);
            let found = hits.into_iter().map(|hit| (hit.index, hit.score));
            assert_eq!(exact(found), exact(reference::top_k(&scores, 5)), "{isa}, k = {k}");
        }
    }
}

/// Also where the last byte has bits that stand for nothing.
#[test]
fn bits_are_numbers_from_the_highest_on() {
    assert_eq!(reference::bits_as_numbers(&[0b1010_0001]), [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    for n in (1..=70).chain([384, 1001usize]) {
        let (row, query) = (bytes(n.div_ceil(8), 61), numbers(n, 62));
        let expected = reference::dot_of_numbers(&query, &reference::bits_as_numbers(&row));
        for isa in Isa::available() {
            let found = dot_of_numbers(isa, &query, Bits::slice(&row));
            assert_bits(&format!("dot of {n} bits"), isa, &[found], &[expected]);
        }
    }
}

#[test]
#[should_panic(expected = "Corpus: 7 components, no multiple of k = 3")]
fn rows_that_are_not_whole_are_named() {
    Corpus::new(&[0u8; 7], 3);
}

#[test]
#[should_panic(expected = "Corpus: k is 33026, not 1 to 33025")]
fn a_vector_whose_sum_would_not_fit_is_named() {
    Corpus::new(&[0u8; 33_026], 33_026);
}

#[test]
#[should_panic(expected = "search: 2 queries of k = 4 are 7 components")]
fn queries_that_do_not_fit_are_named() {
    search(Isa::SCALAR, &[0.0; 7], Corpus::new(&[0.0; 8], 4), &mut vec![TopK::new(1); 2]);
}

#[test]
#[should_panic(expected = "Corpus: rows 1..4 of 3")]
fn rows_that_are_not_there_are_named() {
    let _ = Corpus::new(&[0i8; 6], 2).range(1..4);
}

#[test]
#[should_panic(expected = "Corpus: row 9 of 3 from 0 on")]
fn a_candidate_that_is_no_row_is_named() {
    rescore(Isa::SCALAR, &[0.0; 2], Corpus::new(&[0u8; 6], 2), &[Hit { index: 9, score: 1 }], 1);
}

#[test]
#[should_panic(expected = "dot_of_numbers: the query has 9 numbers, the row stands for 8")]
fn a_query_that_does_not_fit_a_row_is_named() {
    dot_of_numbers(Isa::SCALAR, &[0.0; 9], Bits::slice(&[0]));
}
