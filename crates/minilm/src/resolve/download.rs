//! Bringing a model from a hub into the cache.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use ureq::{Body, http::Response};

use super::cache::ModelCache;
use super::digest::{Expected, hash_in_name};
use super::error::{Bytes, ResolveError};
use super::files::{
    MAX_SMALL_FILE, ModelFiles, Wanted, advice, is_of_tokenizer, is_setting, is_weights, lists_tokens,
    read_modules, read_shards,
};
use super::hub::{Announcement, Answer, Failure, Hub, Repeat, Retries, explain, invalid};
use super::pins::{Pin, pin_of};
use super::progress::{Progress, Step};
use crate::folder::{MODEL_CARD, MODULES, WEIGHTS};
use crate::{Error, supported};

/// A download that brings this much between two failures may go on for as long as it takes.
const WORTH_RETRYING: u64 = 1 << 20;
const CHUNK: usize = 128 * 1024;
/// How the name of a copy of settings begins.
const COPY_START: &str = ".settings-";

/// Everything a download works with.
pub(super) struct Download<'a> {
    pub(super) hub: &'a Hub,
    pub(super) cache: &'a ModelCache,
    pub(super) pins: Option<&'static [Pin]>,
    pub(super) progress: Option<&'a dyn Progress>,
}

/// What happened to a file so far.
enum Fetched {
    /// The blob of this ETag is to be linked.
    Blob(String),
    /// The snapshot has it already.
    InPlace,
    Absent,
}

impl Download<'_> {
    /// Brings all files of `revision`, then the snapshot, then the reference to it, and gives
    /// back the commit.
    pub(super) fn run(&self, revision: &str) -> Result<String, ResolveError> {
        let mut arrivals = Arrivals { download: self, revision, commit: None, files: Vec::new() };
        arrivals.fetch(MODULES, false)?;
        let modules = match arrivals.path(MODULES) {
            Some(path) => read_modules(&path, &self.hub.url(revision, MODULES))?,
            None => Vec::new(),
        };
        arrivals.check(supported::check_modules)?;
        let files = ModelFiles::of(&modules);
        // Before an adapter is said to lack what its base has.
        if arrivals.fetch(&files.adapter_config, false)? {
            arrivals.check(supported::check_modules)?;
        }
        for Wanted { file, required } in &files.settings {
            arrivals.fetch(file, *required)?;
        }
        for file in &files.sentence_configs {
            if arrivals.fetch(file, false)? {
                break;
            }
        }
        // Before a model of another kind is said to lack a tokenizer.
        arrivals.check(supported::check)?;
        arrivals.fetch_tokenizer(&files)?;
        // Whatever is wrong with all these is known before the large downloads.
        arrivals.check(supported::check_tokenizer)?;
        arrivals.fetch_companion(MODEL_CARD)?;
        arrivals.fetch_weights(&files)?;
        arrivals.publish()
    }

    /// The pin that the hub's file must have.
    fn pin(&self, file: &str) -> Option<&'static Pin> {
        pin_of(self.pins?, file).filter(|pin| pin.required)
    }

    fn not_found(&self, revision: &str, file: &str) -> ResolveError {
        let exists = |other: &str| matches!(self.hub.head(revision, other), Ok(Answer::Present(_)));
        ResolveError::FileNotFound {
            name: self.hub.model().to_string(),
            file: file.to_owned(),
            url: self.hub.url(revision, file),
            advice: advice(&[file.to_owned()], exists),
        }
    }

    fn fetch_blob(&self, file: &str, announced: Announcement) -> Result<Fetched, ResolveError> {
        let Announcement { commit, etag, size } = announced;
        let url = self.hub.url(&commit, file);
        let expected = Expected { file, place: &url, size, etag: hash_in_name(&etag), pin: self.pin(file) };
        expected.check_announced()?;
        if !is_weights(file) && size > MAX_SMALL_FILE {
            return Err(invalid(
                &url,
                format!("expected at most {MAX_SMALL_FILE} bytes, {size} are announced"),
            ));
        }
        let pointer = self.cache.pointer(&commit, file);
        if pointer.is_file() && expected.check(&pointer).is_ok() {
            return Ok(Fetched::InPlace);
        }
        let _lock = self.cache.lock(&etag, || {
            if let Some(progress) = self.progress {
                progress.note(&format!("waiting for another process that downloads {file}"));
            }
        })?;
        let blob = self.cache.blob(&etag);
        if blob.is_file() && expected.check(&blob).is_ok() {
            return Ok(Fetched::Blob(etag));
        }
        self.cache.create()?;
        let incomplete = self.cache.incomplete(&etag);
        let step = Step::start(self.progress, file, Some(size));
        let transfer = Transfer { hub: self.hub, url: &url, revision: &commit, file, size, step: &step };
        let mut result = transfer.run(&incomplete).and_then(|()| expected.check(&incomplete));
        if result.as_ref().is_err_and(is_wrong_content) {
            // The start may be left over from something else: once more, from the first byte.
            remove(&incomplete)?;
            step.note(&format!("{file} arrived with wrong content; once more from the start"));
            result = transfer.run(&incomplete).and_then(|()| expected.check(&incomplete));
            if result.as_ref().is_err_and(is_wrong_content) {
                remove(&incomplete)?;
            }
        }
        result?;
        self.cache.commit_blob(&incomplete, &etag)?;
        Ok(Fetched::Blob(etag))
    }
}

/// The files of a revision that have been asked for so far.
struct Arrivals<'a> {
    download: &'a Download<'a>,
    revision: &'a str,
    /// The first answer names the commit; the other files are asked for by it, so that all are of one
    /// commit even if the branch moves on meanwhile.
    commit: Option<String>,
    files: Vec<(String, Fetched)>,
}

impl Arrivals<'_> {
    /// Brings a file into the cache. False: the model does without it.
    fn fetch(&mut self, file: &str, required: bool) -> Result<bool, ResolveError> {
        let Some(announced) = self.announce(file, required)? else { return Ok(false) };
        self.receive(file, announced)?;
        Ok(true)
    }

    /// Brings a file that changes nothing about the model, for people and for other programs. Whatever the hub has against it,
    /// the model does without.
    fn fetch_companion(&mut self, file: &str) -> Result<(), ResolveError> {
        match self.fetch(file, false) {
            // A disk that refuses this will refuse the rest.
            Err(error @ ResolveError::Io { .. }) => Err(error),
            Err(error) => {
                if let Some(progress) = self.download.progress {
                    progress.note(&format!("going on without {file}: {error}"));
                }
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// Brings what the tokenizer is made of, and what else belongs to it.
    fn fetch_tokenizer(&mut self, files: &ModelFiles) -> Result<(), ResolveError> {
        let ModelFiles { tokenizer, vocabulary, tokenizer_config, of_tokens, .. } = files;
        if self.fetch(tokenizer, false)? {
            self.fetch_companion(vocabulary)?;
        } else if !self.fetch(vocabulary, false)? {
            return Err(self.download.not_found(self.revision(), tokenizer));
        }
        // Of a model that was tested it is known that they change nothing.
        let count = self.download.pins.is_none()
            && !self.path(tokenizer_config).is_some_and(|path| lists_tokens(&path));
        of_tokens.iter().try_for_each(|file| {
            if count { self.fetch(file, false).map(drop) } else { self.fetch_companion(file) }
        })
    }

    /// Asks for a file. `None`: the model does without it.
    fn announce(&mut self, file: &str, required: bool) -> Result<Option<Announcement>, ResolveError> {
        let Download { hub, .. } = self.download;
        let asked = self.revision().to_owned();
        let required = required || self.download.pin(file).is_some();
        let announced = match hub.head(&asked, file)? {
            Answer::Present(announced) => announced,
            Answer::Absent(of_commit) if !required => {
                self.commit = self.commit.take().or(of_commit);
                self.files.push((file.to_owned(), Fetched::Absent));
                return Ok(None);
            }
            Answer::Absent(_) => return Err(self.download.not_found(&asked, file)),
        };
        match &self.commit {
            None => self.commit = Some(announced.commit.clone()),
            Some(known) if *known == announced.commit => {}
            Some(known) => {
                let reason = format!("expected commit {known}, found {}", announced.commit);
                return Err(invalid(&hub.url(&asked, file), reason));
            }
        }
        Ok(Some(announced))
    }

    fn receive(&mut self, file: &str, announced: Announcement) -> Result<(), ResolveError> {
        let fetched = self.download.fetch_blob(file, announced)?;
        self.files.push((file.to_owned(), fetched));
        Ok(())
    }

    /// What to ask the hub for: the commit, once it is known.
    fn revision(&self) -> &str {
        self.commit.as_deref().unwrap_or(self.revision)
    }

    /// Where a file that has been fetched lies.
    fn path(&self, file: &str) -> Option<PathBuf> {
        let (_, fetched) = self.files.iter().find(|(known, _)| known == file)?;
        match fetched {
            Fetched::Blob(etag) => Some(self.download.cache.blob(etag)),
            Fetched::InPlace => Some(self.download.cache.pointer(self.commit.as_deref()?, file)),
            Fetched::Absent => None,
        }
    }

    /// Refuses a model that this engine does not compute, as the settings and the tokenizer say, if they have arrived. In a
    /// copy of them: what is no complete model does not become a snapshot.
    fn check(&self, check: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), ResolveError> {
        let Download { hub, cache, .. } = self.download;
        let work = cache.create_work_folder()?;
        let copy = tempfile::Builder::new()
            .prefix(COPY_START)
            .tempdir_in(work)
            .map_err(ResolveError::io("create a directory in", work))?;
        let is_checked = |file: &&String| is_setting(file) || is_of_tokenizer(file);
        for file in self.files.iter().map(|(file, _)| file).filter(is_checked) {
            let Some(path) = self.path(file) else { continue };
            let to = copy.path().join(file);
            let folder = to.parent().unwrap_or(copy.path());
            fs::create_dir_all(folder).map_err(ResolveError::io("create the directory", folder))?;
            fs::copy(&path, &to).map_err(ResolveError::io("copy", &path))?;
        }
        check(copy.path()).map_err(|error| {
            // The copy is gone before anybody could look at it.
            let copy = format!("{}{MAIN_SEPARATOR}", copy.path().display());
            let reason = error.to_string().replace(&copy, &hub.url(self.revision(), ""));
            ResolveError::Unsupported { name: hub.model().to_string(), reason }
        })
    }

    /// Brings the weights of all modules and of the transformer, once all are known to be there.
    fn fetch_weights(&mut self, files: &ModelFiles) -> Result<(), ResolveError> {
        let mut wanted = files.module_weights.clone();
        let mut announced = Vec::new();
        match self.announce(&files.weights, false)? {
            Some(weights) => announced.push((files.weights.clone(), weights)),
            None => wanted.extend(self.fetch_shard_names(files)?),
        }
        for file in wanted {
            if let Some(weights) = self.announce(&file, true)? {
                announced.push((file, weights));
            }
        }
        announced.into_iter().try_for_each(|(file, weights)| self.receive(&file, weights))
    }

    /// The shards that weights are split into, which are not there in one file.
    fn fetch_shard_names(&mut self, files: &ModelFiles) -> Result<Vec<String>, ResolveError> {
        let index = &files.weights_index;
        self.fetch(index, false)?;
        let Some(path) = self.path(index) else {
            return Err(self.download.not_found(self.revision(), &files.weights));
        };
        read_shards(&path, index, &self.download.hub.url(self.revision(), ""))
    }

    /// Makes a snapshot of what has arrived, then the reference to it, and gives back the commit.
    fn publish(self) -> Result<String, ResolveError> {
        let Download { hub, cache, .. } = self.download;
        let Some(commit) = self.commit else {
            return Err(invalid(&hub.url(self.revision, WEIGHTS), "it names no commit"));
        };
        for (file, fetched) in &self.files {
            match fetched {
                Fetched::Blob(etag) => cache.link(etag, &commit, file)?,
                Fetched::InPlace => {}
                Fetched::Absent => cache.mark_absent(&commit, file)?,
            }
        }
        if self.revision != commit {
            cache.write_reference(self.revision, &commit)?;
        }
        Ok(commit)
    }
}

fn is_wrong_content(error: &ResolveError) -> bool {
    matches!(error, ResolveError::SizeMismatch { .. } | ResolveError::HashMismatch { .. })
}

fn remove(path: &Path) -> Result<(), ResolveError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ResolveError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// One file on its way.
struct Transfer<'a> {
    hub: &'a Hub,
    url: &'a str,
    revision: &'a str,
    file: &'a str,
    size: u64,
    step: &'a Step<'a>,
}

impl Transfer<'_> {
    /// Goes on at the end of the file at `path` until it has the announced size.
    fn run(&self, path: &Path) -> Result<(), ResolveError> {
        let mut output = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(ResolveError::io("open", path))?;
        let write_error = || ResolveError::io("write", path);
        let mut have = output.seek(SeekFrom::End(0)).map_err(write_error())?;
        let mut retries = Retries::default();
        loop {
            if have > self.size {
                have = restart(&mut output).map_err(write_error())?;
            }
            self.step.position(have);
            if have == self.size {
                return Ok(());
            }
            let before = have;
            let Err(failure) = self.attempt(&mut output, &mut have, path) else { continue };
            let gained = have.saturating_sub(before);
            if gained >= WORTH_RETRYING {
                retries.renew();
            }
            let note = retries.wait_after(failure, gained > 0)?;
            self.step.note(&note);
        }
    }

    /// One request. Leaves in `have` how many bytes are in the file.
    fn attempt(&self, output: &mut File, have: &mut u64, path: &Path) -> Result<(), Failure> {
        let response = self.hub.get(self.revision, self.file, *have)?;
        let write_error = || ResolveError::io("write", path);
        let is_continuation = response.status() == 206 && *have > 0;
        if response.status() == 416 || (is_continuation && !self.continues(&response, *have)) {
            // What is there is not the start of this file, or the server cannot continue.
            let reason = "the server cannot continue the download";
            if *have == 0 {
                return Err(invalid(self.url, reason).into());
            }
            *have = restart(output).map_err(write_error())?;
            return Err(self.transient(reason.to_owned(), *have, Repeat::Yes));
        }
        if response.status() == 206 && !is_continuation {
            return Err(invalid(self.url, "206 though the whole file was asked for").into());
        }
        if !is_continuation && *have > 0 {
            *have = restart(output).map_err(write_error())?;
            self.step.position(0);
        }
        let length: Option<u64> = response
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.trim().parse().ok());
        if let Some(length) = length.filter(|length| have.saturating_add(*length) != self.size) {
            return Err(self.wrong_size(Bytes::Exactly(have.saturating_add(length))).into());
        }
        // One byte more would show that the body is too long.
        let mut body = response.into_body().into_reader().take(self.size - *have + 1);
        let mut buffer = vec![0; CHUNK];
        loop {
            let length = match body.read(&mut buffer) {
                Ok(0) if *have == self.size => return Ok(()),
                Ok(0) => {
                    let reason = "the body ended too early".to_owned();
                    return Err(self.transient(reason, *have, Repeat::Yes));
                }
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let (reason, repeat) = explain(error.into());
                    return Err(self.transient(reason, *have, repeat));
                }
            };
            if *have + length as u64 > self.size {
                return Err(self.wrong_size(Bytes::More).into());
            }
            output.write_all(&buffer[..length]).map_err(write_error())?;
            *have += length as u64;
            self.step.position(*have);
        }
    }

    /// Whether the server goes on with the same file where it should.
    fn continues(&self, response: &Response<Body>, have: u64) -> bool {
        let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        range
            .and_then(content_range)
            .is_some_and(|(start, total)| start == have && total.is_none_or(|total| total == self.size))
    }

    fn transient(&self, reason: String, received: u64, repeat: Repeat) -> Failure {
        repeat.failure(ResolveError::Interrupted {
            file: self.file.to_owned(),
            url: self.url.to_owned(),
            received,
            expected: self.size,
            reason,
        })
    }

    fn wrong_size(&self, found: Bytes) -> ResolveError {
        ResolveError::SizeMismatch {
            file: self.file.to_owned(),
            place: self.url.to_owned(),
            expected: self.size,
            found,
        }
    }
}

fn restart(output: &mut File) -> io::Result<u64> {
    output.set_len(0)?;
    output.rewind()?;
    Ok(0)
}

/// Start and total of `bytes 5-9/10` or `bytes 5-9/*`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((start.trim().parse().ok()?, total))
}

#[cfg(test)]
mod tests {
    use super::content_range;

    #[test]
    fn content_ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for text in ["", "bytes */10", "bytes 5/10", "items 5-9/10", "bytes 5-9", "bytes x-9/10"] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }
}
