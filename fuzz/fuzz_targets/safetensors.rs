//! Any bytes as a weights file: opened or refused, every tensor read in its own shape and refused in others.
//! Never a panic, a read outside the mapping, or an allocation that a header lies about.
//!
//! What is accepted is compared with what the `safetensors` crate makes of the same bytes.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use minilm_weights::{FloatType, WeightsError, WeightsFile};
use safetensors::SafeTensors;

/// One file for all inputs of this process; nothing maps it any more when it is written again.
static FILE: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("model.safetensors");
    (directory, path)
});

fuzz_target!(|bytes: &[u8]| {
    let path = &FILE.1;
    std::fs::write(path, bytes).expect("the temporary file can be written");
    let file = match WeightsFile::open(path) {
        Ok(file) => file,
        Err(error) => {
            assert!(error.to_string().contains("model.safetensors"), "{error}");
            return;
        }
    };
    assert_eq!(file.size(), bytes.len());
    // Only what was accepted: of other files that crate adds offsets without a check.
    let theirs = SafeTensors::deserialize(bytes).ok();
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    if let Some(theirs) = &theirs {
        assert_eq!(theirs.len(), names.len());
    }
    for name in &names {
        assert!(file.contains(name));
        read(&file, name, theirs.as_ref());
    }
    let error = file.tensor("no such tensor", &[1]);
    assert!(names.iter().any(|name| name == "no such tensor") || error.is_err());
});

/// The shape is found out by asking for a wrong one.
fn read(file: &WeightsFile, name: &str, theirs: Option<&SafeTensors<'_>>) {
    // No file has that many elements.
    let shape = match file.tensor(name, &[usize::MAX]) {
        Err(WeightsError::WrongShape { found, .. }) => found,
        Err(WeightsError::WrongType { .. }) => return,
        other => panic!("{name:?}: {other:?}"),
    };
    let tensor = file.tensor(name, &shape).expect("its own shape");
    assert_eq!((tensor.shape(), tensor.len()), (&shape[..], shape.iter().product::<usize>()));
    assert!(tensor.len() <= file.size(), "more elements than the file has bytes");
    let all = tensor.to_f32();
    assert_eq!((all.len(), all.is_empty()), (tensor.len(), tensor.is_empty()));

    for (first, last) in [(0, 0), (0, all.len() / 2), (all.len() / 3, all.len()), (all.len(), all.len())] {
        let mut part = vec![0.0; last - first];
        tensor.read_f32(first, &mut part);
        assert!(part.iter().zip(&all[first..last]).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
    if let Some(theirs) = theirs.and_then(|theirs| theirs.tensor(name).ok()) {
        assert_eq!(theirs.shape(), shape);
        assert_eq!(theirs.data().len(), all.len() * tensor.float_type().size());
        if tensor.float_type() == FloatType::F32 {
            let expected = theirs.data().as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes));
            assert!(all.iter().map(|x| x.to_bits()).eq(expected));
        }
    }

    let mut wrong: Vec<Vec<usize>> = vec![[&shape[..], &[1]].concat(), vec![all.len() + 1]];
    wrong.extend((0..shape.len()).map(|i| {
        let mut shape = shape.clone();
        shape[i] = shape[i].wrapping_add(1);
        shape
    }));
    wrong.extend(shape.split_last().map(|(_, rest)| rest.to_vec()));
    for wrong in wrong {
        assert!(
            wrong == shape || file.tensor(name, &wrong).is_err(),
            "{name:?}: {shape:?} taken for {wrong:?}"
        );
    }
}
