//! Calls that stop before their end: what is kept, and how it goes on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minilm::storage::TextItem;
use minilm::{EncodeOptions, Error, Index, IndexOptions, IndexWriter, StreamError, Truncation};
use minilm_tests::model_folder::Folder;

use super::{borrowed, files, items, model, options, texts};

/// Some texts, and then no more.
fn broken(texts: &[String]) -> impl Iterator<Item = Result<TextItem, &'static str>> {
    let texts = texts.iter().map(|text| Ok(TextItem { id: None, text: text.clone() }));
    texts.chain([Err("the disk is gone")])
}

#[test]
fn an_interrupted_build_goes_on_where_it_stopped() {
    let (model, texts) = (model(), texts(47));
    let whole = tempfile::tempdir().unwrap();
    IndexWriter::create(whole.path(), &model, &options()).unwrap().add(items(borrowed(&texts))).unwrap();

    let directory = tempfile::tempdir().unwrap();
    let mut writer = IndexWriter::create(directory.path(), &model, &options()).unwrap();
    let error = writer.add(broken(&texts[..28])).unwrap_err();
    assert!(matches!(error, StreamError::Source("the disk is gone")), "{error}");
    assert_eq!((writer.interrupted(), writer.len()), (Some(20), 20));
    drop(writer);
    assert!(Index::open(directory.path()).unwrap().is_unfinished());
    // As if the program had ended in the middle of writing.
    std::fs::write(directory.path().join("000002.texts.jsonl"), "half").unwrap();

    let mut writer = IndexWriter::create(directory.path(), &model, &options()).unwrap();
    assert!(!files(directory.path()).contains(&"000002.texts.jsonl".to_owned()));
    // Other texts, or fewer, are noticed before anything is written.
    let mut others = texts.clone();
    others[19].push('!');
    for (texts, says) in [(&others[..], "these are others"), (&texts[..19], "there are only 19 now")] {
        let error = writer.add(items(borrowed(texts))).unwrap_err().to_string();
        assert!(error.contains("stopped after 20 texts") && error.contains(says), "{error}");
    }
    let added = writer.add(items(borrowed(&texts))).unwrap();
    assert_eq!((added.texts, added.resumed, writer.interrupted()), (27, 20, None));
    drop(writer);
    assert_eq!(files(directory.path()), files(whole.path()));
    for file in files(whole.path()) {
        let read = |directory: &Path| std::fs::read(directory.join(&file)).unwrap();
        assert_eq!(read(directory.path()), read(whole.path()), "{file}");
    }
}

#[test]
fn a_build_that_kept_nothing_begins_again() {
    let (model, directory, texts) = (model(), tempfile::tempdir().unwrap(), texts(9));
    let mut writer = IndexWriter::create(directory.path(), &model, &options()).unwrap();
    writer.add(broken(&texts)).unwrap_err();
    assert_eq!((writer.interrupted(), writer.len()), (None, 0));
    drop(writer);
    // Nothing is there that would bind it to what was to be built.
    let folder = Folder::new();
    folder.replace("config.json", "1e-12", "1e-11");
    let other = folder.load();
    let shorter = IndexOptions::default().encode(EncodeOptions::default().truncate_dim(8));
    for begin in [IndexWriter::create, IndexWriter::open] {
        begin(directory.path(), &other, &options()).unwrap();
        begin(directory.path(), &model, &shorter).unwrap();
    }
    IndexWriter::create(directory.path(), &other, &shorter).unwrap().add(items(["a", "b"])).unwrap();
    let index = Index::open(directory.path()).unwrap();
    assert_eq!((index.len(), index.dimension()), (2, 8));
    index.check_model(&other).unwrap();
}

#[test]
fn an_interrupted_call_can_be_given_up() {
    let (model, directory, texts) = (model(), tempfile::tempdir().unwrap(), texts(47));
    let mut writer = IndexWriter::create(directory.path(), &model, &options()).unwrap();
    assert_eq!(writer.discard_interrupted().unwrap(), 0);
    writer.add(items(borrowed(&texts[..15]))).unwrap();
    assert_eq!((writer.discard_interrupted().unwrap(), writer.len()), (0, 15));
    let before = files(directory.path());
    writer.add(broken(&texts[15..])).unwrap_err();
    assert_eq!((writer.interrupted(), writer.len()), (Some(30), 45));
    drop(writer);

    let searched = Index::open(directory.path()).unwrap();
    let mut writer = IndexWriter::open(directory.path(), &model, &options()).unwrap();
    writer.add(items(["another"])).unwrap_err();
    assert_eq!(writer.discard_interrupted().unwrap(), 30);
    assert_eq!((writer.interrupted(), writer.len()), (None, 15));
    assert_eq!(files(directory.path()), before);
    assert_eq!(writer.add(items(["another"])).unwrap().texts, 1);
    let index = Index::open(directory.path()).unwrap();
    assert_eq!((index.len(), index.is_unfinished()), (16, false));
    assert_eq!(index.document(15).unwrap().1, "another");
    // Whoever has it open goes on.
    assert_eq!((searched.len(), searched.document(44).unwrap().1), (45, texts[44].clone()));

    // A first build leaves an index without texts.
    let directory = tempfile::tempdir().unwrap();
    let mut writer = IndexWriter::create(directory.path(), &model, &options()).unwrap();
    writer.add(broken(&texts)).unwrap_err();
    assert_eq!((writer.discard_interrupted().unwrap(), writer.len()), (40, 0));
    drop(writer);
    IndexWriter::create(directory.path(), &model, &options()).unwrap().add(items(["a"])).unwrap();
    assert_eq!(Index::open(directory.path()).unwrap().len(), 1);
}

#[test]
fn texts_are_counted_from_the_first_of_the_call() {
    let (model, directory, mut texts) = (model(), tempfile::tempdir().unwrap(), texts(47));
    IndexWriter::create(directory.path(), &model, &options()).unwrap().add(broken(&texts[..28])).unwrap_err();
    texts[33] = "cat ".repeat(50);
    let most = Arc::new(AtomicUsize::new(0));
    let progress = {
        let most = most.clone();
        Arc::new(move |texts: usize, _: Option<usize>| {
            most.fetch_max(texts, Ordering::Relaxed);
        })
    };
    let mut options = options();
    options.encode = options.encode.truncation(Truncation::Error).progress(progress);
    let mut writer = IndexWriter::open(directory.path(), &model, &options).unwrap();
    let error = writer.add(items(borrowed(&texts))).unwrap_err();
    assert!(matches!(error, StreamError::Encode(Error::TooLong { index: 33, .. })), "{error}");
    // In windows of five.
    assert_eq!(most.load(Ordering::Relaxed), 30);
    texts[33] = "cat".to_owned();
    assert_eq!(writer.add(items(borrowed(&texts))).unwrap().resumed, 30);
    assert_eq!(most.load(Ordering::Relaxed), 47);
}

#[test]
fn what_could_not_be_published_was_not_added() {
    let (model, directory, texts) = (model(), tempfile::tempdir().unwrap(), texts(47));
    let (manifest, aside) = (directory.path().join("index.json"), directory.path().join("aside"));
    let mut writer = IndexWriter::create(directory.path(), &model, &options()).unwrap();
    let vectors = model.encode_batch(&texts, &EncodeOptions::default()).unwrap();
    // For the last segment alone, for several, and when a call is given up.
    let failing = |writer: &mut IndexWriter<'_>, action: &dyn Fn(&mut IndexWriter<'_>) -> Option<String>| {
        std::fs::rename(&manifest, &aside).unwrap();
        std::fs::create_dir(&manifest).unwrap();
        let error = action(writer).expect("index.json cannot be written");
        assert!(error.contains("index.json") && error.contains("directory"), "{error}");
        std::fs::remove_dir(&manifest).unwrap();
        std::fs::rename(&aside, &manifest).unwrap();
    };
    failing(&mut writer, &|writer| Some(writer.add(items(["a", "b"])).err()?.to_string()));
    failing(&mut writer, &|writer| Some(writer.add(items(borrowed(&texts))).err()?.to_string()));
    failing(&mut writer, &|writer| {
        Some(writer.add_encoded(items(borrowed(&texts)), &vectors).err()?.to_string())
    });
    assert!(writer.is_empty() && writer.interrupted().is_none());
    writer.add(broken(&texts)).unwrap_err();
    failing(&mut writer, &|writer| Some(writer.discard_interrupted().err()?.to_string()));
    assert_eq!((writer.interrupted(), writer.len()), (Some(40), 40));
    writer.add(items(borrowed(&texts))).unwrap();
    writer.add(items(["a", "b"])).unwrap();
    assert_eq!((writer.len(), Index::open(directory.path()).unwrap().len()), (49, 49));
}
