//! Eigenvalues and eigenvectors of a symmetric matrix: Householder's reduction to a tridiagonal one, then implicit QL
//! steps (EISPACK's `tred2` and `tql2`; Bowdler, Martin, Reinsch, Wilkinson: The QR and QL algorithms for symmetric
//! matrices, 1968).
//!
//! Only + − × / and square roots of f64, in a fixed order, so that every machine gets the same bits. Every inner loop
//! goes along a row, for the compiler to make vectors of. The crates there are (`nalgebra`, `faer`) multiply by
//! instructions that they choose at run time, and their sums differ from machine to machine.

/// The eigenvalues of a symmetric matrix `[n][n]`, the largest first, and as rows the eigenvectors, of unit length.
pub(super) fn symmetric_eigen(mut matrix: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let reflections = reduce(&mut matrix, n);
    let mut diagonal: Vec<f64> = (0..n).map(|i| matrix[i * n + i]).collect();
    let mut beside: Vec<f64> = (1..n).map(|i| matrix[i * n + i - 1]).collect();
    let mut vectors = accumulate(&reflections, n);
    solve_tridiagonal(&mut diagonal, &mut beside, &mut vectors, n);

    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]).then(a.cmp(&b)));
    let sorted = order.iter().flat_map(|&i| vectors[i * n..][..n].iter().copied()).collect();
    (order.iter().map(|&i| diagonal[i]).collect(), sorted)
}

/// A reflection I − v vᵀ · `factor` of the components from `first` on.
struct Reflection {
    first: usize,
    v: Vec<f64>,
    factor: f64,
}

/// Makes a tridiagonal matrix of the same eigenvalues.
fn reduce(a: &mut [f64], n: usize) -> Vec<Reflection> {
    let mut reflections = Vec::new();
    for column in 0..n.saturating_sub(2) {
        let first = column + 1;
        // The column below the diagonal, which by symmetry is the row beside it, becomes (±length, 0, 0, …).
        let mut v = a[column * n + first..(column + 1) * n].to_vec();
        let scale = v.iter().fold(0.0, |scale: f64, x| scale.max(x.abs()));
        if v[1..].iter().all(|&x| x == 0.0) {
            continue;
        }
        v.iter_mut().for_each(|x| *x /= scale);
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let length = if v[0] > 0.0 { -length } else { length };
        // v = x − (length, 0, …), and vᵀv / 2 = length · (length − x₀).
        let factor = 1.0 / (length * (length - v[0]));
        v[0] -= length;

        // H A H = A − v wᵀ − w vᵀ, where p = factor · A v and w = p − v (factor · pᵀv / 2).
        let mut w = vec![0.0; v.len()];
        for (i, &x) in v.iter().enumerate() {
            let row = &a[(first + i) * n + first..(first + i + 1) * n];
            w.iter_mut().zip(row).for_each(|(w, a)| *w += x * a);
        }
        w.iter_mut().for_each(|w| *w *= factor);
        let half = factor / 2.0 * w.iter().zip(&v).map(|(w, v)| w * v).sum::<f64>();
        w.iter_mut().zip(&v).for_each(|(w, v)| *w -= half * v);
        for (i, (&v_i, &w_i)) in v.iter().zip(&w).enumerate() {
            let row = &mut a[(first + i) * n + first..(first + i + 1) * n];
            for ((a, v), w) in row.iter_mut().zip(&v).zip(&w) {
                *a -= v_i * w + w_i * v;
            }
        }
        let (beside, below) = (length * scale, first * n + column);
        (a[column * n + first], a[below]) = (beside, beside);
        reflections.push(Reflection { first, v, factor });
    }
    reflections
}

/// The product of the reflections, transposed: as rows, what the tridiagonal matrix's axes are in the original space.
fn accumulate(reflections: &[Reflection], n: usize) -> Vec<f64> {
    let mut q = vec![0.0; n * n];
    (0..n).for_each(|i| q[i * n + i] = 1.0);
    // Q = H₁ H₂ …; from the last on, only the corner that reflections have touched is not the identity. Qᵀ from the
    // right would go along columns, so this is Q; its transpose is taken in the end.
    for Reflection { first, v, factor } in reflections.iter().rev() {
        let mut products = vec![0.0; n - first];
        for (i, &x) in v.iter().enumerate() {
            let row = &q[(first + i) * n + first..(first + i + 1) * n];
            products.iter_mut().zip(row).for_each(|(product, q)| *product += x * q);
        }
        for (i, &x) in v.iter().enumerate() {
            let row = &mut q[(first + i) * n + first..(first + i + 1) * n];
            let x = factor * x;
            row.iter_mut().zip(&products).for_each(|(q, product)| *q -= x * product);
        }
    }
    for i in 0..n {
        for j in 0..i {
            q.swap(i * n + j, j * n + i);
        }
    }
    q
}

/// Far more than it ever takes (two, in the mean) for one eigenvalue.
const MOST_STEPS: usize = 60;

/// Implicit QL steps until all numbers beside the diagonal are nothing beside it; each rotates two rows of the vectors.
fn solve_tridiagonal(diagonal: &mut [f64], beside: &mut Vec<f64>, vectors: &mut [f64], n: usize) {
    beside.push(0.0);
    for l in 0..n {
        for _ in 0..MOST_STEPS {
            let negligible =
                |i: usize| beside[i].abs() <= f64::EPSILON * (diagonal[i].abs() + diagonal[i + 1].abs());
            let m = (l..n - 1).find(|&i| negligible(i)).unwrap_or(n - 1);
            if m == l {
                break;
            }
            // Wilkinson's shift.
            let g = (diagonal[l + 1] - diagonal[l]) / (2.0 * beside[l]);
            let r = hypotenuse(g, 1.0);
            let mut g = diagonal[m] - diagonal[l] + beside[l] / (g + if g < 0.0 { -r } else { r });
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut split = false;
            for i in (l..m).rev() {
                let (f, b) = (s * beside[i], c * beside[i]);
                let r = hypotenuse(f, g);
                beside[i + 1] = r;
                if r == 0.0 {
                    diagonal[i + 1] -= p;
                    split = true;
                    break;
                }
                (s, c) = (f / r, g / r);
                g = diagonal[i + 1] - p;
                let r = (diagonal[i] - g) * s + 2.0 * c * b;
                p = s * r;
                diagonal[i + 1] = g + p;
                g = c * r - b;
                let (lower, upper) = vectors[i * n..(i + 2) * n].split_at_mut(n);
                for (x, y) in lower.iter_mut().zip(upper) {
                    (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                }
            }
            if !split {
                diagonal[l] -= p;
                beside[l] = g;
            }
            beside[m] = 0.0;
        }
    }
}

/// √(a² + b²). `f64::hypot` is the C library's, and not the same everywhere. Variances are far from where squares overflow.
fn hypotenuse(a: f64, b: f64) -> f64 {
    (a * a + b * b).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(matrix: &[f64], n: usize) -> Vec<f64> {
        let (values, vectors) = symmetric_eigen(matrix.to_vec(), n);
        let scale = matrix.iter().fold(1e-300, |scale: f64, x| scale.max(x.abs()));
        let row = |i: usize| &vectors[i * n..][..n];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        for (i, value) in values.iter().enumerate() {
            for j in 0..n {
                let expected = f64::from(u8::from(i == j));
                assert!((dot(row(i), row(j)) - expected).abs() < 1e-12, "{i} · {j} of {n}");
                let product = dot(&matrix[j * n..][..n], row(i));
                let expected = value * row(i)[j];
                assert!((product - expected).abs() < 1e-12 * n as f64 * scale, "{product} {expected}");
            }
        }
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]), "{values:?}");
        values
    }

    #[test]
    fn matrices_of_known_eigenvalues() {
        assert_eq!(check(&[3.0], 1), [3.0]);
        assert_eq!(check(&[0.0; 9], 3), [0.0; 3]);
        let close = |found: Vec<f64>, expected: &[f64]| {
            assert!(found.iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-12), "{found:?}");
        };
        close(check(&[2.0, 1.0, 1.0, 2.0], 2), &[3.0, 1.0]);
        close(check(&[1.0; 16], 4), &[4.0, 0.0, 0.0, 0.0]);
        close(check(&[-5.0, 0.0, 0.0, 0.0, 7.0, 0.0, 0.0, 0.0, 1.0], 3), &[7.0, 1.0, -5.0]);
        // The second difference: 2 − 2 cos(i π / (n + 1)).
        let n = 30;
        let mut matrix = vec![0.0; n * n];
        for i in 0..n {
            matrix[i * n + i] = 2.0;
            if i > 0 {
                (matrix[i * n + i - 1], matrix[(i - 1) * n + i]) = (-1.0, -1.0);
            }
        }
        let angle = |i: usize| i as f64 * std::f64::consts::PI / (n + 1) as f64;
        let expected: Vec<f64> = (1..=n).rev().map(|i| 2.0 - 2.0 * angle(i).cos()).collect();
        close(check(&matrix, n), &expected);
    }

    #[test]
    fn matrices_of_any_size_rank_and_scale() {
        for (n, rank) in [(2, 1), (5, 5), (17, 3), (60, 60), (128, 20)] {
            for scale in [1e-25, 1.0, 1e20] {
                let factors: Vec<f64> =
                    (0..rank * n).map(|i| ((i * i * 7 + i) % 1013) as f64 / 500.0 - 1.0).collect();
                let mut matrix = vec![0.0; n * n];
                for factor in factors.chunks_exact(n) {
                    for (i, row) in matrix.chunks_exact_mut(n).enumerate() {
                        row.iter_mut().zip(factor).for_each(|(x, y)| *x += scale * factor[i] * y);
                    }
                }
                let values = check(&matrix, n);
                let trace: f64 = (0..n).map(|i| matrix[i * n + i]).sum();
                assert!((values.iter().sum::<f64>() / trace - 1.0).abs() < 1e-12);
                assert!(values[rank..].iter().all(|value| value.abs() < 1e-10 * trace), "{values:?}");
            }
        }
    }
}
