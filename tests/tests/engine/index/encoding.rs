//! What an index knows of how its vectors were made, and those of queries are.

use minilm::storage::TextItem;
use minilm::{
    EncodeOptions, Index, IndexError, IndexHit, IndexOptions, IndexWriter, SearchOptions,
    SentenceTransformer, SimilarityFunction, StreamError, Truncation, Vectors, cos_sim,
};
use minilm_tests::model_folder::Folder;

use super::{borrowed, files, items, model, options, texts};

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
    let error = IndexWriter::open(directory.path(), &other, &options()).unwrap_err();
    assert!(matches!(error, IndexError::OtherModel { .. }), "{error}");
    // Another precision may search, but not add.
    let folder = Folder::new();
    let narrow = folder.load_in(minilm::Precision::Int8);
    assert_eq!(search(&narrow).unwrap()[0][0].text, "a");
    let error = IndexWriter::open(directory.path(), &narrow, &options()).unwrap_err().to_string();
    assert!(error.contains("was built with precision f32, not with int8"), "{error}");
    let prompted = options().encode(EncodeOptions::default().prompt("a "));
    let error = IndexWriter::open(directory.path(), &model, &prompted).unwrap_err().to_string();
    assert!(error.contains("was built with prompt \"\", not with \"a \""), "{error}");
    let shorter = options().encode(EncodeOptions::default().truncate_dim(8));
    let error = IndexWriter::open(directory.path(), &model, &shorter).unwrap_err().to_string();
    assert!(error.contains("was built with dimension 40, not with 8"), "{error}");
}

#[test]
fn vectors_and_texts_are_pairs_or_nothing_is_added() {
    let (model, texts, directory) = (model(), texts(3000), tempfile::tempdir().unwrap());
    let right = model.encode_batch(&texts, &EncodeOptions::default()).unwrap();
    // Those of other texts, and fewer.
    let wrong = right.vectors().range(100, 2600);
    let options = options().segment_texts(1000);
    let mut writer = IndexWriter::create(directory.path(), &model, &options).unwrap();
    let error = writer.add_encoded(items(borrowed(&texts)), wrong).unwrap_err().to_string();
    assert_eq!(error, "3000 and 2500 vectors are no pairs");
    assert_eq!((writer.len(), writer.interrupted()), (0, None));
    assert_eq!(files(directory.path()), ["index.json", "lock"]);
    assert_eq!(writer.add_encoded(items(borrowed(&texts)), &right).unwrap().resumed, 0);
    drop(writer);
    let index = Index::open(directory.path()).unwrap();
    assert_eq!(files(directory.path()).len(), 2 + 3 * 3);
    let search = SearchOptions::default().top_k(1).score_function(SimilarityFunction::Euclidean);
    for row in [0, 99, 1023, 1024, 2047, 2048, 2999] {
        let found = index.search_vectors(right.vectors().range(row, row + 1), &search).unwrap();
        assert_eq!(texts[found[0][0].corpus_id], texts[row]);
        assert_eq!(found[0][0].score, 0.0);
    }
}

/// The hits of a query, whose scores have to be the cosines of its vector and those of the texts.
#[track_caller]
fn checked_hits(
    model: &SentenceTransformer,
    index: &Index,
    (query, encode_query): (&str, &EncodeOptions),
    (texts, encode): (&[String], &EncodeOptions),
) -> Vec<IndexHit> {
    let of_query = model.encode_query(&[query], encode_query).unwrap();
    let vectors = model.encode_batch(texts, encode).unwrap();
    let expected = cos_sim(&of_query, &vectors).unwrap();
    let mut options = encode_query.clone();
    options.truncate_dim = None;
    let all = SearchOptions::default().top_k(texts.len());
    let hits = index.search(model, &[query], &options, &all).unwrap().remove(0);
    assert_eq!(hits.len(), texts.len());
    for hit in &hits {
        let expected = expected.row(0)[hit.row];
        assert!((hit.score - expected).abs() < 1e-6, "{hit:?}: {expected}");
    }
    // Whatever length a query has; doubling changes no bit.
    let scaled: Vec<f32> = of_query.as_slice().iter().map(|x| x * 4.0).collect();
    let found = index.search_vectors(&scaled, &all).unwrap().remove(0);
    assert!(found.iter().zip(&hits).all(|(a, b)| (a.corpus_id, a.score) == (b.row, b.score)));
    hits
}

#[test]
fn scores_are_cosines_whatever_length_vectors_have() {
    let folder = Folder::new();
    let prompts = r#"{"prompts": {"query": "the dog ", "document": "a cat "}}"#;
    std::fs::write(folder.path("config_sentence_transformers.json"), prompts).unwrap();
    let (model, prompted, texts) = (model(), folder.load(), texts(23));
    let default = EncodeOptions::default;
    for (model, encode, normalized) in [
        (&model, default(), true),
        (&model, default().truncate_dim(8).normalize_embeddings(true), true),
        (&model, default().truncate_dim(8), false),
        (&model, default().prompt("a dog "), true),
        (&prompted, default(), true),
        (&prompted, default().prompt_name("query").truncate_dim(30), false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let options = options().encode(encode.clone());
        IndexWriter::create(directory.path(), model, &options).unwrap().add(items(borrowed(&texts))).unwrap();
        let index = Index::open(directory.path()).unwrap();
        let json = std::fs::read_to_string(directory.path().join("index.json")).unwrap();
        assert!(json.contains(&format!("\"normalized\": {normalized}")), "{json}");
        // Of documents, if nothing else is said.
        let mut of_texts = encode.clone();
        if std::ptr::eq(model, &prompted) && encode.prompt_name.is_none() {
            of_texts = of_texts.prompt_name("document");
        }
        let mut of_query = default();
        of_query.truncate_dim = encode.truncate_dim;
        let hits = checked_hits(model, &index, ("the 3 cat", &of_query), (&texts, &of_texts));
        assert!(hits[0].score <= 1.0 + 1e-6 && hits[0].score > hits[22].score);

        // By the other functions, queries are as the texts are.
        let search = SearchOptions::default().top_k(1).score_function(SimilarityFunction::Euclidean);
        let mut same = encode.clone();
        same.prompt = Some(model_prompt(model, &of_texts));
        (same.truncate_dim, same.normalize_embeddings) = (None, false);
        let hit = &index.search(model, &[&texts[5]], &same, &search).unwrap()[0][0];
        assert_eq!((hit.score, &hit.text), (0.0, &texts[5]), "{encode:?}");
    }
}

/// What options put before a text.
fn model_prompt(model: &SentenceTransformer, options: &EncodeOptions) -> String {
    let named = options.prompt_name.as_deref();
    let named = model.prompts().find(|(name, _)| Some(*name) == named).map(|(_, prompt)| prompt.to_owned());
    options.prompt.clone().or(named).unwrap_or_default()
}

#[test]
fn vectors_of_other_lengths_do_not_come_into_an_index() {
    let (model, directory, texts) = (model(), tempfile::tempdir().unwrap(), texts(23));
    let cut = options().encode(EncodeOptions::default().truncate_dim(8));
    let scaled = options().encode(EncodeOptions::default().truncate_dim(8).normalize_embeddings(true));
    let mut writer = IndexWriter::create(directory.path(), &model, &scaled).unwrap();
    let vectors = model.encode_batch(&texts, &scaled.encode).unwrap();
    writer.add_encoded(items(borrowed(&texts)), &vectors).unwrap();
    // Within rounding of 16 bits they still are of length 1, and zeros have no length.
    let mut others = vectors.as_slice()[..24].to_vec();
    others[..8].iter_mut().for_each(|x| *x *= 1.00005);
    others[8..16].fill(0.0);
    writer.add_encoded(items(["a", "b", "c"]), Vectors::new(&others, 8).unwrap()).unwrap();
    others[16..].iter_mut().for_each(|x| *x *= 0.9);
    let error = writer.add_encoded(items(["a", "b", "c"]), Vectors::new(&others, 8).unwrap()).unwrap_err();
    let StreamError::Sink(IndexError::NotNormalized { vector: 2, norm }) = error else {
        panic!("{error}");
    };
    assert!((norm - 0.9).abs() < 1e-4);
    drop(writer);
    let error = IndexWriter::open(directory.path(), &model, &cut).unwrap_err();
    assert!(matches!(error, IndexError::OtherOption { option: "normalize_embeddings", .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "{} was built with normalize_embeddings true, not with false; texts that are added must be encoded as those \
             that are there",
            directory.path().display()
        )
    );
    IndexWriter::open(directory.path(), &model, &scaled).unwrap();
}

#[test]
fn long_texts_are_treated_alike() {
    let model = model();
    let with = |truncation| IndexOptions::default().encode(EncodeOptions::default().truncation(truncation));
    for (first, second, fits) in [
        (Truncation::Report, Truncation::Report, true),
        (Truncation::Report, Truncation::Split, false),
        (Truncation::Split, Truncation::Report, false),
        (Truncation::Split, Truncation::Error, true),
        (Truncation::Error, Truncation::Split, true),
    ] {
        let directory = tempfile::tempdir().unwrap();
        IndexWriter::create(directory.path(), &model, &with(first)).unwrap().add(items(["a"])).unwrap();
        let opened = IndexWriter::open(directory.path(), &model, &with(second));
        match opened {
            Ok(mut writer) => assert!(fits && writer.add(items(["b"])).is_ok()),
            Err(error) => {
                assert!(!fits && error.to_string().contains("was built with truncation"), "{error}")
            }
        }
    }
    // What had no long texts has them now.
    let directory = tempfile::tempdir().unwrap();
    IndexWriter::create(directory.path(), &model, &with(Truncation::Error))
        .unwrap()
        .add(items(["a"]))
        .unwrap();
    let split = with(Truncation::Split);
    IndexWriter::open(directory.path(), &model, &split).unwrap().add(items(["b"])).unwrap();
    let error =
        IndexWriter::open(directory.path(), &model, &with(Truncation::Report)).unwrap_err().to_string();
    assert!(error.contains("was built with truncation split, not with report"), "{error}");
}

#[test]
fn a_vector_that_is_no_number_is_not_added() {
    let folder = Folder::new();
    folder.change_weights(|_, (dtype, shape, data)| {
        let nan = data.chunks_exact(4).flat_map(|_| f32::NAN.to_le_bytes()).collect();
        Some((dtype, shape, nan))
    });
    let (model, directory) = (folder.load(), tempfile::tempdir().unwrap());
    let mut writer = IndexWriter::create(directory.path(), &model, &options()).unwrap();
    let item = || TextItem { id: None, text: "a".to_owned() };
    let error = writer.add([Ok::<_, std::convert::Infallible>(item())]).unwrap_err().to_string();
    assert_eq!(error, "component 0 of vector 0 is NaN; expected a finite number");
    assert!(writer.is_empty());
}
