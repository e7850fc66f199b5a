use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::{Tensor, WeightsFile};

/// How many bytes of each tensor are compared, from its first on.
pub const SAMPLE: usize = 1024;

/// What a safetensors file is recognised by, without reading all of it. `packed_file.rs` says why that is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SourceIdentity {
    /// The file's name, with links resolved: in a Hugging Face cache the content's SHA-256.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last modified, in whole seconds since 1970; none where that is not known.
    pub modified: Option<u64>,
    /// XXH3-64 of its safetensors header, sixteen hexadecimal digits.
    pub header: String,
    /// XXH3-64 of the first [`SAMPLE`] bytes of the tensors that were packed, in their order.
    pub sample: String,
}

impl SourceIdentity {
    /// Of a file of which these tensors are packed.
    pub fn of<'a>(weights: &'a WeightsFile, tensors: impl Iterator<Item = Tensor<'a>>) -> SourceIdentity {
        let path = canonical_path(weights.path());
        let mut sample = twox_hash::XxHash3_64::new();
        for tensor in tensors {
            let bytes = tensor.bytes();
            std::hash::Hasher::write(&mut sample, &bytes[..SAMPLE.min(bytes.len())]);
        }
        let modified = weights.modified().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        SourceIdentity {
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            size: weights.size() as u64,
            modified: modified.map(|since| since.as_secs()),
            header: xxh3(weights.header()),
            sample: hex(std::hash::Hasher::finish(&sample)),
        }
    }

    /// What another one, which was found where this was expected, has that this has not.
    pub(crate) fn difference(&self, found: &SourceIdentity) -> Option<String> {
        let fields = [
            ("name", &self.file, &found.file),
            ("size", &self.size.to_string(), &found.size.to_string()),
            ("modification time", &seconds(self.modified), &seconds(found.modified)),
            ("header", &self.header, &found.header),
            ("sample of the tensors", &self.sample, &found.sample),
        ];
        fields.into_iter().find(|(_, expected, found)| expected != found).map(|(what, expected, found)| {
            format!("it was packed from weights of another {what}: {found}, expected {expected}")
        })
    }
}

fn seconds(time: Option<u64>) -> String {
    time.map_or_else(|| "unknown".to_owned(), |seconds| seconds.to_string())
}

/// The path with links resolved, where that can be done.
pub(crate) fn canonical_path(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// XXH3-64 with seed 0, as sixteen hexadecimal digits.
pub(crate) fn xxh3(bytes: &[u8]) -> String {
    hex(twox_hash::XxHash3_64::oneshot(bytes))
}

fn hex(sum: u64) -> String {
    format!("{sum:016x}")
}
