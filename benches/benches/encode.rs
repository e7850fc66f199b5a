//! Whole texts, from the string to the vector, on every instruction set in every precision with one thread.
//!
//! `cargo bench -p minilm-benches --bench encode`. The model is found or fetched as any program would.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use minilm::{DEFAULT_MODEL, Isa, LoadOptions, Precision, SentenceTransformer};

fn texts(c: &mut Criterion) {
    let short = "How do I read a text file line by line in Rust?";
    let long = "The quick brown fox jumps over the lazy dog, again and again. ".repeat(30);
    let mut group = c.benchmark_group("encode, 1 thread");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3)).sample_size(20);
    for isa in Isa::available() {
        for precision in Precision::ALL {
            let options = LoadOptions::default().isa(isa).threads(1).precision(precision);
            let model = SentenceTransformer::load_with(DEFAULT_MODEL, &options).expect("the model loads");
            for text in [short, &long] {
                let (ids, _) = model.tokenize(text).expect("the text can be tokenised");
                group.bench_function(format!("{} tokens/{precision} {isa}", ids.len()), |b| {
                    b.iter(|| model.encode(black_box(text)).expect("the text can be encoded"));
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, texts);
criterion_main!(benches);
