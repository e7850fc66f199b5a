//! The promise: the same text has the same bits alone, in any batch and order, with any number of threads,
//! in micro-batches of any size, on every instruction set.

use minilm::{
    DEFAULT_MODEL, EncodeOptions, Isa, LoadOptions, PackedCache, PackedCacheStatus, SentenceTransformer,
    cpu_features,
};
use minilm_tests::golden::{self, GoldenText};
use sha2::{Digest, Sha256};

#[path = "../../kernels/tests/bits/required_isas.rs"]
mod required_isas;

fn load(name: &str, isa: Isa, threads: usize) -> SentenceTransformer {
    load_with(name, &LoadOptions::default().isa(isa).threads(threads))
}

fn load_with(name: &str, options: &LoadOptions) -> SentenceTransformer {
    let path = if name == "tiny-bert" { golden::tiny_bert() } else { name.into() };
    SentenceTransformer::load_with(path, options).expect("the model loads")
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|x| x.to_bits()).collect()
}

/// What every other way of encoding is compared with: each text alone, one thread, the fastest
/// instruction set.
struct Expected {
    texts: Vec<String>,
    vectors: Vec<Vec<u32>>,
}

impl Expected {
    fn of(name: &str, texts: Vec<String>) -> Expected {
        let model = load(name, Isa::best(), 1);
        let vectors = texts.iter().map(|text| bits(&model.encode(text).unwrap())).collect();
        Expected { texts, vectors }
    }

    /// Encodes the texts in that order and compares each with what it was alone.
    #[track_caller]
    fn check(&self, model: &SentenceTransformer, order: &[usize], options: &EncodeOptions) {
        let texts: Vec<&str> = order.iter().map(|&i| self.texts[i].as_str()).collect();
        let found = model.encode_batch(&texts, options).unwrap();
        assert_eq!(found.len(), order.len());
        for (&i, vector) in order.iter().zip(found.rows()) {
            assert!(
                bits(vector) == self.vectors[i],
                "other bits on {}, {} threads, {options:?}: {:?}",
                model.isa(),
                model.threads(),
                self.texts[i]
            );
        }
    }
}

/// 0 … n − 1 in an order of no pattern: a walk with a step that shares no divisor with n.
fn shuffled(n: usize) -> Vec<usize> {
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let step = (n * 2 / 5..).find(|&step| gcd(step, n) == 1).expect("n + 1 is one");
    (0..n).map(|i| i * step % n).collect()
}

fn check_all_ways(name: &str, texts: Vec<String>) {
    let expected = Expected::of(name, texts);
    let n = expected.texts.len();
    let in_order: Vec<usize> = (0..n).collect();
    let reversed: Vec<usize> = (0..n).rev().collect();
    let orders = [in_order, reversed, shuffled(n)];
    for isa in Isa::available() {
        for threads in [1, 2, 5] {
            let model = load(name, isa, threads);
            assert_eq!((model.isa(), model.threads()), (isa, threads));
            for (order, micro_batch_tokens) in orders.iter().zip([128, 1, 1000]) {
                let options = EncodeOptions::default().micro_batch_tokens(micro_batch_tokens);
                expected.check(&model, order, &options);
            }
            for i in [0, n / 2, n - 1] {
                assert_eq!(bits(&model.encode(&expected.texts[i]).unwrap()), expected.vectors[i]);
            }
        }
    }
}

#[test]
fn the_tiny_model_with_all_its_texts() {
    let texts = golden::texts("tiny-bert").into_iter().map(|t| t.text).collect();
    check_all_ways("tiny-bert", texts);
}

/// Of each category of golden texts two, so that the nine combinations stay within a minute; every length
/// and script is among them.
#[test]
fn the_real_model_with_texts_of_every_kind() {
    let mut of_category = std::collections::HashMap::new();
    let texts = golden::texts("texts").into_iter().filter(|t| {
        let seen: &mut usize = of_category.entry(t.category.clone()).or_default();
        *seen += 1;
        *seen <= 2
    });
    let texts: Vec<String> = texts.map(|t| t.text).collect();
    assert!(texts.len() >= 40);
    check_all_ways(DEFAULT_MODEL, texts);
}

/// Encodes golden texts in one batch on every instruction set, against a hash in `fixtures/golden/bits.json`: the
/// bits are the same on other machines and in other versions too. If the contract itself is changed, a failure
/// prints the new hash; CHANGELOG.md has to say so.
fn check_golden_bits(name: &str, hash_name: &str, texts: impl Iterator<Item = GoldenText>) {
    check_golden_bits_with(name, hash_name, texts, |isa| load(name, isa, 0));
}

/// The same with models that come from a cache of packed weights.
fn check_cached_golden_bits(name: &str, hash_name: &str, texts: impl Iterator<Item = GoldenText>) {
    let cache = tempfile::tempdir().unwrap();
    let load_cached = |isa| {
        let directory = PackedCache::Directory(cache.path().to_owned());
        load_with(name, &LoadOptions::default().isa(isa).packed_cache(directory))
    };
    load_cached(Isa::best());
    check_golden_bits_with(name, hash_name, texts, |isa| {
        let model = load_cached(isa);
        assert!(matches!(model.packed_cache(), PackedCacheStatus::Used { .. }), "{:?}", model.packed_cache());
        model
    });
}

fn check_golden_bits_with(
    name: &str,
    hash_name: &str,
    texts: impl Iterator<Item = GoldenText>,
    load: impl Fn(Isa) -> SentenceTransformer,
) {
    let path = golden::fixtures().join("golden/bits.json");
    let golden_bits: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let texts: Vec<String> = texts.map(|t| t.text).collect();
    for isa in Isa::available() {
        let vectors = load(isa).encode_batch(&texts, &EncodeOptions::default()).unwrap();
        let mut hash = Sha256::new();
        vectors.as_slice().iter().for_each(|x| hash.update(x.to_le_bytes()));
        let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(golden_bits[name][hash_name], hash.as_str(), "{name}, {hash_name}, on {isa}");
    }
}

#[test]
fn the_tiny_model_has_the_golden_bits() {
    check_golden_bits("tiny-bert", "f32", golden::texts("tiny-bert").into_iter());
}

#[test]
fn the_real_model_has_the_golden_bits() {
    check_golden_bits(DEFAULT_MODEL, "f32", golden::texts("texts").into_iter());
}

/// A part of the test above, for an emulated machine, where all of it takes most of an hour (`.ci/aarch64`).
#[test]
fn the_real_model_has_the_golden_bits_for_every_16th_text() {
    check_golden_bits(DEFAULT_MODEL, "f32_every_16th", golden::texts("texts").into_iter().step_by(16));
}

#[test]
fn the_tiny_model_from_a_packed_cache_has_the_golden_bits() {
    check_cached_golden_bits("tiny-bert", "f32", golden::texts("tiny-bert").into_iter());
}

#[test]
fn the_real_model_from_a_packed_cache_has_the_golden_bits_for_every_16th_text() {
    let texts = golden::texts("texts").into_iter().step_by(16);
    check_cached_golden_bits(DEFAULT_MODEL, "f32_every_16th", texts);
}

/// One model, many callers: `&self` from eight threads at once.
#[test]
fn callers_do_not_disturb_each_other() {
    let texts: Vec<String> = golden::texts("tiny-bert").into_iter().map(|t| t.text).collect();
    let expected = Expected::of("tiny-bert", texts);
    let model = load("tiny-bert", Isa::best(), 2);
    std::thread::scope(|scope| {
        for caller in 0..8 {
            let (model, expected) = (&model, &expected);
            scope.spawn(move || {
                for round in 0..20 {
                    let i = (caller * 7 + round) % expected.texts.len();
                    assert_eq!(bits(&model.encode(&expected.texts[i]).unwrap()), expected.vectors[i]);
                    expected.check(model, &shuffled(expected.texts.len()), &EncodeOptions::default());
                }
            });
        }
    });
}
