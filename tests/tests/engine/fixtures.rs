//! `fixtures/golden/manifest.json` says of every golden file, and every file of the tiny models, what it is.

use std::collections::BTreeMap;
use std::path::Path;

use minilm_tests::golden;
use sha2::{Digest, Sha256};

/// The files of a folder, by their paths in `fixtures/`.
fn hashes(folder: &Path, name: &str, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{name}/{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            hashes(&path, &name, found);
        } else {
            let hash = Sha256::digest(std::fs::read(&path).unwrap());
            found.insert(name, hash.iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }
}

#[test]
fn every_file_is_in_the_manifest() {
    let fixtures = golden::fixtures();
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(&fixtures).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "golden" || name.starts_with("tiny-") {
            hashes(&fixtures.join(&name), &name, &mut found);
        }
    }
    let manifest = std::fs::read(fixtures.join("golden/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    // This engine's own, and the manifest itself.
    found.retain(|name, _| !["golden/bits.json", "golden/manifest.json"].contains(&name.as_str()));
    let expected: BTreeMap<String, String> = serde_json::from_value(manifest["files"].clone()).unwrap();
    assert_eq!(found, expected);
    assert!(found.len() > 100, "{}", found.len());
}
