//! Model folders for tests: the tiny model, changed in one way.

use std::path::{Path, PathBuf};

use minilm::{Error, LoadOptions, Precision, SentenceTransformer};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::golden;

/// A copy of the tiny model to change or to break.
pub struct Folder(tempfile::TempDir);

/// Type, shape and bytes.
pub type OwnedTensor = (Dtype, Vec<usize>, Vec<u8>);

impl Default for Folder {
    fn default() -> Folder {
        Folder::new()
    }
}

impl Folder {
    /// A copy that loads.
    pub fn new() -> Folder {
        Folder::copy_of(&golden::tiny_bert())
    }

    /// A copy of another model that loads.
    pub fn copy_of(model: &Path) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        copy(model, folder.0.path());
        SentenceTransformer::load(folder.0.path()).expect("the copy loads before it is broken");
        folder
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        self.0.path()
    }

    /// One of its files.
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Replaces the first `from`, which has to be there, in a file.
    pub fn replace(&self, file: &str, from: &str, to: &str) -> &Folder {
        let text = std::fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        std::fs::write(self.path(file), text.replacen(from, to, 1)).unwrap();
        self
    }

    /// Writes the weights again, each tensor as `change` gives it back, or without it.
    pub fn change_weights(&self, change: impl Fn(&str, OwnedTensor) -> Option<OwnedTensor>) -> &Folder {
        self.rewrite_weights(|name, tensor| Some((name.to_owned(), change(name, tensor)?)))
    }

    /// Writes the weights again, every tensor under a name that begins like this.
    pub fn prefix_weights(&self, prefix: &str) -> &Folder {
        self.rewrite_weights(|name, tensor| Some((format!("{prefix}{name}"), tensor)))
    }

    /// Splits the weights into so many shards and an index, as transformers does, and gives back the shards' names.
    pub fn split_weights(&self, shards: usize) -> Vec<String> {
        let bytes = std::fs::read(self.path("model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors = file.tensors();
        tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        let name = |shard: usize| format!("model-{:05}-of-{shards:05}.safetensors", shard + 1);
        let mut map = serde_json::Map::new();
        for (shard, tensors) in tensors.chunks(tensors.len().div_ceil(shards)).enumerate() {
            map.extend(tensors.iter().map(|(tensor, _)| (tensor.clone(), name(shard).into())));
            let views = tensors.iter().map(|(tensor, view)| (tensor, view));
            std::fs::write(self.path(&name(shard)), safetensors::serialize(views, None).unwrap()).unwrap();
        }
        let total: usize = tensors.iter().map(|(_, view)| view.data().len()).sum();
        let index = serde_json::json!({"metadata": {"total_size": total}, "weight_map": map});
        std::fs::write(self.path("model.safetensors.index.json"), index.to_string()).unwrap();
        std::fs::remove_file(self.path("model.safetensors")).unwrap();
        (0..shards).map(name).collect()
    }

    fn rewrite_weights(
        &self,
        change: impl Fn(&str, OwnedTensor) -> Option<(String, OwnedTensor)>,
    ) -> &Folder {
        let bytes = std::fs::read(self.path("model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors: Vec<(String, OwnedTensor)> = file
            .tensors()
            .into_iter()
            .filter_map(|(name, view)| {
                let tensor = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
                change(&name, tensor)
            })
            .collect();
        let views = tensors.iter().map(|(name, (dtype, shape, data))| {
            (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        std::fs::write(self.path("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
        self
    }

    /// Loads it.
    #[track_caller]
    pub fn load(&self) -> SentenceTransformer {
        self.load_in(Precision::F32)
    }

    /// Loads it in a precision.
    #[track_caller]
    pub fn load_in(&self, precision: Precision) -> SentenceTransformer {
        let options = LoadOptions::default().precision(precision);
        SentenceTransformer::load_with(self.directory(), &options).expect("the folder can be loaded")
    }

    /// The error of loading it, which says all of this.
    #[track_caller]
    pub fn refuses(&self, says: &[&str]) -> Error {
        let error = SentenceTransformer::load(self.0.path()).expect_err("the folder is broken");
        for part in says {
            assert!(error.to_string().contains(part), "the error should say {part:?}: {error}");
        }
        error
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}
