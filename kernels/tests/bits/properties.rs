//! What must hold for any input: bits of the reference for random shapes and numbers, and laws that the
//! reference itself has to obey.

use minilm_kernels::{
    Activation, AttentionParameters, AttentionScratch, Epilogue, Isa, LayerNorm, NarrowRows, PackedLinear,
    Precision, activate, attention, dot, euclidean_distance_matrix, l2_normalize, layer_norm, linear,
    manhattan_distance_matrix, reference, similarity_matrix, softmax, top_k,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::activations::ACTIVATIONS;
use crate::attention::{ATTENTION_PRECISIONS, specified as specified_attention, with_and_without_bias};
use crate::linear::specified;
use crate::numbers::assert_bits;

type DistanceMatrix = fn(Isa, &[f32], &[f32], usize, &mut [f32]);
type SpecifiedMatrix = fn(&[f32], &[f32], usize) -> Vec<f32>;

/// Any number that is neither NaN nor infinite: both zeros, denormals, the largest.
fn any_finite() -> impl Strategy<Value = f32> {
    prop::num::f32::ZERO | prop::num::f32::SUBNORMAL | prop::num::f32::NORMAL
}

/// Numbers whose products and sums stay finite.
fn moderate() -> impl Strategy<Value = f32> {
    prop_oneof![8 => -8.0f32..8.0, 1 => prop::num::f32::SUBNORMAL | prop::num::f32::ZERO, 1 => -1e4f32..1e4]
}

/// One or more rows of one width.
fn rows(most_rows: usize, most_columns: usize) -> impl Strategy<Value = (usize, Vec<f32>)> {
    (1..=most_rows, 1..=most_columns)
        .prop_flat_map(|(rows, width)| (Just(width), vec(moderate(), rows * width)))
}

/// x `[m][k]`, weight `[n][k]`, bias `[n]`, and k.
fn layer() -> impl Strategy<Value = (usize, Vec<f32>, Vec<f32>, Vec<f32>)> {
    (1usize..20, 1usize..70, 1usize..300).prop_flat_map(|(m, n, k)| {
        (Just(k), vec(moderate(), m * k), vec(moderate(), n * k), vec(moderate(), n))
    })
}

/// Σ x · weight + bias, and how far a product in that precision may be from it.
fn exact_and_bound(precision: Precision, x: &[f32], weight: &[f32], bias: f32) -> (f64, f64) {
    let (mut exact, mut magnitudes, mut bound) = (f64::from(bias), f64::from(bias).abs(), 0.0);
    for (x, weight) in x.chunks(reference::INT8_GROUP).zip(weight.chunks(reference::INT8_GROUP)) {
        let low = x.iter().fold(0.0f32, |low, &x| low.min(x));
        let high = x.iter().fold(0.0f32, |high, &x| high.max(x));
        let largest = weight.iter().fold(0.0f32, |largest, w| largest.max(w.abs()));
        for (&x, &weight) in x.iter().zip(weight) {
            let (x, weight) = (f64::from(x), f64::from(weight));
            // Half a step of each.
            let (of_x, of_weight) = match precision {
                // Of 2⁻⁷ of the number or less, or all of it where it is below what counts.
                Precision::Bf16 => {
                    let least = f64::from(reference::BF16_LEAST);
                    [x, weight]
                        .map(|number| (number.abs() * 2f64.powi(-8)).max(number.abs().min(least)))
                        .into()
                }
                _ => (f64::from(high - low) / 254.0 / 2.0, f64::from(largest) / 127.0 / 2.0),
            };
            let off = x.abs() * of_weight + weight.abs() * of_x + of_x * of_weight;
            exact += x * weight;
            magnitudes += (x * weight).abs() + off;
            bound += off;
        }
    }
    // Each step of a chain rounds once or twice, and scales are products that were rounded; ranges below 2⁻⁶⁰ are 0.
    let roundings = (2 * x.len() + 16) as f64 * 2f64.powi(-24) * magnitudes;
    (exact, bound * 1.000_01 + roundings + 1e-30)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn products_have_the_bits_of_the_reference((k, x, weight, bias) in layer()) {
        let (m, n) = (x.len() / k, bias.len());
        for precision in Precision::ALL {
            let packed = PackedLinear::pack(precision, &[(&weight, &bias)], k);
            let expected = specified(precision, &x, &weight, &bias, [m, n, k]);
            for isa in Isa::available() {
                let mut y = vec![f32::NAN; m * n];
                let mut narrow = NarrowRows::default();
                linear(isa, narrow.narrow(isa, &x, &packed), &packed, Epilogue::Bias, &mut y);
                assert_bits(&format!("{precision} linear"), isa, &y, &expected);
            }
        }
    }

    /// What the promise rests on: a row's result does not know the other rows.
    #[test]
    fn a_row_alone_has_the_bits_it_has_among_others((k, x, weight, bias) in layer(), seed in any::<prop::sample::Index>()) {
        let (m, n) = (x.len() / k, bias.len());
        let residual: Vec<f32> = x.iter().cycle().take(m * n).copied().collect();
        let norm = LayerNorm { gamma: bias.clone(), beta: bias.clone(), eps: 1e-6 };
        let row = seed.index(m);
        let mut narrow = NarrowRows::default();
        for precision in Precision::ALL {
            let packed = PackedLinear::pack(precision, &[(&weight, &bias)], k);
            for isa in Isa::available() {
                let (mut all, mut one) = (vec![f32::NAN; m * n], vec![f32::NAN; n]);
                linear(isa, narrow.narrow(isa, &x, &packed), &packed, Epilogue::Residual(&residual), &mut all);
                let (x, residual) = (&x[row * k..][..k], &residual[row * n..][..n]);
                linear(isa, narrow.narrow(isa, x, &packed), &packed, Epilogue::Residual(residual), &mut one);
                assert_bits(&format!("a row of a {precision} product"), isa, &all[row * n..][..n], &one);
                layer_norm(isa, &mut all, &norm);
                layer_norm(isa, &mut one, &norm);
                assert_bits("a row, normalised", isa, &all[row * n..][..n], &one);
            }
        }
    }

    /// A law that the references of narrow products have to obey: each factor is at most half a step from what it stands
    /// for, and nothing else is lost but roundings of f32.
    #[test]
    fn narrow_products_are_off_by_the_steps_of_their_factors((k, x, weight, bias) in layer()) {
        let n = bias.len();
        for precision in [Precision::Bf16, Precision::Int8] {
            let y = specified(precision, &x, &weight, &bias, [x.len() / k, n, k]);
            for (i, &y) in y.iter().enumerate() {
                let (x, weight, bias) = (&x[i / n * k..][..k], &weight[i % n * k..][..k], bias[i % n]);
                let (exact, bound) = exact_and_bound(precision, x, weight, bias);
                let off = (f64::from(y) - exact).abs();
                prop_assert!(off <= bound, "{} in the place of {} in {}, more than {}", y, exact, precision, bound);
            }
        }
    }

    #[test]
    fn attention_has_the_bits_of_the_reference_and_mixes_values(
        s in 1usize..40,
        heads in 1usize..4,
        head_size in 1usize..40,
        seed in any::<u64>(),
    ) {
        let h = heads * head_size;
        let qkv: Vec<f32> = crate::numbers::numbers(s * 3 * h, seed).iter().map(|x| x * 0.5).collect();
        let mut scratch = AttentionScratch::default();
        let max_tokens = s + seed as usize % 3;
        let values = crate::numbers::numbers(heads * (2 * max_tokens - 1), !seed);
        let biases = with_and_without_bias(heads, max_tokens, &values);
        for (precision, position_bias) in ATTENTION_PRECISIONS.into_iter().flat_map(|p| biases.map(|b| (p, b))) {
            let parameters = AttentionParameters { heads, head_size, precision, position_bias };
            let expected = specified_attention(&qkv, s, parameters);
            for isa in Isa::available() {
                let mut y = vec![f32::NAN; s * h];
                attention(isa, &qkv, parameters, &mut scratch, &mut y);
                assert_bits(&format!("{parameters:?}"), isa, &y, &expected);
            }
            // An average of values lies among them. In bf16 a value and its weight may be half a step off each, and small
            // values are 0.
            let (relative, absolute) = match precision {
                Precision::F32 => (1e-5, 0.0),
                _ => (2f32.powi(-7) + 1e-4, reference::BF16_LEAST),
            };
            for (i, &y) in expected.iter().enumerate() {
                let values = (0..s).map(|token| qkv[token * 3 * h + 2 * h + i % h]);
                let (low, high) = values.fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(v), high.max(v)));
                let slack = relative * low.abs().max(high.abs()) + absolute;
                prop_assert!(low - slack <= y && y <= high + slack, "{} is not in {}..{}", y, low, high);
            }
        }
    }

    #[test]
    fn softmax_gives_probabilities_in_the_order_of_the_scores((width, x) in rows(6, 100)) {
        for isa in Isa::available() {
            let (mut y, mut expected) = (x.clone(), x.clone());
            softmax(isa, &mut y, width);
            expected.chunks_mut(width).for_each(reference::softmax);
            assert_bits("softmax", isa, &y, &expected);
        }
        let mut y = x.clone();
        softmax(Isa::best(), &mut y, width);
        for (scores, p) in x.chunks(width).zip(y.chunks(width)) {
            let sum: f64 = p.iter().map(|&p| f64::from(p)).sum();
            prop_assert!((sum - 1.0).abs() < 1e-5, "the sum is {}", sum);
            for i in 1..width {
                prop_assert!((0.0..=1.0).contains(&p[i]));
                prop_assert!(scores[i] < scores[0] || p[i] >= p[0]);
            }
        }
    }

    #[test]
    fn layer_norm_gives_mean_0_and_variance_1((width, x) in rows(6, 100)) {
        let norm = LayerNorm { gamma: vec![1.0; width], beta: vec![0.0; width], eps: 1e-12 };
        for isa in Isa::available() {
            let (mut y, mut expected) = (x.clone(), x.clone());
            layer_norm(isa, &mut y, &norm);
            expected.chunks_mut(width).for_each(|row| reference::layer_norm(row, &norm.gamma, &norm.beta, norm.eps));
            assert_bits("layer_norm", isa, &y, &expected);
        }
        let mut y = x.clone();
        layer_norm(Isa::best(), &mut y, &norm);
        for (x, y) in x.chunks(width).zip(y.chunks(width)) {
            let mean = y.iter().map(|&y| f64::from(y)).sum::<f64>() / width as f64;
            let variance = y.iter().map(|&y| f64::from(y).powi(2)).sum::<f64>() / width as f64;
            let spread = x.iter().fold(0.0f32, |spread, v| spread.max((v - x[0]).abs()));
            // Where the row is nearly constant, eps and the rounding of the mean take over.
            if spread > 1e-3 * x[0].abs().max(1.0) {
                prop_assert!(mean.abs() < 1e-2 && (variance - 1.0).abs() < 1e-2, "{}, {}", mean, variance);
            }
        }
    }

    #[test]
    fn activations_have_the_bits_of_the_reference(x in vec(any_finite(), 0..70)) {
        for (activation, f) in ACTIVATIONS {
            for isa in Isa::available() {
                let mut y = x.clone();
                activate(isa, &mut y, activation);
                for (&x, &y) in x.iter().zip(&y) {
                    let same = y.to_bits() == f(x).to_bits();
                    prop_assert!(same, "{:?}({:e}) on {} is {:e}, not {:e}", activation, x, isa, y, f(x));
                    // None leaves the triangle between 0 and x, but for the dip of GELU and SiLU and tanh's bound of 1;
                    // the sigmoid lies between 0 and 1.
                    let bound = if activation == Activation::Sigmoid { 1.0 } else { x.abs() * 1.000_001 };
                    prop_assert!(y.abs() <= bound);
                }
            }
        }
    }

    /// Laws of a distance, and its bits.
    #[test]
    fn distances_are_symmetric_and_go_no_shorter_by_a_detour((k, a) in rows(5, 80)) {
        let m = a.len() / k;
        let cases: [(DistanceMatrix, SpecifiedMatrix); 2] = [
            (euclidean_distance_matrix, reference::euclidean_distance_matrix),
            (manhattan_distance_matrix, reference::manhattan_distance_matrix),
        ];
        for (distances, specified) in cases {
            let expected = specified(&a, &a, k);
            for isa in Isa::available() {
                let mut found = vec![f32::NAN; m * m];
                distances(isa, &a, &a, k, &mut found);
                assert_bits("distances", isa, &found, &expected);
            }
            let at = |i: usize, j: usize| expected[i * m + j];
            for i in 0..m {
                prop_assert_eq!(at(i, i).to_bits(), 0);
                for j in 0..m {
                    prop_assert_eq!(at(i, j).to_bits(), at(j, i).to_bits());
                    for by in 0..m {
                        prop_assert!(at(i, j) <= (at(i, by) + at(by, j)) * (1.0 + 1e-5) + 1e-18);
                    }
                }
            }
        }
    }

    #[test]
    fn similarity_is_symmetric_and_of_unit_vectors_at_most_1(
        (k, a) in rows(5, 80),
        seed in any::<prop::sample::Index>(),
    ) {
        let m = a.len() / k;
        for isa in Isa::available() {
            let mut unit = a.clone();
            unit.chunks_mut(k).for_each(|row| l2_normalize(isa, row));
            let mut matrix = vec![f32::NAN; m * m];
            similarity_matrix(isa, &unit, &unit, k, &mut matrix);
            for i in 0..m {
                for j in 0..m {
                    prop_assert_eq!(matrix[i * m + j].to_bits(), matrix[j * m + i].to_bits());
                    prop_assert!(matrix[i * m + j].abs() <= 1.0 + 1e-5);
                    let (a, b) = (&unit[i * k..][..k], &unit[j * k..][..k]);
                    prop_assert_eq!(matrix[i * m + j].to_bits(), dot(isa, a, b).to_bits());
                    prop_assert_eq!(matrix[i * m + j].to_bits(), reference::dot(a, b).to_bits());
                }
            }
            // The best match of a vector among all is as good as itself.
            let i = seed.index(m);
            let best = top_k(isa, &matrix[i * m..][..m], 1)[0];
            prop_assert!(best.score >= matrix[i * m + i]);
        }
    }
}
