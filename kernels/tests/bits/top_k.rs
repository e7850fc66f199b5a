//! The k largest scores.

use minilm_kernels::{Hit, Isa, TopK, reference, top_k};

use crate::numbers::numbers;

/// Index and bits of each: equal only if a zero has its sign and a NaN its payload.
fn bits(hits: impl IntoIterator<Item = (usize, f32)>) -> Vec<(usize, u32)> {
    hits.into_iter().map(|(index, score)| (index, score.to_bits())).collect()
}

fn found(hits: Vec<Hit>) -> Vec<(usize, u32)> {
    bits(hits.into_iter().map(|hit| (hit.index, hit.score)))
}

/// In one piece, and in pieces that are no multiple of a vector, first to last and last to first.
fn check(what: &str, scores: &[f32], k: usize) {
    let expected = bits(reference::top_k(scores, k));
    for isa in Isa::available() {
        let what = format!("top {k} of {} {what} on {isa}", scores.len());
        assert_eq!(found(top_k(isa, scores, k)), expected, "{what}");
        let (mut forwards, mut backwards) = (TopK::new(k), TopK::new(k));
        let pieces: Vec<(usize, &[f32])> =
            scores.chunks(37).enumerate().map(|(i, piece)| (i * 37, piece)).collect();
        pieces.iter().for_each(|&(first, piece)| forwards.push(isa, first, piece));
        pieces.iter().rev().for_each(|&(first, piece)| backwards.push(isa, first, piece));
        assert_eq!(found(forwards.into_sorted()), expected, "{what}, in pieces");
        assert_eq!(found(backwards.into_sorted()), expected, "{what}, in pieces from the last to the first");
    }
}

const KS: [usize; 9] = [0, 1, 2, 3, 10, 16, 100, 1000, usize::MAX];

#[test]
fn scores_of_all_lengths() {
    for n in (0..=33).chain([127, 128, 129, 384, 1000]) {
        let x = numbers(n, n as u64 + 30);
        let mut ascending = x.clone();
        ascending.sort_by(f32::total_cmp);
        let descending: Vec<f32> = ascending.iter().rev().copied().collect();
        // Few values, each many times.
        let ties: Vec<f32> = x.iter().map(|x| (x * 0.5).round()).collect();
        for k in KS {
            check("mixed scores", &x, k);
            check("ascending scores", &ascending, k);
            check("descending scores", &descending, k);
            check("scores with ties", &ties, k);
            check("equal scores", &vec![0.25; n], k);
            check("lowest scores", &vec![f32::NEG_INFINITY; n], k);
            check("scores that are no numbers", &vec![f32::NAN; n], k);
        }
    }
}

/// The only scores that count stand in the last places of their blocks, in vectors' last lanes and tails.
#[test]
fn a_single_high_score_is_found_anywhere() {
    for n in [1, 16, 17, 128, 300] {
        for at in 0..n {
            let mut x = vec![-1.0; n];
            x[at] = f32::MIN_POSITIVE;
            for k in [1, 2] {
                check("scores, one high", &x, k);
            }
        }
    }
}

/// Each score in turn is NaN or an infinity or a zero of either sign, NaNs of either sign among them.
#[test]
fn zeros_infinities_and_nans() {
    let special =
        [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN, 1e-40, -1e-40, 1.0, f32::MAX];
    for n in [5, 10, 40, 300] {
        for stride in [1, 3, 7] {
            let x: Vec<f32> = (0..n).map(|i| special[i * stride % special.len()]).collect();
            for k in KS {
                check("special scores", &x, k);
            }
        }
        // NaNs fill the heap first, and have to leave it again.
        let mut x = vec![f32::NAN; n];
        x.extend([f32::NEG_INFINITY, -0.0, 0.0]);
        for k in KS {
            check("NaNs and three numbers", &x, k);
        }
    }
}

#[test]
fn what_comes_first_is_what_is_written_down() {
    let nan = f32::NAN;
    for isa in Isa::available() {
        let hits = top_k(isa, &[nan, -0.0, 0.0, 2.0, f32::NEG_INFINITY, 2.0], 9);
        let order: Vec<usize> = hits.iter().map(|hit| hit.index).collect();
        assert_eq!(order, [3, 5, 1, 2, 4, 0], "{isa}");
        assert_eq!(
            top_k(isa, &[1.0, 3.0, 2.0], 2),
            [Hit { index: 1, score: 3.0 }, Hit { index: 2, score: 2.0 }]
        );
    }
}

#[test]
#[should_panic(expected = "TopK: 2 scores from index 18446744073709551615 on")]
#[cfg(target_pointer_width = "64")]
fn an_index_that_is_no_index_is_named() {
    TopK::new(1).push(Isa::SCALAR, usize::MAX, &[0.0; 2]);
}
