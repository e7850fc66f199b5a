//! GELU, narrowing to bf16 and int8, softmax, LayerNorm, the sum of embeddings, pooling and normalisation, on every
//! instruction set.
//!
//! `cargo bench -p minilm-benches --bench rows`. Throughput is in elements: "Gelem/s", divided into the
//! clock in GHz, is cycles an element. Data lie in L1, but those of LayerNorm, mean pooling and narrowing in L2, and are
//! put back before each call where it overwrites them, which is not counted.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use minilm_benches::cases::rows::cases;
use minilm_kernels::{Isa, Precision};

fn rows(c: &mut Criterion) {
    for mut case in cases(&Precision::ALL) {
        let mut group = c.benchmark_group(case.operation);
        group
            .warm_up_time(Duration::from_millis(100))
            .measurement_time(Duration::from_millis(400))
            .sample_size(10)
            .throughput(Throughput::Elements(case.work.elements));
        let shape = format!("{}, {}", case.shape, case.size);
        for isa in Isa::available() {
            group.bench_function(BenchmarkId::new(isa.name(), &shape), |b| {
                b.iter_custom(|calls| case.run(isa, calls));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, rows);
criterion_main!(benches);
