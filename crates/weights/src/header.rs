//! The safetensors header, checked in full when a file is opened.
//!
//! Format: <https://github.com/huggingface/safetensors#format>. A little-endian u64 with the length of the
//! header, the header (a JSON object: tensor name → type, shape, byte offsets into the rest), the bytes of
//! all tensors without gaps. The types come from the `safetensors` crate; the checks are done here, because
//! its errors name neither the tensor nor the offsets, and it adds offsets without a check for overflow.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::TensorInfo;

use crate::WeightsError;

const LENGTH_BYTES: usize = 8;

/// The format's own limit.
const MAX_HEADER: usize = 100_000_000;

/// The one entry that is no tensor.
const METADATA: &str = "__metadata__";

/// A checked header: every tensor's bytes lie inside `bytes[data_start..]`, are as many as its type and
/// shape say, and overlap no other's.
pub(crate) struct Header {
    pub(crate) tensors: HashMap<String, TensorInfo>,
    /// The strings of `__metadata__`; what else is there is no metadata.
    pub(crate) metadata: HashMap<String, String>,
    pub(crate) data_start: usize,
}

pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Header, WeightsError> {
    let invalid = |reason: String| WeightsError::Invalid { path: path.to_owned(), reason };

    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(invalid(format!("it has {} bytes, too few for the header's length", bytes.len())));
    };
    let length = u64::from_le_bytes(*length);
    let Some(header) = usize::try_from(length).ok().filter(|&n| n <= MAX_HEADER).and_then(|n| rest.get(..n))
    else {
        return Err(invalid(match foreign_format(bytes) {
            Some(format) => format!("it looks like {format}"),
            None if length > MAX_HEADER as u64 && length <= rest.len() as u64 => {
                format!("the header is {length} bytes long, expected at most {MAX_HEADER}")
            }
            None => {
                format!("the header should be {length} bytes long, but only {} follow its length", rest.len())
            }
        }));
    };
    let header_error =
        |e: serde_json::Error| invalid(format!("the header is not the expected JSON object: {e}"));
    let entries: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(header_error)?;

    let mut tensors = HashMap::with_capacity(entries.len());
    let mut metadata = HashMap::new();
    for (name, entry) in entries {
        if name == METADATA {
            metadata = strings_of(entry);
            continue;
        }
        match serde_json::from_value::<TensorInfo>(entry) {
            Ok(info) => tensors.insert(name, info),
            Err(e) => return Err(invalid_tensor(path, &name, format!("malformed entry in the header: {e}"))),
        };
    }
    check_offsets(path, &tensors, rest.len() - header.len())?;
    Ok(Header { tensors, metadata, data_start: LENGTH_BYTES + header.len() })
}

fn strings_of(metadata: serde_json::Value) -> HashMap<String, String> {
    let serde_json::Value::Object(entries) = metadata else { return HashMap::new() };
    let strings = entries.into_iter().filter_map(|(key, value)| match value {
        serde_json::Value::String(value) => Some((key, value)),
        _ => None,
    });
    strings.collect()
}

/// Ordered by offset, the tensors must tile the `available` bytes behind the header exactly.
fn check_offsets(
    path: &Path,
    tensors: &HashMap<String, TensorInfo>,
    available: usize,
) -> Result<(), WeightsError> {
    // First each by itself: a wild offset should not be reported as a gap before its neighbour.
    for (name, info) in tensors {
        check_tensor(path, name, info, available)?;
    }
    let mut ordered: Vec<(&String, &TensorInfo)> = tensors.iter().collect();
    ordered.sort_by_key(|(name, info)| (info.data_offsets, *name));
    let mut expected_start = 0;
    for (name, info) in ordered {
        let (start, end) = info.data_offsets;
        if start != expected_start {
            let what = if start < expected_start { "overlaps the tensor before it" } else { "leaves a gap" };
            let reason =
                format!("offsets {start}..{end}: it {what}, expected it to start at {expected_start}");
            return Err(invalid_tensor(path, name, reason));
        }
        expected_start = end;
    }
    if expected_start != available {
        let reason =
            format!("its tensors end after {expected_start} bytes of data, but {available} are there");
        return Err(WeightsError::Invalid { path: path.to_owned(), reason });
    }
    Ok(())
}

/// The offsets must be inside the data, and hold as many bytes as type and shape say.
fn check_tensor(path: &Path, name: &str, info: &TensorInfo, available: usize) -> Result<(), WeightsError> {
    let (start, end) = info.data_offsets;
    if end < start || end > available {
        let reason = format!("offsets {start}..{end} are outside the {available} bytes of data");
        return Err(invalid_tensor(path, name, reason));
    }
    let elements = info.shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    let bits = elements.and_then(|n| n.checked_mul(info.dtype.bitsize()));
    if bits.is_none_or(|bits| bits % 8 != 0 || bits / 8 != end - start) {
        let (bytes, dtype, shape) = (end - start, info.dtype, &info.shape);
        let reason = format!(
            "offsets {start}..{end} hold {bytes} bytes, which is not what {dtype} of shape {shape:?} needs"
        );
        return Err(invalid_tensor(path, name, reason));
    }
    Ok(())
}

fn invalid_tensor(path: &Path, tensor: &str, reason: String) -> WeightsError {
    WeightsError::InvalidTensor { path: path.to_owned(), tensor: tensor.to_owned(), reason }
}

/// What people most often have in the place of a safetensors file.
fn foreign_format(bytes: &[u8]) -> Option<&'static str> {
    [
        (&b"PK\x03\x04"[..], "a zip archive, as PyTorch's .bin and .pt files are"),
        (b"\x80\x02", "a Python pickle"),
        (b"version https://git-lfs", "a Git LFS pointer; fetch the real file with `git lfs pull`"),
        (b"<!DOCTYPE", "a web page"),
        (b"<html", "a web page"),
        (b"GGUF", "a GGUF file"),
        (b"\x89HDF", "an HDF5 file"),
    ]
    .into_iter()
    .find(|(magic, _)| bytes.starts_with(magic))
    .map(|(_, name)| name)
}
