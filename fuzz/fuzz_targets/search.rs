//! Exact search over rows of any bits, in two parts that are merged, on every instruction set of this machine: what
//! `minilm_kernels::reference` says, and nothing read outside the slices.
#![no_main]

#[path = "kernels/number.rs"]
mod number;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use minilm_kernels::{Bits, Component, Corpus, Isa, TopK, dot_of_numbers, reference, search};

use crate::number::Number;

#[derive(Arbitrary, Debug)]
struct Case {
    kind: Kind,
    m: u8,
    n: u8,
    k: u8,
    best: u8,
    split: u8,
    /// What queries and rows are made of, again and again if there are too few.
    bytes: Vec<u8>,
    numbers: Vec<Number>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    F32,
    Int8,
    Uint8,
    Binary,
}

impl Case {
    /// m, n and k.
    fn shape(&self) -> [usize; 3] {
        [usize::from(self.m % 10), usize::from(self.n % 70), usize::from(self.k) + 1]
    }

    /// n bytes of the input's, those of each `tensor` from another place on, exactly as long as they are: AddressSanitizer
    /// sees whatever is read behind them.
    fn bytes(&self, tensor: usize, n: usize) -> Vec<u8> {
        let from = self.bytes.iter().copied().cycle().skip(tensor * 7 % self.bytes.len().max(1));
        let mut bytes: Vec<u8> = from.take(n).collect();
        bytes.resize(n, 0);
        bytes.into_boxed_slice().into_vec()
    }

    fn signed(&self, tensor: usize, n: usize) -> Vec<i8> {
        self.bytes(tensor, n).into_iter().map(|byte| byte as i8).collect()
    }

    fn numbers(&self, tensor: usize, n: usize) -> Vec<f32> {
        let from = self.numbers.iter().map(|number| number.value()).cycle();
        let mut numbers: Vec<f32> = from.skip(tensor * 7 % self.numbers.len().max(1)).take(n).collect();
        numbers.resize(n, 0.0);
        numbers.into_boxed_slice().into_vec()
    }

    fn run(&self) {
        let [m, n, k] = self.shape();
        match self.kind {
            Kind::F32 => self.floats([m, n, k]),
            Kind::Int8 => {
                let (queries, rows) = (self.signed(0, m * k), self.signed(1, n * k));
                self.integers(&queries, &rows, reference::dot_int8);
                let row: Vec<f32> = rows.iter().take(k).map(|&x| f32::from(x)).collect();
                self.again(&row, rows.get(..k));
            }
            Kind::Uint8 => {
                let (queries, rows) = (self.bytes(0, m * k), self.bytes(1, n * k));
                self.integers(&queries, &rows, reference::dot_uint8);
                let row: Vec<f32> = rows.iter().take(k).map(|&x| f32::from(x)).collect();
                self.again(&row, rows.get(..k));
            }
            Kind::Binary => {
                let (queries, rows) = (self.bytes(0, m * k), self.bytes(1, n * k));
                let bytes = |bits: &[Bits]| bits.iter().map(|bits| bits.0).collect::<Vec<u8>>();
                self.integers(Bits::slice(&queries), Bits::slice(&rows), |a, b| {
                    -reference::hamming_distance(&bytes(a), &bytes(b))
                });
                // Of so many bits that the last byte is not always full.
                let numbers = reference::bits_as_numbers(&rows);
                let bits = rows.get(..k.div_ceil(8));
                self.again(numbers.get(..k).unwrap_or(&[]), bits.map(Bits::slice));
            }
        }
    }

    fn floats(&self, [m, n, k]: [usize; 3]) {
        let (queries, rows) = (self.numbers(0, m * k), self.numbers(1, n * k));
        let corpus = Corpus::new(&rows, k);
        let expected = queries.chunks(k).map(|query| {
            let scores: Vec<f32> = rows.chunks(k).map(|row| reference::dot(query, row)).collect();
            reference::top_k(&scores, usize::from(self.best))
        });
        // One NaN is as good as another.
        self.check(&queries, corpus, expected.collect(), |a, b| {
            a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
        });
    }

    fn integers<C: Component<Score = i32>>(
        &self,
        queries: &[C],
        rows: &[C],
        score: impl Fn(&[C], &[C]) -> i32,
    ) {
        let [_, _, k] = self.shape();
        let expected = queries.chunks(k).map(|query| {
            let scores: Vec<i32> = rows.chunks(k).map(|row| score(query, row)).collect();
            reference::top_k_integers(&scores, usize::from(self.best))
        });
        self.check(queries, Corpus::new(rows, k), expected.collect(), |a, b| a == b);
    }

    /// The best of each query, from `split` on by themselves, all others by themselves.
    fn check<C: Component>(
        &self,
        queries: &[C],
        corpus: Corpus<'_, C>,
        expected: Vec<Vec<(usize, C::Score)>>,
        same: impl Fn(C::Score, C::Score) -> bool,
    ) {
        let split = usize::from(self.split) % (corpus.len() + 1);
        for isa in Isa::available() {
            let [first, second] = [corpus.range(split..corpus.len()), corpus.range(0..split)].map(|part| {
                let mut found = vec![TopK::new(usize::from(self.best)); expected.len()];
                search(isa, queries, part, &mut found);
                found
            });
            for ((mut top, other), expected) in first.into_iter().zip(second).zip(&expected) {
                top.merge(other);
                let hits = top.into_sorted();
                assert_eq!(hits.len(), expected.len(), "{isa}");
                for (found, expected) in hits.iter().zip(expected) {
                    let equal = found.index == expected.0 && same(found.score, expected.1);
                    assert!(equal, "{isa}: {found:?} is not {expected:?}");
                }
            }
        }
    }

    /// A query of numbers with a row, if there is one, whose numbers are `numbers`.
    fn again<C: Component>(&self, numbers: &[f32], row: Option<&[C]>) {
        let Some(row) = row else { return };
        let query = self.numbers(3, numbers.len());
        let expected = reference::dot_of_numbers(&query, numbers);
        for isa in Isa::available() {
            let found = dot_of_numbers(isa, &query, row);
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(same, "{isa}: {found:e} is not {expected:e}");
        }
    }
}

fuzz_target!(|case: Case| case.run());
