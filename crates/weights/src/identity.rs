use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::{Tensor, Weights, WeightsFile};

/// How many bytes of each tensor are compared, from its first on.
pub const SAMPLE: usize = 1024;

/// What weights are recognised by, without reading all of them. `packed_file.rs` says why that is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SourceIdentity {
    /// The file, or the first shard.
    #[serde(flatten)]
    pub first: FileIdentity,
    /// The other shards, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<FileIdentity>,
    /// XXH3-64 of the first [`SAMPLE`] bytes of the tensors that were packed, in their order.
    pub sample: String,
}

/// What a safetensors file is recognised by, but for its tensors' bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileIdentity {
    /// The file's name, with links resolved: in a Hugging Face cache the content's SHA-256.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last modified, in whole seconds since 1970; none where that is not known.
    pub modified: Option<u64>,
    /// XXH3-64 of its safetensors header, sixteen hexadecimal digits.
    pub header: String,
}

impl SourceIdentity {
    /// Of weights of which these tensors are packed.
    pub fn of<'a>(weights: &'a Weights, tensors: impl Iterator<Item = Tensor<'a>>) -> SourceIdentity {
        let mut sample = twox_hash::XxHash3_64::new();
        for tensor in tensors {
            let bytes = tensor.bytes();
            std::hash::Hasher::write(&mut sample, &bytes[..SAMPLE.min(bytes.len())]);
        }
        let files = weights.files();
        SourceIdentity {
            first: FileIdentity::of(&files[0]),
            others: files[1..].iter().map(FileIdentity::of).collect(),
            sample: hex(std::hash::Hasher::finish(&sample)),
        }
    }

    /// What another one, which was found where this was expected, has that this has not.
    pub(crate) fn difference(&self, found: &SourceIdentity) -> Option<String> {
        let shards = |identity: &SourceIdentity| identity.others.len() + 1;
        let number = (shards(self) != shards(found))
            .then(|| ("number of files", shards(self).to_string(), shards(found).to_string()));
        let files = self.files().zip(found.files());
        let different = number
            .or_else(|| files.into_iter().find_map(|(expected, found)| expected.difference(found)))
            .or_else(|| {
                (self.sample != found.sample)
                    .then(|| ("sample of the tensors", self.sample.clone(), found.sample.clone()))
            });
        different.map(|(what, expected, found)| {
            format!("it was packed from weights of another {what}: {found}, expected {expected}")
        })
    }

    fn files(&self) -> impl Iterator<Item = &FileIdentity> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl FileIdentity {
    fn of(file: &WeightsFile) -> FileIdentity {
        let path = canonical_path(file.path());
        let modified = file.modified().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        FileIdentity {
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            size: file.size() as u64,
            modified: modified.map(|since| since.as_secs()),
            header: xxh3(file.header()),
        }
    }

    /// The first thing that is not equal, as it is here and as it is in another one.
    fn difference(&self, found: &FileIdentity) -> Option<(&'static str, String, String)> {
        let fields = [
            ("name", self.file.clone(), found.file.clone()),
            ("size", self.size.to_string(), found.size.to_string()),
            ("modification time", seconds(self.modified), seconds(found.modified)),
            ("header", self.header.clone(), found.header.clone()),
        ];
        fields.into_iter().find(|(_, expected, found)| expected != found)
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
