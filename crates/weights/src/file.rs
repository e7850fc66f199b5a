use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use safetensors::tensor::TensorInfo;

use crate::mapping::MappedFile;
use crate::{FloatType, RawTensor, Tensor, WeightsError, header};

/// An open safetensors file. Its bytes are mapped, not read: a tensor costs memory when it is touched.
pub struct WeightsFile {
    path: PathBuf,
    mapping: MappedFile,
    data_start: usize,
    tensors: HashMap<String, TensorInfo>,
    metadata: HashMap<String, String>,
}

impl WeightsFile {
    /// Opens a file and checks its header: every tensor's bytes must be inside the file, as many as its
    /// type and shape say, without overlap or gap.
    ///
    /// The caller sees to it that the file is not changed or truncated while it is open. Replacing it by a
    /// rename is fine (Windows refuses that while it is open).
    ///
    /// # Errors
    ///
    /// [`WeightsError::Open`], [`WeightsError::Invalid`] or [`WeightsError::InvalidTensor`].
    pub fn open(path: impl AsRef<Path>) -> Result<WeightsFile, WeightsError> {
        let path = path.as_ref();
        let mapping =
            MappedFile::open(path).map_err(|source| WeightsError::Open { path: path.to_owned(), source })?;
        let header = header::parse(path, &mapping)?;
        Ok(WeightsFile {
            path: path.to_owned(),
            mapping,
            data_start: header.data_start,
            tensors: header.tensors,
            metadata: header.metadata,
        })
    }

    /// A view of a tensor, if it has floats and exactly the expected shape.
    ///
    /// # Errors
    ///
    /// [`WeightsError::MissingTensor`], [`WeightsError::WrongType`] or [`WeightsError::WrongShape`].
    pub fn tensor(&self, name: &str, expected_shape: &[usize]) -> Result<Tensor<'_>, WeightsError> {
        let Some((name, info)) = self.tensors.get_key_value(name) else {
            return Err(WeightsError::missing(&self.path, name, self.tensors.keys().map(String::as_str)));
        };
        let Some(float_type) = FloatType::from_safetensors(info.dtype) else {
            return Err(WeightsError::WrongType {
                path: self.path.clone(),
                tensor: name.clone(),
                found: info.dtype.to_string(),
            });
        };
        if info.shape != expected_shape {
            return Err(WeightsError::WrongShape {
                path: self.path.clone(),
                tensor: name.clone(),
                found: info.shape.clone(),
                expected: expected_shape.to_vec(),
            });
        }
        let (start, end) = info.data_offsets;
        let bytes = &self.mapping[self.data_start + start..self.data_start + end];
        Ok(Tensor::new(float_type, &info.shape, bytes))
    }

    /// What the header says of a tensor, of any type and shape; `None` if there is no such tensor.
    pub fn raw_tensor(&self, name: &str) -> Option<RawTensor<'_>> {
        let info = self.tensors.get(name)?;
        let (start, end) = info.data_offsets;
        Some(RawTensor {
            dtype: info.dtype.to_string(),
            shape: &info.shape,
            bytes: self.data_start + start..self.data_start + end,
        })
    }

    /// The strings that the header has beside the tensors, in `__metadata__`.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// The file itself.
    pub fn into_mapped(self) -> MappedFile {
        self.mapping
    }

    /// Whether the file has a tensor of that name, of any type and shape.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The names of all tensors, in no particular order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The file's path, as it was given to [`WeightsFile::open`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's size in bytes.
    pub fn size(&self) -> usize {
        self.mapping.len()
    }

    /// Everything before the tensors' bytes.
    pub(crate) fn header(&self) -> &[u8] {
        &self.mapping[..self.data_start]
    }

    /// When the file was last modified before it was opened, if the system knows.
    pub(crate) fn modified(&self) -> Option<SystemTime> {
        self.mapping.modified()
    }

    /// Says that what was read of the file so far will not be needed soon: on Unix its pages stop counting as memory of
    /// this process. Reading them again is as before.
    pub fn release(&self) {
        self.mapping.release();
    }
}

impl fmt::Debug for WeightsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeightsFile")
            .field("path", &self.path)
            .field("size", &self.size())
            .field("tensors", &self.tensors.len())
            .finish()
    }
}
