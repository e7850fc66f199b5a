//! The promise: the same text has the same bits alone, in any batch and order, with any number of threads,
//! in micro-batches of any size, on every instruction set.

use minilm::{
    DEFAULT_MODEL, EncodeOptions, Isa, PackedCache, PackedCacheStatus, Precision, SentenceTransformer,
    cpu_features,
};
use minilm_tests::golden::{self, TINY_MODELS};
use minilm_tests::golden_bits::{self, SAMPLE, TINY_MODEL, bits, load, options};

#[path = "../../kernels/tests/bits/required_isas.rs"]
mod required_isas;

/// What every other way of encoding is compared with: each text alone, one thread, the fastest
/// instruction set.
struct Expected {
    texts: Vec<String>,
    vectors: Vec<Vec<u32>>,
}

impl Expected {
    fn of(name: &str, precision: Precision, texts: Vec<String>) -> Expected {
        let model = load(name, &options(precision, Isa::best(), 1));
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
                "other bits in {} on {}, {} threads, {options:?}: {:?}",
                model.precision(),
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

fn check_all_ways(name: &str, precision: Precision, texts: Vec<String>) {
    let expected = Expected::of(name, precision, texts);
    let n = expected.texts.len();
    let in_order: Vec<usize> = (0..n).collect();
    let reversed: Vec<usize> = (0..n).rev().collect();
    let orders = [in_order, reversed, shuffled(n)];
    for isa in Isa::available() {
        for threads in [1, 2, 5] {
            let model = load(name, &options(precision, isa, threads));
            assert_eq!((model.precision(), model.isa(), model.threads()), (precision, isa, threads));
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
    for precision in Precision::ALL {
        check_all_ways(TINY_MODEL, precision, golden_bits::texts(TINY_MODEL));
    }
}

#[test]
fn the_tiny_models_of_the_family_with_all_their_texts() {
    for model in TINY_MODELS.into_iter().filter(|&model| model != TINY_MODEL) {
        for precision in Precision::ALL {
            check_all_ways(model, precision, golden_bits::texts(model));
        }
    }
}

/// Of each category of golden texts so many; every length and script is among them.
fn texts_of_every_kind(of_each: usize) -> Vec<String> {
    let mut of_category = std::collections::HashMap::new();
    let texts = golden::texts("texts").into_iter().filter(|t| {
        let seen: &mut usize = of_category.entry(t.category.clone()).or_default();
        *seen += 1;
        *seen <= of_each
    });
    texts.map(|t| t.text).collect()
}

/// Two, so that the nine combinations stay within a minute.
#[test]
fn the_real_model_with_texts_of_every_kind() {
    let texts = texts_of_every_kind(2);
    assert!(texts.len() >= 40);
    check_all_ways(DEFAULT_MODEL, Precision::F32, texts);
}

#[test]
fn the_real_model_with_texts_of_every_kind_in_bf16_and_int8() {
    let texts = texts_of_every_kind(1);
    assert!(texts.len() >= 20);
    for precision in [Precision::Bf16, Precision::Int8] {
        check_all_ways(DEFAULT_MODEL, precision, texts.clone());
    }
}

/// Encodes every step-th golden text in one batch on every instruction set, against a hash in
/// `fixtures/golden/bits.json`: the bits are the same on other machines and in other versions too. If the contract itself
/// is changed, the program `golden_bits` writes the new hashes; CHANGELOG.md has to say so.
fn check_golden_bits(name: &str, precision: Precision, step: usize) {
    check_golden_bits_with(name, precision, step, |isa| load(name, &options(precision, isa, 0)));
}

/// The same with models that come from a cache of packed weights.
fn check_cached_golden_bits(name: &str, precision: Precision, step: usize) {
    let cache = tempfile::tempdir().unwrap();
    let load_cached = |isa| {
        let directory = PackedCache::Directory(cache.path().to_owned());
        load(name, &options(precision, isa, 0).packed_cache(directory))
    };
    load_cached(Isa::best());
    check_golden_bits_with(name, precision, step, |isa| {
        let model = load_cached(isa);
        assert!(matches!(model.packed_cache(), PackedCacheStatus::Used { .. }), "{:?}", model.packed_cache());
        model
    });
}

fn check_golden_bits_with(
    name: &str,
    precision: Precision,
    step: usize,
    load: impl Fn(Isa) -> SentenceTransformer,
) {
    let (hashes, hash_name) = (golden_bits::read(), golden_bits::name(precision, step));
    let expected = hashes.get(name).and_then(|hashes| hashes.get(&hash_name));
    let texts: Vec<String> = golden_bits::texts(name).into_iter().step_by(step).collect();
    for isa in Isa::available() {
        let vectors = load(isa).encode_batch(&texts, &EncodeOptions::default()).unwrap();
        let found = golden_bits::hash(vectors.rows());
        assert_eq!(expected, Some(&found), "{name}, {hash_name}, on {isa}");
    }
}

#[test]
fn the_tiny_models_have_the_golden_bits() {
    for model in TINY_MODELS {
        for precision in Precision::ALL {
            check_golden_bits(model, precision, 1);
        }
    }
}

#[test]
fn the_real_model_has_the_golden_bits() {
    check_golden_bits(DEFAULT_MODEL, Precision::F32, 1);
}

#[test]
fn the_real_model_has_the_golden_bits_in_bf16() {
    check_golden_bits(DEFAULT_MODEL, Precision::Bf16, 1);
}

#[test]
fn the_real_model_has_the_golden_bits_in_int8() {
    check_golden_bits(DEFAULT_MODEL, Precision::Int8, 1);
}

/// A part of the tests above, for an emulated machine, where all of it takes most of an hour (`.ci/aarch64`).
#[test]
fn the_real_model_has_the_golden_bits_for_every_16th_text() {
    for precision in Precision::ALL {
        check_golden_bits(DEFAULT_MODEL, precision, SAMPLE);
    }
}

#[test]
fn the_tiny_models_from_a_packed_cache_have_the_golden_bits() {
    for model in TINY_MODELS {
        for precision in Precision::ALL {
            check_cached_golden_bits(model, precision, 1);
        }
    }
}

#[test]
fn the_real_model_from_a_packed_cache_has_the_golden_bits_for_every_16th_text() {
    for precision in Precision::ALL {
        check_cached_golden_bits(DEFAULT_MODEL, precision, SAMPLE);
    }
}

/// One model, many callers: `&self` from eight threads at once.
#[test]
fn callers_do_not_disturb_each_other() {
    Precision::ALL.into_iter().for_each(check_callers);
}

fn check_callers(precision: Precision) {
    let expected = Expected::of(TINY_MODEL, precision, golden_bits::texts(TINY_MODEL));
    let model = load(TINY_MODEL, &options(precision, Isa::best(), 2));
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
