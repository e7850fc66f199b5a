//! Search on every instruction set: the ten best of 100,000 vectors of 384 components, in f32, bytes and bits, for a single
//! query and for many; similarities, distances, and the ten best of scores; beside a plain read of the same memory.
//!
//! `cargo bench -p minilm-benches --bench search`. Throughput of the similarities is in floating-point
//! operations, 2 · m · n · k, of the distances in pairs of elements, m · n · k; of the rest in bytes, of rows that are searched
//! as if they were read once.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use minilm_benches::numbers;
use minilm_kernels::{
    Bits, Component, Corpus, Isa, TopK, euclidean_distance_matrix, manhattan_distance_matrix, peak, search,
    similarity_matrix, top_k,
};

const K: usize = 384;

type DistanceMatrix = fn(Isa, &[f32], &[f32], usize, &mut [f32]);

fn similarities(c: &mut Criterion) {
    let mut group = c.benchmark_group("similarity_matrix k=384");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2)).sample_size(20);
    for (m, n) in [(1, 100_000), (4, 100_000), (16, 100_000), (1, 500), (64, 64)] {
        let (a, b) = (numbers(m * K, 1), numbers(n * K, 2));
        let mut out = vec![0.0; m * n];
        group.throughput(Throughput::Elements(2 * (m * n * K) as u64));
        for isa in Isa::available() {
            group.bench_function(BenchmarkId::new(isa.name(), format!("{m}x{n}")), |bench| {
                bench.iter(|| similarity_matrix(isa, black_box(&a), black_box(&b), K, black_box(&mut out)));
            });
        }
        group.throughput(Throughput::Bytes(4 * b.len() as u64));
        group.bench_function(BenchmarkId::new("plain read", format!("{m}x{n}")), |bench| {
            bench.iter(|| peak::read(Isa::best(), black_box(&b)));
        });
    }
    group.finish();
}

/// In the shapes where arithmetic sets the pace; beside [`similarities`] of the same shape.
fn distances(c: &mut Criterion) {
    let kernels: [(&str, DistanceMatrix); 2] =
        [("euclidean", euclidean_distance_matrix), ("manhattan", manhattan_distance_matrix)];
    for (name, distance_matrix) in kernels {
        let mut group = c.benchmark_group(format!("{name}_distance_matrix k=384"));
        group
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1))
            .sample_size(20);
        for (m, n) in [(1, 500), (64, 64)] {
            let (a, b) = (numbers(m * K, 1), numbers(n * K, 2));
            let mut out = vec![0.0; m * n];
            group.throughput(Throughput::Elements((m * n * K) as u64));
            for isa in Isa::available() {
                group.bench_function(BenchmarkId::new(isa.name(), format!("{m}x{n}")), |bench| {
                    bench.iter(|| distance_matrix(isa, black_box(&a), black_box(&b), K, black_box(&mut out)));
                });
            }
        }
        group.finish();
    }
}

fn rows_of<C: Component>(c: &mut Criterion, name: &str, rows: &[C], k: usize) {
    let mut group = c.benchmark_group(format!("search {name}"));
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    group.throughput(Throughput::Bytes(size_of_val(rows) as u64));
    for m in [1, 16, 64] {
        for isa in Isa::available() {
            group.bench_function(BenchmarkId::new(isa.name(), m), |bench| {
                bench.iter(|| {
                    let mut best = vec![TopK::new(10); m];
                    search(isa, black_box(&rows[..m * k]), Corpus::new(rows, k), &mut best);
                    best
                });
            });
        }
    }
    group.finish();
}

/// The same memory, of whatever it is made.
fn searches(c: &mut Criterion) {
    let rows = numbers(100_000 * K, 1);
    let bytes: &[u8] = bytemuck::cast_slice(&rows);
    rows_of::<f32>(c, "f32", &rows, K);
    rows_of::<i8>(c, "int8", bytemuck::cast_slice(bytes), K);
    rows_of::<u8>(c, "uint8", bytes, K);
    rows_of::<Bits>(c, "bits", Bits::slice(bytes), K / 8);
    let mut group = c.benchmark_group("search");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("plain read", |bench| bench.iter(|| peak::read(Isa::best(), black_box(&rows))));
    group.finish();
}

fn best_scores(c: &mut Criterion) {
    let mut group = c.benchmark_group("top_k k=10");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    for n in [10_000, 1_000_000] {
        let scores = numbers(n, 1);
        group.throughput(Throughput::Bytes(4 * n as u64));
        for isa in Isa::available() {
            group.bench_function(BenchmarkId::new(isa.name(), n), |bench| {
                bench.iter(|| top_k(isa, black_box(&scores), 10));
            });
        }
        group.bench_function(BenchmarkId::new("plain read", n), |bench| {
            bench.iter(|| peak::read(Isa::best(), black_box(&scores)));
        });
    }
    group.finish();
}

criterion_group!(benches, searches, similarities, distances, best_scores);
criterion_main!(benches);
