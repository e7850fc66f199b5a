//! The forward pass of the encoder's layers, on one thread or on a team's.
//!
//! Two ways lead through a layer, with the same bits:
//!
//! **By rows**, on one thread and for texts of many tokens. All but attention is done row by row, so a piece of some
//! sixty rows goes from attention's output to the next layer's queries, keys and values at once, and what lies between
//! stays in L2. A layer is two joins:
//!
//! ```text
//! attention, a few heads of every sequence a piece
//! rows:  attention output, + residual, LayerNorm → intermediate, GELU → output, + residual, LayerNorm → qkv of the next
//! ```
//!
//! **By columns**, for a short text on several threads. Reading the weights is half of the work then, so each thread reads
//! its own: a piece is a part of each product's columns, and of the heads. LayerNorm needs whole rows, and each thread
//! normalises all of them for itself. A layer is four joins:
//!
//! ```text
//! LayerNorm, qkv of some heads, their attention │ attention output, + residual │ LayerNorm, intermediate, GELU │ output, + residual
//! ```

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use minilm_kernels::{
    Activation, Activations, AttentionShape, Columns, Epilogue, LayerNorm, PackedLinear, RowsMut, Shares, attention_heads,
    layer_norm, linear, linear_columns,
};

use crate::arena::{Member, States};
use crate::encoder::Layer;
use crate::profile::{Operation, Probe};
use crate::team::Lead;
use crate::{Arena, BertEncoder, PackedTokens, Tap};

/// Rows of a piece: their activations of a feed-forward layer, 6 KB a row, fit into half a megabyte of L2.
const ROWS: usize = 64;

/// With fewer rows a thread than these, products are shared by columns.
const LEAST_ROWS: usize = 24;

/// More pieces of a short text's products would be too small, and each has a copy of all rows.
const MOST_PIECES: usize = 16;

/// Columns of packed weights lie in panels of so many.
const PANEL: usize = minilm_kernels::reference::LANES;

/// A forward pass, as its leader sees it: what is done after what, and by how many.
struct Pass<'a, P> {
    lead: &'a Lead<'a>,
    pieces: Pieces<'a, P>,
}

/// A forward pass, as all its threads see it: what is done in a piece.
struct Pieces<'a, P> {
    encoder: &'a BertEncoder,
    members: &'a [Mutex<Member>],
    probe: &'a P,
    threads: usize,
}

impl BertEncoder {
    /// All layers over `arena.hidden`, which has the embeddings.
    pub(crate) fn run_layers<P: Probe>(
        &self,
        arena: &mut Arena,
        lead: &Lead<'_>,
        probe: &P,
        observe: &mut dyn FnMut(Tap, &[f32]),
    ) {
        let tokens = arena.tokens.ids().len();
        if tokens == 0 {
            // Nothing goes through the layers, and nothing comes out.
            (0..self.layers.len()).for_each(|i| observe(Tap::Layer(i), &[]));
            return;
        }
        let Arena { states, members, tokens: packed, .. } = arena;
        let threads = lead.threads().min(self.config.num_attention_heads).min(MOST_PIECES);
        let pass = Pass { lead, pieces: Pieces { encoder: self, members, probe, threads } };
        let by_columns =
            threads > 1 && tokens < threads * LEAST_ROWS && self.config.head_size().is_multiple_of(PANEL);
        if let Some(first) = self.layers.first().filter(|_| !by_columns) {
            pass.first_qkv(first, states);
        }
        for (i, layer) in self.layers.iter().enumerate() {
            let next = self.layers.get(i + 1);
            if by_columns {
                let norm = i.checked_sub(1).map(|before| &self.layers[before].output_norm);
                pass.layer_by_columns(norm, layer, next, states, packed);
                if next.is_none() {
                    layer_norm(self.isa, &mut states.hidden, &layer.output_norm);
                }
            } else {
                pass.layer_by_rows(layer, next, states, packed);
                // By columns, a layer's LayerNorm is left to the next: who observes has one thread.
                observe(Tap::Layer(i), &states.hidden);
            }
        }
    }
}

impl<P: Probe> Pass<'_, P> {
    /// The states' queries, keys and values, before the first layer.
    fn first_qkv(&self, layer: &Layer, states: &mut States) {
        let States { hidden, qkv, .. } = states;
        let h = self.pieces.encoder.config.hidden_size;
        qkv.resize(3 * hidden.len());
        let qkv = RowsMut::new(qkv, 3 * h).share_rows(self.row_pieces(hidden.len() / h));
        let pieces = &self.pieces;
        self.lead.run(qkv.parts(), |i| {
            let x = &hidden[scaled(qkv.range(i), h)];
            pieces.qkv_rows(x, layer, qkv.take(i));
        });
    }

    /// Pieces of at most [`ROWS`] rows, as many for each thread; of more rows, where there would be too many pieces.
    fn row_pieces(&self, rows: usize) -> usize {
        let threads = self.lead.threads().min(Shares::MOST);
        rows.div_ceil(ROWS).next_multiple_of(threads).min(Shares::MOST / threads * threads)
    }

    /// From the queries, keys and values in `states.qkv` to the layer's states, and those of the next.
    fn layer_by_rows(&self, layer: &Layer, next: Option<&Layer>, states: &mut States, tokens: &PackedTokens) {
        let h = self.pieces.encoder.config.hidden_size;
        let States { hidden, qkv, context, .. } = states;
        let shape = self.pieces.shape();

        let heads = RowsMut::new(context, h).share_columns(shape.head_size, self.lead.threads());
        let pieces = &self.pieces;
        self.lead.run(heads.parts(), |i| {
            let first = heads.range(i).start / shape.head_size;
            let mut out = heads.take(i);
            let columns = 0..out.columns();
            let scratch = &mut pieces.any_member(i).attention;
            for s in tokens.sequences() {
                let qkv = &qkv[scaled(s.clone(), 3 * h)];
                attention_heads(pieces.encoder.isa, qkv, shape, first, scratch, out.part(s, columns.clone()));
            }
            pieces.probe.ended(Operation::Attention);
        });

        let parts = self.row_pieces(hidden.len() / h);
        let context = &context[..];
        let hidden = RowsMut::new(hidden, h).share_rows(parts);
        let qkv = RowsMut::new(qkv, 3 * h).share_rows(parts);
        let pieces = &self.pieces;
        self.lead.run(parts, |i| {
            let context = &context[scaled(hidden.range(i), h)];
            let mut rows = hidden.take(i);
            let rows = whole(&mut rows);
            pieces.after_attention(layer, context, rows, &mut pieces.any_member(i));
            if let Some(next) = next {
                pieces.qkv_rows(rows, next, qkv.take(i));
            }
        });
    }

    /// A layer whose products are shared by columns. Heads must be whole panels wide. `norm` is the LayerNorm that
    /// `states.hidden` still has to go through: the layer leaves it to whoever reads its states next.
    fn layer_by_columns(
        &self,
        norm: Option<&LayerNorm>,
        layer: &Layer,
        next: Option<&Layer>,
        states: &mut States,
        tokens: &PackedTokens,
    ) {
        let config = &self.pieces.encoder.config;
        let (h, f, rows) = (config.hidden_size, config.intermediate_size, tokens.ids().len());
        let States { hidden, context, attended, intermediate, .. } = states;
        attended.resize(rows * h);
        intermediate.resize(rows * f);
        let (pieces, threads) = (&self.pieces, self.pieces.threads);

        let heads = RowsMut::new(context, h).share_columns(pieces.shape().head_size, threads);
        self.lead.run(threads, |i| {
            let member = &mut *pieces.member(i);
            pieces.copy_normalized(hidden, norm, &mut member.hidden);
            let then = (&layer.attention_output, pieces.first_column(h, i));
            pieces.attention_by_heads(layer, (heads.range(i), then), heads.take(i), tokens, member);
        });

        let shares = RowsMut::new(attended, h).share_columns(PANEL, threads);
        self.lead.run(threads, |i| {
            let residual = Epilogue::Residual(&pieces.member(i).hidden);
            let then = (&layer.intermediate, pieces.first_column(f, i));
            pieces.product_by_columns(context, &layer.attention_output, residual, then, (&shares, i));
        });

        let shares = RowsMut::new(intermediate, f).share_columns(PANEL, threads);
        self.lead.run(threads, |i| {
            let member = &mut *pieces.member(i);
            pieces.copy_normalized(attended, Some(&layer.attention_norm), &mut member.attended);
            let gelu = Epilogue::Activation(Activation::Gelu);
            let then = (&layer.output, pieces.first_column(h, i));
            pieces.product_by_columns(&member.attended, &layer.intermediate, gelu, then, (&shares, i));
        });

        let shares = RowsMut::new(hidden, h).share_columns(PANEL, threads);
        self.lead.run(threads, |i| {
            let residual = Epilogue::Residual(&pieces.member(i).attended);
            let then = (&next.unwrap_or(layer).qkv, pieces.first_column(h, i));
            pieces.product_by_columns(intermediate, &layer.output, residual, then, (&shares, i));
        });
    }
}

impl<P: Probe> Pieces<'_, P> {
    fn qkv_rows(&self, x: &[f32], layer: &Layer, mut qkv: RowsMut<'_>) {
        linear(self.encoder.isa, x, &layer.qkv, Epilogue::Bias, whole(&mut qkv));
        self.probe.ended(Operation::Qkv);
    }

    /// The rest of a layer for some rows: `hidden` is what went into the layer and becomes what comes out of it.
    fn after_attention(&self, layer: &Layer, context: &[f32], hidden: &mut [f32], member: &mut Member) {
        let (isa, config) = (self.encoder.isa, &self.encoder.config);
        let Member { attended, intermediate, .. } = member;
        attended.resize(hidden.len());
        intermediate.resize(hidden.len() / config.hidden_size * config.intermediate_size);

        linear(isa, context, &layer.attention_output, Epilogue::Residual(hidden), attended);
        self.probe.ended(Operation::AttentionOutput);
        layer_norm(isa, attended, &layer.attention_norm);
        self.probe.ended(Operation::LayerNorm);
        linear(isa, attended, &layer.intermediate, Epilogue::Activation(Activation::Gelu), intermediate);
        self.probe.ended(Operation::Intermediate);
        linear(isa, intermediate, &layer.output, Epilogue::Residual(attended), hidden);
        self.probe.ended(Operation::Output);
        layer_norm(isa, hidden, &layer.output_norm);
        self.probe.ended(Operation::LayerNorm);
    }

    /// The states that a thread goes on with, normalised: all rows, for itself. They are few, and a join for a shared
    /// normalisation would take longer.
    fn copy_normalized(&self, states: &[f32], norm: Option<&LayerNorm>, copy: &mut Activations) {
        copy.resize(states.len());
        copy.copy_from_slice(states);
        if let Some(norm) = norm {
            layer_norm(self.encoder.isa, copy, norm);
        }
    }

    /// Queries, keys and values of the heads with these columns, from `member.hidden`, and their context. `then` is what
    /// this thread computes next, and from which column on.
    fn attention_by_heads(
        &self,
        layer: &Layer,
        (columns, then): (Range<usize>, (&PackedLinear, usize)),
        mut context: RowsMut<'_>,
        tokens: &PackedTokens,
        member: &mut Member,
    ) {
        let (isa, h, width) = (self.encoder.isa, self.encoder.config.hidden_size, columns.len());
        if width == 0 {
            return;
        }
        let Member { hidden, qkv, attention, .. } = member;
        qkv.resize(context.rows() * 3 * width);
        let shares = RowsMut::new(qkv, 3 * width).share_columns(width, 3);
        for part in 0..3 {
            let first = part * h + columns.start;
            let then = if part < 2 { (&layer.qkv, first + h) } else { then };
            let columns = Columns { first, then: Some(then) };
            linear_columns(isa, hidden, &layer.qkv, columns, Epilogue::Bias, shares.take(part));
        }
        let head_size = self.shape().head_size;
        let shape = AttentionShape { heads: width / head_size, head_size };
        for s in tokens.sequences() {
            let qkv = &qkv[scaled(s.clone(), 3 * width)];
            attention_heads(isa, qkv, shape, 0, attention, context.part(s, 0..width));
        }
    }

    /// The columns of share i of a product. `then` is what this thread computes next, and from which column on.
    fn product_by_columns(
        &self,
        x: &[f32],
        weight: &PackedLinear,
        epilogue: Epilogue<'_>,
        then: (&PackedLinear, usize),
        (shares, i): (&Shares<'_>, usize),
    ) {
        let columns = Columns { first: shares.range(i).start, then: Some(then) };
        linear_columns(self.encoder.isa, x, weight, columns, epilogue, shares.take(i));
    }

    /// About where piece i of so many columns begins: good enough for a prefetch.
    fn first_column(&self, columns: usize, i: usize) -> usize {
        columns / PANEL * i / self.threads * PANEL
    }

    fn shape(&self) -> AttentionShape {
        let config = &self.encoder.config;
        AttentionShape { heads: config.num_attention_heads, head_size: config.head_size() }
    }

    /// The scratch of piece i of products that are shared by columns: what a piece of one job left there, the same piece
    /// of the next reads.
    fn member(&self, i: usize) -> MutexGuard<'_, Member> {
        self.members[i].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A scratch that nobody uses: there is one for each thread. Looked for from piece i's on, so that a thread finds at
    /// once.
    fn any_member(&self, i: usize) -> MutexGuard<'_, Member> {
        loop {
            for member in self.members.iter().cycle().skip(i % self.members.len()).take(self.members.len()) {
                match member.try_lock() {
                    Ok(member) => return member,
                    Err(TryLockError::Poisoned(member)) => return member.into_inner(),
                    Err(TryLockError::WouldBlock) => {}
                }
            }
            // Somebody is about to give one back.
            std::hint::spin_loop();
        }
    }
}

/// A range of rows as a range of elements.
fn scaled(rows: Range<usize>, width: usize) -> Range<usize> {
    rows.start * width..rows.end * width
}

/// The elements of rows of which all columns are ours.
fn whole<'a>(rows: &'a mut RowsMut<'_>) -> &'a mut [f32] {
    rows.as_mut_slice().expect("shared by rows, so with all columns")
}

#[cfg(test)]
mod tests;
