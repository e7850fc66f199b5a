//! Which files a model consists of: shards, tokenizers, modules with weights, and the models that are refused before their
//! weights are fetched.

use std::sync::{Arc, Mutex};

use minilm::resolve::{Check, Progress, Source};
use minilm::{LoadOptions, PackedCache, PackedCacheStatus, SentenceTransformer};
use minilm_tests::hub_server::{Fault, Server};
use minilm_tests::model_folder::Folder;

use super::*;

const INDEX: &str = "model.safetensors.index.json";
const SHARDS: [&str; 3] = [
    "model-00001-of-00003.safetensors",
    "model-00002-of-00003.safetensors",
    "model-00003-of-00003.safetensors",
];
const TEXT: &str = "the cat sat on the red mat";

/// The tiny model, changed and on the hub.
fn setup_of(change: impl FnOnce(&Folder)) -> Setup {
    let folder = Folder::new();
    change(&folder);
    Setup::of(Model::of_folder(NAME, COMMIT, folder.directory()))
}

/// A model of `fixtures/` on the hub.
fn setup_of_fixture(name: &str) -> Setup {
    Setup::of(Model::of_folder(NAME, COMMIT, &golden::fixtures().join(name)))
}

fn sharded() -> Setup {
    setup_of(|folder| assert_eq!(folder.split_weights(3), SHARDS))
}

impl Setup {
    fn load(&self) -> SentenceTransformer {
        SentenceTransformer::load_with(NAME, &LoadOptions::default().resolve(self.options())).unwrap()
    }

    /// The files that were asked for, each once, in the order in which they were first.
    fn asked_for(&self) -> Vec<String> {
        let mut files = Vec::new();
        for request in self.server.requests() {
            if !files.contains(&request.file) {
                files.push(request.file);
            }
        }
        files
    }

    /// No weights were asked for, not even whether they are there.
    #[track_caller]
    fn assert_no_weights_were_asked_for(&self) {
        let requests = self.server.requests();
        let of_weights: Vec<_> =
            requests.iter().filter(|request| request.file.contains(".safetensors")).collect();
        assert!(!requests.is_empty() && of_weights.is_empty(), "{of_weights:?}");
        assert!(requests.iter().all(|request| request.server == Server::Hub));
    }

    fn etag(&self, file: &str) -> String {
        let mut etag = None;
        self.server.change(|model| etag = Some(model.files[file].etag()));
        etag.unwrap()
    }
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

#[test]
fn a_vocabulary_does_for_a_tokenizer() {
    let setup = setup_of(|folder| fs::remove_file(folder.path("tokenizer.json")).unwrap());
    let model = setup.resolve().unwrap();
    assert!(model.directory().join("vocab.txt").is_file());
    assert!(model.directory().join("special_tokens_map.json").is_file());
    assert!(setup.asked_for().contains(&"added_tokens.json".to_owned()));
    let expected = SentenceTransformer::load(golden::tiny_bert()).unwrap();
    assert_eq!(setup.load().encode(TEXT).unwrap(), expected.encode(TEXT).unwrap());
    let offline = setup.options().offline(true);
    assert_eq!(resolve(NAME, &offline).unwrap().source(), Source::Cache);
    assert!(resolve(model.directory(), &offline).is_ok());

    // A cache that some program filled with a vocabulary does not say that there is nothing else.
    fs::remove_file(setup.path(".no_exist").join(COMMIT).join("tokenizer.json")).unwrap();
    let error = resolve(NAME, &offline).unwrap_err().to_string();
    assert!(
        error.contains("lacks tokenizer.json") && error.contains("give this directory's path"),
        "{error}"
    );
    assert_eq!(setup.resolve().unwrap().source(), Source::Hub);
}

#[test]
fn a_tokenizer_that_is_not_read_comes_with_advice() {
    for (files, names) in [
        (&["vocab.json", "merges.txt"][..], "vocab.json with merges.txt"),
        (&["sentencepiece.bpe.model"], "sentencepiece.bpe.model"),
        (&["spiece.model"], "spiece.model"),
    ] {
        let setup = setup_of(|folder| {
            for file in ["tokenizer.json", "vocab.txt"] {
                fs::remove_file(folder.path(file)).unwrap();
            }
            for file in files {
                fs::write(folder.path(file), "x").unwrap();
            }
        });
        let error = setup.failure();
        assert!(error.contains("model `acme/tiny` has no tokenizer.json. "), "{error}");
        assert!(error.contains(&format!("{names} cannot be read here; AutoTokenizer")), "{error}");
        setup.assert_no_weights_were_asked_for();
        setup.assert_no_snapshot();
    }
}

#[test]
fn only_pickles() {
    for pickle in ["pytorch_model.bin", "pytorch_model.bin.index.json"] {
        let setup = setup_of(|folder| fs::rename(folder.path(WEIGHTS), folder.path(pickle)).unwrap());
        let error = setup.failure();
        assert!(error.contains("has no model.safetensors. There is a ") && error.contains(pickle), "{error}");
        assert!(
            error.contains("sentence-transformers") && error.contains("safe_serialization=True"),
            "{error}"
        );
        assert!(
            setup.server.requests().iter().all(|request| request.file != pickle || request.method == "HEAD")
        );
        setup.assert_no_snapshot();
    }
}

#[test]
fn architectures_that_are_not_computed_are_refused_before_weights_are_asked_for() {
    for (from, to, says) in [
        ("\"model_type\": \"bert\"", "\"model_type\": \"gpt2\"", "model_type is \"gpt2\""),
        ("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"mish\"", "hidden_act is \"mish\""),
        ("\"hidden_size\": 40", "\"hidden_size\": 41", "num_attention_heads"),
        ("\"model_type\"", "\"type\"", "missing field `model_type`"),
    ] {
        let setup = setup_of(|folder| {
            folder.replace("config.json", from, to);
        });
        let error = setup.resolve().unwrap_err();
        assert!(matches!(error, ResolveError::Unsupported { .. }), "{error}");
        let error = error.to_string();
        let start = format!("model `acme/tiny` is not supported: {}", setup.server.endpoint());
        assert!(error.starts_with(&start), "{error}");
        assert!(error.contains(&format!("/acme/tiny/resolve/{COMMIT}/config.json")), "{error}");
        assert!(error.contains(says), "{error}");
        setup.assert_no_weights_were_asked_for();
        setup.assert_no_snapshot();
        let locks = names(&setup.cache.path().join(".locks/models--acme--tiny"));
        assert!(locks.iter().all(|name| name.ends_with(".lock")), "no copy is left: {locks:?}");
    }
}

#[test]
fn settings_that_are_not_computed_are_refused_before_weights_are_asked_for() {
    for (path, content, says) in [
        ("1_Pooling/config.json", r#"{"pooling_mode": "sideways"}"#, "sideways"),
        ("tokenizer_config.json", r#"{"truncation_side": "left"}"#, "truncation_side is \"left\""),
        ("config_sentence_transformers.json", r#"{"similarity_fn_name": "hunch"}"#, "hunch"),
        ("sentence_bert_config.json", "{", "not the expected JSON"),
    ] {
        let setup = setup_of(|folder| fs::write(folder.path(path), content).unwrap());
        let error = setup.failure();
        assert!(
            error.contains("is not supported") && error.contains(path) && error.contains(says),
            "{error}"
        );
        setup.assert_no_weights_were_asked_for();
        setup.assert_no_snapshot();
    }
}

#[test]
fn architectures_count_before_files_that_are_missing() {
    let change = |folder: &Folder| {
        for file in ["tokenizer.json", "vocab.txt"] {
            fs::remove_file(folder.path(file)).unwrap();
        }
        fs::write(folder.path("spm.model"), "x").unwrap();
        folder.replace("config.json", "\"model_type\": \"bert\"", "\"model_type\": \"deberta-v2\"");
    };
    let setup = setup_of(change);
    let error = setup.resolve().unwrap_err();
    assert!(matches!(error, ResolveError::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("model_type is \"deberta-v2\""), "{error}");
    assert!(!setup.asked_for().iter().any(|file| file.starts_with("tokenizer.json")));
    setup.assert_no_weights_were_asked_for();
    setup.assert_no_snapshot();

    let folder = Folder::new();
    change(&folder);
    let failure = || {
        let error = resolve(folder.directory(), &setup.options()).unwrap_err();
        assert!(matches!(error, ResolveError::Unsupported { .. }), "{error}");
        error.to_string()
    };
    assert!(failure().contains("model_type is \"deberta-v2\""));
    // Other settings may be missing as well.
    fs::remove_file(folder.path("1_Pooling/config.json")).unwrap();
    assert!(failure().contains("model_type is \"deberta-v2\""));
    fs::remove_file(folder.path("config.json")).unwrap();
    let error = resolve(folder.directory(), &setup.options()).unwrap_err().to_string();
    assert!(error.contains("lacks config.json, 1_Pooling/config.json, tokenizer.json"), "{error}");
}

#[test]
fn tokenizers_that_do_not_fit_are_refused_before_weights_are_asked_for() {
    type Change = fn(&Folder);
    let invalid: Change = |folder| fs::write(folder.path("tokenizer.json"), "{}").unwrap();
    let of_another_class: Change = |folder| {
        fs::remove_file(folder.path("tokenizer.json")).unwrap();
        let class = r#"{"tokenizer_class": "BertJapaneseTokenizer"}"#;
        fs::write(folder.path("tokenizer_config.json"), class).unwrap();
    };
    let too_many_tokens: Change = |folder| {
        let path = folder.path("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["vocab_size"] = 40.into();
        fs::write(path, config.to_string()).unwrap();
    };
    for (change, file, says) in [
        (invalid, "tokenizer.json", "is not a valid tokenizer.json"),
        (of_another_class, "tokenizer_config.json", "BertJapaneseTokenizer"),
        (too_many_tokens, "tokenizer.json", "but config.json's vocab_size is 40"),
    ] {
        let setup = setup_of(change);
        let error = setup.resolve().unwrap_err();
        assert!(matches!(error, ResolveError::Unsupported { .. }), "{error}");
        let error = error.to_string();
        let place = format!("{}/acme/tiny/resolve/{COMMIT}/{file}", setup.server.endpoint());
        assert!(error.contains(&place) && error.contains(says), "{error}");
        setup.assert_no_weights_were_asked_for();
        setup.assert_no_snapshot();
    }
}

#[test]
fn modules_that_are_not_computed_are_refused_by_their_name_alone() {
    for class in ["sentence_transformers.models.StaticEmbedding", "custom_module.Reranker"] {
        let modules = format!(r#"[{{"path": "0_Other", "type": "{class}"}}]"#);
        let setup = Setup::with(|model| {
            model.files.insert("modules.json".to_owned(), file(modules.clone(), Storage::Git));
        });
        let error = setup.failure();
        assert!(error.contains(&format!("\"{class}\" is not supported")), "{error}");
        assert!(error.contains(&format!("{COMMIT}/modules.json")), "{error}");
        assert_eq!(setup.asked_for(), ["modules.json"]);
        setup.assert_no_snapshot();

        // A folder lacks nothing of a transformer, for it is none.
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("modules.json"), modules).unwrap();
        let error = resolve(folder.path(), &setup.options()).unwrap_err();
        assert!(matches!(error, ResolveError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(class), "{error}");
    }
}

#[test]
fn every_model_of_the_family_comes_from_the_hub_as_it_is_by_path() {
    for name in ["tiny-bert", "tiny-bert-dense", "tiny-bert-odd", "tiny-distilbert", "tiny-mpnet"]
        .into_iter()
        .chain(["tiny-multilingual-bert", "tiny-roberta", "tiny-xlm-roberta"])
    {
        let setup = setup_of_fixture(name);
        let (model, by_path) =
            (setup.load(), SentenceTransformer::load(golden::fixtures().join(name)).unwrap());
        assert_eq!(model.fingerprint().unwrap(), by_path.fingerprint().unwrap(), "{name}");
        assert_eq!(model.encode(TEXT).unwrap(), by_path.encode(TEXT).unwrap(), "{name}");
        setup.server.forget_requests();
        assert_eq!(setup.load().resolved().source(), Source::Cache, "{name}");
        assert_eq!(setup.server.requests(), [], "{name}");
    }
}

#[test]
fn weights_of_modules_belong_to_the_model() {
    let setup = setup_of_fixture("tiny-bert-dense");
    let model = setup.resolve().unwrap();
    let of_modules = ["2_Dense", "3_LayerNorm", "4_Dense"].map(|module| format!("{module}/{WEIGHTS}"));
    let verified: Vec<String> = model.verify().unwrap().into_iter().map(|verified| verified.file).collect();
    for file in &of_modules {
        assert!(verified.contains(file), "{verified:?}");
    }
    let first = |name: &str| setup.asked_for().iter().position(|file| file == name).unwrap();
    let settings = ["2_Dense/config.json", "tokenizer.json", "vocab.txt"].map(first);
    assert!(settings.iter().all(|&setting| of_modules.iter().all(|file| setting < first(file))));

    let setup = setup_of_fixture("tiny-bert-dense");
    setup.server.change(|model| {
        let weights = model.files.remove("2_Dense/model.safetensors").unwrap();
        model.files.insert("2_Dense/pytorch_model.bin".to_owned(), weights);
    });
    let error = setup.failure();
    let says =
        "has no 2_Dense/model.safetensors. There is a 2_Dense/pytorch_model.bin, but that is a Python pickle";
    assert!(error.contains(says) && error.contains("safe_serialization=True"), "{error}");
    assert!(setup.server.requests().iter().all(|request| request.server == Server::Hub));
    setup.assert_no_snapshot();

    let setup = setup_of_fixture("tiny-bert-dense");
    setup.server.change(|model| drop(model.files.remove("3_LayerNorm/config.json")));
    assert!(setup.failure().contains("has no 3_LayerNorm/config.json"));
    setup.assert_no_weights_were_asked_for();
}

#[test]
fn folders_that_lack_weights_of_modules_say_which() {
    let folder = tempfile::tempdir().unwrap();
    for (name, file) in Model::of_folder(NAME, COMMIT, &golden::fixtures().join("tiny-bert-dense")).files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file.content).unwrap();
    }
    let failure = || resolve(folder.path(), &ResolveOptions::new()).unwrap_err().to_string();
    fs::rename(folder.path().join("2_Dense"), folder.path().join("aside")).unwrap();
    fs::remove_file(folder.path().join("3_LayerNorm").join(WEIGHTS)).unwrap();
    let error = failure();
    let says = "lacks 2_Dense/config.json, 2_Dense/model.safetensors, 3_LayerNorm/model.safetensors";
    assert!(error.ends_with(says), "{error}");
    fs::write(folder.path().join("3_LayerNorm/pytorch_model.bin"), "x").unwrap();
    let error = failure();
    assert!(error.contains("There is a 3_LayerNorm/pytorch_model.bin"), "{error}");
}

#[test]
fn a_card_states_the_licence() {
    let setup = Setup::new();
    assert_eq!(setup.resolve().unwrap().license().as_deref(), Some("apache-2.0"));
    assert_eq!(setup.resolve().unwrap().source(), Source::Cache);
    let without = Setup::with(|model| drop(model.files.remove("README.md")));
    assert_eq!(without.resolve().unwrap().license(), None);
    assert_eq!(resolve(golden::tiny_bert(), &ResolveOptions::new()).unwrap().license(), None);
}
