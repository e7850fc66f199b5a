//! Paths, and caches that were filled by others.

use minilm::resolve::{Check, DEFAULT_MODEL, Source};

use super::*;

/// What the tiny model has none of, and Python notes.
const ABSENT: [&str; 4] = [
    "added_tokens.json",
    "config_sentence_transformers.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
];

/// Fills a cache as sentence-transformers does.
fn fill_like_python(setup: &Setup, commit: &str, without: &[&str]) {
    for (path, file) in tiny().files {
        if without.contains(&path.as_str()) {
            continue;
        }
        let blob = setup.path("blobs").join(file.etag());
        let pointer = setup.path("snapshots").join(commit).join(&path);
        fs::create_dir_all(blob.parent().unwrap()).unwrap();
        fs::create_dir_all(pointer.parent().unwrap()).unwrap();
        fs::write(&blob, &file.content).unwrap();
        let up = "../".repeat(2 + path.matches('/').count());
        place(&format!("{up}blobs/{}", file.etag()), &blob, &pointer);
    }
    // What sentence-transformers 5.7 asks for, and does not find.
    let absent = setup.path(".no_exist").join(commit);
    fs::create_dir_all(&absent).unwrap();
    for file in ABSENT {
        fs::write(absent.join(file), "").unwrap();
    }
    fs::create_dir_all(setup.path("refs")).unwrap();
    fs::write(setup.path("refs/main"), commit).unwrap();
}

#[cfg(unix)]
fn place(target: &str, _blob: &Path, pointer: &Path) {
    std::os::unix::fs::symlink(target, pointer).unwrap();
}

/// Python copies where it cannot link.
#[cfg(not(unix))]
fn place(_target: &str, blob: &Path, pointer: &Path) {
    fs::copy(blob, pointer).unwrap();
}

#[test]
fn a_cache_that_python_filled_is_used() {
    let setup = Setup::new();
    fill_like_python(&setup, COMMIT, &[]);
    let model = setup.resolve().unwrap();
    assert_eq!((model.source(), model.snapshot()), (Source::Cache, Some(COMMIT)));
    assert_eq!(setup.server.requests(), []);
    let checks = model.verify().unwrap();
    assert!(checks.iter().any(|file| file.file == "1_Pooling/config.json"));
    if cfg!(unix) {
        assert!(checks.iter().all(|file| file.check == Check::BlobName), "{checks:?}");
    }
    assert!(!model.is_pinned());
}

#[test]
fn snapshots_that_lack_something_are_completed() {
    for file in ["config.json", "tokenizer.json", WEIGHTS, "1_Pooling/config.json", "modules.json"] {
        let setup = Setup::new();
        fill_like_python(&setup, COMMIT, &[file]);
        let error = resolve(NAME, &setup.options().offline(true)).unwrap_err().to_string();
        assert!(error.contains(&format!("lacks {file}")), "{error}");
        let model = setup.resolve().unwrap();
        setup.assert_complete(&model);
        assert_eq!(model.source(), Source::Hub);
        let fetched: Vec<String> = setup
            .server
            .requests()
            .into_iter()
            .filter(|request| request.method == "GET")
            .map(|request| request.file)
            .collect();
        assert!(fetched.iter().all(|fetched| fetched == file), "{fetched:?}");
    }
}

#[test]
fn a_model_without_modules_needs_pythons_word_for_it() {
    let setup = Setup::new();
    fill_like_python(&setup, COMMIT, &["modules.json", "1_Pooling/config.json"]);
    let offline = setup.options().offline(true);
    assert!(resolve(NAME, &offline).unwrap_err().to_string().contains("lacks modules.json"));
    let mark = setup.path(".no_exist").join(COMMIT).join("modules.json");
    fs::create_dir_all(mark.parent().unwrap()).unwrap();
    fs::write(mark, "").unwrap();
    assert_eq!(resolve(NAME, &offline).unwrap().source(), Source::Cache);
}

#[test]
fn settings_that_would_make_another_model_are_asked_for() {
    for (file, is_there) in [
        ("sentence_bert_config.json", true),
        ("config_sentence_transformers.json", false),
        ("tokenizer_config.json", false),
    ] {
        let setup = Setup::new();
        fill_like_python(&setup, COMMIT, &[file]);
        let mark = setup.path(".no_exist").join(COMMIT).join(file);
        if !is_there {
            fs::remove_file(&mark).unwrap();
        }
        let error = resolve(NAME, &setup.options().offline(true)).unwrap_err().to_string();
        assert!(error.contains(&format!("lacks {file}")), "{error}");
        assert!(error.contains("give this directory's path"), "{error}");
        let model = setup.resolve().unwrap();
        assert_eq!(model.source(), Source::Hub);
        assert_eq!((model.directory().join(file).is_file(), mark.is_file()), (is_there, !is_there));
        let fetched = setup.server.requests().into_iter().filter(|request| request.method == "GET");
        assert!(fetched.map(|request| request.file).all(|fetched| fetched == file));
        assert_eq!(resolve(NAME, &setup.options().offline(true)).unwrap().source(), Source::Cache);
    }
}

#[test]
fn a_part_of_a_model_that_is_not_computed_is_called_that() {
    let setup = Setup::new();
    fill_like_python(&setup, COMMIT, &["tokenizer.json", "vocab.txt", WEIGHTS]);
    let config = setup.path("snapshots").join(COMMIT).join("config.json");
    let text = fs::read_to_string(&config).unwrap().replace("\"bert\"", "\"deberta-v2\"");
    fs::remove_file(&config).unwrap();
    fs::write(&config, text).unwrap();
    let offline = resolve(NAME, &setup.options().offline(true)).unwrap_err();
    assert!(matches!(offline, ResolveError::Unsupported { .. }), "{offline}");
    assert!(offline.to_string().contains("deberta-v2"), "{offline}");
    // The hub has another config, and its word counts.
    setup.assert_complete(&setup.resolve().unwrap());
}

#[test]
fn references_to_nothing_are_no_snapshots() {
    for reference in ["", "fedcba", "../..", "a\0b", "/"] {
        let setup = Setup::new();
        fill_like_python(&setup, COMMIT, &[]);
        fs::write(setup.path("refs/main"), reference).unwrap();
        let error = resolve(NAME, &setup.options().offline(true)).unwrap_err().to_string();
        assert!(error.contains("no snapshot of revision `main`"), "{error}");
        assert!(setup.resolve().is_ok());
        assert_eq!(fs::read_to_string(setup.path("refs/main")).unwrap(), COMMIT);
    }
}

#[test]
fn directories_are_taken_as_they_are() {
    let setup = Setup::new();
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json", WEIGHTS] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    let model = resolve(folder.path(), &setup.options()).unwrap();
    assert_eq!((model.source(), model.directory()), (Source::Path, folder.path()));
    assert_eq!((model.name(), model.snapshot()), (None, None));
    let checks = model.verify().unwrap();
    assert!(checks.len() == 3 && checks.iter().all(|file| file.check == Check::Nothing));
    assert_eq!(setup.server.requests(), []);
}

#[test]
fn directories_that_lack_something_say_what() {
    let folder = tempfile::tempdir().unwrap();
    let failure = || resolve(folder.path(), &ResolveOptions::new()).unwrap_err().to_string();
    let error = failure();
    assert!(error.contains("lacks config.json, tokenizer.json, model.safetensors"), "{error}");
    assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
    fs::copy(golden::tiny_bert().join("config.json"), folder.path().join("config.json")).unwrap();
    fs::write(folder.path().join("vocab.txt"), "a").unwrap();
    fs::write(folder.path().join("pytorch_model.bin"), "a").unwrap();
    let error = failure();
    assert!(error.contains("lacks model.safetensors.\n"), "{error}");
    assert!(error.contains("pickle") && error.contains("save_pretrained"), "{error}");
    fs::remove_file(folder.path().join("vocab.txt")).unwrap();
    fs::write(folder.path().join("sentencepiece.bpe.model"), "a").unwrap();
    let error = failure();
    assert!(error.contains("lacks tokenizer.json, model.safetensors.\n"), "{error}");
    assert!(error.contains("sentencepiece.bpe.model") && error.contains("AutoTokenizer"), "{error}");
    fs::write(folder.path().join("modules.json"), MODULES).unwrap();
    assert!(failure().contains("1_Pooling/config.json"));
    fs::write(folder.path().join("modules.json"), "{").unwrap();
    assert!(failure().contains("modules.json of"));
}

#[test]
fn paths_that_are_no_directories_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let error = resolve(&missing, &ResolveOptions::new()).unwrap_err();
    assert!(matches!(error, ResolveError::PathNotFound { .. }), "{error}");
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    let error = resolve(&plain, &ResolveOptions::new()).unwrap_err();
    assert!(matches!(error, ResolveError::NotADirectory { .. }), "{error}");
    let error = resolve("not a name", &ResolveOptions::new()).unwrap_err();
    assert!(matches!(error, ResolveError::InvalidName { .. }), "{error}");
}

#[test]
fn without_a_home_the_cache_has_to_be_named() {
    let bare = Environment::of(BTreeMap::<String, String>::new(), None);
    let error = resolve(NAME, &ResolveOptions::new().environment(bare)).unwrap_err().to_string();
    assert!(error.contains("HF_HUB_CACHE"), "{error}");
}

#[test]
fn a_default_model_with_other_files_is_not_used_and_not_deleted() {
    for (without, reason) in [
        (&[][..], "modules.json from"),
        (&["modules.json", "1_Pooling/config.json", "sentence_bert_config.json"][..], "lacks modules.json, "),
    ] {
        let setup = Setup::new();
        fill_like_python(&setup, COMMIT, without);
        let folder = setup.cache.path().join("models--sentence-transformers--all-MiniLM-L6-v2");
        fs::rename(setup.path(""), &folder).unwrap();
        let error = resolve("all-MiniLM-L6-v2", &setup.options().offline(true)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(DEFAULT_MODEL) && text.contains(reason), "{text}");
        assert!(folder.join("snapshots").join(COMMIT).join(WEIGHTS).exists());
        // Another revision is not pinned.
        fs::copy(folder.join("refs/main"), folder.join("refs/other")).unwrap();
        let other = setup.options().offline(true).revision("other");
        assert_eq!(resolve(DEFAULT_MODEL, &other).is_ok(), without.is_empty());
    }
}

#[test]
fn a_default_model_with_other_files_on_the_hub_is_refused() {
    let setup = Setup::with(|model| model.name = DEFAULT_MODEL.to_owned());
    let error = resolve(DEFAULT_MODEL, &setup.options().package_index(true)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("modules.json from http://") && text.contains("expected 349 bytes"), "{text}");
    let ResolveError::Unavailable { attempts, .. } = error else { panic!("{text}") };
    // The package index is for hubs that cannot be reached, not for ones that lie.
    assert_eq!(attempts.last().unwrap().source, Source::Hub);
    assert!(setup.server.requests().iter().all(|request| request.method == "HEAD"));
}
