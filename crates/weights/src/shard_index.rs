use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::Path;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{WeightsError, read_limited};

/// Of the file; that of a model of 7 billion parameters has 25 KB.
const MAX_INDEX: u64 = 16 << 20;

/// The format has room for five digits; the largest models there are have some two hundred.
const MAX_SHARDS: usize = 1000;

/// What a `model.safetensors.index.json` says: the shards that weights are split into, and which of them has which tensor.
///
/// Format: a JSON object with `weight_map`, an object of tensors' names and the names of files beside the index, as
/// transformers' `save_pretrained` writes it (<https://huggingface.co/docs/transformers/big_models>). It may come from
/// the network and is not trusted: a name that could lead out of the folder is refused, and so is a tensor that is
/// named twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardIndex {
    /// In the order of their names.
    shards: Vec<String>,
    /// The tensors, and where in `shards` each one's shard is.
    tensors: HashMap<String, usize>,
}

impl ShardIndex {
    /// Reads and checks an index.
    ///
    /// # Errors
    ///
    /// [`WeightsError::Open`] or [`WeightsError::InvalidIndex`].
    pub fn read(path: impl AsRef<Path>) -> Result<ShardIndex, WeightsError> {
        let path = path.as_ref();
        let invalid = |reason| WeightsError::InvalidIndex { path: path.to_owned(), reason };
        let json = read_limited(path, MAX_INDEX).map_err(|source| match source.kind() {
            io::ErrorKind::FileTooLarge => invalid(format!("expected at most {MAX_INDEX} bytes, found more")),
            _ => WeightsError::Open { path: path.to_owned(), source },
        })?;
        ShardIndex::parse(&json).map_err(invalid)
    }

    fn parse(json: &[u8]) -> Result<ShardIndex, String> {
        // First all of it: what is not looked at would not be checked.
        let json = str::from_utf8(json).map_err(|e| format!("not the expected JSON: not UTF-8: {e}"))?;
        let IndexFile { weight_map: WeightMap { shards: found, mut tensors } } =
            serde_json::from_str(json).map_err(|e| format!("not the expected JSON: {e}"))?;
        if found.is_empty() {
            return Err("its weight_map names no tensors".to_owned());
        }
        // Where a file system does not tell small letters from capitals, two such names would be one file.
        let mut folded = HashSet::new();
        for name in &found {
            if let Some(reason) = unsafe_name(name) {
                return Err(format!("the shard name {name:?} is refused: {reason}"));
            }
            if !folded.insert(name.to_lowercase()) {
                return Err(format!("the shard {name:?} is there twice, in small letters and capitals"));
            }
        }
        let mut shards = found.clone();
        shards.sort_unstable();
        let position: HashMap<&str, usize> =
            shards.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        for shard in tensors.values_mut() {
            *shard = position[found[*shard].as_str()];
        }
        Ok(ShardIndex { shards, tensors })
    }

    /// The shards' names, each once, in their order: files in the folder of the index.
    pub fn shards(&self) -> &[String] {
        &self.shards
    }

    /// The names of all tensors, in no particular order, and where in [`ShardIndex::shards`] each one's shard is.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = (&str, usize)> {
        self.tensors.iter().map(|(tensor, &shard)| (tensor.as_str(), shard))
    }

    /// Where in [`ShardIndex::shards`] the shard of a tensor is, if the index names the tensor.
    pub fn shard_of(&self, tensor: &str) -> Option<usize> {
        self.tensors.get(tensor).copied()
    }
}

/// Says why a shard must not have this name, which is joined to a folder, and asked of a hub.
fn unsafe_name(name: &str) -> Option<&'static str> {
    if name.contains(['/', '\\']) {
        return Some("expected the name of a file in the same folder");
    }
    // `C:` is a drive and `name:stream` a hidden part of a file on Windows.
    if name.contains(':') || name.chars().any(char::is_control) {
        return Some("it contains a colon or a control character");
    }
    if name.len() > 255 {
        return Some("it is longer than 255 bytes");
    }
    match name.strip_suffix(".safetensors") {
        None => Some("expected it to end with .safetensors"),
        Some("") => Some("there is nothing before .safetensors"),
        Some(_) => None,
    }
}

#[derive(Deserialize)]
struct IndexFile {
    weight_map: WeightMap,
}

/// Every shard's name is kept once.
struct WeightMap {
    /// In the order in which they were met.
    shards: Vec<String>,
    /// The position of each tensor's shard.
    tensors: HashMap<String, usize>,
}

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WeightMap, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = WeightMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors and the files they are in")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WeightMap, A::Error> {
                let mut shards = Vec::new();
                let mut known: HashMap<String, usize> = HashMap::new();
                let mut tensors = HashMap::new();
                while let Some((tensor, shard)) = map.next_entry::<String, String>()? {
                    let position = match known.get(&shard) {
                        Some(&position) => position,
                        None if shards.len() == MAX_SHARDS => {
                            return Err(A::Error::custom(format!(
                                "expected at most {MAX_SHARDS} files, found more"
                            )));
                        }
                        None => {
                            shards.push(shard.clone());
                            known.insert(shard, shards.len() - 1);
                            shards.len() - 1
                        }
                    };
                    // JSON leaves open which of two would count.
                    if tensors.contains_key(&tensor) {
                        return Err(A::Error::custom(format!("the tensor {tensor:?} is there twice")));
                    }
                    tensors.insert(tensor, position);
                }
                Ok(WeightMap { shards, tensors })
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
