//! The traced pass over golden texts, against the ordinary one and what sentence-transformers computed.

use std::collections::HashSet;

use minilm::{DEFAULT_MODEL, LoadOptions, Precision, SentenceTransformer, Tap, TraceStep, TraceValues};
use minilm_tests::golden;
use minilm_tests::golden_bits::{TINY_MODEL, bits, load};
use minilm_tests::model_folder::Folder;

/// Every tap and the vector have the bits of `hidden_states` and `encode`.
#[track_caller]
fn check(model: &SentenceTransformer, text: &str) {
    let mut taps = model.hidden_states(text).unwrap().into_iter();
    let (mut names, mut last) = (Vec::new(), Vec::new());
    let (vector, count) = model
        .trace(text, &mut |step| {
            names.push(step.name.clone());
            let TraceValues::F32(values) = step.values else { return };
            last = values.to_vec();
            let tap = match step.name.split('.').collect::<Vec<_>>()[..] {
                ["embeddings", "layer_norm"] => Tap::Embeddings,
                ["layer", i, "output", "layer_norm"] => Tap::Layer(i.parse().unwrap()),
                _ => return,
            };
            let (expected_tap, expected) = taps.next().expect("as many taps as in the forward pass");
            assert_eq!(tap, expected_tap);
            assert!(bits(values) == bits(&expected), "{tap:?} of {text:?}");
        })
        .unwrap();
    assert!(taps.next().is_none(), "a tap is not in the trace");
    let expected = bits(&model.encode(text).unwrap());
    assert!(bits(&vector) == expected && bits(&last) == expected, "the vector of {text:?}");
    assert_eq!(model.tokenize(text).unwrap().1, count);

    let (layers, modules) = (model.config().num_hidden_layers, 1 + usize::from(model.normalizes()));
    let steps_of_layers = match model.precision() {
        Precision::F32 => 12 * layers,
        // Attention is one step in the place of three, but in the last layer.
        Precision::Bf16 => 10 * (layers - 1) + 12,
        // In all layers; and two products of each have factors.
        Precision::Int8 => (10 + 2) * layers,
    };
    assert_eq!(names.len(), 4 + steps_of_layers + modules);
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "a name occurs twice");
}

#[test]
fn all_texts_of_the_tiny_model() {
    for precision in Precision::ALL {
        let model = load(TINY_MODEL, &LoadOptions::default().precision(precision));
        for text in golden::texts(TINY_MODEL) {
            check(&model, &text.text);
        }
    }
}

/// Of each category of golden texts one, the empty text, one of 256 tokens and longer ones among them; in bf16 and int8 the
/// shorter half of them.
#[test]
fn texts_of_every_kind_of_the_real_model() {
    let mut seen = HashSet::new();
    let texts = golden::texts("texts").into_iter().filter(|t| seen.insert(t.category.clone()));
    let mut texts: Vec<_> = texts.collect();
    assert!(texts.len() >= 20, "{} categories", texts.len());
    texts.sort_by_key(|text| text.tokens);
    for precision in Precision::ALL {
        let model = load(DEFAULT_MODEL, &LoadOptions::default().precision(precision));
        let count = if precision == Precision::F32 { texts.len() } else { texts.len() / 2 };
        texts[..count].iter().for_each(|text| check(&model, &text.text));
    }
}

#[test]
fn other_poolings_no_normalize_and_no_tokens_at_all() {
    for (mode, reference) in [("mean", Some("mean_pool")), ("max", Some("max_pool")), ("cls", None)] {
        let folder = Folder::new();
        let config = format!("{{\"pooling_mode\": \"{mode}\"}}");
        std::fs::write(folder.path("1_Pooling/config.json"), config).unwrap();
        let json = std::fs::read_to_string(folder.path("modules.json")).unwrap();
        let mut modules: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
        modules.pop();
        std::fs::write(folder.path("modules.json"), serde_json::to_string(&modules).unwrap()).unwrap();
        let json = std::fs::read_to_string(folder.path("tokenizer.json")).unwrap();
        let mut tokenizer: serde_json::Value = serde_json::from_str(&json).unwrap();
        tokenizer["post_processor"] = serde_json::Value::Null;
        std::fs::write(folder.path("tokenizer.json"), tokenizer.to_string()).unwrap();

        let model = folder.load();
        for text in ["", "a few words"] {
            check(&model, text);
            let mut last = None;
            model.trace(text, &mut |step| last = Some((step.name.clone(), step.reference))).unwrap();
            assert_eq!(last, Some(("pooled".to_owned(), reference)), "{mode}");
        }
    }
}

#[test]
fn weights_are_named_as_in_the_file() {
    let folder = Folder::new();
    folder.prefix_weights("bert.");
    let mut names = Vec::new();
    folder.load().trace("words", &mut |step| names.extend(step.weights.clone())).unwrap();
    assert_eq!(names.len(), 1 + 2 + 2 + 2 * (6 + 2 + 2 + 2 + 2 + 2));
    assert!(names.iter().all(|name| name.starts_with("bert.")), "{names:?}");
}

#[test]
fn the_vector_comes_from_what_its_steps_are_patched_with() {
    let folder = Folder::new();
    let model = folder.load();
    let with = |name: &str, values: &[f32]| {
        let patch = &mut |step: &TraceStep<'_>| (step.name == name).then(|| values.to_vec());
        model.trace_patched("a few words", patch).unwrap().0
    };
    // The states of another text of as many tokens make it that text.
    let (text, other) = ("a few words", "words a few");
    assert_eq!(model.tokenize(text).unwrap().0.len(), model.tokenize(other).unwrap().0.len());
    let (_, states) = model.hidden_states(other).unwrap().pop().unwrap();
    let expected = model.encode(other).unwrap();
    assert_ne!(bits(&model.encode(text).unwrap()), bits(&expected));
    assert_eq!(bits(&with("layer.1.output.layer_norm", &states)), bits(&expected));

    let mut doubled = vec![0.0; model.embedding_dimension()];
    doubled[3] = 2.0;
    let mut unit = doubled.clone();
    unit[3] = 1.0;
    assert_eq!(with("pooled", &doubled), unit);
    assert_eq!(with("normalized", &doubled), doubled);
    // No step has that name, and nothing changes.
    assert_eq!(bits(&with("nothing", &[])), bits(&model.encode("a few words").unwrap()));
}

#[test]
#[should_panic(expected = "pooled has 40 elements, and 41 cannot replace them")]
fn a_patch_of_the_vector_has_as_many_components() {
    let patch = &mut |step: &TraceStep<'_>| (step.name == "pooled").then(|| vec![0.0; 41]);
    let _ = Folder::new().load().trace_patched("a few words", patch);
}
