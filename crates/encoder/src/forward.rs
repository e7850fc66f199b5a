//! The forward pass of the encoder's layers, on one thread or on a team's.
//!
//! Two ways lead through a layer, with the same bits:
//!
//! **By rows**, on one thread and for texts of many tokens. All but attention is done row by row, so a piece of some
//! hundred rows goes from attention's output to the next layer's queries, keys and values at once, and what lies between
//! stays in near caches. A layer is two joins:
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
    AlignedBuffer, AttentionParameters, Epilogue, LayerNorm, NarrowRows, PackedLinear, PositionBias, RowsMut,
    Shares, WeightColumns, attention_heads, layer_norm, linear_columns,
};

use crate::arena::{Member, States};
use crate::encoder::Layer;
use crate::profile::{Operation, Probe};
use crate::team::Lead;
use crate::{Arena, Encoder, PackedTokens, Tap};

/// Rows of a piece. Each piece reads all weights of a layer, which in f32 and bf16 come from memory: twice as often where
/// pieces are half as long. That costs more than what it gains that activations of a feed-forward layer, 6 KB a row of
/// all-MiniLM-L6-v2 and 12 KB of BERT-base, then stay in L2: pieces of 64 rows take 1 % longer than these in the one and
/// 4 % in the other. Longer ones are not faster.
const ROWS: usize = 128;

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
    encoder: &'a Encoder,
    members: &'a [Mutex<Member>],
    probe: &'a P,
    threads: usize,
}

impl Encoder {
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
        let Some(first) = self.layers.first() else {
            return;
        };
        if !by_columns {
            pass.first_qkv(first, states);
        }
        for (i, layer) in self.layers.iter().enumerate() {
            let next = self.layers.get(i + 1);
            if by_columns {
                let norm = i.checked_sub(1).map(|before| &self.layers[before].output_norm);
                pass.layer_by_columns(norm, layer, next.unwrap_or(first), states, packed);
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
        let (pieces, parts, threads) = (&self.pieces, qkv.parts(), self.lead.threads());
        self.lead.run(parts, |i| {
            let x = &hidden[scaled(qkv.range(i), h)];
            let then = if i + threads < parts { &layer.qkv } else { &layer.attention_output };
            let narrow = &mut pieces.any_member(i).narrow;
            pieces.product(narrow, x, [&layer.qkv, then], Epilogue::Bias, qkv.take(i));
            pieces.probe.ended(Operation::Qkv);
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
        let (heads, head_size) =
            (self.pieces.encoder.config.num_attention_heads, self.pieces.encoder.config.head_size());
        let attention = self.pieces.attention_of(layer, 0..heads);

        let heads = RowsMut::new(context, h).share_columns(head_size, self.lead.threads());
        let pieces = &self.pieces;
        self.lead.run(heads.parts(), |i| {
            let first = heads.range(i).start / head_size;
            let mut out = heads.take(i);
            let columns = 0..out.columns();
            let scratch = &mut pieces.any_member(i).attention;
            for s in tokens.sequences() {
                let qkv = &qkv[scaled(s.clone(), 3 * h)];
                let out = out.part(s, columns.clone());
                attention_heads(pieces.encoder.isa, qkv, attention, first, scratch, out);
            }
            pieces.probe.ended(Operation::Attention);
        });

        let parts = self.row_pieces(hidden.len() / h);
        let context = &context[..];
        let hidden = RowsMut::new(hidden, h).share_rows(parts);
        let qkv = RowsMut::new(qkv, 3 * h).share_rows(parts);
        let (pieces, threads) = (&self.pieces, self.lead.threads());
        self.lead.run(parts, |i| {
            let context = &context[scaled(hidden.range(i), h)];
            let mut rows = hidden.take(i);
            let rows = rows.as_mut_slice().expect("shared by rows, so with all columns");
            // The weights after this piece's: those of the next piece, of the next layer, or of the next text.
            let then = match next {
                _ if i + threads < parts => &layer.attention_output,
                Some(next) => &next.attention_output,
                None => &pieces.encoder.layers[0].qkv,
            };
            let after = next.map_or(then, |next| &next.qkv);
            let member = &mut *pieces.any_member(i);
            pieces.after_attention(layer, after, context, rows, member);
            if let Some(next) = next {
                let narrow = &mut member.narrow;
                pieces.product(narrow, rows, [&next.qkv, then], Epilogue::Bias, qkv.take(i));
                pieces.probe.ended(Operation::Qkv);
            }
        });
    }

    /// A layer whose products are shared by columns. Heads must be whole panels wide. `norm` is the LayerNorm that
    /// `states.hidden` still has to go through: the layer leaves it to whoever reads its states next. `next` is the layer
    /// whose weights are used next: after the last the first, of the next text.
    fn layer_by_columns(
        &self,
        norm: Option<&LayerNorm>,
        layer: &Layer,
        next: &Layer,
        states: &mut States,
        tokens: &PackedTokens,
    ) {
        let config = &self.pieces.encoder.config;
        let (h, f, rows) = (config.hidden_size, config.intermediate_size, tokens.ids().len());
        let States { hidden, context, attended, intermediate, .. } = states;
        attended.resize(rows * h);
        intermediate.resize(rows * f);
        let (pieces, threads, isa) = (&self.pieces, self.pieces.threads, self.pieces.encoder.isa);

        let head_size = config.head_size();
        let heads = RowsMut::new(context, h).share_columns(head_size, threads);
        self.lead.run(threads, |i| {
            let member = &mut *pieces.member(i);
            pieces.copy_normalized(hidden, norm, &mut member.hidden);
            let then = pieces.share(&layer.attention_output, i);
            pieces.attention_by_heads(layer, (heads.range(i), then), heads.take(i), tokens, member);
        });

        let shares = RowsMut::new(attended, h).share_columns(PANEL, threads);
        self.lead.run(threads, |i| {
            let Member { hidden, narrow, .. } = &mut *pieces.member(i);
            let weights = pieces.share(&layer.attention_output, i);
            let then = pieces.share(&layer.intermediate, i);
            let x = narrow.narrow(isa, context, &layer.attention_output);
            linear_columns(isa, x, weights, Some(then), Epilogue::Residual(hidden), shares.take(i));
        });

        let shares = RowsMut::new(intermediate, f).share_columns(PANEL, threads);
        self.lead.run(threads, |i| {
            let member = &mut *pieces.member(i);
            pieces.copy_normalized(attended, Some(&layer.attention_norm), &mut member.attended);
            let activation = Epilogue::Activation(layer.activation);
            let weights = pieces.share(&layer.intermediate, i);
            let then = pieces.share(&layer.output, i);
            let x = member.narrow.narrow(isa, &member.attended, &layer.intermediate);
            linear_columns(isa, x, weights, Some(then), activation, shares.take(i));
        });

        let shares = RowsMut::new(hidden, h).share_columns(PANEL, threads);
        self.lead.run(threads, |i| {
            let Member { attended, narrow, .. } = &mut *pieces.member(i);
            let weights = pieces.share(&layer.output, i);
            let then = next.qkv.columns(Shares::range_of(h, head_size, threads, i));
            let x = narrow.narrow(isa, intermediate, &layer.output);
            linear_columns(isa, x, weights, Some(then), Epilogue::Residual(attended), shares.take(i));
        });
    }
}

impl<P: Probe> Pieces<'_, P> {
    /// The rest of a layer for some rows: `hidden` is what went into the layer and becomes what comes out of it. `then` is
    /// the weight that is used next.
    fn after_attention(
        &self,
        layer: &Layer,
        then: &PackedLinear,
        context: &[f32],
        hidden: &mut [f32],
        member: &mut Member,
    ) {
        let (isa, h, f) =
            (self.encoder.isa, self.encoder.config.hidden_size, self.encoder.config.intermediate_size);
        let Layer { attention_output, attention_norm, intermediate, output, output_norm, .. } = layer;
        let rows = hidden.len() / h;
        let Member { attended, intermediate: activated, narrow, .. } = member;
        attended.resize(rows * h);
        activated.resize(rows * f);

        let residual = Epilogue::Residual(hidden);
        let weights = [attention_output, intermediate];
        self.product(narrow, context, weights, residual, RowsMut::new(attended, h));
        self.probe.ended(Operation::AttentionOutput);
        layer_norm(isa, attended, attention_norm);
        self.probe.ended(Operation::LayerNorm);
        let activation = Epilogue::Activation(layer.activation);
        self.product(narrow, attended, [intermediate, output], activation, RowsMut::new(activated, f));
        self.probe.ended(Operation::Intermediate);
        let residual = Epilogue::Residual(attended);
        self.product(narrow, activated, [output, then], residual, RowsMut::new(hidden, h));
        self.probe.ended(Operation::Output);
        layer_norm(isa, hidden, output_norm);
        self.probe.ended(Operation::LayerNorm);
    }

    /// A product of all columns with the first weight. The second is the one that this thread uses next. `narrow` is room
    /// for x in the weight's precision.
    fn product(
        &self,
        narrow: &mut NarrowRows,
        x: &[f32],
        weights: [&PackedLinear; 2],
        epilogue: Epilogue<'_>,
        out: RowsMut<'_>,
    ) {
        let isa = self.encoder.isa;
        let x = narrow.narrow(isa, x, weights[0]);
        let [columns, then] = weights.map(|weight| weight.columns(0..weight.n()));
        linear_columns(isa, x, columns, Some(then), epilogue, out);
    }

    /// The states that a thread goes on with, normalised: all rows, for itself. They are few, and a join for a shared
    /// normalisation would take longer.
    fn copy_normalized(&self, states: &[f32], norm: Option<&LayerNorm>, copy: &mut AlignedBuffer) {
        copy.resize(states.len());
        copy.copy_from_slice(states);
        if let Some(norm) = norm {
            layer_norm(self.encoder.isa, copy, norm);
        }
    }

    /// Queries, keys and values of the heads with these columns, from `member.hidden`, and their context. `then` is what
    /// this thread computes next.
    fn attention_by_heads(
        &self,
        layer: &Layer,
        (columns, then): (Range<usize>, WeightColumns<'_>),
        mut context: RowsMut<'_>,
        tokens: &PackedTokens,
        member: &mut Member,
    ) {
        let (isa, h, width) = (self.encoder.isa, self.encoder.config.hidden_size, columns.len());
        if width == 0 {
            return;
        }
        let Member { hidden, qkv, attention, narrow, .. } = member;
        qkv.resize(context.rows() * 3 * width);
        let shares = RowsMut::new(qkv, 3 * width).share_columns(width, 3);
        let x = narrow.narrow(isa, hidden, &layer.qkv);
        for part in 0..3 {
            let of = |part: usize| layer.qkv.columns(part * h + columns.start..part * h + columns.end);
            let then = if part < 2 { of(part + 1) } else { then };
            linear_columns(isa, x, of(part), Some(then), Epilogue::Bias, shares.take(part));
        }
        let head_size = self.encoder.config.head_size();
        let parameters = self.attention_of(layer, columns.start / head_size..columns.end / head_size);
        for s in tokens.sequences() {
            let qkv = &qkv[scaled(s.clone(), 3 * width)];
            attention_heads(isa, qkv, parameters, 0, attention, context.part(s, 0..width));
        }
    }

    /// Share i of a weight's columns.
    fn share<'w>(&self, weight: &'w PackedLinear, i: usize) -> WeightColumns<'w> {
        weight.columns(Shares::range_of(weight.n(), PANEL, self.threads, i))
    }

    /// Attention of some of the layer's heads, from queries, keys and values of these.
    fn attention_of(&self, layer: &Layer, heads: Range<usize>) -> AttentionParameters<'_> {
        let encoder = self.encoder;
        let max_tokens = encoder.config.max_positions();
        let all_heads = encoder.config.num_attention_heads;
        let position_bias = encoder
            .position_bias
            .as_deref()
            .map(|biases| PositionBias::new(biases, all_heads, max_tokens).of_heads(heads.clone()));
        AttentionParameters {
            heads: heads.len(),
            head_size: encoder.config.head_size(),
            precision: layer.qkv.precision(),
            position_bias,
        }
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

#[cfg(test)]
mod tests;
