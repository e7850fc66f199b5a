//! The golden data of `fixtures/`: what the Python reference stack computed. See `fixtures/README.md`.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// `fixtures/` of this checkout.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// The directory of the tiny random model.
pub fn tiny_bert() -> PathBuf {
    fixtures().join("tiny-bert")
}

/// The tiny random models, one for each architecture, and for what their folders may have. Each is a directory of
/// `fixtures/`, and has golden texts and tensors of its name.
pub const TINY_MODELS: [&str; 8] = [
    "tiny-bert",
    "tiny-bert-odd",
    "tiny-bert-dense",
    "tiny-multilingual-bert",
    "tiny-mpnet",
    "tiny-roberta",
    "tiny-xlm-roberta",
    "tiny-distilbert",
];

/// A text and what the reference tokenizer makes of it.
#[derive(Clone, Debug, Deserialize)]
pub struct GoldenText {
    /// What kind of text it is.
    pub category: String,
    /// The text.
    pub text: String,
    /// Its token ids, cut to the model's limit.
    pub ids: Vec<u32>,
    /// How many tokens it has without the limit.
    pub tokens: usize,
    /// Whether it was cut.
    pub truncated: bool,
}

/// The texts of `golden/{name}.jsonl`.
pub fn texts(name: &str) -> Vec<GoldenText> {
    let path = fixtures().join("golden").join(name).with_extension("jsonl");
    let lines = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    lines.lines().map(|line| serde_json::from_str(line).expect("a golden text")).collect()
}

/// `golden/{name}.json`
pub fn json<T: DeserializeOwned>(name: &str) -> T {
    let path = fixtures().join("golden").join(name).with_extension("json");
    let json = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&json).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A safetensors file of golden tensors.
pub struct GoldenTensors(Vec<u8>);

impl GoldenTensors {
    /// `golden/{name}.safetensors`
    pub fn open(name: &str) -> GoldenTensors {
        let path = fixtures().join("golden").join(name).with_extension("safetensors");
        GoldenTensors(std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    }

    fn read<const N: usize, T>(&self, name: &str, dtype: Dtype, element: fn([u8; N]) -> T) -> Vec<T> {
        let file = SafeTensors::deserialize(&self.0).expect("a safetensors file");
        let tensor = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(tensor.dtype(), dtype, "{name}");
        tensor.data().as_chunks().0.iter().map(|&bytes| element(bytes)).collect()
    }

    /// An f32 tensor's elements, row-major.
    pub fn f32(&self, name: &str) -> Vec<f32> {
        self.read(name, Dtype::F32, f32::from_le_bytes)
    }

    /// An f64 tensor's elements, row-major.
    pub fn f64(&self, name: &str) -> Vec<f64> {
        self.read(name, Dtype::F64, f64::from_le_bytes)
    }

    /// An i64 tensor's elements, row-major.
    pub fn i64(&self, name: &str) -> Vec<i64> {
        self.read(name, Dtype::I64, i64::from_le_bytes)
    }

    /// An i8 tensor's elements, row-major.
    pub fn i8(&self, name: &str) -> Vec<i8> {
        self.read(name, Dtype::I8, i8::from_le_bytes)
    }

    /// A u8 tensor's elements, row-major.
    pub fn u8(&self, name: &str) -> Vec<u8> {
        self.read(name, Dtype::U8, u8::from_le_bytes)
    }

    /// The names of all tensors.
    pub fn names(&self) -> Vec<String> {
        let file = SafeTensors::deserialize(&self.0).expect("a safetensors file");
        file.names().into_iter().map(str::to_owned).collect()
    }
}
