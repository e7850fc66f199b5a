//! Attention of one sequence, on every instruction set.
//!
//! `cargo bench -p minilm-benches --bench attention`. Throughput is in floating-point operations of the two
//! products, so "Gelem/s" reads as GFLOP/s; the softmax between them takes its time and is not counted.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use minilm_benches::cases::attention::{TOKENS, case};
use minilm_kernels::Isa;

fn sequences(c: &mut Criterion) {
    let mut group = c.benchmark_group("attention");
    group
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .sample_size(10);
    for s in TOKENS {
        let mut case = case(s);
        group.throughput(Throughput::Elements(case.work.flops.expect("a product's are counted")));
        for isa in Isa::available() {
            group.bench_function(BenchmarkId::new(isa.name(), s), |b| {
                b.iter_custom(|calls| case.run(isa, calls));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, sequences);
criterion_main!(benches);
