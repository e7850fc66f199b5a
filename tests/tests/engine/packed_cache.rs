//! The cache of packed weights: the same bits with and without it, rebuilt when anything differs, and never the reason
//! that a model does not load.

use std::fs;
use std::path::{Path, PathBuf};

use minilm::{
    DEFAULT_MODEL, EncodeOptions, Isa, LoadOptions, PackedCache, PackedCacheStatus, Precision,
    SentenceTransformer,
};
use minilm_tests::golden;
use minilm_tests::golden_bits::{self, TINY_MODEL};
use minilm_tests::model_folder::Folder;
use tempfile::TempDir;

fn load(model: impl AsRef<Path>, cache: &Path) -> SentenceTransformer {
    load_in(Precision::F32, model, cache)
}

fn load_in(precision: Precision, model: impl AsRef<Path>, cache: &Path) -> SentenceTransformer {
    let options = LoadOptions::default().precision(precision);
    let options = options.packed_cache(PackedCache::Directory(cache.to_owned()));
    SentenceTransformer::load_with(model, &options).expect("the model loads, whatever the cache is")
}

fn load_uncached(model: impl AsRef<Path>) -> SentenceTransformer {
    load_uncached_in(Precision::F32, model)
}

fn load_uncached_in(precision: Precision, model: impl AsRef<Path>) -> SentenceTransformer {
    let options = LoadOptions::default().precision(precision).packed_cache(PackedCache::Off);
    let model = SentenceTransformer::load_with(model, &options).unwrap();
    assert_eq!(*model.packed_cache(), PackedCacheStatus::Off);
    model
}

#[track_caller]
fn assert_used(model: &SentenceTransformer) -> PathBuf {
    match model.packed_cache() {
        PackedCacheStatus::Used { path } => path.clone(),
        other => panic!("expected it to be used, found {other:?}"),
    }
}

/// Built, for a reason that says this.
#[track_caller]
fn assert_built(model: &SentenceTransformer, says: &str) -> PathBuf {
    match model.packed_cache() {
        PackedCacheStatus::Built { path, reason } if reason.contains(says) => path.clone(),
        other => panic!("expected it to be built because of {says:?}, found {other:?}"),
    }
}

#[track_caller]
fn assert_unavailable(model: &SentenceTransformer, says: &str) {
    match model.packed_cache() {
        PackedCacheStatus::Unavailable { reason } if reason.contains(says) => {}
        other => panic!("expected it to be unavailable because of {says:?}, found {other:?}"),
    }
}

const TEXT: &str = "the cat sat on the red mat";

fn bits(model: &SentenceTransformer) -> Vec<u32> {
    golden_bits::bits(&model.encode(TEXT).unwrap())
}

/// A folder, an empty cache directory, and the bits of the folder's model in a precision.
struct Setup {
    precision: Precision,
    folder: Folder,
    cache: TempDir,
    bits: Vec<u32>,
}

impl Setup {
    fn new() -> Setup {
        Setup::of(Precision::F32)
    }

    fn of(precision: Precision) -> Setup {
        let folder = Folder::new();
        let bits = bits(&load_uncached_in(precision, folder.directory()));
        Setup { precision, folder, cache: tempfile::tempdir().unwrap(), bits }
    }

    fn load(&self) -> SentenceTransformer {
        load_in(self.precision, self.folder.directory(), self.cache.path())
    }

    fn uncached_bits(&self) -> Vec<u32> {
        bits(&load_uncached_in(self.precision, self.folder.directory()))
    }

    /// The file, which is built and then used.
    fn built(&self) -> PathBuf {
        let path = assert_built(&self.load(), "there was no packed file yet");
        assert_eq!(assert_used(&self.load()), path);
        path
    }

    /// The next load builds it again for a reason that says this, with these bits; the one after uses it.
    #[track_caller]
    fn is_rebuilt(&self, says: &str, expected: &[u32]) {
        let model = self.load();
        assert_built(&model, says);
        assert_eq!(bits(&model), expected);
        let model = self.load();
        assert_used(&model);
        assert_eq!(bits(&model), expected);
    }

    /// The only file in the cache.
    fn names(&self) -> Vec<PathBuf> {
        fs::read_dir(self.cache.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

#[test]
fn without_being_asked_nothing_is_kept() {
    assert_eq!(LoadOptions::default().packed_cache, PackedCache::Environment);
    load_uncached(golden::tiny_bert());
}

#[test]
fn a_damaged_file_is_built_again() {
    Precision::ALL.into_iter().for_each(check_damaged);
}

fn check_damaged(precision: Precision) {
    let setup = Setup::of(precision);
    let path = setup.built();
    let whole = fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    for (bytes, says) in [
        (Vec::new(), "cannot open"),
        (whole[..1000].to_vec(), "cut off"),
        (whole[..whole.len() - 1].to_vec(), "bytes, expected"),
        (flipped(0), "does not begin like"),
        (flipped(8), "version"),
        (flipped(100), "description does not have its checksum"),
        (flipped(whole.len() - 4096), "does not have its checksum"),
        (fs::read(setup.folder.path("model.safetensors")).unwrap(), "does not begin like"),
    ] {
        fs::write(&path, bytes).unwrap();
        setup.is_rebuilt(says, &setup.bits);
        assert_eq!(fs::read(&path).unwrap(), whole);
        assert_eq!(setup.names(), std::slice::from_ref(&path));
    }
}

#[test]
fn other_weights_and_configs_build_it_again() {
    let setup = Setup::new();
    // As this writes them, so that what follows differs in nothing else.
    setup.folder.change_weights(|_, tensor| Some(tensor));
    setup.built();

    // Only one tensor's numbers: type, shapes, size and name are as before, and so is the time.
    let weights = setup.folder.path("model.safetensors");
    let modified = fs::metadata(&weights).unwrap().modified().unwrap();
    setup.folder.change_weights(|name, (dtype, shape, mut bytes)| {
        if name == "encoder.layer.0.attention.self.value.bias" {
            bytes.fill(0);
        }
        Some((dtype, shape, bytes))
    });
    fs::File::options().write(true).open(&weights).unwrap().set_modified(modified).unwrap();
    let changed = bits(&load_uncached(setup.folder.directory()));
    assert_ne!(changed, setup.bits);
    setup.is_rebuilt("another sample of the tensors", &changed);

    // What the config says beside shapes is no part of the file, and takes effect all the same.
    let config = fs::read_to_string(setup.folder.path("config.json")).unwrap();
    setup.folder.replace("config.json", "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": 0.5");
    let other_eps = bits(&load_uncached(setup.folder.directory()));
    assert_ne!(other_eps, changed);
    let model = setup.load();
    assert_used(&model);
    assert_eq!(bits(&model), other_eps);
    fs::write(setup.folder.path("config.json"), &config).unwrap();

    // A layer less.
    let layers: serde_json::Value = serde_json::from_str(&config).unwrap();
    let layers = layers["num_hidden_layers"].as_u64().unwrap();
    setup.folder.replace(
        "config.json",
        &format!("\"num_hidden_layers\": {layers}"),
        &format!("\"num_hidden_layers\": {}", layers - 1),
    );
    let fewer = bits(&load_uncached(setup.folder.directory()));
    assert_ne!(fewer, changed);
    setup.is_rebuilt("other tensors or shapes", &fewer);

    let time = modified + std::time::Duration::from_secs(10);
    fs::File::options().write(true).open(&weights).unwrap().set_modified(time).unwrap();
    setup.is_rebuilt("another modification time", &fewer);
}

#[test]
fn two_models_have_two_files() {
    let (one, other) = (Setup::new(), Folder::new());
    one.built();
    assert_built(&load(other.directory(), one.cache.path()), "no packed file yet");
    assert_used(&one.load());
    assert_eq!(one.names().len(), 2);
}

#[test]
fn each_precision_has_its_own_file_in_one_directory() {
    let folder = Folder::new();
    let cache = tempfile::tempdir().unwrap();
    let load = |precision| load_in(precision, folder.directory(), cache.path());
    let mut expected: Vec<Vec<u32>> = Vec::new();
    let mut paths: Vec<PathBuf> = Vec::new();
    for precision in Precision::ALL {
        let model = load(precision);
        let path = assert_built(&model, "no packed file yet");
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.contains(&format!("-{precision}-")), "{name}");
        let found = bits(&model);
        assert_eq!(found, bits(&load_uncached_in(precision, folder.directory())), "{precision}");
        assert!(!expected.contains(&found) && !paths.contains(&path), "{precision}");
        expected.push(found);
        paths.push(path);
    }
    for ((precision, expected), path) in Precision::ALL.into_iter().zip(&expected).zip(&paths).rev() {
        let model = load(precision);
        assert_eq!(assert_used(&model), *path);
        assert_eq!(bits(&model), *expected, "{precision}");
    }
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 3);
}

/// 43, 23 and 11 MB, as the documentation says.
#[test]
fn files_of_the_real_model_are_as_small_as_their_precision() {
    let cache = tempfile::tempdir().unwrap();
    let size = |precision| {
        let path = assert_built(&load_in(precision, DEFAULT_MODEL, cache.path()), "no packed file yet");
        let uncached = bits(&load_uncached_in(precision, DEFAULT_MODEL));
        let model = load_in(precision, DEFAULT_MODEL, cache.path());
        assert_eq!(assert_used(&model), path);
        assert_eq!(bits(&model), uncached, "{precision}");
        fs::metadata(path).unwrap().len() as f64 / 1e6
    };
    let [f32, bf16, int8] = Precision::ALL.map(size);
    assert!((43.0..44.0).contains(&f32), "{f32} MB");
    assert!((23.0..24.0).contains(&bf16), "{bf16} MB");
    assert!((11.0..12.5).contains(&int8), "{int8} MB");
}

/// What int8's factors come from beside the tensors in the file: whoever changes that gets another file, and never the bits
/// of a calibration that was another.
#[test]
fn another_calibration_is_another_file() {
    let setup = Setup::of(Precision::Int8);
    setup.folder.change_weights(|_, tensor| Some(tensor));
    let mut paths = vec![setup.built()];
    let weights = setup.folder.path("model.safetensors");
    let modified = fs::metadata(&weights).unwrap().modified().unwrap();
    let mut expected = vec![setup.uncached_bits()];
    let changes: [&dyn Fn(&Folder); 4] = [
        // Sequences as long as the limit.
        &|folder| {
            fs::write(folder.path("sentence_bert_config.json"), "{\"max_seq_length\": 10}").unwrap();
        },
        &|folder| {
            folder.replace("config.json", "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": 0.5");
        },
        &|folder| {
            folder.replace("config.json", "\"num_attention_heads\": 5", "\"num_attention_heads\": 4");
        },
        // Of the same size and time. They are not in the file, and so in no sample of the tensors.
        &|folder| {
            folder.change_weights(|name, (dtype, shape, mut data)| {
                if name == "embeddings.word_embeddings.weight" {
                    data.reverse();
                    data.as_chunks_mut::<4>().0.iter_mut().for_each(|x| x.reverse());
                }
                Some((dtype, shape, data))
            });
            fs::File::options().write(true).open(&weights).unwrap().set_modified(modified).unwrap();
        },
    ];
    for (i, change) in changes.into_iter().enumerate() {
        change(&setup.folder);
        let uncached = setup.uncached_bits();
        assert!(!expected.contains(&uncached), "change {i} does not change the vector");
        let path = setup.built();
        assert!(!paths.contains(&path), "change {i} has the file of another calibration");
        assert_eq!(bits(&setup.load()), uncached, "change {i}");
        paths.push(path);
        expected.push(uncached);
    }
    assert_eq!(setup.names().len(), paths.len());
    // bf16 has no calibration: only what its tensors say makes it another file.
    let bf16 = |directory| load_in(Precision::Bf16, directory, setup.cache.path());
    let path = assert_built(&bf16(setup.folder.directory()), "no packed file yet");
    setup.folder.replace("config.json", "\"layer_norm_eps\": 0.5", "\"layer_norm_eps\": 1e-12");
    assert_eq!(assert_used(&bf16(setup.folder.directory())), path);
}

/// The config's shapes are checked against the weights whether or not there is a file.
#[test]
fn a_model_that_is_broken_is_refused_with_a_cache_too() {
    let setup = Setup::new();
    setup.built();
    setup
        .folder
        .change_weights(|name, tensor| (name != "encoder.layer.0.output.dense.bias").then_some(tensor));
    let options = LoadOptions::default().packed_cache(PackedCache::Directory(setup.cache.path().to_owned()));
    let error = SentenceTransformer::load_with(setup.folder.directory(), &options).unwrap_err();
    assert!(error.to_string().contains("encoder.layer.0.output.dense.bias"), "{error}");
}

#[test]
fn a_cache_that_cannot_be_does_no_harm() {
    let setup = Setup::new();
    // Below a file, no directory can be.
    let file = setup.folder.path("config.json");
    let model = load(setup.folder.directory(), &file.join("cache"));
    assert_unavailable(&model, "config.json");
    assert_eq!(bits(&model), setup.bits);

    // Where the file should be, there is a directory.
    let path = setup.built();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let model = setup.load();
    assert_unavailable(&model, path.to_str().unwrap());
    assert_eq!(bits(&model), setup.bits);
    assert_eq!(setup.names(), [path]);
}

/// Root may write there all the same.
#[cfg(unix)]
#[test]
fn a_read_only_directory_does_no_harm() {
    use std::os::unix::fs::PermissionsExt;
    let setup = Setup::new();
    let set_mode = |mode| fs::set_permissions(setup.cache.path(), fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o555);
    let may_write = fs::write(setup.cache.path().join("probe"), b"").is_ok();
    let model = setup.load();
    assert_eq!(bits(&model), setup.bits);
    if may_write {
        assert_built(&model, "no packed file yet");
    } else {
        assert_unavailable(&model, "cannot write");
    }
    set_mode(0o755);
    // A file that is there is used without writing anything.
    setup.load();
    set_mode(0o555);
    assert_used(&setup.load());
    set_mode(0o755);
}

/// A file system that nobody may write to, not even root.
#[cfg(target_os = "linux")]
#[test]
fn a_file_system_that_refuses_does_no_harm() {
    let setup = Setup::new();
    let model = load(setup.folder.directory(), Path::new("/proc/minilm-packed"));
    assert_unavailable(&model, "/proc/minilm-packed");
    assert_eq!(bits(&model), setup.bits);
}

#[test]
fn many_loads_at_once_build_one_file() {
    let setup = Setup::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let model = setup.load();
                    assert!(
                        matches!(
                            model.packed_cache(),
                            PackedCacheStatus::Built { .. } | PackedCacheStatus::Used { .. }
                        ),
                        "{:?}",
                        model.packed_cache()
                    );
                    assert_eq!(bits(&model), setup.bits);
                }
            });
        }
    });
    assert_used(&setup.load());
    assert_eq!(setup.names().len(), 1);
}

/// A model keeps its weights when the file is replaced or removed.
#[test]
fn replacing_the_file_does_not_touch_a_loaded_model() {
    let setup = Setup::new();
    let path = setup.built();
    let model = setup.load();
    assert_used(&model);
    // Windows refuses both while the file is mapped, which is as good.
    let other = setup.cache.path().join("other");
    fs::write(&other, b"something else").unwrap();
    if fs::rename(&other, &path).is_ok() {
        assert_eq!(fs::read(&path).unwrap(), b"something else");
    }
    assert_eq!(bits(&model), setup.bits);
    let _ = fs::remove_file(&path);
    assert_eq!(bits(&model), setup.bits);
}

/// Weights of 16 bits are decoded when they are packed, and once only.
#[test]
fn weights_of_16_bits_are_kept_as_they_are_decoded() {
    let setup = Setup::new();
    setup.folder.change_weights(|_, (dtype, shape, bytes)| {
        if dtype != safetensors::Dtype::F32 {
            return Some((dtype, shape, bytes));
        }
        let half = |&x: &[u8; 4]| half::f16::from_f32(f32::from_le_bytes(x)).to_le_bytes();
        Some((safetensors::Dtype::F16, shape, bytes.as_chunks().0.iter().flat_map(half).collect()))
    });
    let expected = bits(&load_uncached(setup.folder.directory()));
    assert_ne!(expected, setup.bits);
    setup.built();
    assert_eq!(bits(&setup.load()), expected);
}

/// All golden texts on every instruction set: built, used, and without a cache.
fn check_bits(precision: Precision) {
    let (texts, cache) = (golden_bits::texts(TINY_MODEL), tempfile::tempdir().unwrap());
    let encode = |options: &LoadOptions| {
        let model = golden_bits::load(TINY_MODEL, options);
        let vectors = model.encode_batch(&texts, &EncodeOptions::default()).unwrap();
        (golden_bits::bits(vectors.as_slice()), model.packed_cache().clone())
    };
    for (i, isa) in Isa::available().into_iter().enumerate() {
        let (expected, _) = encode(&golden_bits::options(precision, isa, 0).packed_cache(PackedCache::Off));
        for threads in [1, 3] {
            let directory = PackedCache::Directory(cache.path().to_owned());
            let (found, status) =
                encode(&golden_bits::options(precision, isa, threads).packed_cache(directory));
            assert!(
                found == expected,
                "other bits in {precision} on {isa} with {threads} threads, {status:?}"
            );
            // Packed weights are the same for every instruction set.
            let first = i == 0 && threads == 1;
            assert_eq!(matches!(status, PackedCacheStatus::Used { .. }), !first, "{status:?}");
        }
    }
}

#[test]
fn the_tiny_model_has_the_same_bits_with_a_cache() {
    Precision::ALL.into_iter().for_each(check_bits);
}
