//! Telling the user what takes so long.

/// Hears how far a download is. All methods are called by the thread that resolves, for one piece of
/// work after the other.
///
/// For a progress bar, make one in `start`, move it in `position` and remove it in `finish`; a
/// download that goes on where an earlier one stopped begins with a position that is not zero,
/// and one that has to start over goes back.
pub trait Progress: Send + Sync {
    /// Work begins: a file's name with its size, or a step of unknown length without.
    fn start(&self, name: &str, total_bytes: Option<u64>);

    /// So many bytes of the file, counted from its first one, are there now.
    fn position(&self, name: &str, bytes: u64);

    /// The work is over, well or not.
    fn finish(&self, name: &str);

    /// Something worth a line: a retry, a wait for another process.
    fn note(&self, text: &str) {
        let _ = text;
    }
}

/// A piece of work that is reported as finished on every way out.
pub(super) struct Step<'a> {
    progress: Option<&'a dyn Progress>,
    name: &'a str,
}

impl<'a> Step<'a> {
    pub(super) fn start(progress: Option<&'a dyn Progress>, name: &'a str, total_bytes: Option<u64>) -> Self {
        if let Some(progress) = progress {
            progress.start(name, total_bytes);
        }
        Self { progress, name }
    }

    pub(super) fn position(&self, bytes: u64) {
        if let Some(progress) = self.progress {
            progress.position(self.name, bytes);
        }
    }

    pub(super) fn note(&self, text: &str) {
        if let Some(progress) = self.progress {
            progress.note(text);
        }
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if let Some(progress) = self.progress {
            progress.finish(self.name);
        }
    }
}
