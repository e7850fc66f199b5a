//! Files that the `safetensors` crate wrote are read; files that nobody should have written are refused,
//! each with an error that names the thing, what was expected and what was found.

use std::path::PathBuf;

use half::{bf16, f16};
use minilm_weights::{FloatType, WeightsError, WeightsFile};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::TempDir;

fn write(bytes: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    std::fs::write(&path, bytes).unwrap();
    (directory, path)
}

/// A file with this header (its length put in front) and this many bytes of data.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn open_error(bytes: &[u8]) -> String {
    let (_directory, path) = write(bytes);
    let error = WeightsFile::open(&path).expect_err("the file is malformed").to_string();
    assert!(error.contains(path.to_str().unwrap()), "the error does not name the file: {error}");
    error
}

#[track_caller]
fn assert_says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "the error should say {part:?}: {error}");
    }
}

#[test]
fn reads_f32_f16_and_bf16_as_the_safetensors_crate_wrote_them() {
    let numbers = [0.0f32, -0.0, 1.0, -2.5, 0.1, 65504.0, 6.1e-5, f32::INFINITY];
    let f32_bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    let f16_bytes: Vec<u8> = numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
    let bf16_bytes: Vec<u8> = numbers.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
    let view = |dtype, bytes| TensorView::new(dtype, vec![2, 4], bytes).unwrap();
    let file = safetensors::serialize(
        [
            ("single", view(Dtype::F32, &f32_bytes)),
            ("half", view(Dtype::F16, &f16_bytes)),
            ("brain", view(Dtype::BF16, &bf16_bytes)),
        ],
        None,
    )
    .unwrap();
    let (_directory, path) = write(&file);
    let file = WeightsFile::open(&path).unwrap();
    assert_eq!((file.path(), file.names().count()), (path.as_path(), 3));
    assert!(file.contains("half") && !file.contains("double"));
    assert!(file.metadata().is_empty() && file.raw_tensor("double").is_none());
    let raw = file.raw_tensor("brain").unwrap();
    assert_eq!((&raw.dtype[..], raw.shape), ("BF16", &[2, 4][..]));
    let range = raw.bytes;
    assert_eq!(WeightsFile::open(&path).unwrap().into_mapped()[range], bf16_bytes);

    let bits = |x: Vec<f32>| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let single = file.tensor("single", &[2, 4]).unwrap();
    assert_eq!((single.float_type(), single.shape(), single.len()), (FloatType::F32, &[2, 4][..], 8));
    assert_eq!(bits(single.to_f32()), bits(numbers.to_vec()));
    let half = file.tensor("half", &[2, 4]).unwrap();
    assert_eq!(bits(half.to_f32()), bits(numbers.map(|x| f16::from_f32(x).to_f32()).to_vec()));
    let brain = file.tensor("brain", &[2, 4]).unwrap();
    assert_eq!(bits(brain.to_f32()), bits(numbers.map(|x| bf16::from_f32(x).to_f32()).to_vec()));

    let mut second_row = [0.0; 4];
    single.read_f32(4, &mut second_row);
    assert_eq!(second_row, numbers[4..]);
}

#[test]
fn data_may_begin_at_any_byte() {
    for padding in 0..4 {
        let header =
            format!(r#"{{"x":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}{}"#, " ".repeat(padding));
        let mut bytes = with_header(&header, 0);
        bytes.extend_from_slice(&3.25f32.to_le_bytes());
        let (_directory, path) = write(&bytes);
        assert_eq!(WeightsFile::open(&path).unwrap().tensor("x", &[1]).unwrap().to_f32(), [3.25]);
    }
}

#[test]
fn a_missing_file_a_directory_and_an_empty_file_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("nowhere.safetensors");
    let error = WeightsFile::open(&missing).unwrap_err();
    assert!(matches!(error, WeightsError::Open { .. }), "{error}");
    assert_says(&error.to_string(), &["nowhere.safetensors"]);
    assert_says(&WeightsFile::open(directory.path()).unwrap_err().to_string(), &["cannot open"]);
    assert_says(&open_error(b""), &["it is empty"]);
}

#[test]
fn what_is_not_safetensors_is_refused() {
    assert_says(&open_error(b"short"), &["it has 5 bytes"]);
    assert_says(&open_error(&[0xff; 64]), &["18446744073709551615 bytes long", "only 56 follow"]);
    assert_says(&open_error(&with_header("not json", 0)), &["not the expected JSON"]);
    assert_says(&open_error(&with_header("[1, 2]", 0)), &["not the expected JSON"]);
    assert_says(&open_error(b"PK\x03\x04 and so on and so on"), &["zip archive"]);
    assert_says(&open_error(b"version https://git-lfs.github.com/spec/v1"), &["Git LFS pointer"]);
    let mut invalid_utf8 = with_header(r#"{"a": 1}"#, 0);
    invalid_utf8[10] = 0xff;
    assert_says(&open_error(&invalid_utf8), &["not the expected JSON"]);
}

#[test]
fn a_header_length_past_the_end_is_refused() {
    let mut bytes = with_header("{}", 6);
    bytes[..8].copy_from_slice(&9u64.to_le_bytes());
    assert_says(&open_error(&bytes), &["should be 9 bytes long", "only 8 follow"]);
}

#[test]
fn offsets_are_checked() {
    let one = |offsets: &str, shape: &str| {
        format!(r#"{{"x":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let cases = [
        ("[0,8]", "[2]", 4, "outside the 4 bytes"),
        ("[8,0]", "[2]", 8, "outside the 8 bytes"),
        ("[0,8]", "[1]", 8, "not what F32 of shape [1] needs"),
        ("[0,8]", "[3]", 8, "not what F32 of shape [3] needs"),
        ("[4,8]", "[1]", 8, "leaves a gap"),
        ("[0,4]", "[1]", 8, "end after 4 bytes of data, but 8 are there"),
        ("[0,18446744073709551612]", "[4611686018427387903]", 8, "outside the 8 bytes"),
        ("[0,8]", "[4611686018427387904,4611686018427387904,2]", 8, "not what F32"),
        ("[0,-4]", "[1]", 4, "malformed entry"),
    ];
    for (offsets, shape, data, says) in cases {
        let error = open_error(&with_header(&one(offsets, shape), data));
        assert_says(&error, &[says]);
    }
    let overlapping = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                          "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let error = open_error(&with_header(overlapping, 12));
    assert_says(&error, &["\"b\"", "4..12", "overlaps", "expected it to start at 8"]);
    let error = open_error(&with_header(r#"{"x":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}"#, 4));
    assert_says(&error, &["\"x\"", "malformed entry", "F31"]);
}

#[test]
fn a_tensor_that_is_missing_or_of_another_type_or_shape_is_refused() {
    let header = r#"{"__metadata__":{"format":"pt"},
        "ids":{"dtype":"I64","shape":[1,2],"data_offsets":[0,16]},
        "x":{"dtype":"F32","shape":[2,1],"data_offsets":[16,24]}}"#;
    let (_directory, path) = write(&with_header(header, 24));
    let file = WeightsFile::open(&path).unwrap();
    let error = file.tensor("y", &[2]).unwrap_err();
    assert!(
        matches!(&error, WeightsError::MissingTensor { tensor, count: 2, .. } if tensor == "y"),
        "{error}"
    );
    assert_says(&error.to_string(), &["tensor \"y\" is missing (there are 2 tensors)"]);
    let error = file.tensor("ids", &[1, 2]).unwrap_err();
    assert!(matches!(&error, WeightsError::WrongType { found, .. } if found == "I64"), "{error}");
    assert_says(&error.to_string(), &["\"ids\"", "I64", "expected F32, F16 or BF16"]);
    let error = file.tensor("x", &[1, 2]).unwrap_err();
    assert!(matches!(error, WeightsError::WrongShape { .. }), "{error}");
    assert_says(&error.to_string(), &["\"x\"", "[2, 1]", "expected [1, 2]"]);
}

/// Every prefix of a valid file, and every file with one byte of its header changed, is opened or refused,
/// but never a panic.
#[test]
fn no_mutilation_of_a_file_panics() {
    let header = r#"{"x":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}"#;
    let whole = with_header(header, 8);
    for end in 0..whole.len() {
        open_error(&whole[..end]);
    }
    for position in 0..whole.len() - 8 {
        for byte in [0, b'9', b'"', b'}', 0xff] {
            let mut bytes = whole.clone();
            bytes[position] = byte;
            let (_directory, path) = write(&bytes);
            if let Ok(file) = WeightsFile::open(&path)
                && let Ok(x) = file.tensor("x", &[2, 1])
            {
                assert_eq!(x.to_f32(), [0.0, 0.0]);
            }
        }
    }
}

#[test]
fn a_missing_tensor_is_there_under_another_prefix() {
    let file = |names: &[&str]| {
        let entries: Vec<String> = names
            .iter()
            .map(|name| format!(r#""{name}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#))
            .collect();
        let (directory, path) = write(&with_header(&format!("{{{}}}", entries.join(",")), 0));
        (directory, WeightsFile::open(path).unwrap())
    };
    let prefix_of = |names: &[&str]| match file(names).1.tensor("norm.weight", &[0]).unwrap_err() {
        WeightsError::MissingTensor { prefix, .. } => prefix,
        error => panic!("{error}"),
    };
    assert_eq!(prefix_of(&["0.auto_model.norm.weight", "norm.bias"]).as_deref(), Some("0.auto_model."));
    // The shortest, and of these the first, whatever the order.
    assert_eq!(prefix_of(&["b.norm.weight", "c.norm.weight", "a.b.norm.weight"]).as_deref(), Some("b."));
    for name in ["layernorm.weight", "norm.weight.", "x.norm.weights", "x.norm_weight", "weight"] {
        assert_eq!(prefix_of(&[name]), None, "{name}");
    }
    let error = file(&["x", "model.norm.weight"]).1.tensor("norm.weight", &[0]).unwrap_err().to_string();
    let says = "tensor \"norm.weight\" is missing (there are 2 tensors, one has the prefix \"model.\" before this name)";
    assert_says(&error, &[says]);
}
