//! Views of row-major matrices: rows that are read, and rows of which some columns are written.
//!
//! Threads that share one product write different columns of the same rows. Their elements interleave in memory, so
//! no `&mut [f32]` can be one thread's part: [`RowsMut`] is such a part, and can only be cut into parts that share no
//! element.
#![allow(unsafe_code, reason = "columns of one matrix interleave in memory, which no slice can say")]

use std::marker::PhantomData;
use std::ops::Range;

/// Rows that are read: row i begins at `data[i · stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
}

impl<'a> Rows<'a> {
    /// The rows from `row` on, their elements from `column` on.
    #[inline(always)]
    pub(crate) fn skip(self, row: usize, column: usize) -> Rows<'a> {
        Rows { data: &self.data[row * self.stride + column..], stride: self.stride }
    }
}

/// Some columns of all rows of a row-major matrix, to be written.
///
/// Two of them never share an element: it is made of a whole matrix, and cut by
/// [`split_columns`](RowsMut::split_columns).
///
/// ```
/// use minilm_kernels::RowsMut;
///
/// let mut matrix = [0.0; 6]; // [2][3]
/// let (mut left, mut right) = RowsMut::new(&mut matrix, 3).split_columns(1);
/// left.row_mut(1)[0] = 1.0;
/// right.row_mut(0).copy_from_slice(&[2.0, 3.0]);
/// assert_eq!(matrix, [0.0, 2.0, 3.0, 1.0, 0.0, 0.0]);
/// ```
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

    /// The columns before `at`, and those from it on.
    ///
    /// # Panics
    ///
    /// If there are fewer than `at` columns.
    pub fn split_columns(self, at: usize) -> (RowsMut<'a>, RowsMut<'a>) {
        let RowsMut { start, rows, columns, stride, matrix } = self;
        assert!(at <= columns, "columns are split at {at}, but there are {columns}");
        let left = RowsMut { start, rows, columns: at, stride, matrix };
        // `wrapping_add`, because without rows there is no element to point at.
        let right = RowsMut { start: start.wrapping_add(at), rows, columns: columns - at, stride, matrix };
        (left, right)
    }

    /// The columns cut into parts of these widths, from the first on.
    ///
    /// # Panics
    ///
    /// If the widths add up to more than there are columns.
    pub fn cut_columns(self, widths: impl Iterator<Item = usize>) -> impl Iterator<Item = RowsMut<'a>> {
        let mut rest = Some(self);
        widths.map(move |width| {
            let (part, behind) = rest.take().expect("put back below").split_columns(width);
            rest = Some(behind);
            part
        })
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

    /// Some rows and columns for a while.
    ///
    /// # Panics
    ///
    /// If they are not all there.
    #[inline(always)]
    pub(crate) fn part(&mut self, rows: Range<usize>, columns: Range<usize>) -> RowsMut<'_> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_columns_they_say() {
        let mut matrix: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let mut widths = RowsMut::new(&mut matrix, 4).cut_columns([1, 0, 2, 1].into_iter());
        let parts: Vec<Vec<f32>> = std::iter::from_fn(|| widths.next())
            .map(|mut part| (0..part.rows()).flat_map(|i| part.row_mut(i).to_vec()).collect())
            .collect();
        assert_eq!(
            parts,
            [vec![0.0, 4.0, 8.0], vec![], vec![1.0, 2.0, 5.0, 6.0, 9.0, 10.0], vec![3.0, 7.0, 11.0]]
        );
    }

    #[test]
    fn threads_write_columns_of_the_same_rows() {
        let mut matrix = vec![0.0; 64 * 7];
        std::thread::scope(|scope| {
            for (t, mut part) in RowsMut::new(&mut matrix, 7).cut_columns([3, 4].into_iter()).enumerate() {
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
    }

    #[test]
    fn what_is_outside_is_refused() {
        for refused in [
            (|| drop(RowsMut::new(&mut [0.0; 5], 2))) as fn(),
            || drop(RowsMut::new(&mut [0.0; 4], 2).split_columns(3)),
            || drop(RowsMut::new(&mut [0.0; 4], 2).row_mut(2).len()),
            || drop(RowsMut::new(&mut [0.0; 4], 2).part(0..3, 0..2).rows()),
            || drop(RowsMut::new(&mut [0.0; 4], 2).part(0..2, 1..3).rows()),
        ] {
            assert!(std::panic::catch_unwind(refused).is_err());
        }
    }
}
