//! Which files a model consists of: tokenizers, modules with weights, the card.

use minilm::SentenceTransformer;
use minilm::resolve::Source;

use super::*;

#[test]
fn a_vocabulary_does_for_a_tokenizer() {
    let setup = setup_of(|folder| fs::remove_file(folder.path("tokenizer.json")).unwrap());
    let model = setup.resolve().unwrap();
    assert!(model.directory().join("vocab.txt").is_file());
    assert!(model.directory().join("special_tokens_map.json").is_file());
    assert!(setup.asked_for().contains(&"added_tokens.json".to_owned()));
    let expected = SentenceTransformer::load(golden::tiny_bert()).unwrap();
    assert_eq!(setup.load().encode(TEXT).unwrap(), expected.encode(TEXT).unwrap());
    let offline = setup.options().offline(true);
    assert_eq!(resolve(NAME, &offline).unwrap().source(), Source::Cache);
    assert!(resolve(model.directory(), &offline).is_ok());

    // A cache that some program filled with a vocabulary does not say that there is nothing else.
    fs::remove_file(setup.path(".no_exist").join(COMMIT).join("tokenizer.json")).unwrap();
    let error = resolve(NAME, &offline).unwrap_err().to_string();
    assert!(
        error.contains("lacks tokenizer.json") && error.contains("give this directory's path"),
        "{error}"
    );
    assert_eq!(setup.resolve().unwrap().source(), Source::Hub);
}

#[test]
fn a_tokenizer_that_is_not_read_comes_with_advice() {
    for (files, names) in [
        (&["vocab.json", "merges.txt"][..], "vocab.json with merges.txt"),
        (&["sentencepiece.bpe.model"], "sentencepiece.bpe.model"),
        (&["spiece.model"], "spiece.model"),
    ] {
        let setup = setup_of(|folder| {
            for file in ["tokenizer.json", "vocab.txt"] {
                fs::remove_file(folder.path(file)).unwrap();
            }
            for file in files {
                fs::write(folder.path(file), "x").unwrap();
            }
        });
        let error = setup.failure();
        assert!(error.contains("model `acme/tiny` has no tokenizer.json. "), "{error}");
        assert!(error.contains(&format!("{names} cannot be read here; AutoTokenizer")), "{error}");
        setup.assert_no_weights_were_asked_for();
        setup.assert_no_snapshot();
    }
}

#[test]
fn every_model_of_the_family_comes_from_the_hub_as_it_is_by_path() {
    for name in ["tiny-bert", "tiny-bert-dense", "tiny-bert-odd", "tiny-distilbert", "tiny-mpnet"]
        .into_iter()
        .chain(["tiny-multilingual-bert", "tiny-roberta", "tiny-xlm-roberta"])
    {
        let setup = setup_of_fixture(name);
        let (model, by_path) =
            (setup.load(), SentenceTransformer::load(golden::fixtures().join(name)).unwrap());
        assert_eq!(model.fingerprint().unwrap(), by_path.fingerprint().unwrap(), "{name}");
        assert_eq!(model.encode(TEXT).unwrap(), by_path.encode(TEXT).unwrap(), "{name}");
        setup.server.forget_requests();
        assert_eq!(setup.load().resolved().source(), Source::Cache, "{name}");
        assert_eq!(setup.server.requests(), [], "{name}");
    }
}

#[test]
fn weights_of_modules_belong_to_the_model() {
    let setup = setup_of_fixture("tiny-bert-dense");
    let model = setup.resolve().unwrap();
    let of_modules = ["2_Dense", "3_LayerNorm", "4_Dense"].map(|module| format!("{module}/{WEIGHTS}"));
    let verified: Vec<String> = model.verify().unwrap().into_iter().map(|verified| verified.file).collect();
    for file in &of_modules {
        assert!(verified.contains(file), "{verified:?}");
    }
    let first = |name: &str| setup.asked_for().iter().position(|file| file == name).unwrap();
    let settings = ["2_Dense/config.json", "tokenizer.json", "vocab.txt"].map(first);
    assert!(settings.iter().all(|&setting| of_modules.iter().all(|file| setting < first(file))));

    let setup = setup_of_fixture("tiny-bert-dense");
    setup.server.change(|model| {
        let weights = model.files.remove("2_Dense/model.safetensors").unwrap();
        model.files.insert("2_Dense/pytorch_model.bin".to_owned(), weights);
    });
    let error = setup.failure();
    let says =
        "has no 2_Dense/model.safetensors. There is a 2_Dense/pytorch_model.bin, but that is a Python pickle";
    assert!(error.contains(says) && error.contains("safe_serialization=True"), "{error}");
    assert!(setup.server.requests().iter().all(|request| request.server == Server::Hub));
    setup.assert_no_snapshot();

    let setup = setup_of_fixture("tiny-bert-dense");
    setup.server.change(|model| drop(model.files.remove("3_LayerNorm/config.json")));
    assert!(setup.failure().contains("has no 3_LayerNorm/config.json"));
    setup.assert_no_weights_were_asked_for();
}

#[test]
fn folders_that_lack_weights_of_modules_say_which() {
    let folder = tempfile::tempdir().unwrap();
    for (name, file) in Model::of_folder(NAME, COMMIT, &golden::fixtures().join("tiny-bert-dense")).files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file.content).unwrap();
    }
    let failure = || resolve(folder.path(), &ResolveOptions::new()).unwrap_err().to_string();
    fs::rename(folder.path().join("2_Dense"), folder.path().join("aside")).unwrap();
    fs::remove_file(folder.path().join("3_LayerNorm").join(WEIGHTS)).unwrap();
    let error = failure();
    let says = "lacks 2_Dense/config.json, 2_Dense/model.safetensors, 3_LayerNorm/model.safetensors";
    assert!(error.ends_with(says), "{error}");
    fs::write(folder.path().join("3_LayerNorm/pytorch_model.bin"), "x").unwrap();
    let error = failure();
    assert!(error.contains("There is a 3_LayerNorm/pytorch_model.bin"), "{error}");
}

#[test]
fn a_card_states_the_licence() {
    let setup = Setup::new();
    assert_eq!(setup.resolve().unwrap().license().as_deref(), Some("apache-2.0"));
    assert_eq!(setup.resolve().unwrap().source(), Source::Cache);
    let without = Setup::with(|model| drop(model.files.remove("README.md")));
    assert_eq!(without.resolve().unwrap().license(), None);
    assert_eq!(resolve(golden::tiny_bert(), &ResolveOptions::new()).unwrap().license(), None);
}
