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
//! goes to a [`Sink`]: nothing but it is written to memory. The sixteen rows stay in L1 or L2 for as many queries as L2
//! holds beside them; if there are more queries, all rows are read again for the next of them.

use bytemuck::Pod;

use crate::dot::rows::{RowDot, RowKernel, RowSums, chunk_len};
use crate::search::Component;
use crate::simd::{LANES, Lanes, Simd};

/// How many rows become scores at once.
const BLOCK: usize = LANES;

/// Queries that are kept in L2 while all rows go by: so many bytes.
const QUERY_BLOCK: usize = 128 * 1024;

/// The most queries that a tile has on any instruction set.
const MAX_TILE: usize = 4;

/// How far ahead of a tile rows are fetched, at least: so many bytes. For a single query 4 KB are up to 10 % slower, 2 KB 15,
/// and 16 no faster.
const AHEAD: usize = 8192;

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
        if queries.is_empty() || rows.is_empty() {
            return sink;
        }
        let (m, n) = (queries.len() / k, rows.len() / k);
        let padded = padded_len::<D>(k);
        // The last rows may be fewer than a block, and their last chunks may end behind the last row.
        let direct = (rows.len() + k).saturating_sub(padded) / k / BLOCK * BLOCK;
        let queries_a_block = queries_a_block::<D>(m, padded * size_of::<C>());
        let mut sums = [[dot.zero(); BLOCK]; MAX_TILE];
        for (i, queries) in queries.chunks(queries_a_block * k).enumerate() {
            let queries = Queries::<D>::new(dot, queries, k, i * queries_a_block);
            for first in (0..n).step_by(BLOCK) {
                let count = (n - first).min(BLOCK);
                let copied;
                let rows = if first < direct {
                    Rows { data: &rows[first * k..], stride: k, first, count }
                } else {
                    let most = count.next_multiple_of(D::ROWS.max(D::ROWS_OF_ONE));
                    copied = Copied::new(&rows[first * k..][..count * k], k, padded, most);
                    Rows { data: copied.get(), stride: copied.stride, first, count }
                };
                queries.with(dot, rows, &mut sums, &mut sink);
            }
        }
        sink
    }
}

/// As many queries as are kept in L2, each of so many bytes: whole tiles, and of `m` queries all blocks alike.
#[inline(always)]
fn queries_a_block<D: RowDot>(m: usize, bytes: usize) -> usize {
    let most = (QUERY_BLOCK / bytes / D::QUERIES).max(1);
    let tiles = m.div_ceil(D::QUERIES);
    tiles.div_ceil(tiles.div_ceil(most)) * D::QUERIES
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

/// Sums of a tile's queries with sixteen rows.
type BlockSums<D> = [[RowSums<D>; BLOCK]; MAX_TILE];

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

    /// The scores of sixteen rows for all queries. What `sums` has is of no matter, before and after.
    #[inline(always)]
    fn with<K: Sink<D::Component>>(
        &self,
        dot: D,
        rows: Rows<'_, D::Component>,
        sums: &mut BlockSums<D>,
        sink: &mut K,
    ) {
        let m = self.constants.len();
        let tiles = m.div_ceil(D::QUERIES);
        let tile_rows = if m == 1 { D::ROWS_OF_ONE } else { D::ROWS };
        let mut ahead = Ahead::of_block(rows, self.k, tiles, tile_rows);
        let mut query = 0;
        for tile in 0..tiles {
            // Two tiles of three queries and two are faster than one of four and one of one. Shapes that an instruction set
            // has no registers for are never asked for and compile to nothing.
            let taken = (m - query).div_ceil(tiles - tile);
            match (taken, D::ROWS, D::ROWS_OF_ONE) {
                (1, _, 16) => self.few::<1, 16, K>(dot, query, rows, &mut ahead, sums, sink),
                (1, _, _) => self.few::<1, 1, K>(dot, query, rows, &mut ahead, sums, sink),
                (2, 4, _) => self.few::<2, 4, K>(dot, query, rows, &mut ahead, sums, sink),
                (2, _, _) => self.few::<2, 2, K>(dot, query, rows, &mut ahead, sums, sink),
                (3, 2, _) if D::QUERIES == 3 => self.few::<3, 2, K>(dot, query, rows, &mut ahead, sums, sink),
                (3, 4, _) if D::QUERIES > 3 => self.few::<3, 4, K>(dot, query, rows, &mut ahead, sums, sink),
                (4, 4, _) if D::QUERIES > 3 => self.few::<4, 4, K>(dot, query, rows, &mut ahead, sums, sink),
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
        sums: &mut BlockSums<D>,
        sink: &mut K,
    ) {
        let all: &[D::Component] = self.copied.get();
        let stride = self.copied.stride;
        let mut chunks: [&[D::Chunk]; MR] = [&[]; MR];
        for r in 0..MR {
            chunks[r] = bytemuck::cast_slice(&all[(query + r) * stride..][..padded_len::<D>(self.k)]);
        }
        let tile = Tile { queries: chunks, k: self.k };
        for first in (0..rows.count).step_by(NR) {
            let rows = Rows { data: &rows.data[first * rows.stride..], ..rows };
            let (next, lines) =
                if D::Simd::PREFETCHES { ahead.turn::<NR>(self.k) } else { (std::ptr::null(), 0) };
            // NR and NR / 2 are what `turn` gives; the others compile to nothing.
            let acc = match lines {
                0 => tile.sums::<D, NR, 0>(dot, rows, next),
                2 if NR == 2 || NR == 4 => tile.sums::<D, NR, 2>(dot, rows, next),
                4 if NR == 4 => tile.sums::<D, NR, 4>(dot, rows, next),
                8 if NR == 16 => tile.sums::<D, NR, 8>(dot, rows, next),
                16 if NR == 16 => tile.sums::<D, NR, 16>(dot, rows, next),
                _ => tile.sums::<D, NR, 1>(dot, rows, next),
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
    /// How many tiles of queries meet each row.
    query_tiles: usize,
    /// Rows that tiles have met, less those that were fetched for it: for each row that all tiles have met, one is fetched.
    met: usize,
}

impl<C> Ahead<C> {
    /// While a block of rows meets so many tiles of queries, each with `tile_rows` rows at a time.
    #[inline(always)]
    fn of_block(rows: Rows<'_, C>, k: usize, query_tiles: usize, tile_rows: usize) -> Self {
        let row = k * size_of::<C>();
        // A single tile's queries leave every row behind them: what is fetched is beyond the rows of this tile. Others come
        // back to the block, so what is fetched is the next one.
        let distance = if query_tiles > 1 { (BLOCK * row).max(AHEAD) } else { (tile_rows - 1) * row + AHEAD };
        let next = rows.data.as_ptr().wrapping_byte_add(distance);
        Ahead { next, query_tiles, met: 0 }
    }

    /// Where the next tile of NR rows begins to fetch, and how many lines a step: 0, 1, NR / 2 or NR.
    #[inline(always)]
    fn turn<const NR: usize>(&mut self, k: usize) -> (*const C, usize) {
        self.met += NR;
        let lines =
            [NR, NR / 2, 1].into_iter().find(|lines| self.met >= lines * self.query_tiles).unwrap_or(0);
        self.met -= lines * self.query_tiles;
        let next = self.next;
        self.next = next.wrapping_add(lines * k);
        (next, lines)
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
        let (query_ends, row_ends) = (queries, chunks);
        // Slices of one length, so that one comparison a step is enough.
        let (queries, chunks) = (queries.map(|query| &query[..whole]), chunks.map(|row| &row[..whole]));
        let mut next: *const Lanes = next.cast();
        let mut fetch = |step: usize| {
            if step.is_multiple_of(size_of::<Lanes>() / size_of::<T>()) {
                for _ in 0..P {
                    dot.simd().prefetch_l1(next.cast());
                    next = next.wrapping_add(1);
                }
            }
        };
        let mut acc = [[dot.zero(); NR]; MR];
        for step in 0..whole {
            fetch(step);
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
            fetch(whole);
            for c in 0..NR {
                let row = dot.last_row(&row_ends[c][whole], rest);
                for r in 0..MR {
                    acc[r][c] = dot.dot(dot.query(&query_ends[r][whole]), row, acc[r][c]);
                }
            }
        }
        acc
    }
}
