//! The products of the network by others: the crate `matrixmultiply`, and plain loops.
//!
//! `matrixmultiply` chooses its instruction set by itself (AVX-512 and AVX2 among them) and runs on one
//! thread, because its feature `threading` is off. It computes the product alone, without bias or epilogue, and
//! packs the weight anew at every call, since it has no other interface.

use std::hint::black_box;

use crate::cases::linear::Layer;
use crate::measure::{Run, batch};
use crate::numbers;

/// How the weight of k inputs and n outputs lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[n][k]`, as PyTorch's files have it.
    Outputs,
    /// `[k][n]`, transposed beforehand.
    Inputs,
}

impl Layout {
    /// Both.
    pub const ALL: [Layout; 2] = [Layout::Outputs, Layout::Inputs];

    /// `"[n][k]"` or `"[k][n]"`.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Outputs => "[n][k]",
            Layout::Inputs => "[k][n]",
        }
    }
}

/// The layer's product for `m` tokens by `matrixmultiply`.
pub fn matrixmultiply(layer: Layer, m: usize, layout: Layout) -> Run<'static> {
    let (n, k) = (layer.n, layer.k);
    let (x, weight) = (numbers(m * k, 3), numbers(n * k, 1));
    let mut out = vec![0.0; m * n];
    Box::new(move |calls| {
        batch(calls, || sgemm(black_box(&x), &weight, layout, (m, n, k), black_box(&mut out)))
    })
}

/// The layer's product for `m` tokens as one would write it first.
pub fn plain_loops(layer: Layer, m: usize) -> Run<'static> {
    let (n, k) = (layer.n, layer.k);
    let (x, weight) = (numbers(m * k, 3), numbers(n * k, 1));
    let mut out = vec![0.0; m * n];
    Box::new(move |calls| batch(calls, || multiply_plainly(black_box(&x), &weight, k, black_box(&mut out))))
}

/// x `[m][k]` · weightᵀ, weight in that layout, → out `[m][n]`.
#[allow(unsafe_code, reason = "matrixmultiply's interface is unsafe")]
fn sgemm(x: &[f32], weight: &[f32], layout: Layout, (m, n, k): (usize, usize, usize), out: &mut [f32]) {
    assert!(x.len() == m * k && weight.len() == n * k && out.len() == m * n);
    let (input_stride, output_stride) = match layout {
        Layout::Outputs => (1, k as isize),
        Layout::Inputs => (n as isize, 1),
    };
    // SAFETY: the lengths have just been checked, and the strides stay inside them: element (row, i) of x
    // is row · k + i; element (i, column) of the weight is column · k + i in the one layout and i · n + column
    // in the other; element (row, column) of out is row · n + column.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            x.as_ptr(),
            k as isize,
            1,
            weight.as_ptr(),
            input_stride,
            output_stride,
            0.0,
            out.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}

/// x `[m][k]` · weightᵀ, weight `[n][k]`, → out `[m][n]`.
fn multiply_plainly(x: &[f32], weight: &[f32], k: usize, out: &mut [f32]) {
    let n = weight.len() / k;
    for (x, out) in x.chunks_exact(k).zip(out.chunks_exact_mut(n)) {
        for (w, y) in weight.chunks_exact(k).zip(out) {
            let mut sum = 0.0;
            for (x, w) in x.iter().zip(w) {
                sum += x * w;
            }
            *y = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rival that computed something else would be no rival.
    #[test]
    fn rivals_compute_the_same_product() {
        let (m, n, k) = (5, 33, 70);
        let (x, weight) = (numbers(m * k, 1), numbers(n * k, 2));
        let mut transposed = vec![0.0; n * k];
        for column in 0..n {
            for i in 0..k {
                transposed[i * n + column] = weight[column * k + i];
            }
        }
        let mut expected = vec![0.0; m * n];
        multiply_plainly(&x, &weight, k, &mut expected);
        let reference = minilm_kernels::reference::linear(&x, &weight, &vec![0.0; n], m, n, k);
        for (found, expected) in expected.iter().zip(&reference) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
        for (layout, weight) in [(Layout::Outputs, &weight), (Layout::Inputs, &transposed)] {
            let mut out = vec![f32::NAN; m * n];
            sgemm(&x, weight, layout, (m, n, k), &mut out);
            for (found, expected) in out.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-5, "{layout:?}: {found} {expected}");
            }
        }
    }
}
