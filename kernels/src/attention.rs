//! Attention of one sequence, head by head: the product's tile twice, with a softmax between.
//!
//! ```text
//! for each head:
//!     pack the keys   into panels of sixteen keys:        [⌈s / 16⌉][head_size][16]
//!     pack the values into panels of sixteen components:  [⌈head_size / 16⌉][s][16]
//!     for some queries (sixteen where there are 256 keys, all where there are 64):
//!         scores [·][s]        = queries · key panels
//!         scores               = softmax of each row, scaled by 1/√head_size, with the bias of its positions, if there is one
//!         out [·][head_size]   = scores · value panels
//! ```
//!
//! The scores of a few queries at a time stay in L1. Their rows are as wide as the key panels, so that all tiles are
//! whole; what lies beyond the last key is never read.

use std::ops::Range;

use crate::aligned_buffer::AlignedBuffer;
use crate::attention_bf16::{AttentionBf16, Bf16Scratch};
use crate::dispatch::{Isa, Kernel};
use crate::dot::{DotKernel, F32};
use crate::finish::Finish;
use crate::gemm::{Fetch, Product};
use crate::position_bias::{Bias, BiasRows, NoBias, PositionBias, Scaling};
use crate::precision::Precision;
use crate::rows::{Rows, RowsMut};
use crate::simd::{LANES, Lanes, Simd};
use crate::softmax::softmax_rows;
use crate::tile::Panels;

/// How many scores are computed at a time, 16 KB: those of as many queries as they suffice for.
pub(crate) const SCORES: usize = 4096;

/// At least so many queries at a time, however many keys there are.
pub(crate) const LEAST_QUERIES: usize = 8;

/// From so many tokens on, their queries, keys and values (4.5 KB a token of all-MiniLM-L6-v2) do not stay in L2 with all
/// else that goes through it.
pub(crate) const FAR_TOKENS: usize = 100;

/// What attention needs to know beside the numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionParameters<'a> {
    /// How many heads there are.
    pub heads: usize,
    /// How many components of a query, a key or a value one head has.
    pub head_size: usize,
    /// What the dense layers are computed in, which determines those of attention: see [`Precision::of_attention`].
    pub precision: Precision,
    /// What is added to the scaled scores, of all heads, if anything is.
    pub position_bias: Option<PositionBias<'a>>,
}

impl AttentionParameters<'_> {
    /// heads · head_size
    pub fn hidden_size(self) -> usize {
        self.heads * self.head_size
    }

    /// # Panics
    ///
    /// If it is 0, or three of it are larger than memory.
    fn checked_hidden_size(self) -> usize {
        let h = self.heads.checked_mul(self.head_size).filter(|h| h.checked_mul(3).is_some());
        let h = h.unwrap_or_else(|| panic!("attention: {self:?} is larger than memory"));
        assert!(h > 0, "attention: {self:?} has a size of 0");
        h
    }

    /// # Panics
    ///
    /// If there is a bias, but not for these heads, or not for s tokens.
    fn check_position_bias(self, s: usize) {
        if let Some(bias) = self.position_bias {
            assert_eq!(
                bias.heads(),
                self.heads,
                "attention: a bias of {} heads for {}",
                bias.heads(),
                self.heads
            );
            assert!(s <= bias.max_tokens(), "attention: a bias of {} tokens for {s}", bias.max_tokens());
        }
    }
}

/// Room for one head's keys, values and scores. It grows to the longest sequence it has met.
#[derive(Default)]
pub struct AttentionScratch {
    keys: Vec<Lanes>,
    values: Vec<Lanes>,
    scores: AlignedBuffer,
    bf16: Bf16Scratch,
}

/// One sequence: qkv `[s][3 · hidden_size]` (each token's queries of all heads, its keys, its values) → out
/// `[s][hidden_size]`. See [`crate::reference::attention`].
///
/// # Panics
///
/// If a size is 0 or their product overflows, qkv is not a multiple of 3 · hidden_size long, out is not a third of it, or the
/// position bias has other heads, or is for shorter sequences.
pub fn attention(
    isa: Isa,
    qkv: &[f32],
    parameters: AttentionParameters<'_>,
    scratch: &mut AttentionScratch,
    out: &mut [f32],
) {
    let h = parameters.checked_hidden_size();
    let len = out.len();
    assert_eq!(len * 3, qkv.len(), "attention: out has {len} elements for {} of qkv", qkv.len());
    if len > 0 {
        assert_eq!(len % h, 0, "attention: out has {len} elements, no multiple of {h}");
        attention_heads(isa, qkv, parameters, 0, scratch, RowsMut::new(out, h));
    }
}

/// Some heads of [`attention`], with the same bits: those whose columns `out` has, from head `first` on. Threads share
/// a sequence by its heads so.
///
/// # Panics
///
/// If a size is 0 or their product overflows, qkv is not `[s][3 · hidden_size]` for the s rows of out, out's columns are not
/// those of whole heads, or the position bias has other heads than all of them, or is for shorter sequences.
pub fn attention_heads(
    isa: Isa,
    qkv: &[f32],
    parameters: AttentionParameters<'_>,
    first: usize,
    scratch: &mut AttentionScratch,
    out: RowsMut<'_>,
) {
    let (h, s) = (parameters.checked_hidden_size(), out.rows());
    parameters.check_position_bias(s);
    assert_eq!(
        Some(qkv.len()),
        s.checked_mul(3 * h),
        "attention: qkv has {} elements for {s} tokens",
        qkv.len()
    );
    let heads = out.columns() / parameters.head_size;
    assert!(
        out.columns().is_multiple_of(parameters.head_size) && first.saturating_add(heads) <= parameters.heads,
        "attention: {} columns from head {first} on are no heads of {parameters:?}",
        out.columns()
    );
    if s == 0 {
        return;
    }
    let head_size = parameters.head_size;
    let heads = Heads { qkv, hidden_size: h, head_size, heads: first..first + heads, out };
    match parameters.position_bias {
        None => run(isa, parameters.precision, heads, NoBias, scratch),
        Some(bias) => run(isa, parameters.precision, heads, bias, scratch),
    }
}

fn run<B: Bias>(isa: Isa, precision: Precision, heads: Heads<'_>, bias: B, scratch: &mut AttentionScratch) {
    match precision.of_attention() {
        Precision::F32 => isa.run(Attention { heads, bias, scratch }),
        _ => isa.multiply_bf16(AttentionBf16 { heads, bias, scratch: &mut scratch.bf16 }),
    }
}

/// What is computed: some heads of a sequence.
pub(crate) struct Heads<'a> {
    /// `[s][3 · hidden_size]`
    pub(crate) qkv: &'a [f32],
    pub(crate) hidden_size: usize,
    pub(crate) head_size: usize,
    pub(crate) heads: Range<usize>,
    /// `[s][heads · head_size]`
    pub(crate) out: RowsMut<'a>,
}

struct Attention<'a, B> {
    heads: Heads<'a>,
    bias: B,
    scratch: &'a mut AttentionScratch,
}

impl<B: Bias> Kernel for Attention<'_, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Attention { heads, bias, scratch } = self;
        let Heads { qkv, hidden_size: h, head_size, heads, mut out } = heads;
        let s = out.rows();
        let (key_panels, value_panels) = (s.div_ceil(LANES), head_size.div_ceil(LANES));
        // Only ever larger: a shorter sequence uses the beginning.
        grow(&mut scratch.keys, key_panels * head_size);
        grow(&mut scratch.values, value_panels * s);
        let stride = key_panels * LANES;
        let queries_at_once = (SCORES / stride).max(1).next_multiple_of(LEAST_QUERIES);
        // `queries_at_once · stride` would not do: it is 4096 for 256 keys, and 5760 for 240.
        scratch.scores.resize(SCORES + LEAST_QUERIES * stride);
        let scale = 1.0 / (head_size as f32).sqrt();

        let (first_head, last_head) = (heads.start, heads.end);
        for head in heads {
            let (column, out_column) = (head * head_size, (head - first_head) * head_size);
            let keys = &mut scratch.keys[..key_panels * head_size];
            let values = &mut scratch.values[..value_panels * s];
            pack_keys(simd, qkv, h, h + column, head_size, keys);
            pack_values(simd, qkv, h, 2 * h + column, head_size, values);
            let queries = Rows { data: bytemuck::cast_slice(&qkv[column..]), stride: 3 * h };

            for first_row in (0..s).step_by(queries_at_once) {
                let rows = queries_at_once.min(s - first_row);
                let scores = &mut scratch.scores[..rows * stride];
                let product = Product {
                    a: queries.skip(first_row, 0),
                    b: Panels { data: keys, k: head_size },
                    finish: Finish::NOTHING,
                    out: RowsMut::new(scores, stride),
                    fetch: Fetch::Nothing,
                };
                product.run(F32(simd));
                if head + 1 < last_head && s >= FAR_TOKENS {
                    let tokens = &qkv[first_row * 3 * h..(first_row + rows) * 3 * h];
                    prefetch_head(simd, tokens, h, column + head_size, head_size);
                }
                let bias = bias.of_sequence(head, s);
                let bias = bias.map(|distances| BiasRows { distances, first_query: first_row });
                softmax_rows(simd, scores, stride, s, Scaling { scale, bias });
                let product = Product {
                    a: Rows { data: bytemuck::cast_slice(scores), stride },
                    b: Panels { data: values, k: s },
                    finish: Finish::NOTHING,
                    out: out.part(first_row..first_row + rows, out_column..out_column + head_size),
                    fetch: Fetch::Nothing,
                };
                product.run(F32(simd));
            }
        }
    }
}

/// The queries, keys and values of a head, of some tokens: their lines are 3 h apart, which no hardware foresees.
#[inline(always)]
pub(crate) fn prefetch_head<S: Simd>(simd: S, tokens: &[f32], h: usize, column: usize, head_size: usize) {
    for part in tokens.chunks_exact(h) {
        for line in part[column..][..head_size].chunks(LANES) {
            simd.prefetch_l2(line.as_ptr());
        }
    }
}

pub(crate) fn grow(buffer: &mut Vec<Lanes>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, Lanes::ZERO);
    }
}

/// Keys into panels of sixteen: lane j of step i of panel p is component i of key 16 p + j, 0 beyond the last key.
///
/// Sixteen components of sixteen keys at a time are transposed in registers.
#[inline(always)]
fn pack_keys<S: Simd>(simd: S, qkv: &[f32], h: usize, offset: usize, head_size: usize, panels: &mut [Lanes]) {
    let tokens = qkv.chunks(LANES * 3 * h);
    for (keys, panel) in tokens.zip(panels.chunks_exact_mut(head_size)) {
        for (first, steps) in (0..head_size).step_by(LANES).zip(panel.chunks_mut(LANES)) {
            let mut rows = [simd.splat(0.0); LANES];
            for (row, key) in rows.iter_mut().zip(keys.chunks_exact(3 * h)) {
                *row = simd.load_partial(&key[offset + first..][..steps.len()], 0.0);
            }
            for (step, column) in steps.iter_mut().zip(simd.transpose(rows)) {
                simd.store(column, &mut step.0);
            }
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
