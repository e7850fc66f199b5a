//! Against what sentence-transformers does, written down plainly, on every instruction set and with several threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minilm_kernels::{Isa, reference};
use minilm_storage::{Vectors, VectorsError};

use super::community_detection::detect;
use super::paraphrase_mining::mine;
use super::quantized_search::search_quantized;
use super::semantic_search::search;
use super::*;
use crate::{
    EmbeddingPrecision, QuantizationRanges, QuantizedEmbeddings, SimilarityFunction, quantize_embeddings,
};

/// Vectors around a few directions, some of them twice: scores of all sizes, and ties.
fn clustered(n: usize, dimension: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let centres: Vec<f32> = (0..5 * dimension).map(|_| next()).collect();
    let mut vectors: Vec<f32> = Vec::with_capacity(n * dimension);
    for i in 0..n {
        let choice = next();
        let twin = ((choice + 0.5) * i as f32) as usize;
        if i > 0 && choice.abs() < 0.1 {
            vectors.extend_from_within(twin * dimension..(twin + 1) * dimension);
        } else {
            let centre = &centres[((choice + 0.5) * 4.99) as usize * dimension..][..dimension];
            let length = 1.5 + next();
            vectors.extend(centre.iter().map(|x| length * (x + 0.4 * next())).collect::<Vec<_>>());
        }
    }
    vectors
}

/// `[m][n]`, by `similarity`, whose bits have their own tests.
fn scores(function: SimilarityFunction, a: Vectors<'_>, b: Vectors<'_>) -> Vec<Vec<f32>> {
    let matrix = function.similarity(a, b).unwrap();
    matrix.rows().map(<[f32]>::to_vec).collect()
}

/// On every instruction set, on one thread and on several.
fn each_way(mut check: impl FnMut(Isa, usize) + Send) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    pool.install(|| {
        for isa in Isa::available() {
            for threads in [1, 2, 0] {
                check(isa, threads);
            }
        }
    });
}

/// A total that comes with every step, and the greatest step.
fn counter() -> (Arc<AtomicU64>, Arc<AtomicU64>, Arc<dyn RetrievalProgress>) {
    let (most, total) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (a, b) = (Arc::clone(&most), Arc::clone(&total));
    let listener = Arc::new(move |pairs: u64, of: u64| {
        a.fetch_max(pairs, Ordering::Relaxed);
        b.fetch_max(of, Ordering::Relaxed);
    });
    (most, total, listener)
}

#[test]
fn hits_are_the_best_of_all_scores() {
    // 218 vectors a block.
    let dimension = 300;
    let (queries, corpus) = (clustered(260, dimension, 1), clustered(700, dimension, 2));
    let corpus = Vectors::new(&corpus, dimension).unwrap();
    for (q, n) in [(1, 700), (260, 700), (260, 7), (3, 0), (0, 10)] {
        let queries = Vectors::new(&queries[..q * dimension], dimension).unwrap();
        let corpus = corpus.range(0, n);
        for &function in SimilarityFunction::ALL {
            let all = scores(function, queries, corpus);
            let ways = [(10, None), (1, Some(0.5)), (0, None), (usize::MAX, Some(-20.0))];
            for (top_k, threshold) in ways.into_iter().take(if q * n > 10_000 { 1 } else { 4 }) {
                let expected: Vec<Vec<SearchHit>> = all
                    .iter()
                    .map(|scores| {
                        let hits = reference::top_k(scores, top_k).into_iter();
                        let hits = hits.filter(|hit| threshold.is_none_or(|least| hit.1 >= least));
                        hits.map(|(corpus_id, score)| SearchHit { corpus_id, score }).collect()
                    })
                    .collect();
                each_way(|isa, threads| {
                    let (done, total, listener) = counter();
                    let mut options = SearchOptions::default().top_k(top_k).score_function(function);
                    options = options.threads(threads).progress(listener);
                    options.score_threshold = threshold;
                    let found = search(isa, queries, corpus, &options).unwrap();
                    assert!(
                        found == expected,
                        "{function}: {top_k} of {n} for {q}, {isa}, {threads} threads"
                    );
                    assert_eq!(done.load(Ordering::Relaxed), (q * n) as u64);
                    assert_eq!(total.load(Ordering::Relaxed), (q * n) as u64);
                });
            }
        }
    }
}

/// Of each query all scores by the specification of the kernels, and the numbers that rows stand for.
fn quantized_scores(
    queries: &QuantizedEmbeddings,
    rows: &QuantizedEmbeddings,
    dimension: usize,
) -> (Vec<Vec<i32>>, Vec<Vec<f32>>) {
    fn all<T>(queries: &[T], rows: &[T], width: usize, score: impl Fn(&[T], &[T]) -> i32) -> Vec<Vec<i32>> {
        let of = |query| rows.chunks(width).map(|row| score(query, row)).collect();
        queries.chunks(width).map(of).collect()
    }
    let plain = |bits: &[i8]| -> Vec<u8> { bits.iter().map(|&byte| byte as u8 ^ 0x80).collect() };
    let distance = |a: &[u8], b: &[u8]| -reference::hamming_distance(a, b);
    let of_bits = |queries: &[u8], rows: &[u8]| {
        let width = dimension.div_ceil(8);
        (all(queries, rows, width, distance), rows.chunks(width).map(reference::bits_as_numbers).collect())
    };
    match (queries, rows) {
        (QuantizedEmbeddings::Int8(queries), QuantizedEmbeddings::Int8(rows)) => {
            let numbers = rows.chunks(dimension).map(|row| row.iter().map(|&x| f32::from(x)).collect());
            (all(queries, rows, dimension, reference::dot_int8), numbers.collect())
        }
        (QuantizedEmbeddings::Uint8(queries), QuantizedEmbeddings::Uint8(rows)) => {
            let numbers = rows.chunks(dimension).map(|row| row.iter().map(|&x| f32::from(x)).collect());
            (all(queries, rows, dimension, reference::dot_uint8), numbers.collect())
        }
        (QuantizedEmbeddings::Binary(queries), QuantizedEmbeddings::Binary(rows)) => {
            of_bits(&plain(queries), &plain(rows))
        }
        (QuantizedEmbeddings::Ubinary(queries), QuantizedEmbeddings::Ubinary(rows)) => of_bits(queries, rows),
        _ => panic!("both are of one precision, and not floats"),
    }
}

#[test]
fn quantised_hits_are_the_best_of_all_scores_whatever_the_pieces() {
    // Bits that do not fill their bytes; more queries than go through the corpus together.
    let (m, n, dimension) = (260, 150, 21);
    let (queries, corpus) = (clustered(m, dimension, 6), clustered(n, dimension, 7));
    let queries = Vectors::new(&queries, dimension).unwrap();
    let corpus = Vectors::new(&corpus, dimension).unwrap();
    let ranges = QuantizationRanges::of(corpus).unwrap();
    for &precision in &EmbeddingPrecision::ALL[1..] {
        let quantized = |vectors| quantize_embeddings(vectors, precision, Some(&ranges)).unwrap();
        let rows = quantized(corpus);
        let (scores, numbers) = quantized_scores(&quantized(queries), &rows, dimension);
        for (top_k, rescore, multiplier) in [(5, false, 3), (5, true, 3), (3, true, usize::MAX), (0, true, 2)]
        {
            let found = |(corpus_id, score)| SearchHit { corpus_id, score };
            let expected: Vec<Vec<SearchHit>> = scores
                .iter()
                .zip(queries.rows())
                .map(|(scores, query)| {
                    if !rescore {
                        let best = reference::top_k_integers(scores, top_k).into_iter();
                        return best.map(|(index, score)| found((index, score as f32))).collect();
                    }
                    let mut candidates = reference::top_k_integers(scores, top_k.saturating_mul(multiplier));
                    candidates.sort_unstable();
                    let rescored: Vec<f32> = candidates
                        .iter()
                        .map(|&(index, _)| reference::dot_of_numbers(query, &numbers[index]))
                        .collect();
                    let best = reference::top_k(&rescored, top_k).into_iter();
                    best.map(|(index, score)| found((candidates[index].0, score))).collect()
                })
                .collect();
            each_way(|isa, threads| {
                // A vector at a time, some, and all.
                for piece in [1, 200, 1 << 20] {
                    let (done, total, listener) = counter();
                    let options = QuantizedSearchOptions::default().top_k(top_k).rescore(rescore);
                    let options = options.rescore_multiplier(multiplier).threads(threads).progress(listener);
                    let corpus = rows.corpus(dimension).unwrap();
                    let found =
                        search_quantized(isa, queries, corpus, Some(&ranges), &options, piece).unwrap();
                    assert!(
                        found == expected,
                        "{precision}: {top_k}, rescored {rescore}, {isa}, {threads} threads, pieces of {piece}"
                    );
                    assert_eq!(done.load(Ordering::Relaxed), (m * n) as u64);
                    assert_eq!(total.load(Ordering::Relaxed), (m * n) as u64);
                }
            });
        }
    }
}

#[test]
fn scores_that_are_no_numbers_come_last_and_reach_no_threshold() {
    let corpus = [f32::NAN, 0.0, 0.5, 0.5, f32::INFINITY, f32::INFINITY, -1.0, 0.0];
    let corpus = Vectors::new(&corpus, 2).unwrap();
    let query = vec![1.0, 0.0];
    let found = semantic_search(&query, corpus, &SearchOptions::default()).unwrap();
    let order: Vec<usize> = found[0].iter().map(|hit| hit.corpus_id).collect();
    assert_eq!(order, [1, 3, 0, 2]);
    assert!(found[0][2].score.is_nan() && found[0][3].score.is_nan());
    let options = SearchOptions::default().score_threshold(f32::NEG_INFINITY);
    assert_eq!(semantic_search(&query, corpus, &options).unwrap()[0].len(), 2);
}

/// `paraphrase_mining_embeddings` of util/retrieval.py, with chunks larger than the set.
fn twin_of_mining(all: &[Vec<f32>], options: &ParaphraseMiningOptions) -> Vec<(f32, usize, usize)> {
    let mut queue: Vec<(f32, usize, usize)> = Vec::new();
    let (mut min_score, mut num_added) = (options.min_score, 0);
    for (i, scores) in all.iter().enumerate() {
        for (j, score) in reference::top_k(scores, options.top_k + 1) {
            if i != j && score > min_score {
                queue.push((score, i, j));
                queue.sort_by(|a, b| b.partial_cmp(a).unwrap());
                num_added += 1;
                if num_added >= options.max_pairs {
                    min_score = queue.pop().unwrap().0;
                }
            }
        }
    }
    let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
    for (score, i, j) in queue.into_iter().rev() {
        let (i, j) = (i.min(j), i.max(j));
        if !pairs.iter().any(|pair| (pair.1, pair.2) == (i, j)) {
            pairs.push((score, i, j));
        }
    }
    // The order among equal scores is ours.
    pairs.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap().then((a.1, a.2).cmp(&(b.1, b.2))));
    pairs
}

#[test]
fn pairs_are_those_of_the_twin() {
    let dimension = 12;
    let vectors = clustered(400, dimension, 3);
    for n in [0, 1, 2, 40, 400] {
        let vectors = Vectors::new(&vectors[..n * dimension], dimension).unwrap();
        for &function in SimilarityFunction::ALL {
            let all = scores(function, vectors, vectors);
            for (top_k, max_pairs) in [(100, 500_000), (2, 500), (3, 37), (0, 10), (5, 1), (5, 0)] {
                for min_score in [-1.0, f32::NEG_INFINITY] {
                    if n == 400 && (top_k == 100 || min_score != -1.0) {
                        continue; // The twin's queue is slow.
                    }
                    let (_, _, listener) = counter();
                    let mut options = ParaphraseMiningOptions::default()
                        .top_k(top_k)
                        .max_pairs(max_pairs)
                        .score_function(function)
                        .min_score(min_score)
                        .progress(listener);
                    let expected = twin_of_mining(&all, &options);
                    each_way(|isa, threads| {
                        options.threads = threads;
                        let found = mine(isa, vectors, &options).unwrap();
                        let found: Vec<_> = found.iter().map(|pair| (pair.score, pair.i, pair.j)).collect();
                        assert!(found == expected, "{function}, {n}, {top_k}, {max_pairs}, {isa}: {threads}");
                    });
                }
            }
        }
    }
}

/// `community_detection` of util/retrieval.py, with the centre first.
fn twin_of_detection(all: &[Vec<f32>], options: &CommunityDetectionOptions) -> Vec<Vec<usize>> {
    let least = options.min_community_size.min(all.len()).max(1);
    let mut communities: Vec<Vec<usize>> = Vec::new();
    for (centre, scores) in all.iter().enumerate() {
        let close = reference::top_k(scores, scores.len()).into_iter();
        let close = close.filter(|(_, score)| *score >= options.threshold);
        let mut community: Vec<usize> = close.map(|(i, _)| i).collect();
        if community.len() >= least {
            community.sort_by_key(|&i| i != centre);
            communities.push(community);
        }
    }
    communities.sort_by_key(|community| std::cmp::Reverse(community.len()));
    let mut used = vec![false; all.len()];
    let mut unique = Vec::new();
    for mut community in communities {
        community.retain(|&i| !used[i]);
        if community.len() >= least {
            community.iter().for_each(|&i| used[i] = true);
            unique.push(community);
        }
    }
    unique.sort_by_key(|community: &Vec<usize>| std::cmp::Reverse(community.len()));
    unique
}

#[test]
fn communities_are_those_of_the_twin() {
    let dimension = 300;
    let vectors = clustered(600, dimension, 4);
    let mut most = 0;
    for n in [0, 1, 5, 100, 600] {
        let vectors = Vectors::new(&vectors[..n * dimension], dimension).unwrap();
        let all = scores(SimilarityFunction::Cosine, vectors, vectors);
        for threshold in
            [0.75, 0.88, -2.0, 0.95, 1.0, 2.0, f32::NAN].into_iter().take(if n > 100 { 3 } else { 7 })
        {
            for size in [2, 10, 0, 2000].into_iter().take(if n > 100 { 2 } else { 4 }) {
                let mut options =
                    CommunityDetectionOptions::default().threshold(threshold).min_community_size(size);
                let expected = twin_of_detection(&all, &options);
                most = most.max(expected.len());
                each_way(|isa, threads| {
                    let (done, total, listener) = counter();
                    options = options.clone().threads(threads).progress(listener);
                    // Many batches, and one community a batch.
                    for members in [1 << 22, 900, 1].into_iter().take(if threads == 0 { 3 } else { 1 }) {
                        let found = detect(isa, vectors, &options, members).unwrap();
                        let what = format!("{n}, {threshold}, {size}, {members}, {isa}, {threads} threads");
                        assert!(found == expected, "{what}: {found:?} is not {expected:?}");
                    }
                    assert_eq!(done.load(Ordering::Relaxed), total.load(Ordering::Relaxed));
                });
            }
        }
    }
    assert!(most > 10, "at most {most} communities show nothing");
}

#[test]
fn vectors_that_are_not_finite_are_an_error() {
    let vectors = [1.0, 2.0, f32::NAN, 4.0];
    let vectors = Vectors::new(&vectors, 2).unwrap();
    let error = VectorsError::NotFinite { vector: 1, component: 0, value: "NaN".to_owned() };
    assert_eq!(semantic_search(vectors, &vec![1.0, 2.0], &SearchOptions::default()), Err(error.clone()));
    let mining = ParaphraseMiningOptions::default();
    assert_eq!(paraphrase_mining_embeddings(vectors, &mining), Err(error.clone()));
    assert_eq!(community_detection(vectors, &CommunityDetectionOptions::default()), Err(error));
    let mismatch = VectorsError::DimensionMismatch { expected: 1, found: 2 };
    assert_eq!(semantic_search(&vec![1.0], vectors, &SearchOptions::default()), Err(mismatch));
}
