//! Vectors in few dimensions: principal components, for pictures.

mod symmetric_eigen;

use minilm_kernels::{Isa, similarity_matrix};
use minilm_storage::{Vectors, VectorsError};

use crate::centred::{Centred, check_size};
use crate::similarity::default_isa;
use symmetric_eigen::symmetric_eigen;

/// Vectors along their principal components: what [`pca`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    coordinates: Vec<f32>,
    components: Vec<f32>,
    n_components: usize,
    mean: Vec<f32>,
    explained_variance: Vec<f64>,
    total_variance: f64,
}

impl Projection {
    /// Where each vector lies, `[n][components]`.
    pub fn coordinates(&self) -> Vectors<'_> {
        Vectors::new(&self.coordinates, self.n_components).expect("whole vectors by construction")
    }

    /// The directions, of unit length and at right angles, `[components][dimension]`: the one of the greatest variance
    /// first.
    pub fn components(&self) -> Vectors<'_> {
        Vectors::new(&self.components, self.mean.len()).expect("whole vectors by construction")
    }

    /// The mean of the vectors, which lies at 0.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Where other vectors lie, `[n][components]`.
    ///
    /// # Errors
    ///
    /// If they have another dimension or a component is not finite.
    pub fn transform<'a>(&self, vectors: impl Into<Vectors<'a>>) -> Result<Vec<f32>, ProjectionError> {
        let vectors = vectors.into();
        self.components().check_dimension(vectors)?;
        vectors.check_finite()?;
        let centred = Centred::around(vectors, self.mean.clone());
        Ok(along(default_isa(), &centred, &self.components))
    }

    /// The variance along each component, divided by n − 1.
    pub fn explained_variance(&self) -> &[f64] {
        &self.explained_variance
    }

    /// What share of the whole variance each component has; 0 if there is no variance.
    pub fn explained_variance_ratio(&self) -> Vec<f64> {
        let share =
            |&variance: &f64| if self.total_variance > 0.0 { variance / self.total_variance } else { 0.0 };
        self.explained_variance.iter().map(share).collect()
    }
}

/// Why vectors cannot be projected.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectionError {
    /// There is nothing to project.
    #[error("there are no vectors to project; expected at least one")]
    NoVectors,

    /// More components than a vector has, or none, are asked for.
    #[error("{found} components are asked for; vectors of dimension {dimension} have 1 to {dimension}")]
    ComponentCount {
        /// How many are asked for.
        found: usize,
        /// How many a vector has.
        dimension: usize,
    },

    /// A component that is not finite or too large.
    #[error(transparent)]
    Vectors(#[from] VectorsError),
}

/// Principal component analysis: the vectors, less their mean, along the directions in which they vary most.
///
/// What scikit-learn's `PCA` computes. A component's sign, which is arbitrary, is the one of its version 1.5 and later: the
/// element that is farthest from 0 is positive. If there are fewer vectors than components, or they vary in fewer
/// directions, the other components are arbitrary directions of no variance (scikit-learn refuses them).
///
/// The same vectors give the same bits on every instruction set. It takes a time of n · dimension² on the kernels of
/// similarity, on one thread, and of dimension³ once: with AVX-512 and 384 components half a second for 100 000 vectors, of
/// which 30 ms for the components themselves.
///
/// # Errors
///
/// If there are no vectors, `components` is 0 or greater than their dimension, or a component is not finite or beyond 10¹⁵.
///
/// ```
/// use minilm::Vectors;
/// use minilm::projection::pca;
///
/// let numbers = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0];
/// let line = pca(Vectors::new(&numbers, 2)?, 1)?;
/// let expected = [-1.414_213_5, 0.0, 1.414_213_5];
/// assert!(line.coordinates().as_slice().iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-6));
/// assert!((line.explained_variance()[0] - 2.0).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pca<'a>(vectors: impl Into<Vectors<'a>>, components: usize) -> Result<Projection, ProjectionError> {
    pca_on(default_isa(), vectors.into(), components)
}

fn pca_on(isa: Isa, vectors: Vectors<'_>, components: usize) -> Result<Projection, ProjectionError> {
    if vectors.is_empty() {
        return Err(ProjectionError::NoVectors);
    }
    let dimension = vectors.dimension();
    if !(1..=dimension).contains(&components) {
        return Err(ProjectionError::ComponentCount { found: components, dimension });
    }
    vectors.check_finite()?;
    check_size(vectors)?;

    let centred = Centred::new(vectors);
    let covariance = covariance(isa, &centred);
    let total_variance = (0..dimension).map(|i| covariance[i * dimension + i]).sum();
    let (values, directions) = symmetric_eigen(covariance, dimension);
    let mut directions: Vec<f32> = directions[..components * dimension].iter().map(|&x| x as f32).collect();
    directions.chunks_exact_mut(dimension).for_each(make_largest_positive);

    let coordinates = along(isa, &centred, &directions);
    Ok(Projection {
        coordinates,
        components: directions,
        n_components: components,
        mean: centred.mean().to_vec(),
        // Rounding may leave a variance of nothing below 0.
        explained_variance: values[..components].iter().map(|value| value.max(0.0)).collect(),
        total_variance,
    })
}

/// The products of the vectors with each of the directions.
fn along(isa: Isa, centred: &Centred<'_>, directions: &[f32]) -> Vec<f32> {
    let dimension = centred.dimension();
    let components = directions.len() / dimension;
    let mut coordinates = vec![0.0; centred.len() * components];
    let mut rows = Vec::new();
    for (block, out) in coordinates.chunks_mut(BLOCK * components).enumerate() {
        centred.rows(block * BLOCK..block * BLOCK + out.len() / components, &mut rows);
        similarity_matrix(isa, &rows, directions, dimension, out);
    }
    coordinates
}

/// Vectors whose products are added up in f32, sixteen lanes of 32 each, before they go on in f64.
const BLOCK: usize = 512;

/// The covariance of the components, `[dimension][dimension]`, divided by n − 1.
///
/// It is the similarity matrix of a block's columns, so the block is transposed.
fn covariance(isa: Isa, centred: &Centred<'_>) -> Vec<f64> {
    let (n, d) = (centred.len(), centred.dimension());
    let mut sums = vec![0.0; d * d];
    let (mut rows, mut columns, mut products) = (Vec::new(), Vec::new(), vec![0.0; d * d]);
    for start in (0..n).step_by(BLOCK) {
        let count = BLOCK.min(n - start);
        centred.rows(start..start + count, &mut rows);
        columns.resize(d * count, 0.0);
        for (row, components) in rows.chunks_exact(d).enumerate() {
            for (component, &x) in components.iter().enumerate() {
                columns[component * count + row] = x;
            }
        }
        similarity_matrix(isa, &columns, &columns, count, &mut products);
        sums.iter_mut().zip(&products).for_each(|(sum, &product)| *sum += f64::from(product));
    }
    let divisor = n.saturating_sub(1).max(1) as f64;
    sums.iter_mut().for_each(|sum| *sum /= divisor);
    sums
}

/// As scikit-learn's `svd_flip(u, v, u_based_decision=False)`.
fn make_largest_positive(direction: &mut [f32]) {
    let largest =
        direction.iter().fold(0.0, |largest: f32, &x| if x.abs() > largest.abs() { x } else { largest });
    if largest < 0.0 {
        direction.iter_mut().for_each(|x| *x = -*x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ellipsoids: components of different variances, mixed.
    fn numbers(n: usize, d: usize) -> Vec<f32> {
        let wave = |i: usize, j: usize| ((i * (2 * j + 3) + j * j) % 101) as f32 / 50.0 - 1.0;
        let row = |i| (0..d).map(move |j| 3.0 + wave(i, j) / (1 + j) as f32 + wave(i, j / 2));
        (0..n).flat_map(row).collect()
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for (n, d) in [(1, 3), (7, 20), (1100, 33)] {
            let numbers = numbers(n, d);
            let vectors = Vectors::new(&numbers, d).unwrap();
            let expected = pca(vectors, 3).unwrap();
            for isa in Isa::available() {
                assert_eq!(pca_on(isa, vectors, 3).unwrap(), expected, "{isa:?}, {n} vectors of {d}");
            }
        }
    }

    #[test]
    fn all_components_keep_all_distances_and_all_variance() {
        let numbers = numbers(300, 12);
        let vectors = Vectors::new(&numbers, 12).unwrap();
        let projection = pca(vectors, 12).unwrap();
        let distance = |a: &[f32], b: &[f32]| -> f32 {
            a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f32>().sqrt()
        };
        for (i, j) in [(0, 1), (5, 200), (77, 78)] {
            let coordinates = projection.coordinates();
            let found = distance(coordinates.row(i), coordinates.row(j));
            assert!((found - distance(vectors.row(i), vectors.row(j))).abs() < 1e-5);
        }
        assert!((projection.explained_variance_ratio().iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(projection.explained_variance().windows(2).all(|pair| pair[0] >= pair[1]));
    }

    #[test]
    fn other_vectors_are_projected_like_the_first_ones() {
        let numbers = numbers(600, 12);
        let vectors = Vectors::new(&numbers, 12).unwrap();
        let projection = pca(vectors, 2).unwrap();
        assert_eq!(projection.transform(vectors).unwrap(), projection.coordinates().as_slice());
        assert_eq!(projection.transform(projection.mean()).unwrap(), [0.0; 2]);
        assert_eq!(projection.transform(Vectors::new(&[], 12).unwrap()).unwrap(), [0.0; 0]);
        let error = projection.transform(&numbers[..3]).unwrap_err();
        assert_eq!(error.to_string(), "vectors of dimension 12 and of dimension 3 do not go together");
        let error = projection.transform(&[f32::INFINITY; 12][..]).unwrap_err();
        assert_eq!(error.to_string(), "component 0 of vector 0 is inf; expected a finite number");
    }

    #[test]
    fn equal_vectors_lie_at_one_point() {
        let numbers = [0.5, 0.25, 1.0, 0.5, 0.25, 1.0];
        let projection = pca(Vectors::new(&numbers, 3).unwrap(), 2).unwrap();
        assert_eq!(projection.coordinates().as_slice(), [0.0; 4]);
        assert_eq!(
            (projection.explained_variance(), projection.explained_variance_ratio()),
            (&[0.0; 2][..], vec![0.0; 2])
        );
        assert_eq!(pca(&numbers[..3], 2).unwrap().coordinates().as_slice(), [0.0; 2]);
    }

    #[test]
    fn what_cannot_be_projected_is_refused() {
        let message = |numbers: &[f32], components| {
            pca(Vectors::new(numbers, 2).unwrap(), components).unwrap_err().to_string()
        };
        assert_eq!(message(&[], 2), "there are no vectors to project; expected at least one");
        let expected = "components are asked for; vectors of dimension 2 have 1 to 2";
        assert_eq!(message(&[1.0, 2.0], 3), format!("3 {expected}"));
        assert_eq!(message(&[1.0, 2.0], 0), format!("0 {expected}"));
        let expected = "component 1 of vector 1 is NaN; expected a finite number";
        assert_eq!(message(&[1.0, 2.0, 3.0, f32::NAN], 1), expected);
        let expected =
            "component 0 of vector 1 is -1e20; expected at most 1e15 either way, for squares are added up";
        assert_eq!(message(&[1.0, 2.0, -1e20, 0.0], 1), expected);
    }
}
