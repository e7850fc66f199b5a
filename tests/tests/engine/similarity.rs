//! Similarities of golden vectors, against sentence-transformers in float64.

use minilm::{SimilarityFunction, Vectors, pairwise_angle_sim};
use minilm_tests::golden::GoldenTensors;

const DIMENSION: usize = 384;

/// Dot products may be off by so much of the product of both lengths (cosines by so much, then), distances by so much of
/// themselves. Measured: 1.5e-7 at most.
const TOLERANCE: f64 = 5e-7;

/// What an error is compared with.
fn scale(function: SimilarityFunction, a: &[f32], b: &[f32], expected: f64) -> f64 {
    let length = |x: &[f32]| x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    match function {
        SimilarityFunction::DotProduct => length(a) * length(b),
        SimilarityFunction::Euclidean | SimilarityFunction::Manhattan => expected.abs(),
        _ => 1.0,
    }
}

#[test]
fn matrices_are_those_of_sentence_transformers() {
    let (vectors, golden) = (GoldenTensors::open("vectors"), GoldenTensors::open("retrieval"));
    let mut worst = 0.0f64;
    for set in ["embeddings", "pooled"] {
        let rows = vectors.f32(set);
        let rows = Vectors::new(&rows, DIMENSION).unwrap();
        let (a, b) = (rows.range(0, 24), rows.range(24, 64));
        for &function in SimilarityFunction::ALL {
            let expected = golden.f64(&format!("matrix.{function}.{set}"));
            let found = function.similarity(a, b).unwrap();
            assert_eq!((found.shape(), expected.len()), ((24, 40), 24 * 40));
            for (i, (&found, expected)) in found.as_slice().iter().zip(expected).enumerate() {
                let scale = scale(function, a.row(i / 40), b.row(i % 40), expected);
                let off = (f64::from(found) - expected).abs() / scale;
                assert!(off <= TOLERANCE, "{function} of {set}, element {i}: {found} is not {expected}");
                worst = worst.max(off);
            }
        }
    }
    println!("matrices: off by {worst:.2e} at most");
}

#[test]
fn pairs_are_those_of_sentence_transformers() {
    let (vectors, golden) = (GoldenTensors::open("vectors"), GoldenTensors::open("retrieval"));
    let mut worst = 0.0f64;
    for set in ["embeddings", "pooled"] {
        let rows = vectors.f32(set);
        let rows = Vectors::new(&rows, DIMENSION).unwrap();
        let (a, b) = (rows.range(0, 40), rows.range(40, 80));
        let cases = SimilarityFunction::ALL
            .iter()
            .map(|&function| (function.name(), function, function.similarity_pairwise(a, b).unwrap()));
        // Between 0 and 1, as a cosine.
        let angle = ("angle", SimilarityFunction::Cosine, pairwise_angle_sim(a, b).unwrap());
        for (name, function, found) in cases.chain([angle]) {
            let expected = golden.f64(&format!("pairwise.{name}.{set}"));
            assert_eq!((found.len(), expected.len()), (40, 40));
            for (i, (found, expected)) in found.into_iter().zip(expected).enumerate() {
                let off = (f64::from(found) - expected).abs() / scale(function, a.row(i), b.row(i), expected);
                assert!(off <= TOLERANCE, "{name} of {set}, pair {i}: {found} is not {expected}");
                worst = worst.max(off);
            }
        }
    }
    println!("pairs: off by {worst:.2e} at most");
}

/// Numbers that every function computes without rounding.
#[test]
fn exact_numbers_have_exact_similarities() {
    let golden = GoldenTensors::open("retrieval");
    let vectors = golden.f32("ties.vectors");
    let vectors = Vectors::new(&vectors, 16).unwrap();
    for &function in SimilarityFunction::ALL {
        let (ids, scores) = (
            golden.i64(&format!("ties.search.{function}.ids")),
            golden.f64(&format!("ties.search.{function}.scores")),
        );
        let found = function.similarity(vectors.range(0, 8), vectors).unwrap();
        for (i, (id, score)) in ids.into_iter().zip(scores).enumerate() {
            let (query, id) = (i / 60, usize::try_from(id).unwrap());
            assert_eq!(f64::from(found.row(query)[id]), score, "{function} of {query} and {id}");
        }
    }
}
