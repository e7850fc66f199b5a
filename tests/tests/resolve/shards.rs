//! Weights in shards.

use std::sync::{Arc, Mutex};

use minilm::resolve::{Check, Progress, Source};
use minilm::{LoadOptions, PackedCache, PackedCacheStatus, SentenceTransformer};
use minilm_tests::hub_server::{Fault, Server};

use super::*;

const INDEX: &str = "model.safetensors.index.json";
const SHARDS: [&str; 3] = [
    "model-00001-of-00003.safetensors",
    "model-00002-of-00003.safetensors",
    "model-00003-of-00003.safetensors",
];

fn sharded() -> Setup {
    setup_of(|folder| assert_eq!(folder.split_weights(3), SHARDS))
}

/// What was started and finished, by name.
#[derive(Default)]
struct Names(Mutex<Vec<String>>);

impl Progress for Names {
    fn start(&self, name: &str, _total_bytes: Option<u64>) {
        self.0.lock().unwrap().push(name.to_owned());
    }
    fn position(&self, _name: &str, _bytes: u64) {}
    fn finish(&self, _name: &str) {}
}

#[test]
fn a_model_in_shards_gives_the_vectors_of_the_model_in_one_file() {
    let setup = sharded();
    let model = setup.load();
    let expected = SentenceTransformer::load(golden::tiny_bert()).unwrap();
    assert_eq!(model.encode(TEXT).unwrap(), expected.encode(TEXT).unwrap());
    assert_eq!(model.weights_size(), SHARDS.map(|shard| size(&setup, shard)).iter().sum::<usize>());
    assert_ne!(model.fingerprint().unwrap(), expected.fingerprint().unwrap());
    let directory = model.resolved().directory();
    assert!(SHARDS.iter().chain([&INDEX]).all(|file| directory.join(file).is_file()));
    assert!(!directory.join(WEIGHTS).exists());

    // From the cache, and by path, it is the same model.
    setup.server.forget_requests();
    let again = setup.load();
    assert_eq!((again.resolved().source(), setup.server.requests().len()), (Source::Cache, 0));
    let by_path = SentenceTransformer::load(directory).unwrap();
    for other in [&again, &by_path] {
        assert_eq!(other.fingerprint().unwrap(), model.fingerprint().unwrap());
        assert_eq!(other.encode(TEXT).unwrap(), model.encode(TEXT).unwrap());
    }
    let verified = model.resolved().verify().unwrap();
    for file in SHARDS.iter().chain([&INDEX]) {
        let found = verified.iter().find(|verified| verified.file == *file).unwrap();
        assert!(found.check == Check::BlobName || cfg!(not(unix)), "{found:?}");
    }
}

fn size(setup: &Setup, file: &str) -> usize {
    let mut size = 0;
    setup.server.change(|model| size = model.files[file].content.len());
    size
}

#[test]
fn shards_are_packed_once() {
    let folder = Folder::new();
    folder.split_weights(2);
    let packed = tempfile::tempdir().unwrap();
    let options = LoadOptions::default().packed_cache(PackedCache::Directory(packed.path().to_owned()));
    let load = || SentenceTransformer::load_with(folder.directory(), &options).unwrap();
    let built = load();
    assert!(matches!(built.packed_cache(), PackedCacheStatus::Built { .. }), "{:?}", built.packed_cache());
    let used = load();
    assert!(matches!(used.packed_cache(), PackedCacheStatus::Used { .. }), "{:?}", used.packed_cache());
    assert_eq!(used.encode(TEXT).unwrap(), built.encode(TEXT).unwrap());
}

#[test]
fn every_shard_decides_the_fingerprint() {
    let folder = Folder::new();
    let shards = folder.split_weights(3);
    let mut seen = vec![folder.load().fingerprint().unwrap().to_owned()];
    for shard in &shards {
        let mut bytes = fs::read(folder.path(shard)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(folder.path(shard), bytes).unwrap();
        let fingerprint = folder.load().fingerprint().unwrap().to_owned();
        assert!(!seen.contains(&fingerprint));
        seen.push(fingerprint);
    }
}

#[test]
fn a_download_that_breaks_off_in_a_shard_goes_on_there() {
    let setup = sharded();
    setup.server.misbehave("GET", SHARDS[1], Fault::Cut(500), usize::MAX);
    let error = setup.failure();
    assert!(error.contains(SHARDS[1]) && error.contains("are kept for the next try"), "{error}");
    setup.assert_no_snapshot();
    assert_eq!(setup.server.downloads_of(SHARDS[0]).len(), 1);
    assert_eq!(setup.server.downloads_of(SHARDS[2]), []);
    let incomplete = setup.path("blobs").join(format!("{}.incomplete", setup.etag(SHARDS[1])));
    let kept = fs::metadata(incomplete).unwrap().len();
    assert_eq!(kept, 2000);

    setup.server.behave();
    setup.server.forget_requests();
    let progress = Arc::new(Names::default());
    resolve(NAME, &setup.options().progress(progress.clone())).unwrap().verify().unwrap();
    assert_eq!(*progress.0.lock().unwrap(), SHARDS[1..], "the others are there");
    assert_eq!(setup.server.downloads_of(SHARDS[0]), []);
    let second = setup.server.downloads_of(SHARDS[1]);
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].range.as_deref(), Some("bytes=2000-"));
    assert_eq!(setup.server.downloads_of(SHARDS[2])[0].range, None);
    let expected = SentenceTransformer::load(golden::tiny_bert()).unwrap();
    assert_eq!(setup.load().encode(TEXT).unwrap(), expected.encode(TEXT).unwrap());
}

#[test]
fn damaged_shards_are_found() {
    let setup = sharded();
    setup.server.misbehave("GET", SHARDS[2], Fault::Content(vec![7; 1000]), usize::MAX);
    assert!(setup.failure().contains(SHARDS[2]));
    setup.assert_no_snapshot();
    setup.server.behave();
    let model = setup.resolve().unwrap();
    let path = model.directory().join(SHARDS[0]);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    if cfg!(unix) {
        let error = model.verify().unwrap_err().to_string();
        assert!(error.contains(SHARDS[0]) && error.contains("SHA-256"), "{error}");
    }
}

#[test]
fn a_shard_that_the_hub_lacks_is_named_before_any_is_fetched() {
    let setup = sharded();
    setup.server.change(|model| drop(model.files.remove(SHARDS[2])));
    let error = setup.failure();
    assert!(error.contains(&format!("model `acme/tiny` has no {}", SHARDS[2])), "{error}");
    assert!(setup.server.requests().iter().all(|request| request.server == Server::Hub));
    setup.assert_no_snapshot();
}

#[test]
fn a_shard_that_the_cache_lacks_is_fetched() {
    let setup = sharded();
    let directory = setup.resolve().unwrap().directory().to_owned();
    fs::remove_file(directory.join(SHARDS[1])).unwrap();
    if cfg!(unix) {
        fs::remove_file(setup.path("blobs").join(setup.etag(SHARDS[1]))).unwrap();
    }
    let error = resolve(NAME, &setup.options().offline(true)).unwrap_err().to_string();
    assert!(error.contains(&format!("lacks {}", SHARDS[1])), "{error}");
    assert!(resolve(&directory, &setup.options()).unwrap_err().to_string().contains(SHARDS[1]));
    setup.server.forget_requests();
    assert_eq!(setup.resolve().unwrap().source(), Source::Hub);
    let fetched = setup.server.requests().into_iter().filter(|request| request.method == "GET");
    assert!(fetched.map(|request| request.file).all(|file| file == SHARDS[1]));
}

#[test]
fn one_file_counts_before_shards() {
    let setup = sharded();
    let single = fs::read(golden::tiny_bert().join(WEIGHTS)).unwrap();
    setup.server.change(|model| drop(model.files.insert(WEIGHTS.to_owned(), file(single, Storage::Lfs))));
    let directory = setup.resolve().unwrap().directory().to_owned();
    assert!(!setup.asked_for().iter().any(|file| file == INDEX || SHARDS.contains(&file.as_str())));
    // By path too, where shards need not even be there.
    fs::write(directory.join(INDEX), "{").unwrap();
    let model = SentenceTransformer::load(&directory).unwrap();
    let expected = SentenceTransformer::load(golden::tiny_bert()).unwrap();
    assert_eq!(model.fingerprint().unwrap(), expected.fingerprint().unwrap());
}

#[test]
fn shards_that_lead_elsewhere_are_refused() {
    for name in
        ["../../evil.safetensors", "/etc/passwd", "a\\\\b.safetensors", "C:x.safetensors", "config.json"]
    {
        let index = format!(r#"{{"weight_map": {{"x": "{name}"}}}}"#);
        let setup = sharded();
        setup
            .server
            .change(|model| drop(model.files.insert(INDEX.to_owned(), file(index.clone(), Storage::Git))));
        let error = setup.failure();
        assert!(error.contains(&format!("{INDEX} of http://")) && error.contains("is refused"), "{error}");
        assert!(setup.server.requests().iter().all(|request| !request.file.contains("evil")));
        assert_eq!(setup.asked_for().last().unwrap(), INDEX);
        setup.assert_no_snapshot();

        let folder = Folder::new();
        folder.split_weights(2);
        fs::write(folder.path(INDEX), index).unwrap();
        let error = resolve(folder.directory(), &setup.options()).unwrap_err();
        assert!(matches!(error, ResolveError::InvalidShardIndex { .. }), "{error}");
    }
}
