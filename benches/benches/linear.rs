//! The dense layers of the network, on every instruction set, beside `matrixmultiply` and plain loops.
//!
//! `cargo bench -p minilm-benches --bench linear`. Throughput is in floating-point operations: 2 · m · n · k
//! a product, so "Gelem/s" reads as GFLOP/s. Ours have the bias, and in a second group for three of them what the forward
//! pass fuses with them; the others are the product alone.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use minilm_benches::cases::linear::{FUSED, PRODUCTS, ROWS, case};
use minilm_benches::rivals::{self, Layout};
use minilm_kernels::Isa;

fn products(c: &mut Criterion) {
    for layer in PRODUCTS.into_iter().chain(FUSED) {
        let mut group = c.benchmark_group(format!("{} {}x{}", layer.operation, layer.k, layer.n));
        group
            .warm_up_time(Duration::from_millis(100))
            .measurement_time(Duration::from_millis(400))
            .sample_size(10);
        for m in ROWS {
            let mut case = case(layer, m);
            group.throughput(Throughput::Elements(case.work.flops.expect("a product's are counted")));
            for isa in Isa::available() {
                group.bench_function(BenchmarkId::new(isa.name(), m), |b| {
                    b.iter_custom(|calls| case.run(isa, calls));
                });
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
