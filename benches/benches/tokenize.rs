//! Tokenisation by WordPiece and by the `tokenizers` crate: texts of 12, 48 and 256 tokens, a Chinese and an accented
//! one; the tokens' offsets; and loading `tokenizer.json`. The same of a Unigram model of 250,000 tokens, as multilingual
//! models have it, which only the crate reads.
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

fn unigram(c: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("tokenizer.json");
    std::fs::write(&path, random_unigram(250_000)).expect("the file can be written");
    let load = || Tokenizer::from_file(black_box(&path), 128).expect("the tokenizer loads");
    let tokenizer = load();
    let mut group = quick_group(c, "unigram");
    let mut ids = Vec::new();
    for (text, kind) in
        [(SHORT.to_owned(), ""), (CHINESE.to_owned(), " (Chinese)"), (PARAGRAPH.repeat(4), "")]
    {
        tokenizer.encode_into(&text, &mut ids).expect("the text can be tokenised");
        group.bench_function(format!("{} tokens{kind}", ids.len()), |b| {
            b.iter(|| tokenizer.encode_into(black_box(&text), &mut ids).expect("the text can be tokenised"));
        });
    }
    group.sample_size(10).bench_function("load", |b| b.iter(load));
    group.finish();
}

/// A `tokenizer.json` of words of one to eight letters in eight scripts, half of them with the sign of a word's beginning.
fn random_unigram(tokens: usize) -> String {
    const SCRIPTS: [(u32, u32); 8] = [
        (0x61, 0x7A),
        (0x430, 0x44F),
        (0x4E00, 0x9FFF),
        (0x3041, 0x3096),
        (0xAC00, 0xD7A3),
        (0xE01, 0xE2E),
        (0x621, 0x64A),
        (0x905, 0x939),
    ];
    let mut state = 1_u64;
    let mut random = move |below: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u32::try_from((state >> 33) % u64::from(below)).expect("less than `below`")
    };
    let mut words = std::collections::BTreeSet::new();
    words.extend(('a'..='z').chain(['▁']).map(String::from));
    while words.len() < tokens - 4 {
        let (first, last) = SCRIPTS[random(8) as usize];
        let begin = if random(2) == 0 { "▁" } else { "" };
        let letters = (0..=random(8)).filter_map(|_| char::from_u32(first + random(last - first + 1)));
        words.insert(begin.chars().chain(letters).collect());
    }
    let special = ["<s>", "<pad>", "</s>", "<unk>"].map(|token| serde_json::json!([token, 0.0]));
    let scored = (0..).zip(words).map(|(i, word)| serde_json::json!([word, -8.0 - f64::from(i) / 20_000.0]));
    serde_json::json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "NFKC"},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "post_processor": {
            "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": true,
            "add_prefix_space": false
        },
        "model": {
            "type": "Unigram", "unk_id": 3, "byte_fallback": false,
            "vocab": special.into_iter().chain(scored).collect::<Vec<_>>()
        }
    })
    .to_string()
}

fn quick_group<'a>(c: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    group
}

criterion_group!(benches, tokenize, unigram);
criterion_main!(benches);
