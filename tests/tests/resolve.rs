//! Finding and downloading models: `minilm::resolve` against a hub on this machine.

#[path = "resolve/cached.rs"]
mod cached;
// The scripts need a POSIX shell.
#[cfg(unix)]
#[path = "resolve/fake_pip.rs"]
mod fake_pip;
#[path = "resolve/faults.rs"]
mod faults;
#[path = "resolve/hub.rs"]
mod hub;
#[path = "resolve/model_files.rs"]
mod model_files;
#[path = "resolve/package.rs"]
mod package;
#[path = "resolve/processes.rs"]
mod processes;
#[path = "resolve/refused.rs"]
mod refused;
#[path = "resolve/shards.rs"]
mod shards;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use minilm::resolve::{Environment, ResolveError, ResolveOptions, ResolvedModel, resolve};
use minilm::{LoadOptions, SentenceTransformer};
use minilm_tests::golden;
use minilm_tests::hub_client::options;
use minilm_tests::hub_server::{Access, File, HubServer, Model, Server, Storage};
use minilm_tests::model_folder::Folder;
use tempfile::TempDir;

const NAME: &str = "acme/tiny";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS: &str = "model.safetensors";
const MODULES: &str = r#"[
  {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
  {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
  {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
]"#;

fn file(content: impl Into<Vec<u8>>, storage: Storage) -> File {
    File { content: content.into(), storage }
}

/// A model that resolution takes for one; its weights are none.
fn tiny() -> Model {
    let weights: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let of_tiny_bert = |name| file(fs::read(golden::tiny_bert().join(name)).unwrap(), Storage::Cached);
    let files = [
        ("modules.json", file(MODULES, Storage::Git)),
        ("config.json", of_tiny_bert("config.json")),
        ("1_Pooling/config.json", file(r#"{"pooling_mode_mean_tokens": true}"#, Storage::Cached)),
        ("sentence_bert_config.json", file(r#"{"max_seq_length": 256}"#, Storage::Git)),
        ("tokenizer.json", of_tiny_bert("tokenizer.json")),
        ("vocab.txt", file("", Storage::Git)),
        (WEIGHTS, file(weights, Storage::Lfs)),
        ("README.md", file("---\nlicense: apache-2.0\n---\n", Storage::Git)),
        ("train_script.py", file("not wanted", Storage::Git)),
    ];
    Model {
        name: NAME.to_owned(),
        commit: COMMIT.to_owned(),
        files: files.map(|(path, file)| (path.to_owned(), file)).into(),
        access: Access::Public,
    }
}

/// A server, an empty cache, and options that know of nothing else.
struct Setup {
    server: HubServer,
    cache: TempDir,
}

impl Setup {
    fn new() -> Self {
        Self::of(tiny())
    }

    fn of(model: Model) -> Self {
        Self { server: HubServer::start(model), cache: tempfile::tempdir().unwrap() }
    }

    fn with(change: impl FnOnce(&mut Model)) -> Self {
        let mut model = tiny();
        change(&mut model);
        Self::of(model)
    }

    fn options(&self) -> ResolveOptions {
        options(self.cache.path(), &self.server.endpoint())
    }

    fn resolve(&self) -> Result<ResolvedModel, ResolveError> {
        resolve(NAME, &self.options())
    }

    fn failure(&self) -> String {
        self.resolve().unwrap_err().to_string()
    }

    /// A path in the model's part of the cache.
    fn path(&self, relative: &str) -> PathBuf {
        self.cache.path().join("models--acme--tiny").join(relative)
    }

    fn blob(&self, file: &str) -> PathBuf {
        self.path("blobs").join(tiny().files[file].etag())
    }

    fn incomplete(&self, file: &str) -> PathBuf {
        self.blob(file).with_extension("incomplete")
    }

    fn assert_complete(&self, model: &ResolvedModel) {
        for name in ["modules.json", "config.json", "1_Pooling/config.json", "tokenizer.json", WEIGHTS] {
            let found = fs::read(model.directory().join(name)).unwrap();
            assert!(found == tiny().files[name].content, "{name} differs");
        }
        model.verify().unwrap();
    }

    fn assert_no_snapshot(&self) {
        assert_eq!(names(&self.path("snapshots")), Vec::<String>::new());
        assert_eq!(names(&self.path("refs")), Vec::<String>::new());
    }
}

/// The names in a directory, sorted; none if it is not there.
fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

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
