//! Weights in shards are read as if they were in one file; an index or a shard that nobody should have written is refused,
//! with an error that names the file, what was expected and what was found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use minilm_weights::{
    INDEX_FILE, MODEL_FILE, PackedContents, PackedFile, PackedFileError, SECTION_ALIGNMENT, Section,
    ShardIndex, SourceIdentity, Weights, WeightsError,
};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::TempDir;

const FIRST: &str = "model-00001-of-00002.safetensors";
const SECOND: &str = "model-00002-of-00002.safetensors";

/// Two shards: `a` and `b` in the first, `c` in the second.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write_shard(FIRST, &[("a", 1.0), ("b", 2.0)]);
        folder.write_shard(SECOND, &[("c", 3.0)]);
        folder.write_map(&[("a", FIRST), ("b", FIRST), ("c", SECOND)]);
        folder
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Tensors of two equal numbers each, modified at one and the same time.
    fn write_shard(&self, file: &str, tensors: &[(&str, f32)]) {
        let bytes: Vec<(&str, Vec<u8>)> =
            tensors.iter().map(|&(name, x)| (name, [x, x].map(f32::to_le_bytes).concat())).collect();
        let views =
            bytes.iter().map(|(name, bytes)| (*name, TensorView::new(Dtype::F32, vec![2], bytes).unwrap()));
        std::fs::write(self.path(file), safetensors::serialize(views, None).unwrap()).unwrap();
        self.set_modified(file, 0);
    }

    fn set_modified(&self, file: &str, seconds: u64) {
        let file = std::fs::File::options().write(true).open(self.path(file)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)).unwrap();
    }

    fn write_map(&self, map: &[(&str, &str)]) {
        let map: BTreeMap<&str, &str> = map.iter().copied().collect();
        let index = serde_json::json!({"metadata": {"total_size": 24}, "weight_map": map});
        self.write_index(index.to_string());
    }

    fn write_index(&self, json: impl AsRef<[u8]>) {
        std::fs::write(self.path(INDEX_FILE), json).unwrap();
    }

    fn open(&self) -> Weights {
        Weights::open_in(self.0.path()).unwrap()
    }

    #[track_caller]
    fn refuses(&self, says: &[&str]) -> WeightsError {
        let error = Weights::open_in(self.0.path()).expect_err("the weights are malformed");
        for part in says.iter().chain([&self.0.path().to_str().unwrap()]) {
            assert!(error.to_string().contains(part), "the error should say {part:?}: {error}");
        }
        error
    }

    #[track_caller]
    fn refuses_index(&self, json: impl AsRef<[u8]>, says: &[&str]) {
        self.write_index(json);
        let error = self.refuses(says);
        assert!(matches!(&error, WeightsError::InvalidIndex { path, .. } if path.ends_with(INDEX_FILE)));
    }
}

fn value(weights: &Weights, tensor: &str) -> f32 {
    let numbers = weights.tensor(tensor, &[2]).unwrap().to_f32();
    assert_eq!(numbers[0], numbers[1]);
    numbers[0]
}

#[test]
fn shards_are_read_as_one_file_is() {
    let folder = Folder::new();
    let weights = folder.open();
    assert_eq!(["a", "b", "c"].map(|name| value(&weights, name)), [1.0, 2.0, 3.0]);
    let mut names: Vec<&str> = weights.names().collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(weights.contains("c") && !weights.contains("d"));
    assert_eq!(weights.path(), folder.path(INDEX_FILE));
    let paths: Vec<&Path> = weights.paths().collect();
    assert_eq!(paths, [INDEX_FILE, FIRST, SECOND].map(|file| folder.path(file)));
    let size = |file: &str| std::fs::metadata(folder.path(file)).unwrap().len() as usize;
    assert_eq!(weights.size(), size(FIRST) + size(SECOND));
    weights.release();
    assert_eq!(value(&weights, "c"), 3.0);

    let error = weights.tensor("d", &[2]).unwrap_err();
    assert!(matches!(&error, WeightsError::MissingTensor { count: 3, .. }), "{error}");
    assert!(error.to_string().contains(INDEX_FILE) && error.to_string().contains("\"d\""), "{error}");
    folder.write_shard(SECOND, &[("model.d", 3.0)]);
    folder.write_map(&[("a", FIRST), ("b", FIRST), ("model.d", SECOND)]);
    let error = folder.open().tensor("d", &[2]).unwrap_err().to_string();
    assert!(error.contains(INDEX_FILE) && error.contains("one has the prefix \"model.\""), "{error}");
}

#[test]
fn a_tensor_of_another_shape_is_named_with_its_shard() {
    let folder = Folder::new();
    let weights = folder.open();
    let error = weights.tensor("c", &[3]).unwrap_err();
    assert!(error.to_string().contains(SECOND) && error.to_string().contains("expected [3]"), "{error}");
}

#[test]
fn one_file_wins_over_an_index() {
    let folder = Folder::new();
    folder.write_shard(MODEL_FILE, &[("a", 9.0)]);
    let weights = folder.open();
    assert_eq!((value(&weights, "a"), weights.contains("b")), (9.0, false));
    assert_eq!(weights.paths().collect::<Vec<_>>(), [folder.path(MODEL_FILE)]);
    assert_eq!((weights.path(), weights.names().count()), (&*folder.path(MODEL_FILE), 1));
    // Without either, what is missing is the one file.
    let error = Weights::open_in(folder.path("nowhere")).unwrap_err().to_string();
    assert!(error.contains(MODEL_FILE) && error.contains("cannot open"), "{error}");
}

#[test]
fn what_the_index_does_not_name_is_not_there() {
    let folder = Folder::new();
    folder.write_shard(SECOND, &[("a", 7.0), ("c", 3.0), ("surplus", 8.0)]);
    let weights = folder.open();
    assert_eq!((value(&weights, "a"), value(&weights, "c")), (1.0, 3.0));
    assert!(!weights.contains("surplus") && weights.names().count() == 3);
    let error = weights.tensor("surplus", &[2]).unwrap_err();
    assert!(matches!(error, WeightsError::MissingTensor { .. }), "{error}");
}

#[test]
fn a_shard_that_cannot_be_opened_is_named_with_its_index() {
    let folder = Folder::new();
    std::fs::remove_file(folder.path(SECOND)).unwrap();
    let error = folder.refuses(&["cannot open", SECOND, "which", INDEX_FILE, "names"]);
    assert!(matches!(error, WeightsError::OpenShard { .. }), "{error}");
    std::fs::create_dir(folder.path(SECOND)).unwrap();
    folder.refuses(&[SECOND, INDEX_FILE, "not a regular file"]);
    std::fs::remove_dir(folder.path(SECOND)).unwrap();
    std::fs::write(folder.path(SECOND), "these are no weights at all").unwrap();
    let error = folder.refuses(&[SECOND, "not a valid safetensors file"]);
    assert!(matches!(error, WeightsError::Invalid { .. }), "{error}");
}

#[test]
fn a_shard_without_a_tensor_that_it_should_have_is_refused() {
    let folder = Folder::new();
    folder.write_map(&[("a", FIRST), ("b", SECOND), ("c", SECOND), ("d", FIRST)]);
    let error = folder.refuses(&[SECOND, "\"b\" is missing", INDEX_FILE]);
    assert!(matches!(error, WeightsError::MissingFromShard { .. }), "{error}");
}

#[test]
fn an_index_that_is_none_is_refused() {
    let folder = Folder::new();
    for (json, says) in [
        ("", "not the expected JSON"),
        ("{", "not the expected JSON"),
        ("[]", "not the expected JSON"),
        ("{}", "missing field `weight_map`"),
        (r#"{"weight_map": ["a"]}"#, "expected an object of tensors"),
        (r#"{"weight_map": null}"#, "expected an object of tensors"),
        (r#"{"weight_map": {"a": 1}}"#, "expected a string"),
        (r#"{"weight_map": {"a": ["x.safetensors"]}}"#, "expected a string"),
        (r#"{"weight_map": {}}"#, "names no tensors"),
        (r#"{"weight_map": {"a": "x.safetensors"}, "weight_map": {}}"#, "duplicate field"),
        (r#"{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}"#, "\"a\" is there twice"),
        (r#"{"weight_map": {"a": "x.safetensors", "a": "x.safetensors"}}"#, "\"a\" is there twice"),
        (r#"{"weight_map": {"a": "x.safetensors", "b": "X.safetensors"}}"#, "there twice, in small letters"),
    ] {
        folder.refuses_index(json, &[INDEX_FILE, says]);
    }
    folder.refuses_index(b"{\"weight_map\": {\"\xff\": \"x.safetensors\"}}", &["not the expected JSON"]);
    folder.refuses_index(b"{\"\xff\": 1, \"weight_map\": {\"a\": \"x.safetensors\"}}", &["not UTF-8"]);
    let nested = format!("{{\"metadata\": {}, \"weight_map\": {{}}}}", "[".repeat(100_000));
    folder.refuses_index(nested, &["not the expected JSON"]);
}

#[test]
fn shards_elsewhere_are_refused() {
    let folder = Folder::new();
    for name in [
        "../model.safetensors",
        "/etc/model.safetensors",
        "shards/model.safetensors",
        "..\\model.safetensors",
        "C:model.safetensors",
        "model\n.safetensors",
        "model\0.safetensors",
        "",
        ".",
        "..",
        ".safetensors",
        "model.safetensors ",
        "model.safetensors.",
        "pytorch_model.bin",
        "modules.json",
        &format!("{}.safetensors", "x".repeat(244)),
    ] {
        folder.write_map(&[("a", FIRST), ("b", name)]);
        let error = folder.refuses(&[INDEX_FILE, "is refused", &format!("{name:?}")]);
        assert!(matches!(error, WeightsError::InvalidIndex { .. }), "{error}");
    }
}

#[test]
fn an_index_that_is_too_large_is_refused() {
    let folder = Folder::new();
    let padded = |size: usize| {
        let index = serde_json::json!({"weight_map": {"a": FIRST, "b": FIRST, "c": SECOND}}).to_string();
        " ".repeat(size - index.len()) + &index
    };
    folder.refuses_index(padded((16 << 20) + 1), &["expected at most 16777216 bytes, found more"]);
    folder.write_index(padded(16 << 20));
    assert_eq!(value(&folder.open(), "c"), 3.0);

    let of_shards = |n: usize| {
        let map: BTreeMap<String, String> =
            (0..n).map(|i| (format!("tensor {i}"), format!("{i}.safetensors"))).collect();
        serde_json::json!({ "weight_map": map }).to_string()
    };
    folder.refuses_index(of_shards(1001), &["expected at most 1000 files, found more"]);
    folder.write_index(of_shards(1000));
    assert_eq!(ShardIndex::read(folder.path(INDEX_FILE)).unwrap().shards().len(), 1000);
}

#[test]
fn an_index_tells_shards_in_order_and_where_tensors_are() {
    let folder = Folder::new();
    folder.write_map(&[("a", "2.safetensors"), ("b", "1.safetensors"), ("c", "2.safetensors")]);
    let index = ShardIndex::read(folder.path(INDEX_FILE)).unwrap();
    assert_eq!(index.shards(), ["1.safetensors", "2.safetensors"]);
    assert_eq!(["a", "b", "c", "d"].map(|tensor| index.shard_of(tensor)), [Some(1), Some(0), Some(1), None]);
    assert_eq!(index.tensors().len(), 3);
    let missing = ShardIndex::read(folder.path("nowhere.json")).unwrap_err();
    assert!(matches!(&missing, WeightsError::Open { .. }) && missing.to_string().contains("nowhere.json"));
    let directory = ShardIndex::read(folder.0.path()).unwrap_err().to_string();
    assert!(directory.contains("not a regular file"), "{directory}");
}

/// The packed file of tensors of both shards.
struct Packed<'a> {
    folder: &'a Folder,
    weights: Weights,
}

impl Packed<'_> {
    fn of(folder: &Folder) -> Packed<'_> {
        Packed { folder, weights: folder.open() }
    }

    fn contents(&self) -> PackedContents {
        let tensors = ["a", "b", "c"].map(|name| self.weights.tensor(name, &[2]).unwrap());
        let section =
            Section { name: "all".to_owned(), layout: "rows".to_owned(), shape: vec![6], offset: 0, len: 6 };
        PackedContents {
            source: SourceIdentity::of(&self.weights, tensors.into_iter()),
            sections: vec![section],
            len: SECTION_ALIGNMENT,
        }
    }

    fn file(&self) -> PackedFile {
        PackedFile::of(&self.weights, &self.folder.path("cache"), "f32", &[])
    }

    fn open(&self) -> Result<(), PackedFileError> {
        let contents = self.contents();
        self.file().open(&contents, |check| contents.sections.iter().try_for_each(check)).map(drop)
    }
}

#[test]
fn a_packed_file_belongs_to_all_shards() {
    let folder = Folder::new();
    let packed = Packed::of(&folder);
    packed.file().write(&packed.contents(), &[1.5; SECTION_ALIGNMENT]).unwrap();
    packed.open().unwrap();
    let stale = |says: &str| {
        let error = Packed::of(&folder).open().expect_err("the weights have changed");
        assert!(matches!(error, PackedFileError::Stale { .. }), "{error}");
        assert!(error.to_string().contains(says), "the error should say {says:?}: {error}");
    };
    for shard in [FIRST, SECOND] {
        folder.set_modified(shard, 1);
        stale("another modification time: 1700000000, expected 1700000001");
        folder.set_modified(shard, 0);
        Packed::of(&folder).open().unwrap();
    }
    folder.write_shard(SECOND, &[("c", 4.0)]);
    stale("another sample of the tensors");
    folder.write_shard(SECOND, &[("c", 3.0), ("d", 5.0)]);
    stale("another size");
    folder.write_shard(SECOND, &[("c", 3.0)]);
    Packed::of(&folder).open().unwrap();
}

#[test]
fn other_shards_have_another_packed_file() {
    let folder = Folder::new();
    let before = Packed::of(&folder).file().path().to_owned();
    std::fs::rename(folder.path(SECOND), folder.path("other.safetensors")).unwrap();
    folder.write_map(&[("a", FIRST), ("b", FIRST), ("c", "other.safetensors")]);
    let other = Packed::of(&folder);
    assert_ne!(other.file().path(), before);
    // Even where somebody gives it that name.
    other.file().write(&other.contents(), &[1.5; SECTION_ALIGNMENT]).unwrap();
    folder.write_shard(SECOND, &[("c", 3.0)]);
    folder.write_map(&[("a", FIRST), ("b", FIRST), ("c", SECOND)]);
    std::fs::rename(other.file().path(), &before).unwrap();
    let error = Packed::of(&folder).open().unwrap_err().to_string();
    assert!(error.contains("another name: other.safetensors, expected model-00002"), "{error}");
    // And one that was packed from a single file.
    folder.write_shard(MODEL_FILE, &[("a", 1.0), ("b", 2.0), ("c", 3.0)]);
    let single = Packed::of(&folder);
    single.file().write(&single.contents(), &[1.5; SECTION_ALIGNMENT]).unwrap();
    std::fs::rename(single.file().path(), &before).unwrap();
    std::fs::remove_file(folder.path(MODEL_FILE)).unwrap();
    let error = Packed::of(&folder).open().unwrap_err().to_string();
    assert!(error.contains("another number of files: 1, expected 2"), "{error}");
}

/// Every prefix of a valid index, and every index with one byte changed, is read or refused, but never a panic.
#[test]
fn no_mutilation_of_an_index_panics() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.path(INDEX_FILE)).unwrap();
    for end in 0..whole.len() {
        folder.refuses_index(&whole[..end], &[INDEX_FILE]);
    }
    let mut read = 0;
    for position in 0..whole.len() {
        for byte in [0, b'9', b'"', b'}', b'/', 0xff] {
            let mut bytes = whole.clone();
            bytes[position] = byte;
            folder.write_index(bytes);
            if let Ok(weights) = Weights::open_in(folder.0.path()) {
                assert!(weights.names().count() > 0);
                read += 1;
            }
        }
    }
    assert!(read > 0, "what is not looked at may change");
}
