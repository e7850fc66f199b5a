use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use crate::WeightsError;
use crate::mapping::{FrozenPages, MappedFile, Pages};

/// Floats in one piece of memory that begins at a page: in pages of its own, or in a mapped file. They never change.
pub struct Region {
    memory: Memory,
    /// Where in the memory.
    bytes: Range<usize>,
}

enum Memory {
    /// The system gives no empty pages.
    Empty,
    Pages(FrozenPages),
    File(MappedFile),
}

impl Region {
    /// The f32 at these bytes of a file, whose byte order must be the machine's. The range begins at a multiple of a
    /// page and is whole floats.
    pub(crate) fn of_file(mapping: MappedFile, bytes: Range<usize>) -> Region {
        Region { memory: Memory::File(mapping), bytes }
    }

    /// A range of its elements, which keeps it alive.
    ///
    /// # Panics
    ///
    /// If the range is not inside the region.
    pub fn slice(self: &Arc<Self>, range: Range<usize>) -> RegionSlice {
        let len = self.as_ref().as_ref().len();
        assert!(
            range.start <= range.end && range.end <= len,
            "elements {range:?} of a region of {len} elements"
        );
        RegionSlice { region: Arc::clone(self), range }
    }

    /// Whether the elements lie in a mapped file.
    pub fn is_mapped_file(&self) -> bool {
        matches!(self.memory, Memory::File(_))
    }
}

impl AsRef<[f32]> for Region {
    fn as_ref(&self) -> &[f32] {
        match &self.memory {
            Memory::Empty => &[],
            Memory::Pages(pages) => bytemuck::cast_slice(&pages[self.bytes.clone()]),
            Memory::File(mapping) => bytemuck::cast_slice(&mapping[self.bytes.clone()]),
        }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whence = if self.is_mapped_file() { "a mapped file" } else { "memory" };
        write!(f, "Region({} elements in {whence})", self.as_ref().len())
    }
}

/// A region that is being filled.
pub struct RegionMut {
    pages: Option<Pages>,
    bytes: usize,
}

impl RegionMut {
    /// Zeros, aligned to a page. On Linux they lie in huge pages from 2 MiB on, unless the system forbids it: 42 MB
    /// of small pages cost 10,000 page faults.
    ///
    /// # Errors
    ///
    /// [`WeightsError::Memory`] if the system gives no such amount.
    pub fn new(len: usize) -> Result<RegionMut, WeightsError> {
        let memory_error = |source| WeightsError::Memory { elements: len, source };
        let bytes = len
            .checked_mul(size_of::<f32>())
            .ok_or_else(|| memory_error(std::io::ErrorKind::OutOfMemory.into()))?;
        let pages = (bytes > 0).then(|| Pages::new(bytes)).transpose().map_err(memory_error)?;
        Ok(RegionMut { pages, bytes })
    }

    /// The region as it is, which nobody can change any more.
    ///
    /// # Errors
    ///
    /// [`WeightsError::Memory`] if the system refuses to make the memory read-only.
    pub fn freeze(self) -> Result<Region, WeightsError> {
        let memory = match self.pages {
            None => Memory::Empty,
            Some(pages) => Memory::Pages(pages.freeze().map_err(|source| WeightsError::Memory {
                elements: self.bytes / size_of::<f32>(),
                source,
            })?),
        };
        Ok(Region { memory, bytes: 0..self.bytes })
    }
}

impl Deref for RegionMut {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.pages.as_ref().map_or(&[], |pages| bytemuck::cast_slice(&pages[..self.bytes]))
    }
}

impl DerefMut for RegionMut {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.pages.as_mut().map_or(&mut [], |pages| bytemuck::cast_slice_mut(&mut pages[..self.bytes]))
    }
}

impl fmt::Debug for RegionMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegionMut({} elements)", self.len())
    }
}

/// Some elements of a [`Region`], which stays alive as long as they do.
#[derive(Clone)]
pub struct RegionSlice {
    region: Arc<Region>,
    range: Range<usize>,
}

impl Deref for RegionSlice {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.region.as_ref().as_ref()[self.range.clone()]
    }
}

impl fmt::Debug for RegionSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegionSlice({:?} of {:?})", self.range, self.region)
    }
}
