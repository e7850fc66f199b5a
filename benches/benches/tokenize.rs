//! Tokenisation by WordPiece and by the `tokenizers` crate: texts of 12, 48 and 256 tokens, a Chinese and an accented
//! one; the tokens' offsets; and loading `tokenizer.json`.
//!
//! `cargo bench -p minilm-benches --bench tokenize`. The model is found or fetched as any program would.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use minilm::DEFAULT_MODEL;
use minilm::resolve::{ResolveOptions, resolve};
use minilm_tokenizer::{Backend, Tokenizer, TokenizerError};

const SHORT: &str = "How do I read a file line by line in Rust";

const PARAGRAPH: &str = "Sentence embeddings map a text to a vector, so that texts with similar meanings get vectors \
    that are close to each other. They are used for semantic search, clustering, deduplication, and (with some care) \
    for zero-shot classification of customers' e-mails; \"nearest neighbours\" of a query are found by dot products. ";

const CHINESE: &str = "我喜欢编程和机器学习，也喜欢读书和旅行。";

const ACCENTED: &str = "Où est la bibliothèque? À côté du café, derrière l'église où Élodie étudiait.";

type Load = fn(&str) -> Result<Tokenizer, TokenizerError>;

const BACKENDS: [(&str, Load); 2] = [
    ("wordpiece", |path| Tokenizer::from_file(path, 256)),
    ("tokenizers crate", |path| Tokenizer::from_file_by_tokenizers_crate(path, 256)),
];

fn tokenize(c: &mut Criterion) {
    let model = resolve(DEFAULT_MODEL, &ResolveOptions::new()).expect("the model is found or fetched");
    let path = model.directory().join("tokenizer.json");
    let path = path.to_str().expect("a path in UTF-8");
    let texts = [
        SHORT.to_owned(),
        PARAGRAPH[..205].to_owned(),
        PARAGRAPH.repeat(4),
        CHINESE.to_owned(),
        ACCENTED.to_owned(),
    ];
    for (name, load) in BACKENDS {
        let tokenizer = load(path).expect("the tokenizer loads");
        assert_eq!(tokenizer.backend() == Backend::WordPiece, name == "wordpiece");
        let mut group = quick_group(c, "tokenize");
        let mut ids = Vec::new();
        for (text, kind) in texts.iter().zip(["", "", "", " (Chinese)", " (accented)"]) {
            tokenizer.encode_into(text, &mut ids).expect("the text can be tokenised");
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(format!("{} tokens{kind}/{name}", ids.len()), |b| {
                b.iter(|| {
                    tokenizer.encode_into(black_box(text), &mut ids).expect("the text can be tokenised")
                });
            });
        }
        group.finish();
        let mut group = quick_group(c, "offsets");
        let mut tokens = Vec::new();
        for text in &texts[..3] {
            tokenizer.offsets_into(text, &mut tokens).expect("the text can be tokenised");
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(format!("{} tokens/{name}", tokens.len()), |b| {
                b.iter(|| {
                    tokenizer.offsets_into(black_box(text), &mut tokens).expect("the text can be tokenised")
                });
            });
        }
        group.finish();
        let mut group = quick_group(c, "load tokenizer.json");
        group.bench_function(name, |b| b.iter(|| load(black_box(path)).expect("the tokenizer loads")));
        group.finish();
    }
}

fn quick_group<'a>(c: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    group
}

criterion_group!(benches, tokenize);
criterion_main!(benches);
