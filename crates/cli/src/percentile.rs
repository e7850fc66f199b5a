//! Percentiles.

/// The percentile by the nearest-rank definition: the smallest of the sorted values that at least `percent` of them do not
/// exceed, so always one that occurred. There is at least one value.
pub(crate) fn nearest_rank(sorted: &[f64], percent: usize) -> f64 {
    sorted[(percent * sorted.len()).div_ceil(100).max(1) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        let found = [0, 1, 50, 90, 99, 100].map(|percent| nearest_rank(&values, percent));
        assert_eq!(found, [1.0, 2.0, 100.0, 180.0, 198.0, 200.0]);
        assert_eq!([50, 90, 99].map(|percent| nearest_rank(&[1.0, 2.0, 3.0], percent)), [2.0, 3.0, 3.0]);
        assert_eq!(nearest_rank(&[7.0], 1), 7.0);
    }

    #[test]
    fn the_percentiles_of_the_definitions_textbook_example() {
        let values = [15.0, 20.0, 35.0, 40.0, 50.0];
        let found = [5, 30, 40, 50, 100].map(|percent| nearest_rank(&values, percent));
        assert_eq!(found, [15.0, 20.0, 20.0, 35.0, 50.0]);
    }
}
