//! Indexes: built, extended, interrupted, damaged, searched.

use std::convert::Infallible;
use std::path::Path;

use minilm::storage::{Id, TextItem};
use minilm::{
    EncodeOptions, Index, IndexError, IndexOptions, IndexWriter, SearchOptions, SentenceTransformer,
    SimilarityFunction, StreamError, semantic_search,
};
use minilm_tests::golden;
use minilm_tests::model_folder::Folder;

fn model() -> SentenceTransformer {
    SentenceTransformer::load(golden::tiny_bert()).unwrap()
}

fn items<'a>(texts: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = Result<TextItem, Infallible>> {
    texts.into_iter().map(|text| Ok(TextItem { id: None, text: text.to_owned() }))
}

/// Many distinct texts.
fn texts(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("the {} cat and the {} dog {}", i % 7, i % 11, "a ".repeat(i % 5))).collect()
}

fn borrowed(texts: &[String]) -> impl Iterator<Item = &str> {
    texts.iter().map(String::as_str)
}

fn options() -> IndexOptions {
    // Several windows a segment, several segments an index.
    IndexOptions::default().segment_texts(10).encode(EncodeOptions::default().window_texts(5))
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_index_finds_what_a_search_of_all_vectors_finds() {
    let (model, directory, texts) = (model(), tempfile::tempdir().unwrap(), texts(47));
    let path = directory.path().join("an.index");
    let mut writer = IndexWriter::create(&path, &model, &options()).unwrap();
    let added = writer.add(items(borrowed(&texts[..33]))).unwrap();
    assert_eq!((added.texts, added.truncated, added.resumed, writer.len()), (33, 0, 0, 33));
    drop(writer);
    let before = Index::open(&path).unwrap();
    let mut writer = IndexWriter::open(&path, &model, &options()).unwrap();
    assert_eq!((writer.interrupted(), writer.len()), (None, 33));
    writer.add(items(borrowed(&texts[33..]))).unwrap();
    let index = Index::open(&path).unwrap();
    assert_eq!((before.len(), index.len(), index.dimension(), index.is_unfinished()), (33, 47, 40, false));

    let queries = ["the 3 cat", "dog a a a", &texts[40]];
    let vectors = model.encode_batch(&texts, &EncodeOptions::default()).unwrap();
    let of_queries = model.encode_batch(&queries, &EncodeOptions::default()).unwrap();
    for (function, same) in [
        (SimilarityFunction::Cosine, SimilarityFunction::DotProduct),
        (SimilarityFunction::Euclidean, SimilarityFunction::Euclidean),
    ] {
        let search = SearchOptions::default().top_k(12).score_function(function);
        let expected = semantic_search(&of_queries, &vectors, &search.clone().score_function(same)).unwrap();
        let found = index.search(&model, &queries, &EncodeOptions::default(), &search).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!((found.len(), expected.len()), (12, 12));
            for (found, expected) in found.iter().zip(expected) {
                assert_eq!((found.row, found.score), (expected.corpus_id, expected.score));
                assert_eq!((&found.id, &found.text), (&Id::Integer(found.row as i64), &texts[found.row]));
            }
        }
    }
    // What was open before sees what was there.
    let all = SearchOptions::default().top_k(100);
    assert_eq!(before.search_vectors(&of_queries, &all).unwrap()[0].len(), 33);
    assert_eq!(index.search_vectors(&of_queries, &all).unwrap()[0].len(), 47);
}

#[test]
fn vectors_that_are_there_are_not_computed_again() {
    let (model, texts) = (model(), texts(47));
    let vectors = model.encode_batch(&texts, &EncodeOptions::default()).unwrap();
    let [by_texts, by_vectors] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    IndexWriter::create(by_texts.path(), &model, &options()).unwrap().add(items(borrowed(&texts))).unwrap();
    let options = options().segment_texts(47);
    let mut writer = IndexWriter::create(by_vectors.path(), &model, &options).unwrap();
    let dimension = minilm::Vectors::new(&vectors.as_slice()[..39 * 47], 39).unwrap();
    let error = writer.add_encoded(items(borrowed(&texts)), dimension).unwrap_err().to_string();
    assert_eq!(error, "vectors of dimension 40 and of dimension 39 do not go together");
    let mut broken = vectors.as_slice().to_vec();
    broken[3 * 40 + 7] = f32::NAN;
    let broken = minilm::Vectors::new(&broken, 40).unwrap();
    let error = writer.add_encoded(items(borrowed(&texts)), broken).unwrap_err().to_string();
    assert_eq!(error, "component 7 of vector 3 is NaN; expected a finite number");
    for n in [46, 45, 0] {
        let fewer = vectors.vectors().range(0, n);
        let error = writer.add_encoded(items(borrowed(&texts)), fewer).unwrap_err().to_string();
        assert_eq!(error, format!("47 and {n} vectors are no pairs"));
    }
    let error = writer.add_encoded(items(borrowed(&texts[..9])), &vectors).unwrap_err().to_string();
    assert_eq!(error, "9 and 47 vectors are no pairs");
    assert!(writer.is_empty());
    assert_eq!(writer.add_encoded(items(borrowed(&texts)), &vectors).unwrap().texts, 47);
    let [by_texts, by_vectors] = [&by_texts, &by_vectors].map(|path| Index::open(path.path()).unwrap());
    let search = SearchOptions::default();
    let found =
        |index: &Index| index.search(&model, &["the cat"], &EncodeOptions::default(), &search).unwrap();
    assert_eq!(found(&by_texts), found(&by_vectors));
}

#[test]
fn texts_keep_their_ids() {
    let (model, directory) = (model(), tempfile::tempdir().unwrap());
    let item = |id: Id, text: &str| Ok::<_, Infallible>(TextItem { id: Some(id), text: text.to_owned() });
    let mut writer = IndexWriter::create(directory.path(), &model, &options()).unwrap();
    writer.add([item("one".to_owned().into(), "a \"b\"\n"), item(2.into(), "我")]).unwrap();
    let index = Index::open(directory.path()).unwrap();
    assert_eq!(index.document(0).unwrap(), ("one".to_owned().into(), "a \"b\"\n".to_owned()));
    assert_eq!(index.document(1).unwrap(), (2.into(), "我".to_owned()));
}

#[test]
fn an_interrupted_build_goes_on_where_it_stopped() {
    let (model, texts) = (model(), texts(47));
    let broken = || {
        let texts = texts[..28].iter().map(|text| Ok(TextItem { id: None, text: text.clone() }));
        texts.chain([Err("the disk is gone")])
    };
    let whole = tempfile::tempdir().unwrap();
    IndexWriter::create(whole.path(), &model, &options()).unwrap().add(items(borrowed(&texts))).unwrap();

    let directory = tempfile::tempdir().unwrap();
    let mut writer = IndexWriter::create(directory.path(), &model, &options()).unwrap();
    let error = writer.add(broken()).unwrap_err();
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
fn an_index_is_of_one_model() {
    let (model, directory) = (model(), tempfile::tempdir().unwrap());
    IndexWriter::create(directory.path(), &model, &options()).unwrap().add(items(["a", "b"])).unwrap();
    let index = Index::open(directory.path()).unwrap();
    let folder = Folder::new();
    folder.replace("config.json", "1e-12", "1e-11");
    let other = folder.load();
    let search = |model| index.search(model, &["a"], &EncodeOptions::default(), &SearchOptions::default());
    let error = search(&other).unwrap_err();
    assert!(
        matches!(error, IndexError::OtherModel { .. }) && error.to_string().contains("fingerprint"),
        "{error}"
    );
    let error = IndexWriter::open(directory.path(), &other, &options()).err().unwrap();
    assert!(matches!(error, IndexError::OtherModel { .. }), "{error}");
    // Another precision may search, but not add.
    let folder = Folder::new();
    let narrow = folder.load_in(minilm::Precision::Int8);
    assert_eq!(search(&narrow).unwrap()[0][0].text, "a");
    let error = IndexWriter::open(directory.path(), &narrow, &options()).err().unwrap().to_string();
    assert!(error.contains("the precision (\"f32\" and \"int8\") differs"), "{error}");
    let prompted = options().encode(EncodeOptions::default().prompt("a "));
    let error = IndexWriter::open(directory.path(), &model, &prompted).err().unwrap().to_string();
    assert!(error.contains("the prompt of documents (\"\" and \"a \") differs"), "{error}");
    let shorter = options().encode(EncodeOptions::default().truncate_dim(8));
    let error = IndexWriter::open(directory.path(), &model, &shorter).err().unwrap().to_string();
    assert!(error.contains("the dimension (\"40\" and \"8\") differs"), "{error}");
}

#[test]
fn where_an_index_cannot_be() {
    let (model, directory) = (model(), tempfile::tempdir().unwrap());
    let error = Index::open(directory.path()).err().unwrap();
    assert!(matches!(error, IndexError::NotAnIndex { .. }), "{error}");
    let error = IndexWriter::open(directory.path(), &model, &options()).err().unwrap();
    assert!(matches!(error, IndexError::NotAnIndex { .. }), "{error}");
    assert_eq!(files(directory.path()), [""; 0]);

    let full = tempfile::tempdir().unwrap();
    std::fs::write(full.path().join("thesis.txt"), "years of work").unwrap();
    let error = IndexWriter::create(full.path(), &model, &options()).err().unwrap().to_string();
    assert!(error.contains("has other files, thesis.txt among them"), "{error}");

    let writer = IndexWriter::create(directory.path(), &model, &options()).unwrap();
    let error = IndexWriter::open(directory.path(), &model, &options()).err().unwrap();
    assert!(matches!(error, IndexError::Locked { .. }), "{error}");
    drop(writer);
    IndexWriter::open(directory.path(), &model, &options()).unwrap().add(items(["a"])).unwrap();
    let error = IndexWriter::create(directory.path(), &model, &options()).err().unwrap().to_string();
    assert!(error.contains("is an index of 1 texts"), "{error}");
}

#[test]
fn an_empty_index_is_one() {
    let (model, directory) = (model(), tempfile::tempdir().unwrap());
    IndexWriter::create(directory.path(), &model, &options()).unwrap().add(items([])).unwrap();
    let index = Index::open(directory.path()).unwrap();
    assert!(index.is_empty());
    let found =
        index.search(&model, &["a", "b"], &EncodeOptions::default(), &SearchOptions::default()).unwrap();
    assert_eq!(found, [vec![], vec![]]);
}

#[test]
fn damaged_files_are_named() {
    let model = model();
    let built = || {
        let directory = tempfile::tempdir().unwrap();
        IndexWriter::create(directory.path(), &model, &options()).unwrap().add(items(["a", "b"])).unwrap();
        directory
    };
    let vectors = std::fs::read(built().path().join("000000.vectors.npy")).unwrap();
    for (file, content, says) in [
        ("index.json", &b"{"[..], "not the expected JSON"),
        ("index.json", br#"{"format":"x"}"#, "not the expected JSON"),
        ("000000.vectors.npy", &vectors[..vectors.len() - 1], "000000.vectors.npy"),
        ("000000.vectors.npy", b"", "000000.vectors.npy"),
        ("000000.lines.u64", b"12345678", "expected 24 bytes, found 8"),
    ] {
        let directory = built();
        std::fs::write(directory.path().join(file), content).unwrap();
        let error = Index::open(directory.path()).err().unwrap().to_string();
        assert!(error.contains(file) && error.contains(says), "{error}");
    }
    let directory = built();
    std::fs::remove_file(directory.path().join("000000.vectors.npy")).unwrap();
    assert!(Index::open(directory.path()).is_err());

    let directory = built();
    let manifest = std::fs::read_to_string(directory.path().join("index.json")).unwrap();
    for (from, to, says) in [
        ("\"000000\"", "\"../escape\"", "a segment is called \"../escape\", expected digits"),
        ("\"version\": 1", "\"version\": 9", "version 9"),
        ("\"rows\": 2", "\"rows\": 3", "expected (3, 40) vectors and components, found (2, 40)"),
    ] {
        assert!(manifest.contains(from), "{manifest}");
        std::fs::write(directory.path().join("index.json"), manifest.replacen(from, to, 1)).unwrap();
        let error = Index::open(directory.path()).err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
    }

    let directory = built();
    let index = Index::open(directory.path()).unwrap();
    for (content, says) in [
        ("{}\n{}\n", "is said to lie at"),
        ("{\"id\":0,\"text\":1}  \n{\"id\":0}\n", "line 0 is not the expected JSON"),
    ] {
        std::fs::write(directory.path().join("000000.texts.jsonl"), content).unwrap();
        let error = index.document(if says.starts_with("is") { 1 } else { 0 }).unwrap_err().to_string();
        assert!(error.contains("000000.texts.jsonl") && error.contains(says), "{error}");
    }
}
