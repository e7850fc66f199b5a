//! Where an index may be, what may lie there, and who may write.

use minilm::{Index, IndexError, IndexWriter};

use super::{files, items, model, options};

#[test]
fn where_an_index_cannot_be() {
    let (model, directory) = (model(), tempfile::tempdir().unwrap());
    let error = Index::open(directory.path()).unwrap_err();
    assert!(matches!(error, IndexError::NotAnIndex { .. }), "{error}");
    let error = IndexWriter::open(directory.path(), &model, &options()).unwrap_err();
    assert!(matches!(error, IndexError::NotAnIndex { .. }), "{error}");
    assert_eq!(files(directory.path()), [""; 0]);

    // Whatever its files are called, a directory without index.json has none of ours, but those of a first write of it.
    for file in ["thesis.txt", "2024.texts.jsonl", "000000.texts.jsonl", ".vectors.npy", ".minilm-abcdef"] {
        let full = tempfile::tempdir().unwrap();
        std::fs::write(full.path().join(file), "years of work").unwrap();
        let error = IndexWriter::create(full.path(), &model, &options()).unwrap_err().to_string();
        assert!(error.contains(&format!("has other files, {file} among them")), "{error}");
        assert_eq!(files(full.path()), [file]);
    }

    let writer = IndexWriter::create(directory.path(), &model, &options()).unwrap();
    let error = IndexWriter::open(directory.path(), &model, &options()).unwrap_err();
    assert!(matches!(error, IndexError::Locked { .. }), "{error}");
    drop(writer);
    IndexWriter::open(directory.path(), &model, &options()).unwrap().add(items(["a"])).unwrap();
    let error = IndexWriter::create(directory.path(), &model, &options()).unwrap_err().to_string();
    assert!(error.contains("is an index of 1 texts"), "{error}");
}

#[test]
fn what_a_killed_writer_left_is_taken_away() {
    let (model, directory) = (model(), tempfile::tempdir().unwrap());
    let write = |file: &str| std::fs::write(directory.path().join(file), "half").unwrap();
    // Of the first write of index.json.
    write("lock");
    write(".minilm-abcdef");
    let mut writer = IndexWriter::create(directory.path(), &model, &options()).unwrap();
    assert_eq!(files(directory.path()), ["index.json", "lock"]);
    writer.add(items(["a"])).unwrap();
    drop(writer);

    let index = ["000000.lines.u64", "000000.texts.jsonl", "000000.vectors.npy", "index.json", "lock"];
    let others = ["0.vectors.npy", "2024.texts.jsonl", "notes.txt"];
    for file in others.iter().chain(&[".minilm-abcdef", ".minilm-ABC123", "000001.texts.jsonl"]) {
        write(file);
    }
    IndexWriter::open(directory.path(), &model, &options()).unwrap();
    assert_eq!(
        files(directory.path()),
        [&others[..1], &index[..3], &others[1..2], &index[3..], &others[2..]].concat()
    );
}

/// Two begin an index in the same directory; one of them is held up between its look at the directory and its lock, which is a pipe
/// that nobody reads.
#[cfg(target_os = "linux")]
#[test]
fn who_comes_late_does_not_begin_an_index_again() {
    let (model, directory) = (model(), tempfile::tempdir().unwrap());
    let (path, pipe) = (directory.path().join("an.index"), directory.path().join("pipe"));
    std::fs::create_dir(&path).unwrap();
    let lock = path.join("lock");
    assert!(std::process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
    std::thread::scope(|scope| {
        let late = scope.spawn(|| IndexWriter::create(&path, &model, &options()).map(drop));
        // Long enough to get there; too short only lets it see the index at once.
        std::thread::sleep(std::time::Duration::from_millis(500));
        std::fs::rename(&lock, &pipe).unwrap();
        IndexWriter::create(&path, &model, &options()).unwrap().add(items(["a", "b"])).unwrap();
        // Opened for both, it waits for nobody.
        let _reader = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
        let error = late.join().unwrap().unwrap_err();
        assert!(matches!(error, IndexError::Exists { .. }), "{error}");
    });
    assert_eq!(Index::open(&path).unwrap().len(), 2);
}
