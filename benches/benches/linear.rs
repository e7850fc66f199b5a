//! The dense layers of the network, on every instruction set in every precision, beside `matrixmultiply` and plain loops.
//!
//! `cargo bench -p minilm-benches --bench linear`. Throughput is in operations: 2 · m · n · k a product, so "Gelem/s" reads
//! as GFLOP/s, in int8 as GOP/s. Ours have the bias, and in a second group for three of them what the forward pass fuses
//! with them, but their activations are narrowed beforehand (that is in `rows`); the others are the product alone, in f32.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use minilm_benches::cases::linear::{FUSED, PRODUCTS, ROWS, case};
use minilm_benches::rivals::{self, Layout};
use minilm_kernels::{Isa, Precision};

fn products(c: &mut Criterion) {
    for layer in PRODUCTS.into_iter().chain(FUSED) {
        let mut group = c.benchmark_group(format!("{} {}x{}", layer.operation, layer.k, layer.n));
        group
            .warm_up_time(Duration::from_millis(100))
            .measurement_time(Duration::from_millis(400))
            .sample_size(10);
        for m in ROWS {
            for precision in Precision::ALL {
                let mut case = case(precision, layer, m);
                group
                    .throughput(Throughput::Elements(case.work.operations.expect("a product's are counted")));
                for isa in Isa::available() {
                    group.bench_function(BenchmarkId::new(format!("{precision} {isa}"), m), |b| {
                        b.iter_custom(|calls| case.run(isa, calls));
                    });
                }
            }
            if !PRODUCTS.contains(&layer) {
                continue;
            }
            for layout in Layout::ALL {
                let mut run = rivals::matrixmultiply(layer, m, layout);
                group.bench_function(BenchmarkId::new(format!("matrixmultiply {}", layout.name()), m), |b| {
                    b.iter_custom(&mut run);
                });
            }
            // Too slow to be waited for at more rows, and no different there.
            if m <= 8 {
                let mut run = rivals::plain_loops(layer, m);
                group.bench_function(BenchmarkId::new("plain loops", m), |b| b.iter_custom(&mut run));
            }
        }
        group.finish();
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
