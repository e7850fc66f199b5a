//! Indexes to which texts are added one by one.

use std::sync::atomic::{AtomicBool, Ordering};

use minilm::{EncodeOptions, Index, IndexWriter, SearchOptions, SimilarityFunction};

use super::{borrowed, files, items, model, options, texts};

#[test]
fn texts_that_come_one_by_one_leave_few_files() {
    let (model, texts) = (model(), texts(150));
    let [one_by_one, at_once] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let options = options().segment_texts(64);
    IndexWriter::create(at_once.path(), &model, &options).unwrap().add(items(borrowed(&texts))).unwrap();
    let mut writer = IndexWriter::create(one_by_one.path(), &model, &options).unwrap();
    let mut most = 0;
    for text in borrowed(&texts) {
        writer.add(items([text])).unwrap();
        let segments = (files(one_by_one.path()).len() - 2) / 3;
        most = most.max(segments);
    }
    // Two full ones, and 32, 16, 8, 4, 2 and 1 texts.
    assert!(most <= 2 + 6, "{most} segments");
    let [one_by_one, at_once] = [&one_by_one, &at_once].map(|path| Index::open(path.path()).unwrap());
    for row in 0..150 {
        assert_eq!(one_by_one.document(row).unwrap(), at_once.document(row).unwrap());
    }
    let search = SearchOptions::default().top_k(150).score_function(SimilarityFunction::Euclidean);
    let found =
        |index: &Index| index.search(&model, &["the cat"], &EncodeOptions::default(), &search).unwrap();
    assert_eq!(found(&one_by_one), found(&at_once));
}

#[test]
fn segments_of_any_sizes_stay_few() {
    let (model, texts) = (model(), texts(600));
    let directory = tempfile::tempdir().unwrap();
    let options = options().segment_texts(1000);
    let mut writer = IndexWriter::create(directory.path(), &model, &options).unwrap();
    // Each call adds less than the one before.
    for n in (1..=33).rev() {
        let begin = writer.len();
        writer.add(items(borrowed(&texts[begin..begin + n]))).unwrap();
        assert!((files(directory.path()).len() - 2) / 3 <= 10);
    }
    let index = Index::open(directory.path()).unwrap();
    assert_eq!(index.len(), 561);
    assert!((0..561).all(|row| index.document(row).unwrap().1 == texts[row]));
}

#[test]
fn what_is_damaged_is_not_put_together() {
    let (model, directory) = (model(), tempfile::tempdir().unwrap());
    let mut writer = IndexWriter::create(directory.path(), &model, &options()).unwrap();
    writer.add(items(["a"])).unwrap();
    let lines = directory.path().join("000000.lines.u64");
    let size = std::fs::read(&lines).unwrap()[8..].to_vec();
    std::fs::write(&lines, [&u64::MAX.to_le_bytes()[..], &size].concat()).unwrap();
    let error = writer.add(items(["b"])).unwrap_err().to_string();
    assert!(error.contains("000000.texts.jsonl: line 0 is said to lie at 1844"), "{error}");
    assert_eq!((writer.len(), Index::open(directory.path()).unwrap().len()), (1, 1));
}

#[test]
fn who_searches_sees_a_whole_index_while_another_adds_to_it() {
    let (model, texts) = (model(), texts(120));
    let directory = tempfile::tempdir().unwrap();
    let mut writer = IndexWriter::create(directory.path(), &model, &options().segment_texts(1000)).unwrap();
    let query = model.encode_batch(&["the 3 cat"], &EncodeOptions::default()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut rows = 0;
            while !done.load(Ordering::Relaxed) {
                let index = Index::open(directory.path()).unwrap();
                assert!(index.len() >= rows, "{} after {rows}", index.len());
                rows = index.len();
                let all = SearchOptions::default().top_k(1000);
                for hit in &index.search_vectors(&query, &all).unwrap()[0] {
                    assert_eq!(index.document(hit.corpus_id).unwrap().1, texts[hit.corpus_id]);
                }
            }
        });
        let added = borrowed(&texts).try_for_each(|text| writer.add(items([text])).map(drop));
        done.store(true, Ordering::Relaxed);
        added.unwrap();
    });
    assert_eq!(Index::open(directory.path()).unwrap().len(), 120);
}
