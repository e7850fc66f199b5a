//! Every operation at every offset into a cache line, between guards that must not be touched.
//!
//! A kernel that lets in what lies beyond a slice has its result changed by the guards (NaN); one that writes beyond it
//! changes the guards. What is read there and dropped, AddressSanitizer sees.

use minilm_kernels::{
    AttentionParameters, AttentionScratch, Bits, Component, Corpus, Epilogue, Isa, LayerNorm, NarrowRows,
    PackedLinear, Precision, TopK, activate, attention, cls_pool, dot, embedding_sum,
    euclidean_distance_matrix, l2_normalize, last_token_pool, layer_norm, linear, manhattan_distance_matrix,
    max_pool, mean_pool, mean_sqrt_len_pool, reference, search, similarity_matrix, softmax, top_k,
    weighted_mean_pool,
};

use crate::activations::ACTIVATIONS;
use crate::attention::{ATTENTION_PRECISIONS, specified as specified_attention, with_and_without_bias};
use crate::linear::specified;
use crate::numbers::{assert_bits, numbers};
use crate::search::{bytes, signed};

/// A cache line of f32.
const LINE: usize = 16;

/// A NaN that no operation produces.
const GUARD: u32 = 0x7fc1_2345;

/// A slice that begins `offset` f32 into a cache line, between guards.
struct Guarded {
    buffer: Vec<f32>,
    start: usize,
    len: usize,
}

impl Guarded {
    fn new(x: &[f32], offset: usize) -> Guarded {
        let mut buffer = vec![f32::from_bits(GUARD); x.len() + 4 * LINE];
        let aligned = buffer.as_ptr().align_offset(LINE * size_of::<f32>());
        let start = LINE + aligned + offset;
        buffer[start..][..x.len()].copy_from_slice(x);
        assert_eq!(buffer[start..].as_ptr() as usize % 64, offset * size_of::<f32>());
        Guarded { buffer, start, len: x.len() }
    }

    fn slice(&mut self) -> &mut [f32] {
        &mut self.buffer[self.start..][..self.len]
    }

    #[track_caller]
    fn check(mut self, what: &str, isa: Isa, expected: &[f32]) {
        assert_bits(what, isa, self.slice(), expected);
        let (before, after) = (&self.buffer[..self.start], &self.buffer[self.start + self.len..]);
        let untouched = before.iter().chain(after).all(|x| x.to_bits() == GUARD);
        assert!(untouched, "{what} on {isa} wrote outside its slice");
    }
}

/// Lengths around the lanes, and a real one.
const LENGTHS: [usize; 7] = [1, 15, 16, 17, 31, 33, 384];

#[test]
fn rows_at_every_offset() {
    for isa in Isa::available() {
        for offset in 0..LINE {
            for n in LENGTHS {
                // Five rows: four are taken at once, then one.
                let x = numbers(5 * n, n as u64 + 31);

                for (activation, specified) in ACTIVATIONS {
                    let mut y = Guarded::new(&x, offset);
                    activate(isa, y.slice(), activation);
                    let expected: Vec<f32> = x.iter().map(|&x| specified(x)).collect();
                    y.check(&format!("{activation:?}"), isa, &expected);
                }

                let (mut y, mut expected) = (Guarded::new(&x, offset), x.clone());
                l2_normalize(isa, y.slice());
                reference::l2_normalize(&mut expected);
                y.check("l2_normalize", isa, &expected);

                let (mut y, mut expected) = (Guarded::new(&x, offset), x.clone());
                softmax(isa, y.slice(), n);
                expected.chunks_mut(n).for_each(reference::softmax);
                y.check("softmax", isa, &expected);

                let norm = LayerNorm { gamma: numbers(n, 32), beta: numbers(n, 33), eps: 1e-12 };
                let (mut y, mut expected) = (Guarded::new(&x, offset), x.clone());
                layer_norm(isa, y.slice(), &norm);
                expected
                    .chunks_mut(n)
                    .for_each(|row| reference::layer_norm(row, &norm.gamma, &norm.beta, norm.eps));
                y.check("layer_norm", isa, &expected);

                let mut token_type = Guarded::new(&numbers(n, 34), (offset + 5) % LINE);
                let mut positions = Guarded::new(&numbers(5 * n, 35), (offset + 10) % LINE);
                let mut y = Guarded::new(&x, offset);
                embedding_sum(isa, y.slice(), token_type.slice(), positions.slice());
                let expected: Vec<f32> = x
                    .chunks(n)
                    .zip(positions.slice().chunks(n))
                    .flat_map(|(word, position)| reference::embedding_sum(word, token_type.slice(), position))
                    .collect();
                y.check("embedding_sum", isa, &expected);

                let mut tokens = Guarded::new(&x, offset);
                let mut y = Guarded::new(&vec![0.0; n], (offset + 5) % LINE);
                mean_pool(isa, tokens.slice(), y.slice());
                y.check("mean_pool", isa, &reference::mean_pool(&x, n));
                let mut y = Guarded::new(&vec![0.0; n], (offset + 5) % LINE);
                max_pool(isa, tokens.slice(), y.slice());
                y.check("max_pool", isa, &reference::max_pool(&x, n));
                let mut y = Guarded::new(&vec![0.0; n], (offset + 5) % LINE);
                mean_sqrt_len_pool(isa, tokens.slice(), y.slice());
                y.check("mean_sqrt_len_pool", isa, &reference::mean_sqrt_len_pool(&x, n));
                let mut y = Guarded::new(&vec![0.0; n], (offset + 5) % LINE);
                weighted_mean_pool(isa, tokens.slice(), 2, y.slice());
                y.check("weighted_mean_pool", isa, &reference::weighted_mean_pool(&x, n, 2));
                let mut y = Guarded::new(&vec![0.0; n], (offset + 5) % LINE);
                last_token_pool(tokens.slice(), y.slice());
                y.check("last_token_pool", isa, &x[4 * n..]);
                let mut y = Guarded::new(&vec![0.0; n], (offset + 5) % LINE);
                cls_pool(tokens.slice(), y.slice());
                y.check("cls_pool", isa, &x[..n]);

                let hits = top_k(isa, tokens.slice(), 3).into_iter().map(|hit| (hit.index, hit.score));
                assert_eq!(hits.collect::<Vec<_>>(), reference::top_k(&x, 3), "top_k on {isa}");
            }
        }
    }
}

/// Enough rows that some are read where they lie, each with the beginning of the next one behind it, and others copied.
#[test]
fn rows_beside_rows_at_every_offset() {
    type Matrix = fn(Isa, &[f32], &[f32], usize, &mut [f32]);
    type Specified = fn(&[f32], &[f32], usize) -> Vec<f32>;
    const MATRICES: [(&str, Matrix, Specified); 3] = [
        ("similarity_matrix", similarity_matrix, reference::similarity_matrix),
        ("euclidean_distance_matrix", euclidean_distance_matrix, reference::euclidean_distance_matrix),
        ("manhattan_distance_matrix", manhattan_distance_matrix, reference::manhattan_distance_matrix),
    ];
    const ROWS: usize = 36;
    for n in LENGTHS {
        let x = numbers(ROWS * n, n as u64 + 31);
        for (name, matrix, specified) in MATRICES {
            let expected = specified(&x[..2 * n], &x, n);
            for isa in Isa::available() {
                for offset in 0..LINE {
                    let mut y = Guarded::new(&[0.0; 2 * ROWS], (offset + 3) % LINE);
                    let mut a = Guarded::new(&x[..2 * n], offset);
                    let mut b = Guarded::new(&x, (offset + 8) % LINE);
                    matrix(isa, a.slice(), b.slice(), n, y.slice());
                    y.check(name, isa, &expected);
                    let found = dot(isa, &a.slice()[..n], &b.slice()[n..2 * n]);
                    assert_bits("dot", isa, &[found], &[reference::dot(&x[..n], &x[n..2 * n])]);
                }
            }
        }
    }
}

/// Of bytes, which begin anywhere, with other bytes around them.
#[test]
fn bytes_and_bits_at_every_offset() {
    const ROWS: usize = 36;
    let isas = Isa::available();
    for n in LENGTHS {
        let x = bytes(ROWS * n, n as u64);
        let query = bytes(n, 77);
        let scores = |of: fn(&[u8], &[u8]) -> i32| x.chunks(n).map(|row| of(&query, row)).collect::<Vec<_>>();
        let expected = [
            scores(reference::dot_uint8),
            scores(|a, b| reference::dot_int8(&signed(a), &signed(b))),
            scores(|a, b| -reference::hamming_distance(a, b)),
        ]
        .map(|scores| reference::top_k_integers(&scores, ROWS));
        for offset in 0..64 {
            let mut around = vec![0x5a_u8; x.len() + 256];
            let start = around.as_ptr().align_offset(64) + 64 + offset;
            around[start..][..x.len()].copy_from_slice(&x);
            let rows = &around[start..][..x.len()];
            for &isa in &isas {
                let found = [
                    best_of(isa, &query, rows, n),
                    best_of(isa, &signed(&query), bytemuck::cast_slice::<u8, i8>(rows), n),
                    best_of(isa, Bits::slice(&query), Bits::slice(rows), n),
                ];
                assert_eq!(found, expected, "{isa}, {n} bytes at {offset}");
            }
        }
    }
}

fn best_of<C: Component<Score = i32>>(isa: Isa, query: &[C], rows: &[C], k: usize) -> Vec<(usize, i32)> {
    let mut top = [TopK::new(rows.len() / k)];
    search(isa, query, Corpus::new(rows, k), &mut top);
    let [top] = top;
    top.into_sorted().into_iter().map(|hit| (hit.index, hit.score)).collect()
}

#[test]
fn products_at_every_offset() {
    for precision in Precision::ALL {
        for shape in [[1, 16, 130], [3, 17, 33], [8, 48, 129], [9, 50, 5], [6, 18, 401]] {
            for isa in Isa::available() {
                products_of_a_shape_at_every_offset(isa, precision, shape);
            }
        }
    }
}

fn products_of_a_shape_at_every_offset(isa: Isa, precision: Precision, [m, n, k]: [usize; 3]) {
    let (x, weight, bias) = (numbers(m * k, 36), numbers(n * k, 37), numbers(n, 38));
    let packed = PackedLinear::pack(precision, &[(&weight, &bias)], k);
    let expected = specified(precision, &x, &weight, &bias, [m, n, k]);
    let residual = numbers(m * n, 40);
    let with_residual = reference::residual_sum(&expected, &residual);
    let (what, mut narrow) = (format!("{precision} linear {m}×{n}×{k}"), NarrowRows::default());
    for offset in 0..LINE {
        let mut x = Guarded::new(&x, offset);
        let x = narrow.narrow(isa, x.slice(), &packed);
        let mut y = Guarded::new(&vec![f32::NAN; m * n], (offset + 7) % LINE);
        linear(isa, x, &packed, Epilogue::Bias, y.slice());
        y.check(&what, isa, &expected);

        let mut added = Guarded::new(&residual, (offset + 11) % LINE);
        let mut y = Guarded::new(&vec![f32::NAN; m * n], (offset + 7) % LINE);
        linear(isa, x, &packed, Epilogue::Residual(added.slice()), y.slice());
        y.check(&format!("{what} with residual"), isa, &with_residual);
    }
}

#[test]
fn attention_at_every_offset() {
    for precision in ATTENTION_PRECISIONS {
        for (s, heads, head_size) in [(5, 2, 16), (17, 1, 20), (33, 3, 32), (6, 2, 7)] {
            let h = heads * head_size;
            let qkv: Vec<f32> = numbers(s * 3 * h, 39).iter().map(|x| x * 0.5).collect();
            let values = numbers(heads * (2 * s - 1), 41);
            for (isa, offset) in Isa::available().into_iter().flat_map(|isa| (0..LINE).map(move |o| (isa, o)))
            {
                let mut scratch = AttentionScratch::default();
                let mut qkv = Guarded::new(&qkv, offset);
                let mut values = Guarded::new(&values, (offset + 5) % LINE);
                for position_bias in with_and_without_bias(heads, s, values.slice()) {
                    let parameters = AttentionParameters { heads, head_size, precision, position_bias };
                    let expected = specified_attention(qkv.slice(), s, parameters);
                    let mut y = Guarded::new(&vec![f32::NAN; s * h], (offset + 9) % LINE);
                    attention(isa, qkv.slice(), parameters, &mut scratch, y.slice());
                    y.check(&format!("attention of {s} tokens, {parameters:?}"), isa, &expected);
                }
            }
        }
    }
}
