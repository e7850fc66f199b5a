//! `minilm trace`: every tensor of one text as a `.npy` file, and an index of them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use minilm::storage::OutputDirectory;
use minilm::{Precision, SentenceTransformer, TokenCount, TraceStep, TraceValues};
use npyz::{DType, WriteOptions, WriterBuilder};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::arguments::TraceArguments;
use crate::error::CliError;
use crate::interrupt;
use crate::model::load;
use crate::stderr::say;

const INDEX: &str = "index.json";

const NUMERICS: &str = "Each step has the bits that its function of kernels/src/reference.rs or \
    kernels/src/reference/narrow.rs gives, on every instruction set: a port that follows it finds every sha256 equal.";

const OTHER_NUMERICS: &str = "Other sums run in sixteen lanes and end in one tree; exp, erf and GELU are polynomials, \
    their coefficients in kernels/src/math.rs. The bits of a NaN are not specified.";

/// How products, attention and GELU are computed in a precision, in a few lines.
fn products(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => {
            "Products (linear, attention_scores, attention_context) are sums over k in order, fused multiply-adds in blocks \
             of 128, the bias last."
        }
        Precision::Bf16 => {
            "Products are linear_bf16 and attention_bf16 of kernels/src/reference/narrow.rs: both factors are rounded to \
             bf16; a sum is one chain of fused multiply-adds over k, two steps at a time, the second of them first, the bias \
             last. GELU is gelu_polynomial. In the last layer attention.qkv, attention itself and attention.dense are in f32: \
             linear, attention_scores, softmax and attention_context, sums over k in order, in blocks of 128."
        }
        Precision::Int8 => {
            "Products are linear_int8 of kernels/src/reference/narrow.rs: inputs are multiplied by their factors and quantised \
             row by row, weights divided by them and quantised column by column, in groups of 384 inputs; a group's sum is \
             an exact integer, and is added to the bias. Attention is attention_bf16 there, GELU gelu_polynomial."
        }
    }
}

/// `index.json`
#[derive(Serialize)]
struct Index {
    /// The version of this program.
    minilm: &'static str,
    model: ModelSource,
    config: Config,
    text: String,
    /// How many tokens the whole text has, special tokens included.
    tokens: usize,
    /// Whether that is more than the model takes, so that a part of the text was ignored.
    truncated: bool,
    /// What products are computed in.
    precision: &'static str,
    numerics: String,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct ModelSource {
    name: Option<String>,
    source: String,
    snapshot: Option<String>,
    directory: String,
}

/// What the steps' functions take beside tensors.
#[derive(Serialize)]
struct Config {
    num_hidden_layers: usize,
    hidden_size: usize,
    num_attention_heads: usize,
    head_size: usize,
    intermediate_size: usize,
    layer_norm_eps: f32,
    max_seq_length: usize,
}

#[derive(Serialize)]
struct Step {
    name: String,
    file: String,
    dtype: &'static str,
    shape: Vec<usize>,
    description: String,
    inputs: Vec<String>,
    weights: Vec<String>,
    reference: Option<&'static str>,
    /// Of the elements alone, row-major and little-endian, as they lie in the file behind its header.
    sha256: String,
}

pub(crate) fn run(arguments: &TraceArguments) -> Result<(), CliError> {
    // What can be wrong is found out before the model is fetched and the work begins.
    interrupt::leave_nothing_behind();
    let output = OutputDirectory::create(&arguments.output)?;
    // A trace is one text on the caller's thread.
    let model = load(&arguments.model, 1)?;

    // Nobody can stop the pass, so the first failure is kept until its end.
    let mut steps = Ok(Vec::new());
    let (_, count) = model.trace(&arguments.text, &mut |step| {
        if let Ok(written) = &mut steps {
            match write_step(output.path(), written.len(), step) {
                Ok(step) => written.push(step),
                Err(error) => steps = Err(error),
            }
        }
    })?;
    if count.truncated() {
        let (tokens, limit) = (count.total, model.max_seq_length());
        say!("warning: the text has {tokens} tokens, more than {limit}; the rest was ignored");
    }
    let written = steps.and_then(|steps| {
        let mut json = serde_json::to_vec_pretty(&Index::of(&model, &arguments.text, count, steps))?;
        json.push(b'\n');
        write_file(&output.path().join(INDEX), |to| to.write_all(&json))
    });
    Ok(output.finish(written)?)
}

impl Index {
    fn of(model: &SentenceTransformer, text: &str, count: TokenCount, steps: Vec<Step>) -> Index {
        let (config, resolved) = (model.config(), model.resolved());
        Index {
            minilm: env!("CARGO_PKG_VERSION"),
            model: ModelSource {
                name: resolved.name().map(str::to_owned),
                source: resolved.source().to_string(),
                snapshot: resolved.snapshot().map(str::to_owned),
                directory: resolved.directory().display().to_string(),
            },
            config: Config {
                num_hidden_layers: config.num_hidden_layers,
                hidden_size: config.hidden_size,
                num_attention_heads: config.num_attention_heads,
                head_size: config.head_size(),
                intermediate_size: config.intermediate_size,
                layer_norm_eps: config.layer_norm_eps,
                max_seq_length: model.max_seq_length(),
            },
            text: text.to_owned(),
            tokens: count.total,
            truncated: count.truncated(),
            precision: model.precision().name(),
            numerics: format!("{NUMERICS} {} {OTHER_NUMERICS}", products(model.precision())),
            steps,
        }
    }
}

/// The number-th step as a file of the directory: `001-embeddings.word.npy`.
fn write_step(directory: &Path, number: usize, step: &TraceStep<'_>) -> io::Result<Step> {
    let (dtype, code, bytes): (_, _, Vec<u8>) = match step.values {
        // What PyTorch and ONNX take as ids.
        TraceValues::Ids(ids) => {
            ("int64", "<i8", ids.iter().flat_map(|&id| i64::from(id).to_le_bytes()).collect())
        }
        TraceValues::F32(values) => ("float32", "<f4", values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        other => return Err(io::Error::other(format!("{}: {other:?} has no .npy type", step.name))),
    };
    let code = code.parse().map_err(io::Error::other)?;
    let shape: Vec<u64> = step.shape.iter().map(|&n| n as u64).collect();
    let file = format!("{number:03}-{}.npy", step.name);
    write_file(&directory.join(&file), |to| {
        let header = WriteOptions::new_header_only().dtype(DType::new_scalar(code)).shape(&shape);
        header.writer(&mut *to).write_header_only()?;
        to.write_all(&bytes)
    })?;
    Ok(Step {
        name: step.name.clone(),
        file,
        dtype,
        shape: step.shape.clone(),
        description: step.description.clone(),
        inputs: step.inputs.clone(),
        weights: step.weights.clone(),
        reference: step.reference,
        sha256: Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

fn write_file(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut to = BufWriter::new(File::create_new(path)?);
    content(&mut to)?;
    to.into_inner()?.sync_all()
}
