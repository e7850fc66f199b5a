use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// As scipy 1.17.1 computes it.
#[track_caller]
fn is_close(found: Option<f64>, expected: f64) {
    let found = found.expect("it is defined");
    assert!((found - expected).abs() < 1e-13, "{found}, expected {expected}");
}

/// 200 numbers in [0, 1) and 200 of 0, 1, … 7.
fn random_numbers() -> (Vec<f64>, Vec<f64>) {
    let mut state = 1_u64;
    let mut next = || {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        state
    };
    let fractions = (0..200).map(|_| next() as f64 / f64::from(1_u32 << 31)).collect();
    (fractions, (0..200).map(|_| (next() >> 28) as f64).collect())
}

#[test]
fn correlations_are_those_of_scipy() {
    let x = [0.1, 0.9, 0.35, 0.62, 0.2, 0.77, -0.4];
    let y = [1.2, 4.9, 0.3, 3.3, 1.5, 2.2, 0.9];
    is_close(spearman(&x, &y), 0.7500000000000002);
    is_close(pearson(&x, &y), 0.7345471199076654);
    let (x, y) = ([1.0, 2.0, 3.0, 4.0, 5.0, 5.0], [9.0, 7.0, 7.0, 3.0, 2.0, 1.0]);
    is_close(spearman(&x, &y), -0.9705882352941178);
    is_close(pearson(&x, &y), -0.9670436916589067);
    let (x, y) = random_numbers();
    is_close(spearman(&x, &y), 0.07997814362050763);
    is_close(pearson(&x, &y), 0.08840014617028671);
}

#[test]
fn ties_share_the_mean_of_their_ranks() {
    let x = [0.93, 0.41, 0.41, 0.77, -0.12, 0.05, 0.41, 0.88, 0.93, 0.3];
    let y = [5.0, 2.0, 3.2, 3.2, 0.0, -0.0, 1.4, 4.8, 4.8, 3.2];
    assert_eq!(ranks(&x), [9.5, 5.0, 5.0, 7.0, 1.0, 2.0, 5.0, 8.0, 9.5, 3.0]);
    assert_eq!(ranks(&y), [10.0, 4.0, 6.0, 6.0, 1.5, 1.5, 3.0, 8.5, 8.5, 6.0]);
    is_close(spearman(&x, &y), 0.8871516944304495);
    is_close(pearson(&x, &y), 0.9195969983190737);
}

#[test]
fn constants_have_no_correlation() {
    for constant in [0.0, 0.1, -3.3, 1e300, 5e-324] {
        // Seven times 0.1 is not 0.7.
        let (x, y) = ([constant; 7], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!((spearman(&x, &y), pearson(&x, &y)), (None, None), "{constant}");
        assert_eq!((spearman(&y, &x), pearson(&y, &x)), (None, None), "{constant}");
    }
    assert_eq!((spearman(&[], &[]), pearson(&[], &[])), (None, None));
    assert_eq!((spearman(&[1.0], &[2.0]), pearson(&[1.0], &[2.0])), (None, None));
}

#[test]
fn the_scale_of_numbers_does_not_matter() {
    let y = [1.0, 2.0, 4.0, 3.0];
    for scale in [1.0, 1e-320, 1e-200, 1e200, f64::MAX] {
        let x = [-scale, 0.0, scale, scale / 2.0];
        is_close(pearson(&x, &y), 0.9827076298239908);
        is_close(spearman(&x, &y), 1.0);
    }
}

#[test]
fn agreement_is_of_vectors_in_the_same_places() {
    let in_f32: [&[f32]; 4] = [&[1.0, 0.0], &[0.0, 1.0], &[0.0, 0.0], &[3.0, 4.0]];
    let itself = Agreement::of(in_f32.into_iter(), in_f32.into_iter());
    assert_eq!(itself, Agreement { mean: 1.0, p1: 1.0, min: 1.0 });

    // Cosines of 1, 0.6, 1 and 0.96.
    let vectors: [&[f32]; 4] = [&[7.0, 0.0], &[4.0, 3.0], &[0.0, 0.0], &[4.0, 3.0]];
    let Agreement { mean, p1, min } = Agreement::of(vectors.into_iter(), in_f32.into_iter());
    is_close(Some(mean), 0.89);
    is_close(Some(p1), 0.6);
    is_close(Some(min), 0.6);

    // 200 pairs, of which the least is not the first percentile: one of 0, one of 0.6, and equal ones.
    let (in_f32, mut vectors) = ([&[1.0, 0.0][..]; 200], [&[1.0, 0.0][..]; 200]);
    (vectors[70], vectors[140]) = (&[0.0, 1.0], &[3.0, 4.0]);
    let Agreement { p1, min, .. } = Agreement::of(vectors.into_iter(), in_f32.into_iter());
    is_close(Some(p1), 0.6);
    is_close(Some(min), 0.0);
}

#[test]
fn cosines() {
    assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), 0.0);
    assert_eq!(cosine(&[3.0, 4.0], &[-6.0, -8.0]), -1.0);
    is_close(Some(cosine(&[1.0, 2.0, 3.0], &[-1.0, 0.5, 4.0])), 12.0 / (14.0_f64 * 17.25).sqrt());
    assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), 0.0);
    assert_eq!(cosine(&[f32::MAX; 400], &[f32::MAX; 400]), 1.0);
    assert!(cosine(&[f32::NAN, 1.0], &[1.0, 0.0]).is_nan());
    assert!(cosine(&[f32::INFINITY, 1.0], &[1.0, 0.0]).is_nan());
}

#[test]
fn nothing_is_lost_of_equal_vectors() {
    assert_eq!(Agreement::of_two(&[0.0, 0.0], &[0.0, 0.0]), 1.0);
    assert_eq!(Agreement::of_two(&[0.1, 0.7], &[0.1, 0.7]), 1.0);
    assert_eq!(Agreement::of_two(&[0.0, 0.0], &[1.0, 0.0]), 0.0);
    is_close(Some(Agreement::of_two(&[4.0, 3.0], &[7.0, 0.0])), 0.8);
    assert!(Agreement::of_two(&[f32::NAN], &[f32::NAN]).is_nan());
}

#[test]
fn deviations_are_relative_to_what_should_be() {
    let of = |found: &[f32], expected: &[f32]| Deviation::of(found, expected);
    is_close(Some(of(&[3.0, 4.5, -1.0], &[3.0, 4.0, 0.0]).relative()), 1.25_f64.sqrt() / 5.0);
    // All tensors count as one: not the mean of 0 and 0.5.
    let sum: Deviation = [of(&[3.0, 4.0], &[3.0, 4.0]), of(&[5.0], &[10.0])].into_iter().sum();
    is_close(Some(sum.relative()), 5.0 / 125.0_f64.sqrt());
    // In f64: these squares are no f32, and a rounding of the last bit is seen.
    is_close(Some(of(&[2e38, 0.0], &[1e38, 0.0]).relative()), 1.0);
    assert_eq!(of(&[1.0 + f32::EPSILON], &[1.0]).relative(), f64::from(f32::EPSILON));

    assert_eq!(of(&[], &[]).relative(), 0.0);
    assert_eq!(of(&[0.0], &[0.0]).relative(), 0.0);
    assert_eq!(of(&[1.0], &[0.0]).relative(), f64::INFINITY);
    assert!(of(&[f32::NAN], &[1.0]).relative().is_nan());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rank_counts_what_is_smaller_and_half_of_what_is_equal(values in vec(-4..5_i32, 0..60)) {
        let values: Vec<f64> = values.into_iter().map(|value| f64::from(value) / 3.0).collect();
        let ranks = ranks(&values);
        prop_assert_eq!(ranks.len(), values.len());
        for (value, rank) in values.iter().zip(ranks) {
            let smaller = values.iter().filter(|other| *other < value).count();
            let equal = values.iter().filter(|other| *other == value).count();
            prop_assert_eq!(rank, smaller as f64 + (equal + 1) as f64 / 2.0);
        }
    }

    #[test]
    fn correlations_are_between_minus_one_and_one(
        pairs in vec((proptest::num::f64::NORMAL, proptest::num::f64::NORMAL), 0..20),
    ) {
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        for correlation in [pearson(&x, &y), spearman(&x, &y)].into_iter().flatten() {
            prop_assert!((-1.0..=1.0).contains(&correlation));
        }
        if let Some(with_itself) = pearson(&x, &x) {
            prop_assert!((with_itself - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn vectors_have_exactly_one_with_themselves(vector in vec(-1.0e3..1.0e3_f32, 1..100)) {
        prop_assume!(vector.iter().any(|&x| x != 0.0));
        prop_assert_eq!(cosine(&vector, &vector), 1.0);
    }
}
