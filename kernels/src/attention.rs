//! Attention of one sequence, head by head: the product's tile twice, with a softmax between.
//!
//! ```text
//! for each head:
//!     pack the keys   into panels of sixteen keys:        [⌈s / 16⌉][head_size][16]
//!     pack the values into panels of sixteen components:  [⌈head_size / 16⌉][s][16]
//!     for each sixteen queries:
//!         scores [16][s]       = queries · key panels
//!         scores               = softmax of each row, scaled by 1/√head_size
//!         out [16][head_size]  = scores · value panels
//! ```
//!
//! The scores of a few queries at a time stay in L1. Their rows are as wide as the key panels, so that all tiles are
//! whole; what lies beyond the last key is never read.

use crate::dispatch::{Isa, Kernel};
use crate::gemm::{Product, Unfinished};
use crate::simd::{LANES, Lanes, Simd};
use crate::softmax::softmax_rows;
use crate::tile::{Panels, Rows, RowsMut};

/// How many queries are answered at a time. With 256 keys their scores are 16 KB.
const QUERIES: usize = 16;

/// The sizes that attention needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// How many heads there are.
    pub heads: usize,
    /// How many components of a query, a key or a value one head has.
    pub head_size: usize,
}

impl AttentionShape {
    /// heads · head_size
    pub fn hidden_size(self) -> usize {
        self.heads * self.head_size
    }
}

/// Room for one head's keys, values and scores. It grows to the longest sequence it has met.
#[derive(Default)]
pub struct AttentionScratch {
    keys: Vec<Lanes>,
    values: Vec<Lanes>,
    scores: Vec<f32>,
}

/// One sequence: qkv `[s][3 · hidden_size]` (each token's queries of all heads, its keys, its values) → out
/// `[s][hidden_size]`. See [`crate::reference::attention`].
///
/// # Panics
///
/// If a size of the shape is 0 or their product overflows, qkv is not a multiple of 3 · hidden_size long, or out is not a third of it.
pub fn attention(
    isa: Isa,
    qkv: &[f32],
    shape: AttentionShape,
    scratch: &mut AttentionScratch,
    out: &mut [f32],
) {
    let h = shape.heads.checked_mul(shape.head_size).filter(|h| h.checked_mul(3).is_some());
    let h = h.unwrap_or_else(|| panic!("attention: {shape:?} is larger than memory"));
    assert!(h > 0, "attention: {shape:?} has a size of 0");
    assert_eq!(qkv.len() % (3 * h), 0, "attention: qkv has {} elements, no multiple of 3 · {h}", qkv.len());
    assert_eq!(
        out.len() * 3,
        qkv.len(),
        "attention: out has {} elements for {} of qkv",
        out.len(),
        qkv.len()
    );
    if out.is_empty() {
        return;
    }
    isa.run(Attention { qkv, shape, scratch, out });
}

struct Attention<'a> {
    qkv: &'a [f32],
    shape: AttentionShape,
    scratch: &'a mut AttentionScratch,
    out: &'a mut [f32],
}

impl Kernel for Attention<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Attention { qkv, shape: AttentionShape { heads, head_size }, scratch, out } = self;
        let h = heads * head_size;
        let s = out.len() / h;
        let (key_panels, value_panels) = (s.div_ceil(LANES), head_size.div_ceil(LANES));
        // Only ever larger: a shorter sequence uses the beginning.
        grow(&mut scratch.keys, key_panels * head_size, Lanes::ZERO);
        grow(&mut scratch.values, value_panels * s, Lanes::ZERO);
        grow(&mut scratch.scores, QUERIES * key_panels * LANES, 0.0);
        let scale = 1.0 / (head_size as f32).sqrt();

        for head in 0..heads {
            let column = head * head_size;
            let keys = &mut scratch.keys[..key_panels * head_size];
            let values = &mut scratch.values[..value_panels * s];
            pack_keys(qkv, h, h + column, head_size, keys);
            pack_values(simd, qkv, h, 2 * h + column, head_size, values);
            let queries = Rows { data: &qkv[column..], stride: 3 * h };

            for first_row in (0..s).step_by(QUERIES) {
                let rows = QUERIES.min(s - first_row);
                let stride = key_panels * LANES;
                let scores = &mut scratch.scores[..rows * stride];
                let product = Product {
                    m: rows,
                    n: stride,
                    a: queries.skip(first_row, 0),
                    b: Panels { data: keys, k: head_size },
                    bias: None,
                    out: RowsMut { data: scores, stride },
                };
                product.run(simd, Unfinished);
                softmax_rows(simd, scores, stride, s, scale);
                let product = Product {
                    m: rows,
                    n: head_size,
                    a: Rows { data: scores, stride },
                    b: Panels { data: values, k: s },
                    bias: None,
                    out: RowsMut { data: &mut out[first_row * h + column..], stride: h },
                };
                product.run(simd, Unfinished);
            }
        }
    }
}

fn grow<T: Clone>(buffer: &mut Vec<T>, len: usize, fill: T) {
    if buffer.len() < len {
        buffer.resize(len, fill);
    }
}

/// Keys into panels of sixteen: lane j of step i of panel p is component i of key 16 p + j.
///
/// Lanes beyond the last key keep whatever they had: their scores are never read.
#[inline(always)]
fn pack_keys(qkv: &[f32], h: usize, offset: usize, head_size: usize, panels: &mut [Lanes]) {
    for (key, token) in qkv.chunks_exact(3 * h).enumerate() {
        let panel = &mut panels[key / LANES * head_size..][..head_size];
        for (step, &x) in panel.iter_mut().zip(&token[offset..]) {
            step.0[key % LANES] = x;
        }
    }
}

/// Values into panels of sixteen components: step t of panel p is components 16 p … 16 p + 15 of token
/// t's value, 0 beyond the head's last.
#[inline(always)]
fn pack_values<S: Simd>(
    simd: S,
    qkv: &[f32],
    h: usize,
    offset: usize,
    head_size: usize,
    panels: &mut [Lanes],
) {
    let s = qkv.len() / (3 * h);
    for (t, token) in qkv.chunks_exact(3 * h).enumerate() {
        for (p, components) in token[offset..offset + head_size].chunks(LANES).enumerate() {
            simd.store(simd.load_partial(components, 0.0), &mut panels[p * s + t].0);
        }
    }
}
