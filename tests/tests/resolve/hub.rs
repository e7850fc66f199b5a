//! The hub as it should be, and its refusals.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use minilm::resolve::{Environment, Progress, Source};
use minilm_tests::hub_server::{Fault, Server};

use super::*;

#[test]
fn a_download_fills_the_cache_in_pythons_layout() {
    let setup = Setup::new();
    let model = setup.resolve().unwrap();
    setup.assert_complete(&model);
    assert_eq!(model.source(), Source::Hub);
    assert_eq!((model.name(), model.snapshot()), (Some(NAME), Some(COMMIT)));
    assert_eq!(model.directory(), setup.path("snapshots").join(COMMIT));
    assert_eq!(fs::read_to_string(setup.path("refs/main")).unwrap(), COMMIT);
    assert_eq!(names(&setup.path("")), [".no_exist", "blobs", "refs", "snapshots"]);
    let wanted = [
        "1_Pooling",
        "README.md",
        "config.json",
        WEIGHTS,
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
        "vocab.txt",
    ];
    assert_eq!(names(model.directory()), wanted);
    let marked = [
        "2_Normalize",
        "adapter_config.json",
        "added_tokens.json",
        "config_sentence_transformers.json",
        "special_tokens_map.json",
        "tokenizer_config.json",
    ];
    assert_eq!(names(&setup.path(".no_exist").join(COMMIT)), marked);
    let mut etags: Vec<String> = tiny()
        .files
        .iter()
        .filter(|(path, _)| *path != "train_script.py")
        .map(|(_, file)| file.etag())
        .collect();
    etags.sort();
    // Elsewhere they may have been moved to the snapshot.
    if cfg!(unix) {
        assert_eq!(names(&setup.path("blobs")), etags);
    }
    assert_eq!(
        names(&setup.cache.path().join(".locks/models--acme--tiny")),
        etags.iter().map(|etag| format!("{etag}.lock")).collect::<Vec<_>>()
    );
}

#[cfg(unix)]
#[test]
fn snapshots_link_to_blobs_by_relative_paths() {
    let setup = Setup::new();
    let model = setup.resolve().unwrap();
    let target = |path: &str| fs::read_link(model.directory().join(path)).unwrap();
    let etag = |path: &str| tiny().files[path].etag();
    assert_eq!(target(WEIGHTS), Path::new("../../blobs").join(etag(WEIGHTS)));
    let pooling = "1_Pooling/config.json";
    assert_eq!(target(pooling), Path::new("../../../blobs").join(etag(pooling)));
}

#[test]
fn the_second_time_nothing_is_asked() {
    let setup = Setup::new();
    let first = setup.resolve().unwrap();
    setup.server.forget_requests();
    let second = setup.resolve().unwrap();
    assert_eq!(setup.server.requests(), []);
    assert_eq!(second.source(), Source::Cache);
    assert_eq!(second.directory(), first.directory());
    assert!(resolve(NAME, &setup.options().offline(true)).is_ok());
}

#[test]
fn all_files_are_of_the_commit_the_first_answer_names() {
    let setup = Setup::new();
    setup.resolve().unwrap();
    let paths: Vec<String> = setup.server.requests().into_iter().map(|request| request.path).collect();
    let of_branch: Vec<_> = paths.iter().filter(|path| path.contains("/main/")).collect();
    assert_eq!(of_branch, ["/acme/tiny/resolve/main/modules.json"]);
}

#[test]
fn revisions_may_be_tags_branches_with_slashes_and_commits() {
    let setup = Setup::new();
    let options = setup.options().revision("v1.0");
    assert_eq!(resolve(NAME, &options).unwrap().snapshot(), Some(COMMIT));
    assert_eq!(setup.server.requests()[0].path, "/acme/tiny/resolve/v1.0/modules.json");
    assert_eq!(fs::read_to_string(setup.path("refs/v1.0")).unwrap(), COMMIT);
    assert_eq!(resolve(NAME, &options.offline(true)).unwrap().source(), Source::Cache);
    // The snapshot is there, but whether it is what `main` is at, nothing says.
    assert!(resolve(NAME, &setup.options().offline(true)).is_err());

    let setup = Setup::new();
    resolve(NAME, &setup.options().revision("refs/pr/1")).unwrap();
    assert_eq!(setup.server.requests()[0].path, "/acme/tiny/resolve/refs%2Fpr%2F1/modules.json");
    assert_eq!(fs::read_to_string(setup.path("refs/refs/pr/1")).unwrap(), COMMIT);

    let setup = Setup::new();
    let options = setup.options().revision(COMMIT);
    resolve(NAME, &options).unwrap();
    assert_eq!(names(&setup.path("refs")), Vec::<String>::new());
    assert_eq!(resolve(NAME, &options).unwrap().source(), Source::Cache);
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let setup = Setup::with(|model| model.access = Access::Private("hf_secret".to_owned()));
    let environment = Environment::of([("HF_TOKEN", "hf_secret")], None);
    resolve(NAME, &setup.options().environment(environment)).unwrap();
    let requests = setup.server.requests();
    for request in &requests {
        let expected = (request.server == Server::Hub).then_some("Bearer hf_secret");
        assert_eq!(request.authorization.as_deref(), expected, "{request:?}");
    }
    assert!(requests.iter().any(|request| request.server == Server::Cdn));
}

#[test]
fn refusals_say_what_to_do() {
    let setup = Setup::with(|model| model.access = Access::Private("right".to_owned()));
    let error = setup.failure();
    assert!(error.contains("401") && error.contains("`acme/tiny`") && error.contains("HF_TOKEN"), "{error}");
    let error = resolve(NAME, &setup.options().token("wrong")).unwrap_err().to_string();
    assert!(error.contains("a token was sent") && !error.contains("wrong"), "{error}");
    setup.assert_no_snapshot();

    let setup = Setup::with(|model| model.access = Access::Gated);
    let error = setup.failure();
    assert!(error.contains("401") && error.contains("gated"), "{error}");
    let error = resolve(NAME, &setup.options().token("x")).unwrap_err().to_string();
    assert!(error.contains("403") && error.contains("gated"), "{error}");

    let setup = Setup::with(|model| model.access = Access::Forbidden);
    let error = setup.failure();
    assert!(error.contains("403") && error.contains("Not from here"), "{error}");
}

#[test]
fn what_is_not_there_is_named() {
    let setup = Setup::new();
    let error = resolve("acme/other", &setup.options().token("x")).unwrap_err().to_string();
    assert!(error.contains("404") && error.contains("no model `acme/other`"), "{error}");
    let error = resolve(NAME, &setup.options().revision("v9")).unwrap_err();
    assert!(error.to_string().contains("no revision `v9`"), "{error}");
    let ResolveError::Unavailable { attempts, .. } = error else { panic!("{error}") };
    let sources: Vec<Source> = attempts.iter().map(|attempt| attempt.source).collect();
    assert_eq!(sources, [Source::Cache, Source::Hub]);
    assert!(matches!(*attempts[1].error, ResolveError::RevisionNotFound { .. }));
    assert_eq!(names(setup.cache.path()), Vec::<String>::new());
}

#[test]
fn each_source_has_one_line() {
    let error = Setup::with(|model| model.access = Access::Gated).failure();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert_eq!(lines[0], "model `acme/tiny` is not available:");
    assert!(lines[1].starts_with("  cache: no snapshot of revision `main` in `"), "{error}");
    assert!(lines[2].starts_with("  hub: http://127.0.0.1:"), "{error}");
}

#[test]
fn optional_files_may_be_absent() {
    let setup = Setup::with(|model| {
        for file in ["modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "vocab.txt"] {
            model.files.remove(file);
        }
    });
    let model = setup.resolve().unwrap();
    assert_eq!(names(model.directory()), ["README.md", "config.json", WEIGHTS, "tokenizer.json"]);
    assert_eq!(setup.resolve().unwrap().source(), Source::Cache);
}

#[test]
fn files_that_change_nothing_may_fail() {
    for file in ["README.md", "vocab.txt", "special_tokens_map.json", "added_tokens.json"] {
        for (method, fault) in
            [("HEAD", Fault::Status(403)), ("HEAD", Fault::Header("ETag", None)), ("GET", Fault::Status(404))]
        {
            let setup = Setup::with(|model| {
                model.files.insert(file.to_owned(), super::file("{}", Storage::Git));
                // With this list, no other file says anything about tokens.
                let list = r#"{"added_tokens_decoder": {}}"#;
                model.files.insert("tokenizer_config.json".to_owned(), super::file(list, Storage::Git));
            });
            setup.server.misbehave(method, file, fault, usize::MAX);
            let recorder = Arc::new(Recorder::default());
            let model = resolve(NAME, &setup.options().progress(recorder.clone())).unwrap();
            setup.assert_complete(&model);
            assert!(!model.directory().join(file).exists());
            let start = format!("note going on without {file}: http://");
            assert!(recorder.0.lock().unwrap().iter().any(|event| event.starts_with(&start)));
            // It has one all the same.
            assert!(!setup.path(".no_exist").join(COMMIT).join(file).exists());
            assert_eq!(setup.resolve().unwrap().source(), Source::Cache);
        }
    }
    let of_vocabulary =
        ["vocab.txt", "special_tokens_map.json", "added_tokens.json"].map(|file| (file, false));
    let of_tokenizer = ["special_tokens_map.json", "added_tokens.json"].map(|file| (file, true));
    for (file, has_tokenizer) in of_vocabulary.into_iter().chain(of_tokenizer) {
        let setup = Setup::with(|model| {
            if !has_tokenizer {
                model.files.remove("tokenizer.json");
            }
        });
        setup.server.misbehave("HEAD", file, Fault::Status(403), usize::MAX);
        let error = setup.failure();
        assert!(error.contains(file) && error.contains("403"), "{error}");
        setup.assert_no_snapshot();
    }
}

#[test]
fn of_several_sentence_configs_the_first_is_fetched() {
    let old = "sentence_distilbert_config.json";
    let setup = Setup::with(|model| {
        let first = model.files.remove("sentence_bert_config.json").unwrap();
        model.files.insert(old.to_owned(), first.clone());
        model.files.insert("sentence_camembert_config.json".to_owned(), first);
    });
    let model = setup.resolve().unwrap();
    assert!(model.directory().join(old).is_file());
    let files: Vec<String> = setup.server.requests().into_iter().map(|request| request.file).collect();
    assert!(!files.iter().any(|file| file.contains("camembert")), "{files:?}");
    assert_eq!(setup.resolve().unwrap().source(), Source::Cache);
}

#[test]
fn required_files_are_named_when_absent() {
    for file in ["config.json", "tokenizer.json", WEIGHTS, "1_Pooling/config.json"] {
        let setup = Setup::with(|model| {
            model.files.remove(file);
            // What would do for a tokenizer.json.
            model.files.remove("vocab.txt");
        });
        let error = setup.failure();
        assert!(error.contains(&format!("model `acme/tiny` has no {file}")), "{error}");
        setup.assert_no_snapshot();
    }
    let setup = Setup::with(|model| {
        model.files.remove(WEIGHTS);
        model.files.insert("pytorch_model.bin".to_owned(), file("x", Storage::Lfs));
    });
    assert!(setup.failure().contains("safe_serialization"));
}

#[test]
fn module_paths_that_lead_elsewhere_are_refused() {
    for path in ["../../../evil", "/etc", "a\\\\b", "C:/x", "1_Pooling//", "."] {
        let modules = format!(r#"[{{"path": "{path}", "type": "sentence_transformers.models.Pooling"}}]"#);
        let setup = Setup::with(|model| {
            drop(model.files.insert("modules.json".to_owned(), file(modules, Storage::Git)))
        });
        let error = setup.failure();
        assert!(error.contains("modules.json") && error.contains("is refused"), "{error}");
        assert_eq!(setup.server.requests().len(), 2, "modules.json only");
        setup.assert_no_snapshot();
    }
}

#[test]
fn etags_and_commits_that_lead_elsewhere_are_refused() {
    for (header, value) in [("ETag", "\"../../evil\""), ("X-Repo-Commit", "../evil"), ("X-Repo-Commit", "..")]
    {
        let setup = Setup::new();
        setup.server.misbehave("HEAD", "modules.json", Fault::Header(header, Some(value.to_owned())), 9);
        let error = setup.failure();
        assert!(error.contains("does not answer like a model hub"), "{error}");
        assert_eq!(names(&setup.path("blobs")), Vec::<String>::new());
    }
}

#[test]
fn a_server_that_is_no_hub_is_told_apart() {
    for header in ["X-Repo-Commit", "ETag", "Content-Length"] {
        let setup = Setup::new();
        setup.server.misbehave("HEAD", "modules.json", Fault::Header(header, None), 9);
        let error = setup.failure();
        assert!(error.contains("does not answer like a model hub") && error.contains(header), "{error}");
    }
    let setup = Setup::new();
    let itself = Some("/acme/tiny/resolve/main/config.json".to_owned());
    setup.server.misbehave("HEAD", "config.json", Fault::Header("Location", itself), 99);
    assert!(setup.failure().contains("more than 5 redirects"));
}

#[test]
fn small_files_that_are_not_small_are_refused() {
    let setup = Setup::new();
    let size = Some("99999999999".to_owned());
    setup.server.misbehave("HEAD", "tokenizer.json", Fault::Header("X-Linked-Size", size), 2);
    let error = setup.failure();
    // The redirect's answer has its own, right length, which counts less than the linked one.
    assert!(error.contains("99999999999 are announced"), "{error}");
    assert_eq!(setup.server.downloads_of("tokenizer.json"), []);
}

#[test]
fn offline_means_no_request() {
    let setup = Setup::new();
    let environment = Environment::of([("HF_HUB_OFFLINE", "1")], None);
    let error = resolve(NAME, &setup.options().environment(environment)).unwrap_err().to_string();
    assert!(error.contains("hub: not asked: offline, HF_HUB_OFFLINE=1 is set"), "{error}");
    assert_eq!(setup.server.requests(), []);
}

#[test]
fn a_hub_that_cannot_be_reached_costs_seconds() {
    let cache = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for endpoint in [format!("http://{closed}"), "http://no-such-host.invalid".to_owned()] {
        let start = Instant::now();
        let error = resolve(NAME, &options(cache.path(), &endpoint)).unwrap_err().to_string();
        assert!(error.contains(&endpoint) && error.contains("cannot be reached"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    }
}

#[test]
fn endpoints_and_revisions_that_cannot_be_used_are_refused() {
    let setup = Setup::new();
    let error = resolve(NAME, &setup.options().endpoint("hub")).unwrap_err().to_string();
    assert!(error.contains("the endpoint is `hub`: expected an address"), "{error}");
    let error = resolve(NAME, &setup.options().revision("../x")).unwrap_err().to_string();
    assert!(error.contains("the revision is `../x`"), "{error}");
}

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Progress for Recorder {
    fn start(&self, name: &str, total_bytes: Option<u64>) {
        self.0.lock().unwrap().push(format!("start {name} {total_bytes:?}"));
    }
    fn position(&self, name: &str, bytes: u64) {
        self.0.lock().unwrap().push(format!("at {name} {bytes}"));
    }
    fn finish(&self, name: &str) {
        self.0.lock().unwrap().push(format!("finish {name}"));
    }
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(format!("note {text}"));
    }
}

#[test]
fn progress_begins_where_an_earlier_download_stopped() {
    let setup = Setup::new();
    setup.server.misbehave("GET", WEIGHTS, Fault::Cut(1000), 1);
    setup.server.misbehave("GET", WEIGHTS, Fault::Status(404), 1);
    setup.resolve().unwrap_err();
    setup.server.behave();
    let recorder = Arc::new(Recorder::default());
    resolve(NAME, &setup.options().progress(recorder.clone())).unwrap();
    let events = recorder.0.lock().unwrap().clone();
    let of_weights: Vec<&str> =
        events.iter().map(String::as_str).filter(|event| event.contains(WEIGHTS)).collect();
    let start = [format!("start {WEIGHTS} Some(300000)"), format!("at {WEIGHTS} 1000")];
    assert_eq!(of_weights[..2], start.each_ref().map(String::as_str));
    let end = [format!("at {WEIGHTS} 300000"), format!("finish {WEIGHTS}")];
    assert!(of_weights.ends_with(&end.each_ref().map(String::as_str)), "{of_weights:?}");
}
