/// The similarity of every vector of one set and every vector of another, `[rows][columns]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SimilarityMatrix {
    data: Vec<f32>,
    rows: usize,
    columns: usize,
}

impl SimilarityMatrix {
    pub(crate) fn new(data: Vec<f32>, rows: usize, columns: usize) -> SimilarityMatrix {
        debug_assert_eq!(data.len(), rows * columns);
        SimilarityMatrix { data, rows, columns }
    }

    /// How many vectors the first set has, and the second.
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// The similarity of vector i of the first set and vector j of the second; none if there are not that many.
    pub fn get(&self, i: usize, j: usize) -> Option<f32> {
        (i < self.rows && j < self.columns).then(|| self.data[i * self.columns + j])
    }

    /// The similarities of vector i of the first set and each of the second.
    ///
    /// # Panics
    ///
    /// If there are not that many.
    pub fn row(&self, i: usize) -> &[f32] {
        assert!(i < self.rows, "row {i} of {}", self.rows);
        &self.data[i * self.columns..][..self.columns]
    }

    /// The rows in the order of the first set.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        (0..self.rows).map(|i| self.row(i))
    }

    /// All similarities, row by row.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// All similarities, row by row.
    pub fn into_vec(self) -> Vec<f32> {
        self.data
    }
}
