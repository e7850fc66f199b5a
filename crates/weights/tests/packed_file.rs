//! Files of packed weights: what was written is what is mapped, and anything else is refused with a reason.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use minilm_weights::{
    PackedContents, PackedFile, PackedFileError, Region, RegionMut, SAMPLE, SECTION_ALIGNMENT, Section,
    SourceIdentity, Weights,
};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::TempDir;

/// Longer than a sample, so that there is something behind it.
const ELEMENTS: usize = SAMPLE;

struct Setup {
    directory: TempDir,
    data: Vec<f32>,
}

impl Setup {
    fn new() -> Setup {
        let setup = Setup {
            directory: tempfile::tempdir().unwrap(),
            data: (0..3 * SECTION_ALIGNMENT).map(|i| i as f32 * 0.5 - 7.0).collect(),
        };
        setup.write_weights(&[1; 4 * ELEMENTS], &[2; 4 * ELEMENTS]);
        setup
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// The source: two tensors of these bytes, modified at one and the same time.
    fn write_weights(&self, a: &[u8], b: &[u8]) {
        let view = |bytes| TensorView::new(Dtype::F32, vec![ELEMENTS], bytes).unwrap();
        let file = safetensors::serialize([("a", view(a)), ("b", view(b))], None).unwrap();
        std::fs::write(self.path("model.safetensors"), file).unwrap();
        self.set_modified(Duration::ZERO);
    }

    fn set_modified(&self, since: Duration) {
        let file = std::fs::File::options().write(true).open(self.path("model.safetensors")).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + since;
        file.set_modified(time).unwrap();
    }

    fn weights(&self) -> Weights {
        Weights::open(self.path("model.safetensors")).unwrap()
    }

    fn contents(&self) -> PackedContents {
        let weights = self.weights();
        let tensors = ["a", "b"].map(|name| weights.tensor(name, &[ELEMENTS]).unwrap());
        let section = |name: &str, offset, len| Section {
            name: name.to_owned(),
            layout: "rows".to_owned(),
            shape: vec![len],
            offset,
            len,
        };
        PackedContents {
            source: SourceIdentity::of(&weights, tensors.into_iter()),
            sections: vec![section("a", 0, 2000), section("b", 2 * SECTION_ALIGNMENT, 1000)],
            len: self.data.len(),
        }
    }

    fn file(&self) -> PackedFile {
        PackedFile::of(&self.weights(), &self.path("cache"), "f32", &[])
    }

    fn write(&self) {
        self.file().write(&self.contents(), &self.data).unwrap();
    }

    fn open(&self) -> Result<Region, PackedFileError> {
        open(&self.file(), &self.contents())
    }

    /// Changes the bytes of the packed file.
    fn damage(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(self.file().path()).unwrap();
        change(&mut bytes);
        std::fs::write(self.file().path(), bytes).unwrap();
    }

    #[track_caller]
    fn is_corrupt(&self, says: &str) {
        let error = self.open().expect_err("the file is damaged");
        assert!(matches!(error, PackedFileError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(says), "the error should say {says:?}: {error}");
        assert!(error.to_string().contains(self.file().path().to_str().unwrap()), "{error}");
    }

    #[track_caller]
    fn is_stale(&self, says: &str) {
        let error = self.open().expect_err("the file is out of date");
        assert!(matches!(error, PackedFileError::Stale { .. }), "{error}");
        assert!(error.to_string().contains(says), "the error should say {says:?}: {error}");
    }
}

fn open(file: &PackedFile, contents: &PackedContents) -> Result<Region, PackedFileError> {
    file.open(contents, |check| contents.sections.iter().try_for_each(check))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_was_written_is_mapped() {
    let setup = Setup::new();
    assert!(matches!(setup.open(), Err(PackedFileError::Absent)));
    setup.write();
    let region = setup.open().unwrap();
    assert!(region.is_mapped_file());
    let bits = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(region.as_ref()), bits(&setup.data));
    assert_eq!(region.as_ref().as_ptr().align_offset(64), 0);
    // Nothing else is left behind.
    assert_eq!(names(&setup.path("cache")).len(), 1);
}

#[test]
fn all_sections_are_shown_to_whoever_checks_them() {
    let setup = Setup::new();
    setup.write();
    let contents = setup.contents();
    let foreign = Section { len: 10, ..contents.sections[0].clone() };
    setup
        .file()
        .open(&contents, |check| {
            assert!(check(&contents.sections[0]).is_ok() && check(&contents.sections[1]).is_ok());
            assert!(check(&foreign).is_err());
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_header_is_what_the_documentation_says() {
    let setup = Setup::new();
    setup.write();
    let bytes = std::fs::read(setup.file().path()).unwrap();
    assert_eq!(&bytes[..8], b"MINILMPW");
    assert_eq!(bytes[8..12], 1u32.to_le_bytes());
    let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let description: serde_json::Value = serde_json::from_slice(&bytes[24..24 + length]).unwrap();
    assert_eq!(description["source"]["file"], "model.safetensors");
    assert_eq!(description["source"]["modified"], 1_700_000_000);
    assert_eq!(description["sections"][1]["offset"], 2 * SECTION_ALIGNMENT);
    assert_eq!(description["xxh3"].as_array().unwrap().len(), 2);
    let data_start = (24 + length).next_multiple_of(4096);
    assert_eq!(bytes.len(), data_start + setup.data.len() * 4);
    assert_eq!(bytes[data_start..data_start + 4], setup.data[0].to_le_bytes());
}

#[test]
fn every_damaged_byte_that_matters_is_noticed() {
    let setup = Setup::new();
    setup.write();
    let whole = std::fs::read(setup.file().path()).unwrap();
    let data_start = whole.len() - setup.data.len() * 4;
    let section_b = data_start + 2 * SECTION_ALIGNMENT * 4;
    for (byte, says) in [
        (0, "does not begin like"),
        (8, "version 0, expected 1"),
        (14, "cut off"),
        (16, "description does not have its checksum"),
        (24, "description does not have its checksum"),
        (200, "description does not have its checksum"),
        (data_start, "section \"a\" does not have its checksum"),
        (data_start + 2000 * 4 - 1, "section \"a\" does not have its checksum"),
        (section_b, "section \"b\" does not have its checksum"),
        (section_b + 1000 * 4 - 1, "section \"b\" does not have its checksum"),
    ] {
        setup.damage(|bytes| bytes[byte] ^= 1);
        setup.is_corrupt(says);
        std::fs::write(setup.file().path(), &whole).unwrap();
    }
    // Between the sections there is nothing that anybody reads.
    setup.damage(|bytes| bytes[data_start + 2000 * 4] ^= 1);
    assert!(setup.open().is_ok());
}

#[test]
fn every_truncated_file_is_noticed() {
    let setup = Setup::new();
    setup.write();
    let whole = std::fs::read(setup.file().path()).unwrap();
    for length in [1, 7, 8, 11, 12, 15, 16, 23, 24, 100, 4095, 4096, whole.len() - 1] {
        std::fs::write(setup.file().path(), &whole[..length]).unwrap();
        setup.is_corrupt("");
    }
    std::fs::write(setup.file().path(), [&whole[..], &[0]].concat()).unwrap();
    setup.is_corrupt(&format!("it has {} bytes, expected {}", whole.len() + 1, whole.len()));
    std::fs::write(setup.file().path(), b"").unwrap();
    assert!(matches!(setup.open(), Err(PackedFileError::Io { action: "open", .. })));
}

#[test]
fn a_foreign_file_is_not_used() {
    let setup = Setup::new();
    setup.write();
    let path = setup.file().path().to_owned();
    std::fs::copy(setup.path("model.safetensors"), &path).unwrap();
    setup.is_corrupt("does not begin like a file of packed weights");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(setup.open(), Err(PackedFileError::Io { .. })));
    let error = setup.file().write(&setup.contents(), &setup.data).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(names(&setup.path("cache")).len(), 1, "a file that could not get its place is removed");
}

#[test]
fn a_changed_source_makes_it_stale() {
    let setup = Setup::new();
    setup.write();
    let (a, b) = ([1; 4 * ELEMENTS], [2; 4 * ELEMENTS]);
    let changed = |at: usize| {
        let mut bytes = b;
        bytes[at] = 3;
        bytes
    };
    setup.set_modified(Duration::from_secs(1));
    setup.is_stale("another modification time: 1700000000, expected 1700000001");
    // Archives keep whole seconds.
    setup.set_modified(Duration::from_millis(999));
    assert!(setup.open().is_ok());

    setup.write_weights(&a, &changed(0));
    setup.is_stale("another sample of the tensors");
    setup.write_weights(&a, &changed(SAMPLE - 1));
    setup.is_stale("another sample of the tensors");
    setup.write_weights(&a, &b);
    assert!(setup.open().is_ok());

    let mut contents = setup.contents();
    contents.sections[1].shape = vec![10, 100];
    let error = open(&setup.file(), &contents).unwrap_err();
    assert!(error.to_string().contains("other tensors or shapes"), "{error}");

    let view = |name| (name, TensorView::new(Dtype::F32, vec![ELEMENTS], &a[..]).unwrap());
    let longer = safetensors::serialize([view("a"), view("b"), view("c")], None).unwrap();
    std::fs::write(setup.path("model.safetensors"), longer).unwrap();
    setup.set_modified(Duration::ZERO);
    setup.is_stale("another size");
}

#[test]
fn the_name_belongs_to_the_place_of_the_weights() {
    let (one, other) = (Setup::new(), Setup::new());
    let cache = Path::new("cache");
    let name = |setup: &Setup| PackedFile::of(&setup.weights(), cache, "int8", b"salt").path().to_owned();
    assert_eq!(name(&one), name(&one));
    assert_ne!(name(&one), name(&other));
    assert!(name(&one).starts_with(cache));
}

#[test]
fn every_label_and_salt_has_a_file_of_its_own() {
    let setup = Setup::new();
    let file = |label, salt: &[u8]| PackedFile::of(&setup.weights(), &setup.path("cache"), label, salt);
    let files = [file("f32", b""), file("int8", b""), file("int8", b"a"), file("int8", b"b")];
    let name = |file: &PackedFile| file.path().file_name().unwrap().to_str().unwrap().to_owned();
    for (i, one) in files.iter().enumerate() {
        let label = if i == 0 { "f32" } else { "int8" };
        assert!(name(one).ends_with(&format!("-{label}-v1.packed")), "{}", name(one));
        assert!(matches!(open(one, &setup.contents()), Err(PackedFileError::Absent)));
        one.write(&setup.contents(), &setup.data).unwrap();
    }
    assert_eq!(names(&setup.path("cache")).len(), files.len());
    assert!(files.iter().all(|file| open(file, &setup.contents()).is_ok()));
}

#[test]
fn a_directory_that_cannot_be_is_an_error() {
    let setup = Setup::new();
    let file = PackedFile::of(&setup.weights(), &setup.path("model.safetensors").join("cache"), "f32", &[]);
    let error = file.write(&setup.contents(), &setup.data).unwrap_err();
    assert!(matches!(error, PackedFileError::Io { action: "create the directory of", .. }), "{error}");
    assert!(open(&file, &setup.contents()).is_err());
}

#[test]
fn writers_and_readers_at_once_see_whole_files() {
    let setup = Setup::new();
    setup.write();
    let (file, contents) = (setup.file(), setup.contents());
    let opened = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..20).for_each(|_| file.write(&contents, &setup.data).unwrap()));
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(open(&file, &contents).unwrap().as_ref(), setup.data);
                    *opened.lock().unwrap() += 1;
                }
            });
        }
    });
    assert_eq!(opened.into_inner().unwrap(), 150);
    assert_eq!(names(&setup.path("cache")).len(), 1);
}

#[test]
fn a_region_is_filled_frozen_and_shared() {
    for len in [0, 1, 1000, (2 << 20) / 4, (5 << 20) / 4 + 3] {
        let mut region = RegionMut::new(len).unwrap();
        assert!(region.len() == len && region.iter().all(|&x| x == 0.0));
        for (i, x) in region.iter_mut().enumerate() {
            *x = i as f32;
        }
        let region = std::sync::Arc::new(region.freeze().unwrap());
        assert!(!region.is_mapped_file());
        let slice = region.slice(len / 2..len);
        drop(region);
        assert!(slice.len() == len - len / 2 && (len / 2..len).zip(&slice[..]).all(|(i, &x)| x == i as f32));
    }
    assert!(RegionMut::new(usize::MAX).unwrap_err().to_string().contains(&usize::MAX.to_string()));
    assert!(RegionMut::new(usize::MAX / 8).is_err());
}
