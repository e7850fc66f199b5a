//! Every [`Dot`] that this machine has, not only those that [`Isa`] chooses: a machine with AVX-512 VNNI would leave
//! others untested.

use std::ops::Range;

use super::*;
use crate::dispatch::Isa;
use crate::finish::{Finish, Scales};
use crate::gemm::{Fetch, Product};
use crate::narrow_rows::{Activations, NarrowRows};
use crate::packed_linear::PackedLinear;
use crate::precision::Precision;
use crate::reference::{self, INT8_GROUP, RowScale};
use crate::rows::{Rows, RowsMut};
#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
use crate::simd::Scalar;
use crate::simd::narrow_tests::around_every_bf16;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};

/// What the kernel comes to on every [`Dot`] of bf16, with their names.
fn on_every_bf16<K: DotKernel>(kernel: impl Fn() -> K) -> Vec<(&'static str, K::Output)> {
    let mut outputs = vec![("Bf16Fma<Scalar>", Bf16Fma(Scalar::<false>).call(kernel()))];
    #[cfg(target_arch = "x86_64")]
    {
        let (avx2, avx512) = (Avx2::detect(), Avx512::detect());
        outputs.extend(avx2.map(|simd| ("Bf16Fma<Avx2>", Bf16Fma(simd).call(kernel()))));
        outputs.extend(avx512.map(|simd| ("Bf16Fma<Avx512>", Bf16Fma(simd).call(kernel()))));
        let own = avx512.and_then(Avx512Bf16::detect);
        outputs.extend(own.map(|dot| ("Avx512Bf16", dot.call(kernel()))));
    }
    #[cfg(target_arch = "aarch64")]
    outputs.extend(Neon::detect().map(|simd| ("Bf16Fma<Neon>", Bf16Fma(simd).call(kernel()))));
    outputs
}

/// What the kernel comes to on every [`Dot`] of int8, with their names.
fn on_every_int8<K: DotKernel>(kernel: impl Fn() -> K) -> Vec<(&'static str, K::Output)> {
    let mut outputs = vec![("ScalarInt8", ScalarInt8.call(kernel()))];
    #[cfg(target_arch = "x86_64")]
    {
        let (avx2, avx512) = (Avx2::detect(), Avx512::detect());
        outputs.extend(avx2.map(|simd| ("Avx2Int8", Avx2Int8(simd).call(kernel()))));
        let avx = avx2.and_then(AvxVnni::detect);
        outputs.extend(avx.map(|dot| ("AvxVnni", dot.call(kernel()))));
        let avx512 = avx512.and_then(Avx512Vnni::detect);
        outputs.extend(avx512.map(|dot| ("Avx512Vnni", dot.call(kernel()))));
    }
    #[cfg(target_arch = "aarch64")]
    {
        let neon = Neon::detect();
        outputs.extend(neon.map(|simd| ("NeonInt8", NeonInt8(simd).call(kernel()))));
        let sdot = neon.and_then(NeonSdot::detect);
        outputs.extend(sdot.map(|dot| ("NeonSdot", dot.call(kernel()))));
        let i8mm = neon.and_then(NeonI8mm::detect);
        outputs.extend(i8mm.map(|dot| ("NeonI8mm", dot.call(kernel()))));
    }
    outputs
}

/// A chain of steps as a tile of one row and one panel has it.
#[derive(Clone, Copy)]
struct Chain<'a> {
    words: &'a [u32],
    lines: &'a [Lanes],
    row: RowScale,
    scales: Option<ColumnScales<'a>>,
    before: Option<[f32; LANES]>,
}

impl<'a> Chain<'a> {
    fn of_bf16(words: &'a [u32], lines: &'a [Lanes]) -> Chain<'a> {
        assert_eq!(words.len(), lines.len());
        Chain { words, lines, row: RowScale::NONE, scales: None, before: None }
    }
}

impl DotKernel for Chain<'_> {
    type Output = [f32; LANES];

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) -> [f32; LANES] {
        let simd = dot.simd();
        let mut sums = D::SumKind::zero(simd);
        for (&word, line) in self.words.iter().zip(self.lines) {
            sums = dot.dot(dot.word(word), dot.line(line), sums);
        }
        let [columns] = D::SumKind::columns(simd, self.scales, 0);
        let row = RowScale { zero: self.row.zero - D::OFFSET, ..self.row };
        let mut numbers = D::SumKind::numbers(simd, sums, row, columns);
        if let Some(before) = self.before {
            numbers = D::SumKind::add(simd, simd.load(&before), numbers, row, columns);
        }
        let mut found = [0.0; LANES];
        simd.store(numbers, &mut found);
        found
    }
}

/// The same random bits in every run (xorshift).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 24) as u32
    }

    /// A bf16 of an exponent in that range, or a zero.
    fn bf16(&mut self, exponents: Range<i32>) -> u32 {
        let (bits, exponent) = (self.bits(), self.bits());
        let exponent = exponents.start + exponent.rem_euclid(exponents.len() as u32) as i32 + 127;
        if bits.is_multiple_of(61) { 0 } else { bits >> 16 & 0x807f | (exponent as u32) << 7 }
    }

    fn bf16_pair(&mut self, exponents: &Range<i32>) -> u32 {
        self.bf16(exponents.clone()) | self.bf16(exponents.clone()) << 16
    }

    /// About ±4, some zeros.
    fn number(&mut self) -> f32 {
        let bits = self.bits();
        if bits.is_multiple_of(31) { 0.0 } else { (bits >> 8) as f32 / (1 << 21) as f32 - 4.0 }
    }

    fn numbers(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.number()).collect()
    }
}

/// The lower and the upper half of a word as numbers.
fn halves(word: u32) -> [f32; 2] {
    [f32::from_bits(word << 16), f32::from_bits(word & 0xffff_0000)]
}

fn word_of_bf16([low, high]: [f32; 2]) -> u32 {
    low.to_bits() >> 16 | high.to_bits() & 0xffff_0000
}

#[track_caller]
fn assert_lanes(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
        assert!(same, "{what}: element {i} is {found:e}, not {expected:e}");
    }
}

/// The chain of the reference, on every [`Dot`].
fn check_bf16_chain(words: &[u32], lines: &[Lanes]) {
    let expected: [f32; LANES] = std::array::from_fn(|j| {
        let pairs = words.iter().zip(lines).flat_map(|(&word, line)| {
            let (word, line) = (halves(word), halves(line.0[j].to_bits()));
            [(word[0], line[0]), (word[1], line[1])]
        });
        reference::sum_of_products_bf16(&pairs.collect::<Vec<_>>())
    });
    for (name, found) in on_every_bf16(|| Chain::of_bf16(words, lines)) {
        assert_lanes(&format!("{name}, {} steps", words.len()), &found, &expected);
    }
}

/// Of ordinary size; of all sizes that occur, from the least to what overflows; and around where products overflow that
/// a fused step can still add to something.
#[test]
fn bf16_chains_are_two_fused_steps_a_word() {
    let mut random = Random(0x1234_5678_9abc_def1);
    for exponents in [-12..4, -50..63, -50..128, 60..67, 120..128, -50..-45] {
        for length in (0..200).map(|i| i % 20 + 1).chain([64, 192, 768]) {
            let words: Vec<u32> = (0..length).map(|_| random.bf16_pair(&exponents)).collect();
            let line = |_| Lanes(std::array::from_fn(|_| f32::from_bits(random.bf16_pair(&exponents))));
            let lines: Vec<Lanes> = (0..length).map(line).collect();
            check_bf16_chain(&words, &lines);
        }
    }
}

/// Sums of each of these, and each pair of products of these on top.
#[test]
fn bf16_chains_of_special_numbers() {
    let least = reference::BF16_LEAST;
    let largest = f32::from_bits(0x7f7f_0000);
    let magnitudes = [0.0, 1.0, least, largest, 2f32.powi(64), f32::INFINITY, f32::NAN];
    let numbers: Vec<f32> = magnitudes.into_iter().flat_map(|x| [x, -x]).collect();
    let pairs: Vec<u32> =
        numbers.iter().flat_map(|&low| numbers.iter().map(move |&high| word_of_bf16([low, high]))).collect();
    let one = Lanes([f32::from_bits(word_of_bf16([1.0, 0.0])); LANES]);
    for chunk in pairs.chunks(LANES) {
        let line = Lanes(std::array::from_fn(|j| f32::from_bits(chunk[j % chunk.len()])));
        for &word in &pairs {
            for &sum in &numbers {
                check_bf16_chain(&[word_of_bf16([sum, 0.0]), word], &[one, line]);
            }
        }
    }
}

/// What the order, the rounding and the range of a step are, in numbers that any other would make others of.
#[test]
fn a_step_of_bf16_adds_the_upper_products_first_and_rounds_each_sum() {
    const NOTHING: [f32; 2] = [0.0; 2];
    let (least, largest, huge) = (reference::BF16_LEAST, f32::from_bits(0x7f7f_0000), 2f32.powi(64));
    let big = 2f32.powi(24);
    // Of each step the factors of the lower and of the upper halves; what all come to.
    type Step = [[f32; 2]; 2];
    let cases: [(&str, &[Step], f32); 5] = [
        // The other way round it would be 2²⁴ − 2²⁴ + 1.
        ("the upper first", &[[[big, 1.0], NOTHING], [[-big, 1.0], [1.0, 1.0]]], 0.0),
        // Rounded once it would be 2²⁴ + 2.
        ("two roundings", &[[[big, 1.0], NOTHING], [[1.0, 1.0], [1.0, 1.0]]], big),
        // The least sum that is not 0: 2⁻¹⁰⁰ ((1 + 2⁻⁷)² − (1 + 2⁻⁶)).
        (
            "nothing flushed to zero",
            &[[[1.007_812_5 * least, 1.007_812_5 * least], NOTHING], [[-1.015_625 * least, least], NOTHING]],
            2f32.powi(-114),
        ),
        ("a product that overflows", &[[[-largest, 1.0], NOTHING], [[huge, huge], NOTHING]], 2f32.powi(120)),
        ("an infinite sum", &[[[largest, -2.0], [largest, 2.0]]], f32::INFINITY),
    ];
    for (what, steps, expected) in cases {
        let word = |of: usize| move |[low, high]: &Step| word_of_bf16([low[of], high[of]]);
        let words: Vec<u32> = steps.iter().map(word(0)).collect();
        let lines: Vec<Lanes> =
            steps.iter().map(word(1)).map(|word| Lanes([f32::from_bits(word); LANES])).collect();
        for (name, found) in on_every_bf16(|| Chain::of_bf16(&words, &lines)) {
            assert_lanes(&format!("{what}, {name}"), &found, &[expected; LANES]);
        }
    }
}

struct StoreBf16([f32; LANES]);

impl DotKernel for StoreBf16 {
    type Output = [u16; LANES];

    /// Those that are not tiny must be the same either way.
    #[inline(always)]
    fn run<D: Dot>(self, dot: D) -> [u16; LANES] {
        let (mut found, mut not_tiny) = ([0; LANES], [0; LANES]);
        dot.store_bf16(dot.simd().load(&self.0), &mut found);
        dot.store_bf16_not_tiny(dot.simd().load(&self.0), &mut not_tiny);
        for j in 0..LANES {
            let tiny = self.0[j].abs() < reference::BF16_LEAST;
            assert!(tiny || found[j] == not_tiny[j], "{:e}: {:x}, {:x}", self.0[j], found[j], not_tiny[j]);
        }
        found
    }
}

#[test]
fn bf16_are_stored_as_the_reference_rounds_them() {
    for numbers in around_every_bf16() {
        let expected = numbers.map(reference::bf16_bits);
        for (name, found) in on_every_bf16(|| StoreBf16(numbers)) {
            let is_nan = |bits: u16| bits & 0x7fff > 0x7f80;
            for j in 0..LANES {
                let same = found[j] == expected[j] || is_nan(found[j]) && numbers[j].is_nan();
                assert!(same, "{name}: {:e} is stored as {:x}, not {:x}", numbers[j], found[j], expected[j]);
            }
        }
    }
}

/// Weights `[16][k]`, integers −127 … 127, of which one in each row is ±127: they are their own bytes, and the scale is 1.
fn integral_weights(k: usize, mut weight: impl FnMut() -> i32) -> Vec<f32> {
    let mut weights: Vec<f32> = (0..LANES * k).map(|_| weight() as f32).collect();
    for row in weights.chunks_mut(k) {
        row[k / 2] = 127f32.copysign(row[k / 2]);
    }
    weights
}

/// Chains over one group of bytes, as numbers of scale 1 less a zero point, with something before and without.
fn check_int8_chain(bytes: &[u8], weights: &[f32], zero: u8) {
    let k = bytes.len();
    let packed = PackedLinear::pack(Precision::Int8, &[(weights, &[0.0; LANES])], k);
    let words: Vec<u32> = bytes.chunks(4).map(word_of_bytes).collect();
    // A row of that zero point whose range is 254.
    let (_, row) = reference::quantize_row(&[-f32::from(zero), 254.0 - f32::from(zero)]);
    assert_eq!(row.scale, 1.0);
    let lines = packed.columns(0..LANES).panels().data;
    for before in [None, Some(std::array::from_fn(|j| 0.1 * j as f32 - 0.7))] {
        let chain = Chain { words: &words, lines, row, scales: packed.scales(), before };
        let expected: [f32; LANES] = std::array::from_fn(|j| {
            let weights = weights[j * k..][..k].iter().map(|&weight| weight as i32);
            let products = bytes.iter().zip(weights).map(|(&q, w)| (i32::from(q) - i32::from(zero)) * w);
            let sum = products.sum::<i32>() as f32;
            before.map_or(sum, |before: [f32; LANES]| sum + before[j])
        });
        for (name, found) in on_every_int8(|| chain) {
            assert_lanes(&format!("{name}, k = {k}, zero = {zero}"), &found, &expected);
        }
    }
}

fn word_of_bytes(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))
}

#[test]
fn int8_chains_of_any_bytes_are_exact() {
    let mut random = Random(0xfeed_5eed_0bad_cafe);
    for k in (1..=40).chain([63, 96, 128, 383, INT8_GROUP]) {
        for _ in 0..20 {
            let bytes: Vec<u8> = (0..k).map(|_| random.bits() as u8).collect();
            let weights = integral_weights(k, || random.bits().rem_euclid(255) as i32 - 127);
            check_int8_chain(&bytes, &weights, (random.bits() % 255) as u8);
        }
    }
}

/// The largest products, of one sign and of both, in every place of a word: two of them do not fit in 16 bits, and
/// those of a whole group just so in the 24 bits of an f32.
#[test]
fn int8_chains_of_the_largest_products_are_exact() {
    for k in [1, 2, 3, 4, 8, 100, INT8_GROUP] {
        for bytes in [[255; 4], [255, 0, 255, 0], [0, 255, 0, 255], [255, 255, 0, 0], [128, 127, 255, 254]] {
            let bytes: Vec<u8> = bytes.into_iter().cycle().take(k).collect();
            for signs in [[1, 1, 1, 1], [-1, -1, -1, -1], [1, -1, 1, -1], [1, 1, -1, -1], [-1, 1, 1, 1]] {
                let mut signs = signs.into_iter().cycle();
                let weights = integral_weights(k, || 127 * signs.next().expect("it is endless"));
                for zero in [0, 127, 128, 254] {
                    check_int8_chain(&bytes, &weights, zero);
                }
            }
        }
    }
}

/// A product with its bias and a residual, as `linear` has it.
struct Linear<'a> {
    x: &'a NarrowRows,
    weight: &'a PackedLinear,
    residual: &'a [f32],
}

impl DotKernel for Linear<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) -> Vec<f32> {
        let Linear { x, weight, residual } = self;
        let n = weight.n();
        let mut out = vec![f32::NAN; x.m() * n];
        let scales = weight.scales().map(|columns| Scales { rows: x.scales(), stride: x.m(), columns });
        let residual = Some(Rows { data: residual, stride: n });
        let product = Product {
            a: x.words(),
            b: weight.columns(0..n).panels(),
            finish: Finish { scales, bias: Some(weight.bias()), residual, activation: None },
            out: RowsMut::new(&mut out, n),
            fetch: Fetch::Alone,
        };
        product.run(dot);
        out
    }
}

/// A [`Dot`] has tiles of its own shapes, and may take several steps at once: tiles of one row to the tallest, one after
/// another and of two heights, chains that end after any number of steps, several chains.
#[test]
fn products_on_every_int8_have_the_bits_of_the_reference() {
    let mut random = Random(0x0dd0_5eed_1234_4321);
    for k in [1, 3, 7, 12, 18, 130, 385, 396, 800] {
        for n in [1, 16, 33, 64, 100] {
            let (weight, bias) = (random.numbers(n * k), random.numbers(n));
            let packed = PackedLinear::pack(Precision::Int8, &[(&weight, &bias)], k);
            for m in (1..=9).chain([17]) {
                let (x, residual) = (random.numbers(m * k), random.numbers(m * n));
                let product = reference::linear_int8(&x, &weight, &bias, &vec![1.0; k]);
                let expected = reference::residual_sum(&product, &residual);
                let mut narrow = NarrowRows::default();
                let Activations::Narrow(x) = narrow.narrow(Isa::SCALAR, &x, &packed) else {
                    panic!("int8 is narrow");
                };
                let linear = || Linear { x, weight: &packed, residual: &residual };
                for (name, found) in on_every_int8(linear) {
                    assert_lanes(&format!("{name}, {m}×{n}×{k}"), &found, &expected);
                }
            }
        }
    }
}
