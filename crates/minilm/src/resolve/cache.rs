//! The layout of the cache that Hugging Face's tools share: blobs named by their ETag, snapshots
//! that link to them, references from branches to snapshots, and locks.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::ResolveError;
use super::name::{ModelName, is_file_name};

/// How the names of what is about to be renamed begin.
const NEW: &str = ".new-";

/// One model's part of the cache.
#[derive(Debug)]
pub(super) struct ModelCache {
    folder: PathBuf,
    locks: PathBuf,
}

/// A lock on one blob, held until dropped. Where the file system has no locks it is empty, and two processes
/// that download the same file at the same time may disturb each other; what is verified decides.
#[derive(Debug)]
pub(super) struct Lock {
    file: Option<File>,
}

impl Lock {
    /// Whether nobody else is at work on the same thing.
    pub(super) fn is_exclusive(&self) -> bool {
        self.file.is_some()
    }
}

impl ModelCache {
    pub(super) fn new(root: &Path, name: &ModelName) -> Self {
        let folder = name.folder();
        Self { locks: root.join(".locks").join(&folder), folder: root.join(folder) }
    }

    /// The model's folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The blob of an ETag that [`is_file_name`].
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// The part of a blob that has been downloaded.
    pub(super) fn incomplete(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(format!("{etag}.incomplete"))
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// A file of a snapshot, given by a checked relative path.
    pub(super) fn pointer(&self, commit: &str, file: &str) -> PathBuf {
        join(self.snapshot(commit), file)
    }

    /// Makes a folder for unfinished work, on the disk of the blobs but where no program looks for
    /// a model, and gives back its path.
    pub(super) fn create_work_folder(&self) -> Result<&Path, ResolveError> {
        create_folder(&self.locks)?;
        Ok(&self.locks)
    }

    /// Makes the folder of the blobs, once there is something to put there: a name that was
    /// mistyped should not become a folder.
    pub(super) fn create(&self) -> Result<(), ResolveError> {
        create_folder(&self.folder.join("blobs"))
    }

    /// Takes the lock `key`; `waiting` is called if another process or thread holds it.
    pub(super) fn lock(&self, key: &str, waiting: impl Fn()) -> Result<Lock, ResolveError> {
        create_folder(&self.locks)?;
        let path = self.locks.join(format!("{key}.lock"));
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(ResolveError::io("open", &path))?;
            let locked = match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    waiting();
                    file.lock()
                }
                Err(TryLockError::Error(error)) => Err(error),
                Ok(()) => Ok(()),
            };
            match locked {
                // Python removes the lock's file when it is done with it; a lock on a file that
                // nobody else can find any more protects nothing.
                Ok(()) if !is_still_at(&file, &path) => {}
                Ok(()) => return Ok(Lock { file: Some(file) }),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(Lock { file: None }),
            }
        }
    }

    /// Makes a complete, verified file the blob of `etag`.
    pub(super) fn commit_blob(&self, file: &Path, etag: &str) -> Result<(), ResolveError> {
        // Opened for writing, without which Windows does not flush.
        OpenOptions::new()
            .write(true)
            .open(file)
            .and_then(|file| file.sync_all())
            .map_err(ResolveError::io("flush", file))?;
        let blob = self.blob(etag);
        fs::rename(file, &blob).map_err(ResolveError::io("rename a download to", &blob))
    }

    /// Makes `file` of the snapshot a link to the blob of `etag`; where there are no symbolic
    /// links the blob itself is moved there.
    pub(super) fn link(&self, etag: &str, commit: &str, file: &str) -> Result<(), ResolveError> {
        self.link_with(symlink, etag, commit, file)
    }

    fn link_with(
        &self,
        symlink: impl Fn(&Path, &Path) -> io::Result<()>,
        etag: &str,
        commit: &str,
        file: &str,
    ) -> Result<(), ResolveError> {
        let pointer = self.pointer(commit, file);
        let folder = pointer.parent().unwrap_or(&self.folder);
        create_folder(folder)?;
        // snapshots/COMMIT/a/b needs ../../../blobs: one for each part but the last, and two.
        let mut target: PathBuf = file.split('/').map(|_| "..").collect();
        target.extend(["..", "blobs", etag]);
        // Under another name first: the entry changes at once, and an old one is replaced.
        let new = tempfile::Builder::new().prefix(NEW).make_in(folder, |new| symlink(&target, new));
        match new {
            Ok(new) => {
                let renamed = new.into_temp_path().persist(&pointer);
                return renamed.map_err(|error| ResolveError::io("link", &pointer)(error.error));
            }
            Err(error) if !has_no_symlinks(&error) => return Err(ResolveError::io("link", &pointer)(error)),
            Err(_) => {}
        }
        match fs::rename(self.blob(etag), &pointer) {
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound && pointer.is_file() => Ok(()),
            result => result.map_err(ResolveError::io("move a blob to", &pointer)),
        }
    }

    /// Notes for all users of the cache that a revision has no such file.
    pub(super) fn mark_absent(&self, commit: &str, file: &str) -> Result<(), ResolveError> {
        let path = self.absent_mark(commit, file);
        create_folder(path.parent().unwrap_or(&self.folder))?;
        fs::write(&path, "").map_err(ResolveError::io("create", &path))
    }

    pub(super) fn is_marked_absent(&self, commit: &str, file: &str) -> bool {
        self.absent_mark(commit, file).is_file()
    }

    fn absent_mark(&self, commit: &str, file: &str) -> PathBuf {
        join(self.folder.join(".no_exist").join(commit), file)
    }

    /// The snapshot a branch or tag refers to.
    pub(super) fn reference(&self, revision: &str) -> Option<String> {
        let commit = fs::read_to_string(join(self.folder.join("refs"), revision)).ok()?;
        let commit = commit.trim();
        is_file_name(commit).then(|| commit.to_owned())
    }

    pub(super) fn write_reference(&self, revision: &str, commit: &str) -> Result<(), ResolveError> {
        let path = join(self.folder.join("refs"), revision);
        create_folder(path.parent().unwrap_or(&self.folder))?;
        // Not in `refs`, where every file is taken for a reference.
        let new = tempfile::Builder::new().prefix(NEW).make_in(&self.folder, |new| {
            // Not tempfile's own: other users of a shared cache are to read it.
            File::create_new(new)?.write_all(commit.as_bytes())
        });
        let new = new.map_err(ResolveError::io("write", &path))?;
        let renamed = new.into_temp_path().persist(&path);
        renamed.map_err(|error| ResolveError::io("write", &path)(error.error))
    }
}

/// Joins a path with `/` in the platform's way.
fn join(mut folder: PathBuf, relative: &str) -> PathBuf {
    folder.extend(relative.split('/'));
    folder
}

fn create_folder(path: &Path) -> Result<(), ResolveError> {
    fs::create_dir_all(path).map_err(ResolveError::io("create the directory", path))
}

/// Whether the file system or the user's rights rule out symbolic links for good.
fn has_no_symlinks(error: &io::Error) -> bool {
    // 1314: the right to make symbolic links is not held (Windows).
    const PRIVILEGE_NOT_HELD: i32 = 1314;
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
        || cfg!(windows) && error.raw_os_error() == Some(PRIVILEGE_NOT_HELD)
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_target: &Path, _link: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
fn is_still_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(path)) => (file.dev(), file.ino()) == (path.dev(), path.ino()),
        _ => false,
    }
}

/// Where an open file cannot be removed, it is still there.
#[cfg(not(unix))]
fn is_still_at(_file: &File, _path: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::super::name::{Target, target};
    use super::*;

    fn cache(root: &Path) -> ModelCache {
        let Ok(Target::Model(name)) = target("owner/name".as_ref()) else { panic!() };
        let cache = ModelCache::new(root, &name);
        cache.create().unwrap();
        cache
    }

    #[test]
    fn without_symbolic_links_the_blob_is_moved() {
        let root = tempfile::tempdir().unwrap();
        let cache = cache(root.path());
        let no_links = |_: &Path, _: &Path| Err(io::ErrorKind::PermissionDenied.into());
        fs::write(cache.blob("e"), "content").unwrap();
        cache.link_with(no_links, "e", "c", "1_Pooling/config.json").unwrap();
        let pointer = cache.snapshot("c").join("1_Pooling").join("config.json");
        assert_eq!(fs::read_to_string(&pointer).unwrap(), "content");
        assert!(!fs::symlink_metadata(&pointer).unwrap().is_symlink());
        // The second process finds the blob gone and the file in place.
        cache.link_with(no_links, "e", "c", "1_Pooling/config.json").unwrap();
        let error = cache.link_with(no_links, "e", "c", "other").unwrap_err();
        assert!(error.to_string().contains("other"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_relative_and_replace_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        let cache = cache(root.path());
        fs::write(cache.blob("e"), "content").unwrap();
        let pointer = cache.pointer("c", "a/b/file");
        for _ in 0..2 {
            cache.link("e", "c", "a/b/file").unwrap();
            assert_eq!(fs::read_link(&pointer).unwrap(), Path::new("../../../../blobs/e"));
            assert_eq!(fs::read_to_string(&pointer).unwrap(), "content");
        }
        assert_eq!(fs::read_dir(pointer.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn references_may_have_slashes_and_must_be_plain() {
        let root = tempfile::tempdir().unwrap();
        let cache = cache(root.path());
        cache.write_reference("refs/pr/1", "abc").unwrap();
        cache.write_reference("main", "../../..").unwrap();
        assert_eq!(cache.reference("refs/pr/1").unwrap(), "abc");
        assert_eq!(cache.reference("main"), None);
        assert_eq!(cache.reference("other"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_whose_file_was_removed_is_taken_anew() {
        let root = tempfile::tempdir().unwrap();
        let cache = cache(root.path());
        let path = root.path().join(".locks/models--owner--name/e.lock");
        let first = cache.lock("e", || panic!("free")).unwrap();
        std::thread::scope(|scope| {
            let (send, receive) = std::sync::mpsc::channel();
            let second = scope.spawn({
                let cache = &cache;
                move || cache.lock("e", || send.send(()).unwrap()).unwrap()
            });
            receive.recv().unwrap();
            fs::remove_file(&path).unwrap();
            drop(first);
            let second = second.join().unwrap();
            assert!(path.exists());
            drop(second);
        });
    }
}
