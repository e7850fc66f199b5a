//! The products of the network, on every instruction set, beside `matrixmultiply` and plain loops.
//!
//! `cargo bench -p minilm-benches --bench linear`. Throughput is in floating-point operations: 2 · m · n · k
//! a product, so "Gelem/s" reads as GFLOP/s.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use minilm_kernels::{Epilogue, Isa, PackedLinear, linear, reference};

/// Not zero, not denormal, of no pattern.
fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5).collect()
}

fn products(c: &mut Criterion) {
    for (n, k) in [(1152, 384), (1536, 384), (384, 1536)] {
        let mut group = c.benchmark_group(format!("linear n={n} k={k}"));
        group
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1))
            .sample_size(20);
        let (weight, bias) = (numbers(n * k), numbers(n));
        let packed = PackedLinear::pack(&[(&weight, &bias)], k);
        for m in [1, 8, 12, 32, 128, 256] {
            let x = numbers(m * k);
            let mut out = vec![0.0; m * n];
            group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
            for isa in Isa::available() {
                group.bench_function(BenchmarkId::new(isa.name(), m), |b| {
                    b.iter(|| linear(isa, black_box(&x), &packed, Epilogue::Bias, &mut out));
                });
            }
            group.bench_function(BenchmarkId::new("matrixmultiply", m), |b| {
                b.iter(|| sgemm(black_box(&x), &weight, (m, n, k), &mut out));
            });
            if m <= 8 {
                group.bench_function(BenchmarkId::new("plain loops", m), |b| {
                    b.iter(|| reference::linear(black_box(&x), &weight, &bias, m, n, k));
                });
            }
        }
        group.finish();
    }
}

/// x `[m][k]` · weightᵀ, weight `[n][k]`, → out `[m][n]`, without a bias.
#[allow(unsafe_code, reason = "matrixmultiply's interface is unsafe")]
fn sgemm(x: &[f32], weight: &[f32], (m, n, k): (usize, usize, usize), out: &mut [f32]) {
    assert!(x.len() == m * k && weight.len() == n * k && out.len() == m * n);
    // SAFETY: the lengths have just been checked, and the strides stay inside them: element (row, i) of x
    // is row · k + i, element (i, column) of the transposed weight is column · k + i, element (row,
    // column) of out is row · n + column.
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
            1,
            k as isize,
            0.0,
            out.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
