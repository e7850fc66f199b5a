//! The options of `encode`, each beside sentence-transformers; and what these do not have: what becomes of long texts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minilm::{
    EmbeddingPrecision, EncodeOptions, Error, QuantizationRanges, QuantizedEmbeddings, SentenceTransformer,
    Truncation, Vectors, quantize_embeddings,
};
use minilm_tests::golden::{self, GoldenTensors};
use minilm_tests::model_folder::Folder;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Of every component; of vectors that are not scaled to unit length, as a part of the largest.
const TOLERANCE: f32 = 1e-6;

#[derive(Deserialize)]
struct Cases {
    texts: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    /// Settings files of the tiny model that are others.
    files: Map<String, Value>,
    method: String,
    arguments: Map<String, Value>,
}

impl Case {
    fn model(&self) -> SentenceTransformer {
        let folder = Folder::new();
        for (name, content) in &self.files {
            std::fs::write(folder.path(name), content.to_string()).unwrap();
        }
        folder.load()
    }

    fn options(&self) -> EncodeOptions {
        let mut options = EncodeOptions::default();
        for (name, value) in &self.arguments {
            let number = || value.as_u64().unwrap() as usize;
            options = match name.as_str() {
                "prompt" => options.prompt(value.as_str().unwrap()),
                "prompt_name" => options.prompt_name(value.as_str().unwrap()),
                "normalize_embeddings" => options.normalize_embeddings(value.as_bool().unwrap()),
                "truncate_dim" => options.truncate_dim(number()),
                "batch_size" => options.batch_size(number()),
                "output_value" => options,
                unknown => panic!("{}: unknown argument {unknown}", self.name),
            };
        }
        options
    }
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0, |largest: f32, x| largest.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        let off = (found - expected).abs();
        assert!(off <= TOLERANCE * largest, "{what}: {found}, {off} off, components up to {largest}");
    }
}

#[test]
fn options_mean_what_they_mean_in_sentence_transformers() {
    let Cases { texts, cases } = golden::json("encode-options");
    let tensors = GoldenTensors::open("encode-options");
    assert!(cases.len() >= 66);
    for case in &cases {
        let (model, options) = (case.model(), case.options());
        let found = match case.method.as_str() {
            "encode_query" => model.encode_query(&texts, &options),
            "encode_document" => model.encode_document(&texts, &options),
            _ => model.encode_batch(&texts, &options),
        }
        .unwrap();
        if case.arguments.contains_key("output_value") {
            let tokens = model.encode_tokens(&texts, &options).unwrap();
            for (i, text) in tokens.iter().enumerate() {
                let name = format!("{}.{i}", case.name);
                let states = text.token_embeddings();
                assert_eq!((states.len(), states.dimension()), (text.ids().len(), 40), "{name}");
                assert_near(states.as_slice(), &tensors.f32(&name), &name);
                assert_eq!(text.sentence_embedding(), found.row(i), "{name}");
                assert_eq!(text.token_count(), found.token_counts()[i], "{name}");
            }
        } else {
            assert_near(found.as_slice(), &tensors.f32(&case.name), &case.name);
        }
        // What `encode` does by itself, without a call's options.
        if options.prompt.is_none() && options.prompt_name.is_none() && case.method == "encode" {
            let plain = model.encode_batch(&texts, &EncodeOptions::default()).unwrap();
            assert_eq!(plain.dimension(), model.embedding_dimension(), "{}", case.name);
            for (text, vector) in texts.iter().zip(plain.rows()) {
                assert_eq!(model.encode(text).unwrap(), vector, "{}", case.name);
                assert_eq!(model.trace(text, &mut |_| ()).unwrap().0, vector, "{}", case.name);
            }
        }
    }
}

#[test]
fn vectors_are_quantised_as_by_sentence_transformers() {
    let tensors = GoldenTensors::open("encode-options");
    let vectors = GoldenTensors::open("vectors").f32("embeddings");
    let (some, others) = vectors.split_at(40 * 384);
    let (some, others) = (Vectors::new(some, 384).unwrap(), Vectors::new(others, 384).unwrap());
    let given = tensors.f32("quantized.ranges");
    let (starts, ends) = given.split_at(384);
    let given = QuantizationRanges::new(starts.to_vec(), ends.to_vec()).unwrap();
    let calibration = QuantizationRanges::of(others).unwrap();
    for (name, ranges) in [("calibration", Some(&calibration)), ("ranges", Some(&given)), ("own", None)] {
        let int8 = quantize_embeddings(some, EmbeddingPrecision::Int8, ranges).unwrap();
        let expected = tensors.i8(&format!("quantized.int8.{name}"));
        assert_eq!(int8, QuantizedEmbeddings::Int8(expected), "{name}");
        let uint8 = quantize_embeddings(some, EmbeddingPrecision::Uint8, ranges).unwrap();
        let expected = tensors.u8(&format!("quantized.uint8.{name}"));
        assert_eq!(uint8, QuantizedEmbeddings::Uint8(expected), "{name}");
    }
    let odd: Vec<f32> = some.rows().flat_map(|row| &row[..13]).copied().collect();
    for (name, vectors) in [("", some), (".odd", Vectors::new(&odd, 13).unwrap())] {
        let binary = quantize_embeddings(vectors, EmbeddingPrecision::Binary, None).unwrap();
        assert_eq!(binary, QuantizedEmbeddings::Binary(tensors.i8(&format!("quantized.binary{name}"))));
        let ubinary = quantize_embeddings(vectors, EmbeddingPrecision::Ubinary, None).unwrap();
        assert_eq!(ubinary, QuantizedEmbeddings::Ubinary(tensors.u8(&format!("quantized.ubinary{name}"))));
    }
}

/// 10 words each, which are 10 tokens.
const WORDS: &str = "a b c d e f g h i j ";

#[test]
fn a_long_text_is_reported_refused_or_split() {
    let model = Folder::new().load();
    let long = WORDS.repeat(7);
    let texts = ["a b", &long, "c", &long];

    let report = model.encode_batch(&texts, &EncodeOptions::default()).unwrap();
    let counts: Vec<_> = report.token_counts().iter().map(|count| (count.used, count.total)).collect();
    assert_eq!(counts, [(4, 4), (32, 72), (3, 3), (32, 72)]);

    let options = EncodeOptions::default().truncation(Truncation::Error);
    let error = model.encode_batch(&texts, &options).unwrap_err();
    assert_eq!(error.to_string(), "text 1 has 72 tokens, and the model takes 32");
    let texts_of_stream = texts.iter().map(Ok::<_, std::io::Error>);
    let options_of_stream = options.clone().window_texts(1);
    let error = model
        .encode_stream(texts_of_stream, &options_of_stream, |_, _| Ok::<(), std::io::Error>(()))
        .unwrap_err();
    assert_eq!(error.to_string(), "text 1 has 72 tokens, and the model takes 32");
    assert_eq!(model.encode_batch(&texts[..1], &options).unwrap().row(0), report.row(0));

    let heard = Arc::new(AtomicUsize::new(0));
    let hears = heard.clone();
    let options = EncodeOptions::default().truncation(Truncation::Split).progress(Arc::new(
        move |texts: usize, _: Option<usize>| {
            hears.fetch_max(texts, Ordering::Relaxed);
        },
    ));
    let split = model.encode_batch(&texts, &options).unwrap();
    assert_eq!(heard.load(Ordering::Relaxed), 4);
    let counts: Vec<_> = split.token_counts().iter().map(|count| (count.used, count.total)).collect();
    assert_eq!(counts, [(4, 4), (72, 72), (3, 3), (72, 72)]);
    assert_eq!((split.row(0), split.row(2)), (report.row(0), report.row(2)));
    // 70 tokens are pieces of 24, 24 and 22; a word is a token here.
    let words: Vec<&str> = long.split_whitespace().collect();
    let pieces: Vec<String> = words.chunks(24).map(|words| words.join(" ")).collect();
    let pieces = model.encode_batch(&pieces, &EncodeOptions::default()).unwrap();
    let mut mean: Vec<f64> = (0..40)
        .map(|i| [26.0, 26.0, 24.0].iter().zip(pieces.rows()).map(|(w, row)| w * f64::from(row[i])).sum())
        .collect();
    let norm = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
    mean.iter_mut().for_each(|x| *x /= norm);
    let mean: Vec<f32> = mean.iter().map(|&x| x as f32).collect();
    for row in [1, 3] {
        assert_near(split.row(row), &mean, "the mean of three pieces");
    }
    // Bits do not depend on what else is there.
    assert_eq!(split.row(1), model.encode_batch(&[&long], &options.clone().batch_size(1)).unwrap().row(0));

    let error = model.encode_tokens(&texts, &options).unwrap_err().to_string();
    assert_eq!(error, "truncation is Split, expected Report or Error");
}

#[test]
fn a_long_text_is_split_with_its_prompt_and_in_streams() {
    let folder = Folder::new();
    let model = folder.load();
    // Its tokens are in the text, but do not count for its vector.
    folder.replace("1_Pooling/config.json", "\"pooling_mode_cls_token\": false", "\"include_prompt\": false");
    let without_prompt = folder.load();
    let long = WORDS.repeat(7);
    let texts = ["a b", &long, "c", &long];
    let split = EncodeOptions::default().truncation(Truncation::Split);
    let prompted = split.clone().prompt("a b ");

    // A prompt is a part of the text, which is split with it.
    let found = model.encode_batch(&texts, &prompted).unwrap();
    let counts: Vec<_> = found.token_counts().iter().map(|count| (count.used, count.total)).collect();
    assert_eq!(counts, [(6, 6), (74, 74), (5, 5), (74, 74)]);
    let with_it = texts.map(|text| format!("a b {text}"));
    assert_eq!(found, model.encode_batch(&with_it, &split).unwrap());

    // 72 tokens are 3 pieces of 24, of which the first has the prompt.
    let found = without_prompt.encode_batch(&texts, &prompted).unwrap();
    assert_eq!(found.row(0), without_prompt.encode_batch(&["a b"], &prompted).unwrap().row(0));
    let words: Vec<&str> = long.split_whitespace().collect();
    let first = without_prompt.encode_batch(&[words[..22].join(" ")], &prompted).unwrap();
    let others = [&words[22..46], &words[46..]].map(|words| words.join(" "));
    let others = without_prompt.encode_batch(&others, &EncodeOptions::default()).unwrap();
    let rows: Vec<&[f32]> = first.rows().chain(others.rows()).collect();
    let mean: Vec<f64> = (0..40).map(|i| rows.iter().map(|row| f64::from(row[i])).sum()).collect();
    let norm = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
    let mean: Vec<f32> = mean.iter().map(|x| (x / norm) as f32).collect();
    assert_near(found.row(1), &mean, "the mean of three pieces");
    assert_ne!(found.row(1), model.encode_batch(&[&long], &prompted).unwrap().row(0));

    let whole = model.encode_batch(&texts, &split).unwrap();
    let cut = model.encode_batch(&texts, &split.clone().truncate_dim(8)).unwrap();
    let scaled = split.clone().truncate_dim(8).normalize_embeddings(true);
    let scaled = model.encode_batch(&texts, &scaled).unwrap();
    for (whole, (cut, scaled)) in whole.rows().zip(cut.rows().zip(scaled.rows())) {
        assert_eq!(cut, &whole[..8]);
        let norm = cut.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert_near(scaled, &cut.iter().map(|x| x / norm).collect::<Vec<_>>(), "scaled after cutting");
    }

    for (options, all) in [(&split, whole), (&prompted, model.encode_batch(&texts, &prompted).unwrap())] {
        let (mut data, mut counts) = (Vec::new(), Vec::new());
        let source = texts.iter().map(Ok::<_, ()>);
        let n = model.encode_stream(source, &options.clone().window_texts(3), |texts, embeddings| {
            assert!(texts.len() <= 3);
            data.extend_from_slice(embeddings.as_slice());
            counts.extend_from_slice(embeddings.token_counts());
            Ok::<_, ()>(())
        });
        assert_eq!((n.unwrap(), &data[..], &counts[..]), (4, all.as_slice(), all.token_counts()));
    }
}

#[test]
fn the_limit_may_be_set_within_what_the_model_has() {
    let mut model = Folder::new().load();
    let long = WORDS.repeat(2);
    let whole = model.encode(&long).unwrap();
    model.set_max_seq_length(12).unwrap();
    assert_eq!(model.max_seq_length(), 12);
    assert_eq!(model.encode(&long).unwrap(), model.encode(WORDS).unwrap());
    model.set_max_seq_length(48).unwrap();
    assert_eq!(model.encode(&long).unwrap(), whole);
    for limit in [0, 2, 49] {
        let error = model.set_max_seq_length(limit).unwrap_err().to_string();
        assert_eq!(error, format!("max_seq_length is {limit}, expected 3 to 48"));
        assert_eq!(model.max_seq_length(), 48);
    }
}

#[test]
fn options_that_cannot_be() {
    let model = Folder::new().load();
    let error =
        model.encode_batch(&["a"], &EncodeOptions::default().truncate_dim(0)).unwrap_err().to_string();
    assert_eq!(error, "truncate_dim is 0, expected at least 1");
    let error = model.encode_batch(&["a"], &EncodeOptions::default().prompt_name("passage")).unwrap_err();
    assert!(matches!(error, Error::PromptName { .. }), "{error}");
    assert_eq!(error.to_string(), "the model has no prompt \"passage\"; its prompts are document, query");
    // A wrong option is wrong without texts, too.
    let none: [&str; 0] = [];
    assert!(model.encode_batch(&none, &EncodeOptions::default().truncate_dim(0)).is_err());
    assert!(model.encode_batch(&none, &EncodeOptions::default()).unwrap().is_empty());
}
