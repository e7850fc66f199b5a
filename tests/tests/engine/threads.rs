//! The threads of a model share a single text: by rows or by columns, as its length and their number say, and alone
//! where another caller has them. The bits are those of one thread.

use minilm::{DEFAULT_MODEL, Isa, Precision, SentenceTransformer};
use minilm_tests::golden_bits::{TINY_MODEL, bits, load, options};
use minilm_tests::sized_texts::text_of;

/// On both sides of where a tile of rows is full, where columns are shared no more (48 rows for two threads, 72 for
/// three) and where a thread has another piece of rows.
const TOKENS: [usize; 21] =
    [2, 3, 8, 9, 10, 12, 16, 17, 33, 47, 48, 49, 64, 65, 71, 72, 73, 128, 130, 192, 256];

fn encode(model: &SentenceTransformer, text: &str) -> Vec<u32> {
    bits(&model.encode(text).unwrap())
}

/// Texts of these lengths, cut to the model's limit, with the bits that one thread gives them.
fn expected(name: &str, precision: Precision, isa: Isa, lengths: &[usize]) -> Vec<(String, Vec<u32>)> {
    let model = load(name, &options(precision, isa, 1));
    lengths
        .iter()
        .map(|&tokens| {
            let text = text_of(tokens);
            let (ids, _) = model.tokenize(&text).unwrap();
            assert_eq!(ids.len(), tokens.min(model.max_seq_length()), "{text}");
            let bits = encode(&model, &text);
            (text, bits)
        })
        .collect()
}

/// More threads than cores, too, and than the model has heads.
fn check_threads(name: &str, precision: Precision, lengths: &[usize]) {
    for isa in Isa::available() {
        let expected = expected(name, precision, isa, lengths);
        for threads in [1, 2, 3, 16] {
            let model = load(name, &options(precision, isa, threads));
            // Then the longer ones first, so that what one leaves behind in the scratch memory would show.
            for (text, bits) in expected.iter().chain(expected.iter().rev()) {
                let found = encode(&model, text);
                assert!(found == *bits, "other bits in {precision} on {isa}, {threads} threads: {text}");
            }
        }
    }
}

/// Of six callers one at a time has the second thread.
fn check_callers(name: &str, precision: Precision) {
    let isa = Isa::best();
    let expected = expected(name, precision, isa, &TOKENS);
    let model = load(name, &options(precision, isa, 2));
    std::thread::scope(|scope| {
        for caller in 0..6 {
            let (expected, model) = (&expected, &model);
            scope.spawn(move || {
                for i in 0..3 * expected.len() {
                    let (text, bits) = &expected[(caller * 5 + i) % expected.len()];
                    assert!(
                        encode(model, text) == *bits,
                        "other bits in {precision}, caller {caller}: {text}"
                    );
                }
            });
        }
    });
}

#[test]
fn the_tiny_model_on_any_number_of_threads() {
    for precision in Precision::ALL {
        check_threads(TINY_MODEL, precision, &TOKENS);
    }
}

#[test]
fn the_real_model_on_any_number_of_threads() {
    check_threads(DEFAULT_MODEL, Precision::F32, &TOKENS);
}

/// How rows and columns are shared does not depend on the precision: fewer lengths, on both sides of the same bounds.
#[test]
fn the_real_model_on_any_number_of_threads_in_bf16_and_int8() {
    for precision in [Precision::Bf16, Precision::Int8] {
        check_threads(DEFAULT_MODEL, precision, &[2, 9, 12, 33, 47, 48, 71, 72, 130]);
    }
}

#[test]
fn callers_of_the_tiny_model_share_its_threads() {
    for precision in Precision::ALL {
        check_callers(TINY_MODEL, precision);
    }
}

#[test]
fn callers_of_the_real_model_share_its_threads() {
    for precision in Precision::ALL {
        check_callers(DEFAULT_MODEL, precision);
    }
}
