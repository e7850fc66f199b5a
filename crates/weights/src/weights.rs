use std::fmt;
use std::path::{Path, PathBuf};

use crate::{ShardIndex, Tensor, WeightsError, WeightsFile};

/// The file that has a model's weights, if they are in one.
pub const MODEL_FILE: &str = "model.safetensors";

/// The file that names the shards of a model's weights, if they are split into several: a [`ShardIndex`].
pub const INDEX_FILE: &str = "model.safetensors.index.json";

/// A model's weights, in one safetensors file or split into shards. Whoever reads tensors does not see which.
pub struct Weights {
    /// One, or the shards in the index's order.
    files: Vec<WeightsFile>,
    index: Option<Index>,
}

struct Index {
    path: PathBuf,
    content: ShardIndex,
}

impl From<WeightsFile> for Weights {
    fn from(file: WeightsFile) -> Weights {
        Weights { files: vec![file], index: None }
    }
}

impl Weights {
    /// Opens the weights in a folder: `model.safetensors`, or where that is not there and `model.safetensors.index.json` is,
    /// the shards that it names; so transformers chooses too.
    ///
    /// # Errors
    ///
    /// As [`Weights::open`] or [`Weights::open_sharded`].
    pub fn open_in(folder: impl AsRef<Path>) -> Result<Weights, WeightsError> {
        let folder = folder.as_ref();
        let (file, index) = (folder.join(MODEL_FILE), folder.join(INDEX_FILE));
        if !file.is_file() && index.is_file() { Weights::open_sharded(index) } else { Weights::open(file) }
    }

    /// Opens a file that has all weights, and checks its header: [`WeightsFile::open`].
    ///
    /// # Errors
    ///
    /// [`WeightsError::Open`], [`WeightsError::Invalid`] or [`WeightsError::InvalidTensor`].
    pub fn open(path: impl AsRef<Path>) -> Result<Weights, WeightsError> {
        WeightsFile::open(path).map(Weights::from)
    }

    /// Opens an index and all shards that it names, which lie beside it, and checks that each has the tensors that it should
    /// have. What a shard has beyond them is not used.
    ///
    /// The caller sees to it that no shard is changed or truncated while it is open, as for [`WeightsFile::open`].
    ///
    /// # Errors
    ///
    /// [`WeightsError::Open`] or [`WeightsError::InvalidIndex`] for the index, [`WeightsError::OpenShard`] or
    /// [`WeightsError::MissingFromShard`] for what it names, and for a shard that is malformed what [`Weights::open`] says.
    pub fn open_sharded(index: impl AsRef<Path>) -> Result<Weights, WeightsError> {
        let path = index.as_ref().to_owned();
        let content = ShardIndex::read(&path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let open = |shard: &String| {
            WeightsFile::open(folder.join(shard)).map_err(|error| match error {
                WeightsError::Open { path: shard, source } => {
                    WeightsError::OpenShard { path: shard, index: path.clone(), source }
                }
                error => error,
            })
        };
        let files: Vec<WeightsFile> = content.shards().iter().map(open).collect::<Result<_, _>>()?;
        // The first by name, so that an error is the same every time.
        let absent = content.tensors().filter(|&(tensor, shard)| !files[shard].contains(tensor)).min();
        if let Some((tensor, shard)) = absent {
            return Err(WeightsError::MissingFromShard {
                path: files[shard].path().to_owned(),
                index: path,
                tensor: tensor.to_owned(),
            });
        }
        Ok(Weights { files, index: Some(Index { path, content }) })
    }

    /// A view of a tensor, if it has floats and exactly the expected shape.
    ///
    /// # Errors
    ///
    /// [`WeightsError::MissingTensor`], [`WeightsError::WrongType`] or [`WeightsError::WrongShape`].
    pub fn tensor(&self, name: &str, expected_shape: &[usize]) -> Result<Tensor<'_>, WeightsError> {
        let shard = match &self.index {
            None => 0,
            Some(index) => index.content.shard_of(name).ok_or_else(|| {
                let names = index.content.tensors().map(|(tensor, _)| tensor);
                WeightsError::missing(&index.path, name, names)
            })?,
        };
        self.files[shard].tensor(name, expected_shape)
    }

    /// Whether there is a tensor of that name, of any type and shape.
    pub fn contains(&self, name: &str) -> bool {
        match &self.index {
            None => self.files[0].contains(name),
            Some(index) => index.content.shard_of(name).is_some(),
        }
    }

    /// The names of all tensors, in no particular order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let of_file = self.index.is_none().then(|| self.files[0].names());
        let of_index = self.index.as_ref().map(|index| index.content.tensors().map(|(tensor, _)| tensor));
        of_file.into_iter().flatten().chain(of_index.into_iter().flatten())
    }

    /// Where the weights are, as it was given: the file, or the index.
    pub fn path(&self) -> &Path {
        self.index.as_ref().map_or_else(|| self.files[0].path(), |index| &index.path)
    }

    /// All files that say what the weights are: the one that has them; or the index, then the shards in the order of their
    /// names.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let index = self.index.as_ref().map(|index| index.path.as_path());
        index.into_iter().chain(self.files.iter().map(WeightsFile::path))
    }

    /// The size of all files with tensors, in bytes.
    pub fn size(&self) -> usize {
        self.files.iter().map(WeightsFile::size).sum()
    }

    /// Says that what was read so far will not be needed soon: [`WeightsFile::release`].
    pub fn release(&self) {
        self.files.iter().for_each(WeightsFile::release);
    }

    /// The files with tensors, one or more.
    pub(crate) fn files(&self) -> &[WeightsFile] {
        &self.files
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weights")
            .field("path", &self.path())
            .field("files", &self.files.len())
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}
