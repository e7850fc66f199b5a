use minilm_kernels::reference;

use super::*;

/// Numbers in about ±4, the same in every run.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 * 8.0 - 4.0
    };
    (0..n).map(|_| next()).collect()
}

/// What the function is, by the kernels' specification.
fn specified(function: SimilarityFunction, a: &[f32], b: &[f32]) -> f32 {
    match function {
        SimilarityFunction::Cosine => {
            let (mut a, mut b) = (a.to_vec(), b.to_vec());
            reference::l2_normalize(&mut a);
            reference::l2_normalize(&mut b);
            reference::dot(&a, &b)
        }
        SimilarityFunction::DotProduct => reference::dot(a, b),
        SimilarityFunction::Euclidean => -reference::euclidean_distance(a, b),
        SimilarityFunction::Manhattan => -reference::manhattan_distance(a, b),
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Shapes around pieces of rows and blocks of columns, on one thread and on several; the last is worth threads.
#[test]
fn every_similarity_has_the_bits_of_its_specification() {
    for (m, n, dimension) in [(1, 1, 3), (5, 7, 384), (3, 400, 384), (ROWS + 1, 20, 9), (600, 520, 20)] {
        let (a, b) = (numbers(m * dimension, 1), numbers(n * dimension, 2));
        let (a, b) = (Vectors::new(&a, dimension).unwrap(), Vectors::new(&b, dimension).unwrap());
        for &function in SimilarityFunction::ALL {
            let expected: Vec<f32> =
                a.rows().flat_map(|a| b.rows().map(move |b| specified(function, a, b))).collect();
            for isa in Isa::available() {
                for threads in [1, 2, 5] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let found = pool.install(|| similarity(isa, function, a, b)).unwrap();
                    let what = format!("{function} {m}×{n}×{dimension} on {isa}, {threads} threads");
                    assert_eq!(found.shape(), (m, n), "{what}");
                    assert!(bits(found.as_slice()) == bits(&expected), "{what}");
                }
            }
        }
    }
}

/// Few and many: the last are worth threads.
#[test]
fn pairs_have_the_bits_of_the_matrix() {
    for (n, dimension) in [(1, 5), (300, 16), (300, 16 * 1024)] {
        let (a, b) = (numbers(n * dimension, 3), numbers(n * dimension, 4));
        let (a, b) = (Vectors::new(&a, dimension).unwrap(), Vectors::new(&b, dimension).unwrap());
        for &function in SimilarityFunction::ALL {
            let pairs = function.similarity_pairwise(a, b).unwrap();
            assert_eq!(pairs.len(), n);
            for i in (0..n).step_by(7) {
                let single = function.similarity(a.row(i), b.row(i)).unwrap();
                assert_eq!(pairs[i].to_bits(), single.row(0)[0].to_bits(), "{function}: pair {i} of {n}");
            }
        }
    }
}

/// By the definition in complex numbers, in f64.
#[test]
fn the_angle_similarity_is_a_quotient_of_complex_numbers() {
    for dimension in [1, 2, 7, 384] {
        let (x, y) = (numbers(dimension, 5), numbers(dimension, 6));
        let half = dimension.div_ceil(2);
        let at = |v: &[f32], i: usize| v.get(i).map_or(0.0, |&x| f64::from(x));
        let norm = |v: &[f32]| v.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let z = norm(&y).powi(2);
        let parts = (0..half).map(|i| {
            let (a, b, c, d) = (at(&x, i), at(&x, half + i), at(&y, i), at(&y, half + i));
            ((a * c + b * d) / z + (b * c - a * d) / z) / (norm(&x) / norm(&y))
        });
        let expected = parts.sum::<f64>().abs();
        for isa in Isa::available() {
            let found = angle(isa, &x, &y);
            assert!(
                (f64::from(found) - expected).abs() < 1e-6,
                "{dimension} on {isa}: {found}, not {expected}"
            );
        }
    }
    assert!(pairwise_angle_sim(&vec![0.0; 4], &vec![1.0; 4]).unwrap()[0].is_nan());
}

#[test]
fn what_does_not_go_together_is_an_error() {
    let (two, three) = (vec![1.0; 2], vec![1.0; 3]);
    let dimensions = VectorsError::DimensionMismatch { expected: 2, found: 3 };
    let pairs = Vectors::new(&[1.0, 2.0, 3.0, 4.0], 2).unwrap();
    for &function in SimilarityFunction::ALL {
        assert_eq!(function.similarity(&two, &three).unwrap_err(), dimensions);
        assert_eq!(function.similarity_pairwise(&two, &three).unwrap_err(), dimensions);
        let lengths = VectorsError::LengthMismatch { expected: 1, found: 2 };
        assert_eq!(function.similarity_pairwise(&two, pairs).unwrap_err(), lengths);
    }
    assert_eq!(pairwise_angle_sim(&two, &three).unwrap_err(), dimensions);
}

#[test]
fn no_vectors_have_no_similarities() {
    let none = Vectors::new(&[], 0).unwrap();
    let two = Vectors::new(&[1.0, 2.0], 1).unwrap();
    for &function in SimilarityFunction::ALL {
        for (a, b) in [(none, two), (two, none), (none, none)] {
            let matrix = function.similarity(a, b).unwrap();
            assert_eq!((matrix.shape(), matrix.as_slice()), ((a.len(), b.len()), &[][..]));
            assert_eq!(matrix.rows().map(<[f32]>::len).collect::<Vec<_>>(), vec![0; a.len()]);
            assert_eq!(matrix.get(0, 0), None);
        }
        assert_eq!(function.similarity_pairwise(none, none).unwrap(), [0.0; 0]);
    }
}

/// As `torch.nn.functional.normalize`: a norm below 1e-12 is not divided by.
#[test]
fn zeros_have_the_cosine_0_and_small_vectors_a_small_one() {
    let vectors = [0.0, 0.0, 3e-13, 4e-13, 3.0, 4.0];
    let matrix = cos_sim(Vectors::new(&vectors, 2).unwrap(), &vec![3.0, 4.0]).unwrap();
    assert_eq!(matrix.get(0, 0), Some(0.0));
    assert!((matrix.row(1)[0] - 0.5).abs() < 1e-6 && (matrix.row(2)[0] - 1.0).abs() < 1e-6, "{matrix:?}");
    assert_eq!((matrix.get(0, 1), matrix.get(3, 0)), (None, None));
    assert_eq!(matrix.clone().into_vec(), matrix.rows().flatten().copied().collect::<Vec<_>>());
}

#[test]
fn names_lead_back_to_their_function() {
    for &function in SimilarityFunction::ALL {
        assert_eq!(function.name().parse(), Ok(function));
        assert_eq!(function.to_string(), function.name());
    }
    assert_eq!("dot_product".parse(), Ok(SimilarityFunction::DotProduct));
    let error = "hamming".parse::<SimilarityFunction>().unwrap_err();
    assert!(error.to_string().contains("\"hamming\"") && error.to_string().contains("manhattan"), "{error}");
}
