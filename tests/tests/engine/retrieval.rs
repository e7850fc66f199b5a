//! Search, mining and communities of golden vectors, against sentence-transformers in float64.
//!
//! Scores of float32 are compared with a tolerance. Where an id is another one than there, its exact score must be the same
//! within the tolerance: PyTorch's order of equal scores is none, and near-ties are a matter of rounding.

use std::collections::BTreeMap;

use minilm::{
    CommunityDetectionOptions, EmbeddingPrecision, ParaphraseMiningOptions, QuantizationRanges,
    QuantizedCorpus, QuantizedEmbeddings, QuantizedSearchOptions, SearchHit, SearchOptions,
    SimilarityFunction, Vectors, community_detection, paraphrase_mining_embeddings, quantize_embeddings,
    semantic_search, semantic_search_quantized,
};
use minilm_tests::golden::GoldenTensors;

const DIMENSION: usize = 384;

/// Of a score, or of the largest of all if that is more: 1 for the cosine.
const TOLERANCE: f64 = 1e-6;

fn indices(golden: &GoldenTensors, name: &str) -> Vec<usize> {
    golden.i64(name).into_iter().map(|i| usize::try_from(i).expect("an index")).collect()
}

fn gather(vectors: &[f32], rows: &[usize]) -> Vec<f32> {
    rows.iter().flat_map(|row| &vectors[row * DIMENSION..][..DIMENSION]).copied().collect()
}

/// In float64.
fn exact(function: SimilarityFunction, a: &[f32], b: &[f32]) -> f64 {
    let both = || a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    let length = |x: &[f32]| x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    match function {
        SimilarityFunction::Euclidean => -both().map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt(),
        SimilarityFunction::Manhattan => -both().map(|(a, b)| (a - b).abs()).sum::<f64>(),
        SimilarityFunction::DotProduct => both().map(|(a, b)| a * b).sum(),
        _ => both().map(|(a, b)| a * b).sum::<f64>() / (length(a) * length(b)),
    }
}

/// Returns at how many places another vector stands, of the same score.
#[track_caller]
fn check_hits(
    function: SimilarityFunction,
    (query, corpus): (&[f32], Vectors<'_>),
    found: &[SearchHit],
    (ids, scores): (&[usize], &[f64]),
    tolerance: f64,
) -> usize {
    assert_eq!(found.len(), ids.len(), "{function}");
    let mut distinct: Vec<usize> = found.iter().map(|hit| hit.corpus_id).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), found.len(), "{function}: a hit comes twice: {found:?}");
    let mut others = 0;
    for (place, (hit, (&id, &score))) in found.iter().zip(ids.iter().zip(scores)).enumerate() {
        let off = (f64::from(hit.score) - score).abs();
        assert!(off <= tolerance, "{function}, place {place}: {hit:?}, not {id} with {score}");
        if hit.corpus_id != id {
            others += 1;
            // Rounded as scores are.
            let exact = f64::from(exact(function, query, corpus.row(hit.corpus_id)) as f32);
            assert!((exact - score).abs() <= tolerance, "{function}, place {place}: {hit:?}, not {id}");
        }
    }
    others
}

#[test]
fn hits_are_those_of_sentence_transformers() {
    let (vectors, golden) = (GoldenTensors::open("vectors"), GoldenTensors::open("retrieval"));
    let mut distinct = indices(&golden, "distinct");
    distinct.retain(|&row| row >= 20);
    for set in ["embeddings", "pooled"] {
        let rows = vectors.f32(set);
        let (queries, corpus) =
            (Vectors::new(&rows[..20 * DIMENSION], DIMENSION).unwrap(), gather(&rows, &distinct));
        let corpus = Vectors::new(&corpus, DIMENSION).unwrap();
        for &function in SimilarityFunction::ALL {
            let ids = indices(&golden, &format!("search.{function}.{set}.ids"));
            let scores = golden.f64(&format!("search.{function}.{set}.scores"));
            let options = SearchOptions::default().score_function(function);
            let found = semantic_search(queries, corpus, &options).unwrap();
            assert_eq!((found.len(), ids.len(), scores.len()), (20, 200, 200));
            let tolerance = TOLERANCE * scores.iter().fold(1.0, |most: f64, score| most.max(score.abs()));
            let mut others = 0;
            for (i, (found, expected)) in found.iter().zip(ids.chunks(10).zip(scores.chunks(10))).enumerate()
            {
                others += check_hits(function, (queries.row(i), corpus), found, expected, tolerance);
            }
            // No two of these scores are equal within the tolerance.
            assert_eq!(others, 0, "{function} of {set}: other hits, if of the same scores");

            // As many as reach it, of these same ones.
            let threshold = found[0][4].score;
            let some = semantic_search(queries, corpus, &options.score_threshold(threshold)).unwrap();
            for (some, all) in some.iter().zip(&found) {
                let reach: Vec<_> = all.iter().copied().filter(|hit| hit.score >= threshold).collect();
                assert_eq!(*some, reach, "{function} of {set}");
            }
        }
    }
}

/// All scores are exact here: those of every place are equal, and among equal ones ours come in the order of the corpus.
#[test]
fn hits_of_equal_scores_come_in_the_order_of_the_corpus() {
    let golden = GoldenTensors::open("retrieval");
    let vectors = golden.f32("ties.vectors");
    let corpus = Vectors::new(&vectors, 16).unwrap();
    let queries = corpus.range(0, 8);
    for &function in SimilarityFunction::ALL {
        let ids = indices(&golden, &format!("ties.search.{function}.ids"));
        let scores = golden.f64(&format!("ties.search.{function}.scores"));
        let options = SearchOptions::default().score_function(function).top_k(60);
        let found = semantic_search(queries, corpus, &options).unwrap();
        let mut ties = 0;
        for (i, (found, (ids, scores))) in found.iter().zip(ids.chunks(60).zip(scores.chunks(60))).enumerate()
        {
            check_hits(function, (queries.row(i), corpus), found, (ids, scores), 0.0);
            for pair in found.windows(2) {
                let tie = pair[0].score == pair[1].score;
                ties += usize::from(tie);
                assert!(!tie || pair[0].corpus_id < pair[1].corpus_id, "{function}: {pair:?}");
            }
        }
        assert!(ties > 200, "{function}: only {ties} ties");
    }
}

/// Ours and theirs by (i, j): all the same pairs, their scores within the tolerance, best first.
#[track_caller]
fn check_pairs(vectors: Vectors<'_>, options: &ParaphraseMiningOptions, golden: &GoldenTensors, name: &str) {
    let found = paraphrase_mining_embeddings(vectors, options).unwrap();
    let pairs = indices(golden, &format!("{name}.pairs"));
    let scores = golden.f64(&format!("{name}.scores"));
    let pairs: Vec<(usize, usize)> = pairs.as_chunks().0.iter().map(|&[i, j]| (i, j)).collect();
    assert_eq!((found.len(), pairs.len()), (scores.len(), scores.len()), "{name}");
    let tolerance = TOLERANCE * scores.iter().fold(1.0, |most: f64, score| most.max(score.abs()));
    for (place, (pair, score)) in found.iter().zip(&scores).enumerate() {
        assert!(
            (f64::from(pair.score) - score).abs() <= tolerance,
            "{name}, place {place}: {pair:?}, {score}"
        );
    }
    let expected: BTreeMap<(usize, usize), f64> = pairs.into_iter().zip(scores).collect();
    for pair in &found {
        let score =
            expected.get(&(pair.i, pair.j)).unwrap_or_else(|| panic!("{name}: {pair:?} is not there"));
        assert!((f64::from(pair.score) - score).abs() <= tolerance, "{name}: {pair:?}, not {score}");
    }
    let order = |pair: &minilm::ParaphrasePair| (pair.i, pair.j);
    for two in found.windows(2) {
        let ordered = two[0].score > two[1].score || order(&two[0]) < order(&two[1]);
        assert!(ordered && two[0].score >= two[1].score && two[0].i < two[0].j, "{name}: {two:?}");
    }
}

#[test]
fn paraphrases_are_those_of_sentence_transformers() {
    let (vectors, golden) = (GoldenTensors::open("vectors"), GoldenTensors::open("retrieval"));
    let rows = indices(&golden, "distinct");
    let (embeddings, pooled) =
        (gather(&vectors.f32("embeddings"), &rows), gather(&vectors.f32("pooled"), &rows));
    for (function, set, top_k, max_pairs) in [
        (SimilarityFunction::Cosine, "embeddings", 5, 500_000),
        (SimilarityFunction::DotProduct, "pooled", 3, 500_000),
        (SimilarityFunction::Euclidean, "embeddings", 3, 500_000),
        (SimilarityFunction::Cosine, "embeddings", 100, 300),
    ] {
        let options = ParaphraseMiningOptions::default();
        let options = options.score_function(function).top_k(top_k).max_pairs(max_pairs);
        let vectors = if set == "pooled" { &pooled } else { &embeddings };
        let vectors = Vectors::new(vectors, DIMENSION).unwrap();
        check_pairs(vectors, &options, &golden, &format!("mining.{function}.{set}.{top_k}.{max_pairs}"));
    }
    let ties = golden.f32("ties.vectors");
    let options = ParaphraseMiningOptions::default().top_k(60);
    check_pairs(Vectors::new(&ties, 16).unwrap(), &options, &golden, "ties.mining");
}

#[test]
fn quantised_vectors_are_searched_as_by_sentence_transformers() {
    let (vectors, golden) = (GoldenTensors::open("vectors"), GoldenTensors::open("retrieval"));
    let embeddings = vectors.f32("embeddings");
    let queries = Vectors::new(&embeddings[..20 * DIMENSION], DIMENSION).unwrap();
    let rows: Vec<usize> = indices(&golden, "distinct").into_iter().filter(|&row| row >= 20).collect();
    let corpus = gather(&embeddings, &rows);
    let corpus = Vectors::new(&corpus, DIMENSION).unwrap();
    let ranges = QuantizationRanges::of(corpus).unwrap();
    for precision in [EmbeddingPrecision::Int8, EmbeddingPrecision::Uint8, EmbeddingPrecision::Ubinary] {
        let quantized = quantize_embeddings(corpus, precision, Some(&ranges)).unwrap();
        let quantized = quantized.corpus(DIMENSION).unwrap();
        let multiplier = if precision == EmbeddingPrecision::Ubinary { rows.len() } else { 2 };
        let options = QuantizedSearchOptions::default().rescore_multiplier(multiplier);
        let search = |options| semantic_search_quantized(queries, quantized, Some(&ranges), options).unwrap();
        let scores = golden.f64(&format!("quantized.{precision}.scores"));
        let ids = indices(&golden, &format!("quantized.{precision}.ids"));
        let found = search(&options);
        assert_eq!((found.len(), ids.len()), (20, 200));
        for (hits, (ids, scores)) in found.iter().zip(ids.chunks(10).zip(scores.chunks(10))) {
            assert_eq!(hits.iter().map(|hit| hit.corpus_id).collect::<Vec<_>>(), ids, "{precision}");
            for (hit, score) in hits.iter().zip(scores) {
                let off = (f64::from(hit.score) - score).abs() / score.abs().max(1.0);
                assert!(off <= 3e-6, "{precision}: {hit:?}, not {score}");
            }
        }
        // What comes out of bytes and bits themselves is exact; bits that differ are counted below 0 here.
        if precision != EmbeddingPrecision::Int8 {
            let scores = golden.f64(&format!("quantized.{precision}.not_rescored"));
            let found = search(&options.clone().rescore(false));
            let found: Vec<f64> = found.iter().flatten().map(|hit| f64::from(hit.score).abs()).collect();
            assert_eq!(found, scores, "{precision}");
        }
    }
}

#[test]
fn bits_with_and_without_128_are_the_same_corpus() {
    let embeddings = GoldenTensors::open("vectors").f32("embeddings");
    // A dimension that does not fill its bytes.
    let cut: Vec<f32> = embeddings.chunks(DIMENSION).flat_map(|row| &row[..13]).copied().collect();
    let vectors = Vectors::new(&cut, 13).unwrap();
    let quantized = |precision| quantize_embeddings(vectors, precision, None).unwrap();
    let QuantizedEmbeddings::Binary(binary) = quantized(EmbeddingPrecision::Binary) else { panic!("binary") };
    let QuantizedEmbeddings::Ubinary(ubinary) = quantized(EmbeddingPrecision::Ubinary) else {
        panic!("ubinary")
    };
    let queries = vectors.range(0, 9);
    for rescore in [true, false] {
        let options = QuantizedSearchOptions::default().rescore(rescore);
        let search = |corpus| semantic_search_quantized(queries, corpus, None, &options).unwrap();
        let found = search(QuantizedCorpus::ubinary(&ubinary, 13).unwrap());
        assert_eq!(search(QuantizedCorpus::binary(&binary, 13).unwrap()), found);
        assert!(found.iter().all(|hits| hits.len() == 10));
    }
    let error = QuantizedCorpus::ubinary(&ubinary[1..], 13).unwrap_err().to_string();
    assert!(error.contains("no whole vectors of dimension 2"), "{error}");
    let bytes = QuantizedCorpus::uint8(&[0; 26], 13).unwrap();
    let options = QuantizedSearchOptions::default();
    let error = semantic_search_quantized(queries, bytes, None, &options).unwrap_err().to_string();
    assert_eq!(error, "uint8 needs the ranges by which the corpus was quantised");
    // Ranges of no components fit no vectors.
    let no_ranges = QuantizationRanges::new(Vec::new(), Vec::new()).unwrap();
    let error =
        semantic_search_quantized(queries, bytes, Some(&no_ranges), &options).unwrap_err().to_string();
    assert_eq!(error, "vectors of dimension 0 and of dimension 13 do not go together");
    let error = semantic_search_quantized(&cut[..12], bytes, None, &options).unwrap_err().to_string();
    assert_eq!(error, "vectors of dimension 13 and of dimension 12 do not go together");
    let none = QuantizedCorpus::ubinary(&[], 13).unwrap();
    assert_eq!(semantic_search_quantized(queries, none, None, &options).unwrap(), vec![Vec::new(); 9]);
}

/// The same communities in the same order. Within each, the first is the central point there and here, or one that has the
/// same vector, and cosines to it fall.
#[track_caller]
fn check_communities(
    vectors: Vectors<'_>,
    golden: &GoldenTensors,
    prefix: &str,
    threshold: f32,
    size: usize,
) {
    let options = CommunityDetectionOptions::default().threshold(threshold).min_community_size(size);
    let found = community_detection(vectors, &options).unwrap();
    let name = format!("{prefix}.{threshold:?}.{size}");
    let (members, sizes) =
        (indices(golden, &format!("{name}.members")), indices(golden, &format!("{name}.sizes")));
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), sizes, "{name}");
    assert!(sizes.len() >= 2 && sizes.iter().all(|&n| n >= size), "{name}: {sizes:?}");
    let mut members = &members[..];
    for (found, size) in found.iter().zip(sizes) {
        let (expected, rest) = members.split_at(size);
        members = rest;
        let sorted = |list: &[usize]| {
            let mut list = list.to_vec();
            list.sort_unstable();
            list
        };
        assert_eq!(sorted(found), sorted(expected), "{name}");
        let cosine = |i: usize, j: usize| exact(SimilarityFunction::Cosine, vectors.row(i), vectors.row(j));
        // The same order, or one of the same cosines to what comes first there.
        for (&ours, &theirs) in found.iter().zip(expected) {
            let off = cosine(expected[0], ours) - cosine(expected[0], theirs);
            assert!(ours == theirs || off.abs() <= TOLERANCE, "{name}: {found:?} is not {expected:?}");
        }
    }
}

#[test]
fn communities_are_those_of_sentence_transformers() {
    let (vectors, golden) = (GoldenTensors::open("vectors"), GoldenTensors::open("retrieval"));
    let embeddings = vectors.f32("embeddings");
    let embeddings = Vectors::new(&embeddings, DIMENSION).unwrap();
    for (threshold, size) in [(0.75, 10), (0.6, 3), (0.5, 2)] {
        check_communities(embeddings, &golden, "communities", threshold, size);
    }
    let ties = golden.f32("ties.vectors");
    let ties = Vectors::new(&ties, 16).unwrap();
    for (threshold, size) in [(0.75, 5), (0.875, 2), (1.0, 2)] {
        check_communities(ties, &golden, "ties.communities", threshold, size);
    }
}
