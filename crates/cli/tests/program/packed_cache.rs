//! `--packed-cache`: asked for by option or variable, shared by processes, and never the reason that nothing works.

use std::path::PathBuf;
use std::process::Stdio;

use super::{Files, embed, run, stdout};

const TEXT: &str = "a text to embed";

fn cached(files: &Files) -> std::process::Command {
    embed(&[TEXT, &format!("--packed-cache={}", files.path("cache"))])
}

/// What is in the cache, with the time it was made.
fn packed_files(files: &Files, cache: &str) -> Vec<(PathBuf, std::time::SystemTime)> {
    let entries = std::fs::read_dir(files.path(cache)).unwrap();
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap()))
        .collect()
}

#[test]
fn the_output_is_the_same_and_the_file_is_kept() {
    let files = Files::new();
    let expected = stdout(embed(&[TEXT]));
    assert_eq!(stdout(cached(&files)), expected);
    let built = packed_files(&files, "cache");
    assert_eq!(built.len(), 1);
    assert_eq!(stdout(cached(&files)), expected);
    assert_eq!(packed_files(&files, "cache"), built, "it was built again");
}

#[test]
fn the_variable_asks_for_it_too_and_the_option_is_stronger() {
    let files = Files::new();
    let expected = stdout(embed(&[TEXT]));
    let mut by_variable = embed(&[TEXT]);
    by_variable.env("MINILM_PACKED_CACHE", files.path("variable"));
    assert_eq!(stdout(by_variable), expected);
    assert_eq!(packed_files(&files, "variable").len(), 1);

    let mut both = cached(&files);
    both.env("MINILM_PACKED_CACHE", files.path("not"));
    assert_eq!(stdout(both), expected);
    assert_eq!(files.names(), ["cache", "variable"]);

    for off in ["0", ""] {
        let mut off_by_variable = embed(&[TEXT]);
        off_by_variable.env("MINILM_PACKED_CACHE", off).current_dir(files.0.path());
        assert_eq!(stdout(off_by_variable), expected);
    }
    assert_eq!(files.names(), ["cache", "variable"]);
}

/// Without a directory it is the platform's, and a text behind the option stays a text.
#[test]
fn the_platforms_directory_is_the_default() {
    for by_variable in [false, true] {
        let files = Files::new();
        let mut command = if by_variable { embed(&[TEXT]) } else { embed(&["--packed-cache", TEXT]) };
        for variable in ["HOME", "USERPROFILE", "XDG_CACHE_HOME", "LOCALAPPDATA"] {
            command.env(variable, files.0.path());
        }
        if by_variable {
            command.env("MINILM_PACKED_CACHE", "1");
        }
        assert_eq!(stdout(command), stdout(embed(&[TEXT])));
        let directory = if cfg!(target_os = "macos") { "Library/Caches/minilm" } else { "minilm" };
        assert_eq!(packed_files(&files, directory).len(), 1);
    }
}

#[test]
fn processes_build_it_at_once() {
    let files = Files::new();
    let expected = stdout(embed(&[TEXT]));
    for _ in 0..3 {
        let processes: Vec<_> = (0..6)
            .map(|_| cached(&files).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
            .collect();
        for process in processes {
            let output = process.wait_with_output().unwrap();
            assert!(output.status.success() && output.stdout == expected.as_bytes());
            // On Windows a file that others have mapped cannot be replaced.
            assert!(output.stderr.is_empty() || cfg!(windows));
        }
        let built = packed_files(&files, "cache");
        assert_eq!(built.len(), 1, "{built:?}");
        std::fs::remove_file(&built[0].0).unwrap();
    }
}

#[test]
fn a_cache_that_cannot_be_is_a_warning() {
    let files = Files::new();
    let file = files.write("file", "not a directory");
    let output = run(embed(&[TEXT, &format!("--packed-cache={file}")]));
    assert!(output.status.success());
    assert_eq!(output.stdout, stdout(embed(&[TEXT])).as_bytes());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("minilm: warning: packed weights cannot be kept: "), "{stderr}");
    assert!(stderr.contains(&file) && stderr.lines().count() == 1, "{stderr}");
}
