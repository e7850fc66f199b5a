//! Model folders that are broken, each in one way: a clear error that names the file, what was expected and
//! what was found; never a panic, never a vector.

use minilm::{Error, Precision, SentenceTransformer};
use minilm_tests::model_folder::Folder;
use safetensors::Dtype;

#[test]
fn a_missing_directory() {
    let error = SentenceTransformer::load("./no/such/model").unwrap_err().to_string();
    assert!(error.contains("./no/such/model"), "{error}");
}

#[test]
fn a_directory_that_lacks_a_file() {
    for file in ["config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"] {
        let folder = Folder::new();
        std::fs::remove_file(folder.path(file)).unwrap();
        if file == "tokenizer.json" {
            // It would do.
            std::fs::remove_file(folder.path("vocab.txt")).unwrap();
        }
        folder.refuses(&["lacks", file, folder.directory().to_str().unwrap()]);
    }
}

#[test]
fn only_a_pickle() {
    let folder = Folder::new();
    std::fs::rename(folder.path("model.safetensors"), folder.path("pytorch_model.bin")).unwrap();
    folder.refuses(&["model.safetensors", "pytorch_model.bin", "safe_serialization"]);
}

#[test]
fn weights_that_are_not_safetensors() {
    let folder = Folder::new();
    std::fs::write(folder.path("model.safetensors"), b"these are no weights at all").unwrap();
    let error = folder.refuses(&["model.safetensors", "not a valid safetensors file"]);
    assert!(matches!(error, Error::Weights(_)), "{error:?}");
}

#[test]
fn weights_whose_header_reaches_past_the_end() {
    let folder = Folder::new();
    let mut bytes = std::fs::read(folder.path("model.safetensors")).unwrap();
    let length = bytes.len() as u64 - 7;
    bytes[..8].copy_from_slice(&length.to_le_bytes());
    std::fs::write(folder.path("model.safetensors"), bytes).unwrap();
    folder.refuses(&["model.safetensors", &format!("header should be {length} bytes long")]);
}

#[test]
fn truncated_weights() {
    let folder = Folder::new();
    let bytes = std::fs::read(folder.path("model.safetensors")).unwrap();
    std::fs::write(folder.path("model.safetensors"), &bytes[..bytes.len() - 100]).unwrap();
    folder.refuses(&["model.safetensors", "outside the"]);
}

#[test]
fn overlapping_offsets_and_offsets_out_of_range() {
    for (start, end, says) in [(40, 80, "overlaps"), (usize::MAX - 40, usize::MAX, "outside the")] {
        let folder = Folder::new();
        let bytes = std::fs::read(folder.path("model.safetensors")).unwrap();
        let header_end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..header_end]).unwrap();
        // A vector that is not the first in the file.
        let tensors = header.as_object_mut().unwrap();
        let (name, tensor) = tensors
            .iter_mut()
            .find(|(_, t)| t["shape"] == serde_json::json!([40]) && t["data_offsets"][0].as_u64() > Some(40))
            .unwrap();
        tensor["data_offsets"] = serde_json::json!([start, end]);
        let (name, size) = (name.clone(), end - start);
        tensors[&name]["shape"] = serde_json::json!([size / 4]);
        let header = serde_json::to_vec(&header).unwrap();
        let mut broken = (header.len() as u64).to_le_bytes().to_vec();
        broken.extend(header);
        broken.extend(&bytes[header_end..]);
        std::fs::write(folder.path("model.safetensors"), broken).unwrap();
        folder.refuses(&["model.safetensors", says]);
    }
}

#[test]
fn a_tensor_of_another_type() {
    let folder = Folder::new();
    folder.change_weights(|name, (dtype, shape, data)| {
        let is_bias = name == "encoder.layer.1.output.dense.bias";
        Some((if is_bias { Dtype::I32 } else { dtype }, shape, data))
    });
    folder.refuses(&["encoder.layer.1.output.dense.bias", "I32", "expected F32, F16 or BF16"]);
}

#[test]
fn a_tensor_of_another_shape() {
    let folder = Folder::new();
    folder.change_weights(|name, (dtype, mut shape, data)| {
        if name == "encoder.layer.0.intermediate.dense.weight" {
            shape.reverse();
        }
        Some((dtype, shape, data))
    });
    folder.refuses(&["encoder.layer.0.intermediate.dense.weight", "[40, 72]", "expected [72, 40]"]);
}

#[test]
fn a_missing_tensor() {
    for missing in ["embeddings.LayerNorm.weight", "encoder.layer.1.attention.self.key.weight"] {
        let folder = Folder::new();
        folder.change_weights(|name, tensor| (name != missing).then_some(tensor));
        folder.refuses(&[missing, "is missing"]);
    }
}

/// As models are saved that are a part of another, or whole pipelines of sentence-transformers.
#[test]
fn tensors_with_a_foreign_prefix() {
    let missing = "tensor \"embeddings.word_embeddings.weight\" is missing";
    for prefix in ["model.", "encoder.", "transformer.", "0.auto_model.", "module.bert.", "roberta."] {
        let folder = Folder::new();
        folder.prefix_weights(prefix);
        let found = format!("one has the prefix {prefix:?} before this name");
        folder.refuses(&["model.safetensors", missing, &found]);
        folder.split_weights(2);
        folder.refuses(&["model.safetensors.index.json", missing, &found]);
    }
}

#[test]
fn a_config_that_does_not_fit_the_weights() {
    let folder = Folder::new();
    folder.replace("config.json", "\"intermediate_size\": 72", "\"intermediate_size\": 80");
    folder.refuses(&["encoder.layer.0.intermediate.dense.weight", "[72, 40]", "expected [80, 40]"]);
    let folder = Folder::new();
    folder.replace("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    folder.refuses(&["encoder.layer.2.", "is missing"]);
}

#[test]
fn an_unknown_architecture_and_what_is_not_computed() {
    for (from, to, says) in [
        ("\"model_type\": \"bert\"", "\"model_type\": \"deberta-v2\"", "model_type is \"deberta-v2\""),
        ("\"model_type\": \"bert\"", "\"model_type\": \"bert\", \"is_decoder\": true", "is_decoder is true"),
        ("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"mish\"", "hidden_act is \"mish\""),
        ("\"num_attention_heads\": 5", "\"num_attention_heads\": 7", "num_attention_heads is 7"),
        ("\"hidden_size\": 40", "\"hidden_size\": 0", "hidden_size is 0"),
        ("\"hidden_size\": 40", "\"hidden_size\": \"40\"", "hidden_size is \"40\", expected an integer"),
        ("\"absolute\"", "\"relative_key\"", "position_embedding_type is \"relative_key\""),
        ("\"model_type\"", "\"type\"", "missing field `model_type`"),
    ] {
        Folder::new().replace("config.json", from, to).refuses(&["config.json", says]);
    }
    let folder = Folder::new();
    std::fs::write(folder.path("config.json"), "{").unwrap();
    folder.refuses(&["config.json", "not a valid model config"]);
}

#[test]
fn modules_and_pooling_that_are_not_computed() {
    Folder::new()
        .replace("modules.json", "models.Normalize", "models.CNN")
        .refuses(&["modules.json", "models.CNN\" is not supported"]);
    Folder::new()
        .replace(
            "1_Pooling/config.json",
            "\"pooling_mode_cls_token\": false",
            "\"pooling_mode_median\": true",
        )
        .refuses(&["1_Pooling", "the pooling mode is \"median\""]);
    Folder::new()
        .replace("modules.json", "1_Pooling", "../elsewhere")
        .refuses(&["modules.json", "../elsewhere"]);
}

#[test]
fn a_broken_tokenizer() {
    let folder = Folder::new();
    std::fs::write(folder.path("tokenizer.json"), "{\"version\": \"1.0\"}").unwrap();
    folder.refuses(&["tokenizer.json", "not a valid tokenizer.json"]);
    let folder = Folder::new();
    folder.replace("config.json", "\"vocab_size\": 301", "\"vocab_size\": 300");
    folder.refuses(&["tokenizer.json", "301 tokens", "vocab_size is 300"]);
    let folder = Folder::new();
    std::fs::write(folder.path("sentence_bert_config.json"), "{\"max_seq_length\": 2}").unwrap();
    folder.refuses(&["max_seq_length is 2", "expected at least 3"]);
}

/// f16 and bf16 weights are read, and give the vectors of the weights they were rounded to.
#[test]
fn weights_of_half_precision_are_read() {
    for dtype in [Dtype::F16, Dtype::BF16] {
        let rounded = |x: f32| match dtype {
            Dtype::F16 => half::f16::from_f32(x).to_f32(),
            _ => half::bf16::from_f32(x).to_f32(),
        };
        let numbers =
            |data: &[u8]| -> Vec<f32> { data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect() };
        let (as_half, as_single) = (Folder::new(), Folder::new());
        as_half.change_weights(|_, (found, shape, data)| match found {
            Dtype::F32 => {
                let half = numbers(&data).into_iter().flat_map(|x| match dtype {
                    Dtype::F16 => half::f16::from_f32(x).to_le_bytes(),
                    _ => half::bf16::from_f32(x).to_le_bytes(),
                });
                Some((dtype, shape, half.collect()))
            }
            _ => Some((found, shape, data)),
        });
        as_single.change_weights(|_, (found, shape, data)| match found {
            Dtype::F32 => {
                let data = numbers(&data).into_iter().flat_map(|x| rounded(x).to_le_bytes()).collect();
                Some((found, shape, data))
            }
            _ => Some((found, shape, data)),
        });
        for precision in Precision::ALL {
            let [half, single] = [&as_half, &as_single].map(|folder| folder.load_in(precision));
            assert_ne!(half.weights_type(), single.weights_type());
            let text = "the same numbers, in whatever type they are kept";
            assert_eq!(half.encode(text).unwrap(), single.encode(text).unwrap(), "{precision}");
        }
    }
}

/// Nothing can be said of the vectors, but nothing panics, and every text has one.
#[test]
fn weights_may_be_any_numbers_in_every_precision() {
    for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE / 8.0, 0.0] {
        for (name, every) in [("", 1), ("", 7), ("word_embeddings", 3), ("LayerNorm.bias", 5)] {
            let folder = Folder::new();
            folder.change_weights(|tensor, (dtype, shape, mut data)| {
                if dtype == Dtype::F32 && tensor.contains(name) {
                    let numbers = data.as_chunks_mut::<4>().0.iter_mut().step_by(every);
                    numbers.for_each(|x| *x = number.to_le_bytes());
                }
                Some((dtype, shape, data))
            });
            for precision in Precision::ALL {
                let model = folder.load_in(precision);
                let vectors = model.encode_batch(&["", "a few words"], &Default::default()).unwrap();
                assert_eq!(vectors.len(), 2, "{number} in {precision}");
            }
        }
    }
}
