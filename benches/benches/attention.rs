//! Attention of one sequence, on every instruction set, in f32 and in bf16, which dense layers of int8 have as well.
//!
//! `cargo bench -p minilm-benches --bench attention`. Throughput is in floating-point operations of the two
//! products, so "Gelem/s" reads as GFLOP/s; the softmax between them takes its time and is not counted.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use minilm_benches::cases::attention::{TOKENS, case, precisions};
use minilm_kernels::{Isa, Precision};

fn sequences(c: &mut Criterion) {
    let mut group = c.benchmark_group("attention");
    group
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .sample_size(10);
    for precision in precisions(&Precision::ALL) {
        for s in TOKENS {
            let mut case = case(precision, s);
            group.throughput(Throughput::Elements(case.work.operations.expect("a product's are counted")));
            for isa in Isa::available() {
                group.bench_function(BenchmarkId::new(format!("{precision} {isa}"), s), |b| {
                    b.iter_custom(|calls| case.run(isa, calls));
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, sequences);
criterion_main!(benches);
