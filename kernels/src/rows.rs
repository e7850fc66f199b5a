//! Views of row-major matrices: rows that are read, and rows of which some columns are written.
//!
//! Threads that share one product write different columns of the same rows. Their elements interleave in memory, so
//! no `&mut [f32]` can be one thread's part: [`RowsMut`] is such a part, and can only be cut into parts that share no
//! element.
#![allow(unsafe_code, reason = "columns of one matrix interleave in memory, which no slice can say")]

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows that are read: row i begins at `data[i · stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T = f32> {
    pub(crate) data: &'a [T],
    pub(crate) stride: usize,
}

impl<'a, T> Rows<'a, T> {
    /// The rows from `row` on, their elements from `column` on.
    #[inline(always)]
    pub(crate) fn skip(self, row: usize, column: usize) -> Rows<'a, T> {
        Rows { data: &self.data[row * self.stride + column..], stride: self.stride }
    }
}

/// Some columns of all rows of a row-major matrix, to be written.
///
/// Two that can be written at the same time never share an element: it is made of a whole matrix, and cut into
/// [`Shares`] by [`share_columns`](RowsMut::share_columns) and [`share_rows`](RowsMut::share_rows).
#[derive(Debug)]
pub struct RowsMut<'a> {
    /// The first element of the first row.
    start: *mut f32,
    rows: usize,
    columns: usize,
    /// From the beginning of a row to that of the next.
    stride: usize,
    /// For 'a, nobody else reads or writes `columns` elements from `start + i · stride` on, for each i < `rows`.
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is an exclusive reference to its elements, as `&mut [f32]` is, which is `Send`.
unsafe impl Send for RowsMut<'_> {}

// SAFETY: `&RowsMut` gives access to sizes alone.
unsafe impl Sync for RowsMut<'_> {}

impl<'a> RowsMut<'a> {
    /// All of a matrix `[rows][width]`.
    ///
    /// # Panics
    ///
    /// If the width is 0 or `matrix` is not a multiple of it long.
    pub fn new(matrix: &'a mut [f32], width: usize) -> RowsMut<'a> {
        assert!(width > 0, "rows of width 0");
        let len = matrix.len();
        assert_eq!(len % width, 0, "a matrix of {len} elements, no multiple of the width {width}");
        RowsMut {
            start: matrix.as_mut_ptr(),
            rows: len / width,
            columns: width,
            stride: width,
            matrix: PhantomData,
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns are ours.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Cuts the columns into `parts` parts of about the same width, each but the last a multiple of `unit` columns, for
    /// threads to take.
    ///
    /// # Panics
    ///
    /// If the unit is 0, or there are no parts or more than 64.
    pub fn share_columns(self, unit: usize, parts: usize) -> Shares<'a> {
        assert!(unit > 0, "columns shared in units of 0");
        Shares::new(self, Cut::Columns { unit }, parts)
    }

    /// Cuts the rows into `parts` parts of about the same height, for threads to take.
    ///
    /// # Panics
    ///
    /// If there are no parts or more than 64.
    pub fn share_rows(self, parts: usize) -> Shares<'a> {
        Shares::new(self, Cut::Rows, parts)
    }

    /// All elements of the rows, if all columns are ours.
    pub fn as_mut_slice(&mut self) -> Option<&mut [f32]> {
        if self.columns != self.stride {
            return None;
        }
        // SAFETY: without columns of others between them, our rows lie one behind the other; they are nobody else's, as
        // the field `matrix` says, and the result borrows `self` mutably.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start, self.rows * self.columns) })
    }

    /// Our columns of row i.
    ///
    /// # Panics
    ///
    /// If there are not that many rows.
    #[inline(always)]
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        assert!(i < self.rows, "row {i} of {}", self.rows);
        // SAFETY: i < rows, so these elements are of the matrix that `new` was given and, as the field `matrix` says,
        // nobody else's; the result borrows `self` mutably, so no second slice of them exists meanwhile.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(i * self.stride), self.columns) }
    }

    /// Our columns of R rows from row `first` on.
    ///
    /// # Panics
    ///
    /// If there are not that many rows.
    #[inline(always)]
    pub(crate) fn rows_mut<const R: usize>(&mut self, first: usize) -> [&mut [f32]; R] {
        assert!(
            first <= self.rows && R <= self.rows - first,
            "rows {first} to {first} + {R} of {}",
            self.rows
        );
        // SAFETY: as in `row_mut`; and rows of one matrix share no element, for a stride is no less than the columns.
        std::array::from_fn(|r| unsafe {
            std::slice::from_raw_parts_mut(self.start.add((first + r) * self.stride), self.columns)
        })
    }

    /// Where row i begins, if there is such a row.
    #[inline(always)]
    pub(crate) fn row_ptr(&mut self, i: usize) -> *mut f32 {
        self.start.wrapping_add(i * self.stride)
    }

    /// Some rows and columns for a while.
    ///
    /// # Panics
    ///
    /// If they are not all there.
    #[inline(always)]
    pub fn part(&mut self, rows: Range<usize>, columns: Range<usize>) -> RowsMut<'_> {
        assert!(
            rows.start <= rows.end
                && rows.end <= self.rows
                && columns.start <= columns.end
                && columns.end <= self.columns,
            "rows {rows:?} and columns {columns:?} of {} and {}",
            self.rows,
            self.columns
        );
        RowsMut {
            start: self.start.wrapping_add(rows.start * self.stride + columns.start),
            rows: rows.len(),
            columns: columns.len(),
            stride: self.stride,
            matrix: PhantomData,
        }
    }
}

/// Parts of some rows that any thread may take, each once.
///
/// ```
/// use minilm_kernels::RowsMut;
///
/// let mut matrix = [0.0; 6]; // [2][3]
/// let shares = RowsMut::new(&mut matrix, 3).share_columns(2, 2);
/// std::thread::scope(|scope| {
///     for i in 0..2 {
///         let shares = &shares;
///         scope.spawn(move || shares.take(i).row_mut(1).fill(1.0 + i as f32));
///     }
/// });
/// assert_eq!(matrix, [0.0, 0.0, 0.0, 1.0, 1.0, 2.0]);
/// ```
#[derive(Debug)]
pub struct Shares<'a> {
    whole: RowsMut<'a>,
    cut: Cut,
    parts: usize,
    /// Bit i says that part i has been taken.
    taken: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    Columns { unit: usize },
    Rows,
}

impl<'a> Shares<'a> {
    /// The most parts: there is a bit for each, to say that it has been taken.
    pub const MOST: usize = u64::BITS as usize;

    fn new(whole: RowsMut<'a>, cut: Cut, parts: usize) -> Shares<'a> {
        assert!((1..=Self::MOST).contains(&parts), "{parts} parts, expected 1 to {}", Self::MOST);
        Shares { whole, cut, parts, taken: AtomicU64::new(0) }
    }

    /// How many parts there are.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// Which columns, or which rows, part i has.
    ///
    /// # Panics
    ///
    /// If there are not that many parts.
    pub fn range(&self, i: usize) -> Range<usize> {
        let (unit, all) = match self.cut {
            Cut::Columns { unit } => (unit, self.whole.columns),
            Cut::Rows => (1, self.whole.rows),
        };
        Self::range_of(all, unit, self.parts, i)
    }

    /// Which of `all` rows or columns part i of `parts` has, if they are shared in units of so many.
    ///
    /// # Panics
    ///
    /// If the unit is 0, or there are not that many parts.
    pub fn range_of(all: usize, unit: usize, parts: usize, i: usize) -> Range<usize> {
        assert!(i < parts, "part {i} of {parts}");
        let units = all.div_ceil(unit);
        let bound = |i: usize| (units * i / parts * unit).min(all);
        bound(i)..bound(i + 1)
    }

    /// Part i.
    ///
    /// # Panics
    ///
    /// If there are not that many parts, or it has been taken.
    pub fn take(&self, i: usize) -> RowsMut<'a> {
        let range = self.range(i);
        let before = self.taken.fetch_or(1 << i, Ordering::Relaxed);
        assert!(before >> i & 1 == 0, "part {i} has been taken");
        let RowsMut { start, rows, columns, stride, .. } = self.whole;
        // Parts share no element, and nobody else has one that was never taken before: each is as exclusive as the
        // whole, which this value keeps for 'a and lends to nobody.
        let (first, rows, columns) = match self.cut {
            Cut::Columns { .. } => (range.start, rows, range.len()),
            Cut::Rows => (range.start * stride, range.len(), columns),
        };
        RowsMut { start: start.wrapping_add(first), rows, columns, stride, matrix: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(mut part: RowsMut<'_>) -> Vec<f32> {
        (0..part.rows()).flat_map(|i| part.row_mut(i).to_vec()).collect()
    }

    #[test]
    fn parts_are_the_columns_or_rows_they_say() {
        let mut matrix: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let columns = RowsMut::new(&mut matrix, 4).share_columns(1, 3);
        let parts: Vec<Vec<f32>> = (0..3).map(|i| elements(columns.take(i))).collect();
        assert_eq!(parts, [vec![0.0, 4.0, 8.0], vec![1.0, 5.0, 9.0], vec![2.0, 3.0, 6.0, 7.0, 10.0, 11.0]]);
        let rows = RowsMut::new(&mut matrix, 4).share_rows(2);
        assert_eq!(elements(rows.take(0)), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(rows.take(1).as_mut_slice().unwrap()[0], 4.0);
    }

    #[test]
    fn parts_are_whole_units_and_together_everything() {
        let mut matrix = vec![0.0; 2 * 100];
        for parts in 1..=64 {
            let shares = RowsMut::new(&mut matrix, 100).share_columns(16, parts);
            let mut end = 0;
            for i in 0..shares.parts() {
                let range = shares.range(i);
                assert_eq!((range.start, range.start % 16), (end, if end == 100 { 4 } else { 0 }));
                assert_eq!(shares.take(i).columns(), range.len());
                end = range.end;
            }
            assert_eq!(end, 100);
        }
    }

    #[test]
    fn threads_write_columns_of_the_same_rows() {
        let mut matrix = vec![0.0; 64 * 7];
        let shares = RowsMut::new(&mut matrix, 7).share_columns(3, 2);
        std::thread::scope(|scope| {
            for t in 0..2 {
                let mut part = shares.take(t);
                scope.spawn(move || (0..part.rows()).for_each(|i| part.row_mut(i).fill((t + i * 2) as f32)));
            }
        });
        for (i, row) in matrix.chunks(7).enumerate() {
            let (first, second) = ((i * 2) as f32, (i * 2 + 1) as f32);
            assert_eq!(row, [first, first, first, second, second, second, second]);
        }
    }

    #[test]
    fn a_part_of_a_part_is_where_it_should_be() {
        let mut matrix: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let mut all = RowsMut::new(&mut matrix, 5);
        let mut part = all.part(1..4, 2..5);
        assert_eq!(part.part(1..2, 1..3).row_mut(0), [13.0, 14.0]);
        assert_eq!((part.rows(), part.columns()), (3, 3));
        assert!(part.as_mut_slice().is_none());
    }

    #[test]
    fn what_is_outside_or_taken_is_refused() {
        for refused in [
            (|m: &mut [f32]| RowsMut::new(m, 3).rows()) as fn(&mut [f32]) -> usize,
            |m| RowsMut::new(m, 2).row_mut(2).len(),
            |m| RowsMut::new(m, 2).part(0..3, 0..2).rows(),
            |m| RowsMut::new(m, 2).part(0..2, 1..3).rows(),
            |m| RowsMut::new(m, 2).share_rows(0).parts(),
            |m| RowsMut::new(m, 2).share_columns(1, 65).parts(),
            |m| RowsMut::new(m, 2).share_rows(2).take(2).rows(),
            |m| {
                let shares = RowsMut::new(m, 2).share_rows(2);
                shares.take(1).rows() + shares.take(1).rows()
            },
        ] {
            assert!(std::panic::catch_unwind(|| refused(&mut [0.0; 4])).is_err());
        }
    }
}
