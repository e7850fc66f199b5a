//! Indexes: built, extended, interrupted, damaged, searched.

mod damaged;
mod encoding;
mod growing;
mod interrupted;
mod place;

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};

use minilm::storage::{Id, TextItem};
use minilm::{
    EncodeOptions, Index, IndexError, IndexOptions, IndexWriter, SearchOptions, SentenceTransformer,
    SimilarityFunction, VectorsError, semantic_search,
};
use minilm_tests::golden;

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
    for &function in SimilarityFunction::ALL {
        // Vectors of length 1 are not scaled again.
        let tolerance = if function == SimilarityFunction::Cosine { 1e-6 } else { 0.0 };
        let search = SearchOptions::default().top_k(12).score_function(function);
        let expected = semantic_search(&of_queries, &vectors, &search).unwrap();
        let found = index.search(&model, &queries, &EncodeOptions::default(), &search).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!((found.len(), expected.len()), (12, 12));
            for (found, expected) in found.iter().zip(expected) {
                assert_eq!(found.row, expected.corpus_id);
                assert!((found.score - expected.score).abs() <= tolerance, "{found:?} {expected:?}");
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
fn an_empty_index_is_one() {
    let (model, directory) = (model(), tempfile::tempdir().unwrap());
    IndexWriter::create(directory.path(), &model, &options()).unwrap().add(items([])).unwrap();
    let index = Index::open(directory.path()).unwrap();
    assert!(index.is_empty());
    let found =
        index.search(&model, &["a", "b"], &EncodeOptions::default(), &SearchOptions::default()).unwrap();
    assert_eq!(found, [vec![], vec![]]);
    let error = index.search_vectors(&vec![1.0; 39], &SearchOptions::default()).unwrap_err().to_string();
    assert_eq!(error, "vectors of dimension 40 and of dimension 39 do not go together");
}

#[test]
fn a_search_knows_how_far_it_is() {
    let (model, directory, texts) = (model(), tempfile::tempdir().unwrap(), texts(47));
    IndexWriter::create(directory.path(), &model, &options()).unwrap().add(items(borrowed(&texts))).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let progress = {
        let heard = heard.clone();
        Arc::new(move |pairs: u64, total: u64| heard.lock().unwrap().push((pairs, total)))
    };
    let search = SearchOptions::default().progress(progress);
    let index = Index::open(directory.path()).unwrap();
    index.search(&model, &["a", "b", "c"], &EncodeOptions::default(), &search).unwrap();
    // Four segments of ten texts and one of seven.
    assert_eq!(*heard.lock().unwrap(), [30, 60, 90, 120, 141].map(|pairs| (pairs, 141)));
}

#[test]
fn what_cannot_be_searched_with() {
    let (model, directory) = (model(), tempfile::tempdir().unwrap());
    IndexWriter::create(directory.path(), &model, &options()).unwrap().add(items(["a", "b"])).unwrap();
    let index = Index::open(directory.path()).unwrap();
    let mut query = vec![1.0; 40];
    query[7] = f32::NAN;
    let error = index.search_vectors(&query, &SearchOptions::default()).unwrap_err().to_string();
    assert_eq!(error, "component 7 of vector 0 is NaN; expected a finite number");
    let shorter = EncodeOptions::default().truncate_dim(8);
    let error = index.search(&model, &["a"], &shorter, &SearchOptions::default()).unwrap_err();
    let mismatch = VectorsError::DimensionMismatch { expected: 40, found: 8 };
    assert!(matches!(&error, IndexError::Vectors(found) if *found == mismatch), "{error}");
}

#[test]
fn indexes_can_be_looked_at() {
    let (model, directory) = (model(), tempfile::tempdir().unwrap());
    let path = directory.path().join("an.index");
    let mut writer = IndexWriter::create(&path, &model, &options()).unwrap();
    writer.add(items(["a", "b"])).unwrap();
    let fields = format!("{{ directory: {path:?}, rows: 2, dimension: 40, .. }}");
    assert_eq!(format!("{writer:?}"), format!("IndexWriter {fields}"));
    let index = Index::open(&path).unwrap();
    assert_eq!(format!("{index:?}"), format!("Index {fields}"));
    assert_eq!(index.model_name(), golden::tiny_bert().display().to_string());
}
