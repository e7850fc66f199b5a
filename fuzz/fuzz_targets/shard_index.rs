//! Any bytes as a `model.safetensors.index.json` beside two shards: read or refused, and what it names is looked for in this
//! folder and nowhere else. Never a panic.
//!
//! What is accepted is compared with what `serde_json` makes of the same bytes.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use minilm_weights::{INDEX_FILE, ShardIndex, Weights, WeightsError};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;

/// The shards that are there, and the tensors of each; all else that an index may name is not.
const SHARDS: [(&str, [&str; 2]); 2] =
    [("model-00001-of-00002.safetensors", ["a", "b"]), ("x.safetensors", ["c", "d.e"])];

/// One folder for all inputs of this process; the index is written again for each.
static FOLDER: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (i, (shard, tensors)) in SHARDS.into_iter().enumerate() {
        let bytes = tensors.map(|name| (name, value(i, name).to_le_bytes()));
        let views = bytes.iter().map(|(name, bytes)| {
            (*name, TensorView::new(Dtype::F32, vec![1], bytes).expect("one number of four bytes"))
        });
        let file = safetensors::serialize(views, None).expect("a file of two tensors");
        std::fs::write(directory.path().join(shard), file).expect("the temporary file can be written");
    }
    let index = directory.path().join(INDEX_FILE);
    (directory, index)
});

/// The only number of a tensor.
fn value(shard: usize, name: &str) -> f32 {
    shard as f32 + f32::from(name.as_bytes()[0])
}

fuzz_target!(|bytes: &[u8]| {
    let (folder, path) = (FOLDER.0.path(), &FOLDER.1);
    std::fs::write(path, bytes).expect("the temporary file can be written");
    let index = ShardIndex::read(path);
    let weights = Weights::open_in(folder);
    match index {
        Ok(index) => {
            check_index(&index, bytes);
            check_weights(&index, weights, folder);
        }
        Err(error) => {
            assert!(matches!(error, WeightsError::InvalidIndex { .. }), "{error:?}");
            assert!(error.to_string().contains(INDEX_FILE), "{error}");
            assert_eq!(weights.expect_err("the index is refused").to_string(), error.to_string());
        }
    }
});

/// It says what the JSON does, and every name is that of a file beside it.
fn check_index(index: &ShardIndex, bytes: &[u8]) {
    assert!(str::from_utf8(bytes).is_ok(), "JSON is UTF-8, also where it is not looked at");
    // What is not looked at may be deeper, or have larger numbers, than a `Value`.
    let Ok(json) = serde_json::from_slice::<Value>(bytes) else { return };
    let expected: BTreeMap<&str, &str> = json["weight_map"]
        .as_object()
        .expect("a map")
        .iter()
        .map(|(tensor, shard)| (tensor.as_str(), shard.as_str().expect("a name")))
        .collect();
    let found: BTreeMap<&str, &str> =
        index.tensors().map(|(tensor, shard)| (tensor, index.shards()[shard].as_str())).collect();
    assert_eq!(found, expected);
    assert!(!found.is_empty() && index.tensors().len() == found.len());
    assert!(index.shards().is_sorted());
    let named: BTreeSet<&str> = expected.into_values().collect();
    assert!(index.shards().iter().map(String::as_str).eq(named));
    for (tensor, shard) in index.tensors() {
        assert_eq!(index.shard_of(tensor), Some(shard));
    }
    for shard in index.shards() {
        assert_eq!(Path::new(shard).file_name().and_then(|name| name.to_str()), Some(&**shard));
        assert!(shard.ends_with(".safetensors") && !shard.contains(['\\', ':']), "{shard:?}");
    }
}

/// They are those of the shards that are there, or what is missing is named.
fn check_weights(index: &ShardIndex, weights: Result<Weights, WeightsError>, folder: &Path) {
    let is_there = |shard: &str| SHARDS.iter().any(|&(name, _)| name == shard);
    let weights = match weights {
        Ok(weights) => weights,
        Err(WeightsError::OpenShard { path, .. }) => {
            let first = index.shards().iter().find(|&shard| !is_there(shard));
            assert_eq!(first.map(|shard| folder.join(shard)), Some(path));
            return;
        }
        Err(WeightsError::MissingFromShard { path, tensor, .. }) => {
            let shard = index.shard_of(&tensor).expect("the index names it");
            assert_eq!(path, folder.join(&index.shards()[shard]));
            let (_, tensors) = SHARDS[position(&index.shards()[shard])];
            assert!(!tensors.contains(&&*tensor), "{tensor:?}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(weights.names().count(), index.tensors().len());
    for (tensor, shard) in index.tensors() {
        let expected = value(position(&index.shards()[shard]), tensor);
        assert!(weights.contains(tensor));
        assert_eq!(weights.tensor(tensor, &[1]).expect("its own shape").to_f32(), [expected]);
    }
    for name in ["", "e", "no such tensor"] {
        match weights.tensor(name, &[1]) {
            Err(WeightsError::MissingTensor { count, .. }) => assert_eq!(count, index.tensors().len()),
            other => panic!("{name:?}: {other:?}"),
        }
    }
}

/// Of a shard that is there.
fn position(shard: &str) -> usize {
    SHARDS.iter().position(|&(name, _)| name == shard).expect("all shards were opened")
}
