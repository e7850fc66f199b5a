//! `fixtures/golden/bits.json`: hashes of the engine's own vectors of golden texts, for each model and precision. They are
//! the same on every instruction set; the program `golden_bits` writes them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use minilm::{DEFAULT_MODEL, Isa, LoadOptions, Precision, SentenceTransformer};
use sha2::{Digest, Sha256};

use crate::golden::{self, TINY_MODELS};

/// The name in the file of the tiny model that most tests are content with.
pub const TINY_MODEL: &str = "tiny-bert";

/// By model, then by what [`name`] says.
pub type Hashes = BTreeMap<String, BTreeMap<String, String>>;

/// Where they are.
pub fn path() -> PathBuf {
    golden::fixtures().join("golden/bits.json")
}

/// What the file has.
pub fn read() -> Hashes {
    let path = path();
    let json = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&json).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Of a model every how-manieth text there are hashes: all, and of the real one a sample for emulated machines.
pub fn steps(model: &str) -> &'static [usize] {
    if model == DEFAULT_MODEL { &[1, SAMPLE] } else { &[1] }
}

/// One text of so many is in the sample of a model's texts.
pub const SAMPLE: usize = 16;

/// The models that have hashes.
pub fn models() -> impl Iterator<Item = &'static str> {
    TINY_MODELS.into_iter().chain([DEFAULT_MODEL])
}

/// `f32`, or `f32_every_16th` if it is of every 16th text.
pub fn name(precision: Precision, step: usize) -> String {
    if step == 1 { precision.to_string() } else { format!("{precision}_every_{step}th") }
}

/// A model's golden texts.
pub fn texts(model: &str) -> Vec<String> {
    let file = if model == DEFAULT_MODEL { "texts" } else { model };
    golden::texts(file).into_iter().map(|text| text.text).collect()
}

/// What every test of bits varies.
pub fn options(precision: Precision, isa: Isa, threads: usize) -> LoadOptions {
    LoadOptions::default().precision(precision).isa(isa).threads(threads)
}

/// Loads a model of the file.
pub fn load(model: &str, options: &LoadOptions) -> SentenceTransformer {
    let path = if model == DEFAULT_MODEL { model.into() } else { golden::fixtures().join(model) };
    SentenceTransformer::load_with(path, options).expect("the model loads")
}

/// The bits of a vector's components: what is compared, since −0 = 0 and NaN ≠ NaN.
pub fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|x| x.to_bits()).collect()
}

/// SHA-256 of these vectors as little-endian f32.
pub fn hash<'a>(vectors: impl Iterator<Item = &'a [f32]>) -> String {
    let mut hash = Sha256::new();
    vectors.flatten().for_each(|x| hash.update(x.to_le_bytes()));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
