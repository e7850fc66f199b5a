//! A file with packed weights, which is mapped and used as it is.
//!
//! ```text
//! offset  bytes
//!      0      8   magic, "MINILMPW"
//!      8      4   version of the format, u32: 1
//!     12      4   length J of the description, u32
//!     16      8   XXH3-64 (seed 0) of the description, u64
//!     24      J   description: a JSON object
//!             …   zeros up to a multiple of 4096, where the data begins
//!                 sections, each from a multiple of 4096 on, zeros between them: f32
//! ```
//!
//! All numbers are little-endian. The description has
//!
//! - `source`: a [`SourceIdentity`], the safetensors file or the shards that this was packed from;
//! - `sections`: a [`Section`] each: name, layout, shape, where it begins in the data and how long it is, in f32;
//! - `xxh3`: the XXH3-64 (seed 0) of each section's bytes, sixteen hexadecimal digits.
//!
//! # When a file is used
//!
//! Whoever opens it says what source and sections are expected. Only if all of that is equal, the file is exactly as long
//! as it should be, and every section has its checksum, the data is used; so nothing that a file says is trusted.
//! The model's config enters by names, layouts and shapes of the sections: what else it says (the number of heads, the
//! activation, LayerNorm's eps) is not part of the data and is read from the model at every start. Where the data comes from
//! more than the tensors in it, as int8 does from a calibration, all of that is in the salt of the file's name.
//!
//! # Why a source's identity is enough
//!
//! To hash the 91 MB of all-MiniLM-L6-v2 at every start would cost as much as packing them. Instead the source is the
//! same if its name, size, modification time, header and a sample of every packed tensor are; of shards, if all of this
//! is of each. The name, with links resolved, is the SHA-256 of the content in a Hugging Face cache, which settles it
//! there. Elsewhere a file that is written anew gets another time; one that is put in place with the time of the old
//! (`cp -p`, `rsync -t`, an unpacked archive) has, if it is another model of the same shapes, other numbers at the
//! beginning of at least one tensor. What is missed is a file of the same size and time that differs only behind the
//! first [`SAMPLE`](crate::SAMPLE) bytes of tensors: no tool that trains, converts or merges weights makes one. Times
//! are compared by the second, because archives and container images keep no more: a file that is packed into an image
//! stays valid in it.
//!
//! # Writing
//!
//! A file is written under another name in the same directory and renamed, so that it is seen whole or not at all, and
//! any number of processes may do so at once: the last one's stays, and all are equal. It is not
//! flushed to the disk first: what a power failure leaves of it fails the checksums and is replaced. Checksums are no
//! signatures: who may write to the directory can change vectors.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::identity::{canonical_path, xxh3};
use crate::mapping::MappedFile;
use crate::{PackedFileError, Region, SourceIdentity, Weights, WeightsFile};

const MAGIC: [u8; 8] = *b"MINILMPW";

/// Of the format and of what the layouts' names mean.
const VERSION: u32 = 1;

const FIXED_HEADER: usize = 24;

/// Of the description; that of all-MiniLM-L6-v2 has 10 KB.
const MAX_DESCRIPTION: usize = 16 << 20;

/// Where the data begins, in bytes: at a multiple of this.
const PAGE: usize = 4096;

/// [`Section::offset`] is a multiple of this many f32: a page of 4096 bytes.
pub const SECTION_ALIGNMENT: usize = PAGE / size_of::<f32>();

/// A part of the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// What it is; there is one of that name.
    pub name: String,
    /// How the elements lie.
    pub layout: String,
    /// The shape of what was packed.
    pub shape: Vec<usize>,
    /// Where it begins in the data, in f32: a multiple of [`SECTION_ALIGNMENT`].
    pub offset: usize,
    /// How many f32 it has.
    pub len: usize,
}

/// What a packed file must be to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedContents {
    /// The weights that it was packed from.
    pub source: SourceIdentity,
    /// All sections, in their order in the data, none overlapping another.
    pub sections: Vec<Section>,
    /// How many f32 the data has.
    pub len: usize,
}

#[derive(Serialize, Deserialize)]
struct Description {
    source: SourceIdentity,
    sections: Vec<Section>,
    xxh3: Vec<String>,
}

/// A file with packed weights: how it is opened and written. See the format in `packed_file.rs`.
#[derive(Clone, Debug)]
pub struct PackedFile {
    path: PathBuf,
}

impl PackedFile {
    /// The file in `directory` that belongs to these weights, packed as `label` says: a few letters for people to read, and
    /// for what else determines the content, `salt`. Its name comes from that, from where the weights are, so another model
    /// has another file, and from the format's version.
    pub fn of(weights: &Weights, directory: &Path, label: &str, salt: &[u8]) -> PackedFile {
        // Of shards all, and not their index: in a Hugging Face cache two revisions of a model may have the same one.
        let places = weights.files().iter().map(WeightsFile::path).map(canonical_path);
        let places: Vec<Vec<u8>> =
            places.map(|place| place.as_os_str().as_encoded_bytes().to_vec()).collect();
        let mut place = places.join(&0);
        place.extend(salt);
        let place = xxh3(&place);
        PackedFile { path: directory.join(format!("{place}-{label}-v{VERSION}.packed")) }
    }

    /// Where it is, or will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Maps the data, if the file is what it should be. `check_sections` is given the check of a section and runs it
    /// for all of `contents.sections`, on as many threads as it likes.
    ///
    /// The caller sees to it that the file is not changed or truncated while the region lives. Replacing it by a
    /// rename is fine (Windows refuses that while it is mapped).
    ///
    /// # Errors
    ///
    /// [`PackedFileError`]; whatever it is, weights can be packed anew.
    ///
    /// # Panics
    ///
    /// If a section of `contents` is outside its data.
    pub fn open(
        &self,
        contents: &PackedContents,
        check_sections: impl FnOnce(
            &(dyn Fn(&Section) -> Result<(), PackedFileError> + Sync),
        ) -> Result<(), PackedFileError>,
    ) -> Result<Region, PackedFileError> {
        check_byte_order()?;
        let mapping = MappedFile::open(&self.path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => PackedFileError::Absent,
            _ => PackedFileError::Io { action: "open", path: self.path.clone(), source },
        })?;
        let corrupt = |reason: String| PackedFileError::Corrupt { path: self.path.clone(), reason };
        let (description, data_start) = read_description(&mapping).map_err(corrupt)?;
        let stale = |reason: String| PackedFileError::Stale { path: self.path.clone(), reason };
        // First, because the sample of the source depends on which tensors there are.
        if description.sections != contents.sections {
            return Err(stale("the model's config asks for other tensors or shapes".to_owned()));
        }
        if let Some(difference) = contents.source.difference(&description.source) {
            return Err(stale(difference));
        }
        if description.xxh3.len() != contents.sections.len() {
            let (found, expected) = (description.xxh3.len(), contents.sections.len());
            return Err(corrupt(format!("{found} checksums for {expected} sections")));
        }
        let expected =
            contents.len.checked_mul(size_of::<f32>()).and_then(|bytes| bytes.checked_add(data_start));
        if expected != Some(mapping.len()) {
            let found = mapping.len();
            return Err(corrupt(format!(
                "it has {found} bytes, expected {}",
                expected.unwrap_or(usize::MAX)
            )));
        }
        check_sections(&|section| {
            let known = contents.sections.iter().zip(&description.xxh3).find(|(known, _)| *known == section);
            let start = data_start + section.offset * size_of::<f32>();
            match known {
                Some((_, sum)) if xxh3(&mapping[start..][..section.len * size_of::<f32>()]) == *sum => Ok(()),
                _ => Err(corrupt(format!("section \"{}\" does not have its checksum", section.name))),
            }
        })?;
        let end = mapping.len();
        Ok(Region::of_file(mapping, data_start..end))
    }

    /// Writes the file, and its directory if need be. Others see it when it is complete.
    ///
    /// # Errors
    ///
    /// [`PackedFileError::Io`], or [`PackedFileError::ByteOrder`].
    ///
    /// # Panics
    ///
    /// If `data` is not as long as `contents` says, or a section is outside it.
    pub fn write(&self, contents: &PackedContents, data: &[f32]) -> Result<(), PackedFileError> {
        check_byte_order()?;
        assert_eq!(data.len(), contents.len, "packed file: the data's length");
        let xxh3 = contents.sections.iter().map(|section| {
            let elements = &data[section.offset..][..section.len];
            xxh3(bytemuck::cast_slice(elements))
        });
        let description = Description {
            source: contents.source.clone(),
            xxh3: xxh3.collect(),
            sections: contents.sections.clone(),
        };
        let failed = |action| move |source| PackedFileError::Io { action, path: self.path.clone(), source };
        let header = header_of(&description).map_err(failed("write"))?;
        let directory = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory).map_err(failed("create the directory of"))?;
        let new = tempfile::Builder::new().prefix(".new-").suffix(".packed").make_in(directory, |new| {
            // Not tempfile's own, which nobody else may read.
            let mut file = BufWriter::new(File::create_new(new)?);
            file.write_all(&header)?;
            file.write_all(bytemuck::cast_slice(data))?;
            file.into_inner().map(drop).map_err(io::IntoInnerError::into_error)
        });
        let new = new.map_err(failed("write"))?.into_temp_path();
        new.persist(&self.path).map_err(|error| failed("replace")(error.error))
    }
}

/// The elements are the machine's own f32.
fn check_byte_order() -> Result<(), PackedFileError> {
    if cfg!(target_endian = "little") { Ok(()) } else { Err(PackedFileError::ByteOrder) }
}

/// Everything before the data.
fn header_of(description: &Description) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(description)?;
    let length = u32::try_from(json.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut header = Vec::with_capacity(FIXED_HEADER + json.len() + PAGE);
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend(length.to_le_bytes());
    header.extend(twox_hash::XxHash3_64::oneshot(&json).to_le_bytes());
    header.extend(json);
    header.resize(header.len().next_multiple_of(PAGE), 0);
    Ok(header)
}

/// The description, and where the data begins.
fn read_description(file: &[u8]) -> Result<(Description, usize), String> {
    let (magic, rest) = file.split_first_chunk().ok_or("it is too short for a header")?;
    if *magic != MAGIC {
        return Err("it does not begin like a file of packed weights".to_owned());
    }
    let (version, rest) = rest.split_first_chunk().ok_or("it is too short for a header")?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(format!("its format has version {version}, expected {VERSION}"));
    }
    let (length, rest) = rest.split_first_chunk().ok_or("it is too short for a header")?;
    let (sum, rest) = rest.split_first_chunk().ok_or("it is too short for a header")?;
    let json = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|&n| n <= MAX_DESCRIPTION);
    let json = json.and_then(|length| rest.get(..length)).ok_or("its description is cut off")?;
    if twox_hash::XxHash3_64::oneshot(json) != u64::from_le_bytes(*sum) {
        return Err("its description does not have its checksum".to_owned());
    }
    let description = serde_json::from_slice(json).map_err(|e| format!("its description: {e}"))?;
    Ok((description, (FIXED_HEADER + json.len()).next_multiple_of(PAGE)))
}
