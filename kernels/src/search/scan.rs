//! Every query with every row, sixteen rows at a time.
//!
//! ```text
//!               rows: 0 … 3      4 … 7      8 … 11     12 … 15
//!   query 0     4 × sums         …          …          …           ─ tree ▶ 16 scores of query 0
//!         ⋮     (a tile)
//!   query 3     4 × sums         …          …          …           ─ tree ▶ 16 scores of query 3
//! ```
//!
//! A tile's sums are in registers. When sixteen rows have theirs, one tree for all of them makes a vector of scores, which
//! goes to a [`Sink`]: nothing is written to memory. The sixteen rows stay in L1 or L2 for all queries.

use bytemuck::Pod;

use crate::dot::rows::{RowDot, RowKernel, RowSums, chunk_len};
use crate::search::Component;
use crate::simd::{LANES, Lanes, Simd};

/// How many rows become scores at once.
const BLOCK: usize = LANES;

/// Queries that are kept in L2 while all rows go by: so many bytes.
const QUERY_BLOCK: usize = 128 * 1024;

/// How far ahead rows are fetched, at least: so many bytes. For a single query between 2 and 8 KB are as good.
const AHEAD: usize = 4096;

/// Where scores go.
pub(crate) trait Sink<C: Component> {
    /// The first `count` lanes are the scores of the rows `first_row`, `first_row + 1`, … for that query.
    fn take<D: RowDot<Component = C>>(
        &mut self,
        dot: D,
        query: usize,
        first_row: usize,
        count: usize,
        scores: RowSums<D>,
    );
}

/// queries `[m][k]` with rows `[n][k]`.
pub(crate) struct Scan<'a, C, K> {
    pub(super) queries: &'a [C],
    pub(super) rows: &'a [C],
    pub(super) k: usize,
    pub(super) sink: K,
}

impl<C: Component, K: Sink<C>> RowKernel<C> for Scan<'_, C, K> {
    type Output = K;

    #[inline(always)]
    fn run<D: RowDot<Component = C>>(self, dot: D) -> K {
        let Scan { queries, rows, k, mut sink } = self;
        let padded = padded_len::<D>(k);
        let queries_a_block = (QUERY_BLOCK / (padded * size_of::<C>())).max(D::QUERIES);
        for (i, queries) in queries.chunks(queries_a_block * k).enumerate() {
            let queries = Queries::<D>::new(dot, queries, k, i * queries_a_block);
            let n = rows.len() / k;
            // The last rows may be fewer than a block, and their last chunks may end behind the last row.
            let direct = (rows.len() + k).saturating_sub(padded) / k / BLOCK;
            for block in 0..direct {
                let first = block * BLOCK;
                let rows = Rows { data: &rows[first * k..], stride: k, first, count: BLOCK };
                queries.with(dot, rows, &mut sink);
            }
            for first in (direct * BLOCK..n).step_by(BLOCK) {
                let count = (n - first).min(BLOCK);
                let most = count.next_multiple_of(D::ROWS.max(D::ROWS_OF_ONE));
                let copied = Copied::new(&rows[first * k..][..count * k], k, padded, most);
                queries.with(
                    dot,
                    Rows { data: copied.get(), stride: copied.stride, first, count },
                    &mut sink,
                );
            }
        }
        sink
    }
}

/// How many components all chunks of a vector have.
#[inline(always)]
fn padded_len<D: RowDot>(k: usize) -> usize {
    k.next_multiple_of(chunk_len::<D>())
}

/// Vectors from cache lines on, with zeros behind each.
struct Copied {
    lines: Vec<Lanes>,
    /// Components from one to the next.
    stride: usize,
}

impl Copied {
    /// Room for `most` vectors that are read up to `padded` components each.
    fn new<C: Component>(vectors: &[C], k: usize, padded: usize, most: usize) -> Copied {
        let a_line = size_of::<Lanes>() / size_of::<C>();
        let stride = padded.next_multiple_of(a_line);
        let mut lines = vec![Lanes::ZERO; most * (stride / a_line)];
        let room: &mut [C] = bytemuck::cast_slice_mut(&mut lines);
        for (to, from) in room.chunks_mut(stride).zip(vectors.chunks(k)) {
            to[..k].copy_from_slice(from);
        }
        Copied { lines, stride }
    }

    fn get<C: Component>(&self) -> &[C] {
        bytemuck::cast_slice(&self.lines)
    }
}

/// Sixteen rows.
#[derive(Clone, Copy)]
struct Rows<'a, C> {
    /// From the first row on, each with what its last chunk has behind its end.
    data: &'a [C],
    /// Components from one row to the next.
    stride: usize,
    /// The number of the first row of the block.
    first: usize,
    /// How many there are. Tiles may have more: zeros, or whatever lies there, and nobody looks at their scores.
    count: usize,
}

/// A block of queries.
struct Queries<D: RowDot> {
    copied: Copied,
    constants: Vec<D::Constant>,
    k: usize,
    /// The number of the first query.
    first: usize,
}

impl<D: RowDot> Queries<D> {
    #[inline(always)]
    fn new(dot: D, queries: &[D::Component], k: usize, first: usize) -> Self {
        let copied = Copied::new(queries, k, padded_len::<D>(k), queries.len() / k);
        let constants = queries.chunks(k).map(|query| dot.constant(query)).collect();
        Queries { copied, constants, k, first }
    }

    /// The scores of sixteen rows for all queries.
    #[inline(always)]
    fn with<K: Sink<D::Component>>(&self, dot: D, rows: Rows<'_, D::Component>, sink: &mut K) {
        let m = self.constants.len();
        let mut ahead = Ahead::of_block(rows, self.k, m.div_ceil(D::QUERIES));
        let mut query = 0;
        while query < m {
            // Shapes that an instruction set has no registers for are never asked for and compile to nothing.
            let taken = match m - query {
                left if left >= D::QUERIES => D::QUERIES,
                2.. => 2,
                _ => 1,
            };
            match (taken, D::ROWS, D::ROWS_OF_ONE) {
                (1, _, 16) => self.few::<1, 16, K>(dot, query, rows, &mut ahead, sink),
                (1, _, 4) => self.few::<1, 4, K>(dot, query, rows, &mut ahead, sink),
                (1, _, _) => self.few::<1, 1, K>(dot, query, rows, &mut ahead, sink),
                (2, 4, _) => self.few::<2, 4, K>(dot, query, rows, &mut ahead, sink),
                (2, _, _) => self.few::<2, 2, K>(dot, query, rows, &mut ahead, sink),
                (3, 2, _) if D::QUERIES == 3 => self.few::<3, 2, K>(dot, query, rows, &mut ahead, sink),
                (4, 4, _) if D::QUERIES > 3 => self.few::<4, 4, K>(dot, query, rows, &mut ahead, sink),
                _ => unreachable!("no tile of {taken} queries and {} rows", D::ROWS),
            }
            query += taken;
        }
    }

    /// MR queries from `query` on, NR rows a tile.
    #[inline(always)]
    fn few<const MR: usize, const NR: usize, K: Sink<D::Component>>(
        &self,
        dot: D,
        query: usize,
        rows: Rows<'_, D::Component>,
        ahead: &mut Ahead<D::Component>,
        sink: &mut K,
    ) {
        let all: &[D::Component] = self.copied.get();
        let stride = self.copied.stride;
        let mut chunks: [&[D::Chunk]; MR] = [&[]; MR];
        for r in 0..MR {
            chunks[r] = bytemuck::cast_slice(&all[(query + r) * stride..][..padded_len::<D>(self.k)]);
        }
        let tile = Tile { queries: chunks, k: self.k };
        let mut sums = [[dot.zero(); BLOCK]; MR];
        for first in (0..rows.count).step_by(NR) {
            let rows = Rows { data: &rows.data[first * rows.stride..], ..rows };
            let turn = if D::Simd::PREFETCHES { ahead.turn(NR, self.k) } else { None };
            let acc = match turn {
                None => tile.sums::<D, NR, 0>(dot, rows, std::ptr::null()),
                Some((next, true)) => tile.sums::<D, NR, NR>(dot, rows, next),
                Some((next, false)) => tile.sums::<D, NR, 1>(dot, rows, next),
            };
            for r in 0..MR {
                sums[r][first..first + NR].copy_from_slice(&acc[r]);
            }
        }
        for r in 0..MR {
            let scores = dot.scores(sums[r], self.constants[query + r]);
            sink.take(dot, self.first + query + r, rows.first, rows.count, scores);
        }
    }
}

/// Rows that are fetched ahead of their use: while one tile after the other is computed, as many lines as a block has.
///
/// Hardware prefetches no further than a page, and only while rows are new, which is as long as the first queries are with
/// them. So lines are spread as evenly as may be over the tiles of a block.
struct Ahead<C> {
    /// The next line. A hint: the address may be any.
    next: *const C,
    /// Every so many calls of a tile one fetches.
    every: usize,
    calls: usize,
}

impl<C> Ahead<C> {
    /// While a block of rows meets so many tiles' worth of queries.
    #[inline(always)]
    fn of_block(rows: Rows<'_, C>, k: usize, query_tiles: usize) -> Self {
        // A single tile's queries leave every row behind them. Others come back to the block, so what is fetched is the
        // next one.
        let block = if query_tiles > 1 { BLOCK * k * size_of::<C>() } else { 0 };
        let next = rows.data.as_ptr().wrapping_byte_add(block.max(AHEAD));
        Ahead { next, every: query_tiles, calls: 0 }
    }

    /// Where the next tile of NR rows begins to fetch, if it is its turn, and whether a line a step and row or a line a step.
    #[inline(always)]
    fn turn(&mut self, rows: usize, k: usize) -> Option<(*const C, bool)> {
        let many = self.every < rows;
        let every = if many { self.every } else { self.every / rows };
        self.calls += 1;
        if self.calls < every {
            return None;
        }
        self.calls = 0;
        let next = self.next;
        self.next = next.wrapping_add(if many { rows * k } else { k });
        Some((next, many))
    }
}

/// MR queries, to be multiplied with rows.
#[derive(Clone, Copy)]
struct Tile<'a, T, const MR: usize> {
    queries: [&'a [T]; MR],
    k: usize,
}

impl<T: Pod, const MR: usize> Tile<'_, T, MR> {
    /// The sums of the queries with the first NR rows. P lines a step are fetched from `next` on.
    #[inline(always)]
    fn sums<D: RowDot<Chunk = T>, const NR: usize, const P: usize>(
        self,
        dot: D,
        rows: Rows<'_, D::Component>,
        next: *const D::Component,
    ) -> [[RowSums<D>; NR]; MR] {
        let Tile { queries, k } = self;
        let (whole, rest) = (k / chunk_len::<D>(), k % chunk_len::<D>());
        let mut chunks: [&[T]; NR] = [&[]; NR];
        for c in 0..NR {
            chunks[c] = bytemuck::cast_slice(&rows.data[c * rows.stride..][..padded_len::<D>(k)]);
        }
        let mut next = next;
        let mut fetch = |components: usize| {
            for _ in 0..P {
                dot.simd().prefetch_l1(next.cast());
                next = next.wrapping_add(components);
            }
        };
        let mut acc = [[dot.zero(); NR]; MR];
        for step in 0..whole {
            fetch(chunk_len::<D>());
            // The fewer of both wait in registers for the others.
            if MR <= NR {
                let mut q = [dot.query(&queries[0][step]); MR];
                for r in 1..MR {
                    q[r] = dot.query(&queries[r][step]);
                }
                for c in 0..NR {
                    let row = dot.row(&chunks[c][step]);
                    for r in 0..MR {
                        acc[r][c] = dot.dot(q[r], row, acc[r][c]);
                    }
                }
            } else {
                let mut row = [dot.row(&chunks[0][step]); NR];
                for c in 1..NR {
                    row[c] = dot.row(&chunks[c][step]);
                }
                for r in 0..MR {
                    let q = dot.query(&queries[r][step]);
                    for c in 0..NR {
                        acc[r][c] = dot.dot(q, row[c], acc[r][c]);
                    }
                }
            }
        }
        if rest > 0 {
            fetch(rest);
            for c in 0..NR {
                let row = dot.last_row(&chunks[c][whole], rest);
                for r in 0..MR {
                    acc[r][c] = dot.dot(dot.query(&queries[r][whole]), row, acc[r][c]);
                }
            }
        }
        acc
    }
}
