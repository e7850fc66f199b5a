//! What `embed` can do with texts and vectors; and the pages and scripts that are made of the arguments.

use minilm::storage::{StoredVectors, VectorOptions};
use serde_json::Value;

use super::{Files, embed, minilm, records, refuses, run, stdout};

fn vectors(jsonl: &str) -> Vec<Vec<f64>> {
    let vector = |record: &Value| {
        let numbers = record["embedding"].as_array().unwrap();
        numbers.iter().map(|x| x.as_f64().unwrap()).collect()
    };
    records(jsonl).iter().map(vector).collect()
}

#[test]
fn a_prompt_is_put_before_texts() {
    let plain = vectors(&stdout(embed(&["the query: the cat", "the cat"])));
    let prompted = vectors(&stdout(embed(&["the cat", "--prompt", "the query: "])));
    assert_eq!(prompted[0], plain[0]);
    // The tiny model has the names, and nothing behind them.
    assert_eq!(vectors(&stdout(embed(&["the cat", "--prompt-name", "query"])))[0], plain[1]);
    refuses(embed(&["a", "--prompt-name", "passage"]), &["no prompt \"passage\"", "document, query"]);
    assert_eq!(run(embed(&["a", "--prompt-name", "query", "--prompt", "a"])).status.code(), Some(2));
}

#[test]
fn vectors_are_cut_and_scaled() {
    let whole = &vectors(&stdout(embed(&["the cat"])))[0];
    let cut = &vectors(&stdout(embed(&["the cat", "--truncate-dim", "8"])))[0];
    assert_eq!(cut[..], whole[..8]);
    let scaled = &vectors(&stdout(embed(&["the cat", "--truncate-dim", "8", "--normalize-embeddings"])))[0];
    let length = scaled.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!((length - 1.0).abs() < 1e-6, "{length}");
    refuses(embed(&["a", "--truncate-dim", "0"]), &["truncate_dim is 0, expected at least 1"]);
}

#[test]
fn long_texts_are_reported_refused_or_split() {
    let long = "a ".repeat(70);
    let arguments = ["the cat", &long];
    let reported = run(embed(&arguments));
    assert!(String::from_utf8(reported.stderr).unwrap().contains("1 of 2 texts had more than 32 tokens"));
    let files = Files::new();
    let output = files.path("out.jsonl");
    let error = embed(&["the cat", &long, "--truncation", "error", "-o", &output]);
    refuses(error, &["text 1 has 72 tokens, and the model takes 32"]);
    assert_eq!(files.names(), [""; 0]);
    let split = run(embed(&["the cat", &long, "--truncation", "split"]));
    assert!(split.status.success() && split.stderr.is_empty());
    let split = records(&String::from_utf8(split.stdout).unwrap());
    assert_eq!((&split[1]["tokens"], &split[1]["truncated"]), (&Value::from(72), &Value::from(false)));

    let longer = embed(&["the cat", &long, "--max-seq-length", "48"]);
    assert!(String::from_utf8(run(longer).stderr).unwrap().contains("1 of 2 texts had more than 48 tokens"));
    refuses(embed(&["a", "--max-seq-length", "49"]), &["max_seq_length is 49, expected 3 to 48"]);
}

#[test]
fn vectors_are_written_as_bytes_and_bits() {
    let files = Files::new();
    let texts: String = (0..120).map(|i| format!("the {i} cat\n")).collect();
    let texts = files.write("texts.txt", texts);
    let floats = files.path("floats.npy");
    stdout(embed(&["-i", &texts, "-o", &floats]));
    let floats_read = StoredVectors::open(&floats, &VectorOptions::default()).unwrap();

    let bits = files.path("bits.npy");
    stdout(embed(&["-i", &texts, "-o", &bits, "--output-precision", "ubinary"]));
    let bits = StoredVectors::<u8>::open_as(&bits, &VectorOptions::default()).unwrap();
    assert_eq!((bits.len(), bits.dimension()), (120, 5));
    for (bytes, row) in bits.as_slice().chunks(5).zip(floats_read.vectors().rows()) {
        for (i, &x) in row.iter().enumerate() {
            assert_eq!(bytes[i / 8] >> (7 - i % 8) & 1 == 1, x > 0.0);
        }
    }

    let bytes = files.path("bytes.npy");
    let quantized = |ranges: &[&str]| {
        stdout(embed(&[&["-i", &texts, "-o", &bytes, "--output-precision", "int8"], ranges].concat()));
        StoredVectors::<i8>::open_as(&bytes, &VectorOptions::default()).unwrap().as_slice().to_vec()
    };
    let by_calibration = quantized(&["--calibration", &floats]);
    for component in 0..40 {
        let column = || by_calibration.iter().skip(component).step_by(40);
        // The largest is 255 steps up, or with rounding a little less, which is the 254th.
        assert_eq!(column().min(), Some(&-128), "{component}");
        assert!(column().max() >= Some(&126), "{component}");
    }
    // The same ranges, given.
    let column = |component: usize| floats_read.vectors().rows().map(move |row| row[component]);
    let ends = [f32::min as fn(f32, f32) -> f32, f32::max];
    let rows = ends.map(|end| (0..40).map(|i| column(i).reduce(end).unwrap()).collect::<Vec<f32>>());
    let lines = rows.map(|row| format!("{{\"embedding\":{}}}\n", serde_json::to_string(&row).unwrap()));
    let ranges = files.write("ranges.jsonl", lines.concat());
    assert_eq!(quantized(&["--ranges", &ranges]), by_calibration);

    let int8 = |arguments: &[&str]| embed(&[&["a", "--output-precision", "int8"], arguments].concat());
    refuses(int8(&[]), &["needs the range of each component", "--calibration", "--ranges"]);
    refuses(int8(&["--ranges", &floats]), &["floats.npy: expected two vectors", "found 120"]);
    refuses(int8(&["--calibration", &texts]), &["texts.txt"]);
    let short = files.write("short.jsonl", "{\"embedding\":[0,1]}\n{\"embedding\":[1,2]}\n");
    refuses(int8(&["--ranges", &short]), &["the ranges have 2 components, and vectors 40"]);
    let upside_down = files.write("down.jsonl", "{\"embedding\":[1]}\n{\"embedding\":[0]}\n");
    refuses(int8(&["--ranges", &upside_down]), &["down.jsonl: the range of component 0 is 1 to 0"]);
    let few = run(int8(&["--calibration", &short]));
    assert!(String::from_utf8(few.stderr).unwrap().contains("short.jsonl has 2 vectors"));
}

#[test]
fn vectors_of_tokens_are_lines_too() {
    let texts = ["the cat", "", "a b c d"];
    let expected = records(&stdout(embed(&texts)));
    let both = records(&stdout(embed(&[&texts[..], &["--output-value", "both"]].concat())));
    let tokens = records(&stdout(embed(&[&texts[..], &["--output-value", "tokens"]].concat())));
    for ((both, tokens), expected) in both.iter().zip(&tokens).zip(&expected) {
        for field in ["text", "embedding", "tokens", "truncated"] {
            assert_eq!(both[field], expected[field]);
        }
        assert!(tokens["embedding"].is_null());
        assert_eq!(tokens["token_embeddings"], both["token_embeddings"]);
        let (ids, rows) =
            (both["token_ids"].as_array().unwrap(), both["token_embeddings"].as_array().unwrap());
        assert_eq!((ids.len(), rows.len()), (rows.len(), expected["tokens"].as_u64().unwrap() as usize));
        assert!(rows.iter().all(|row| row.as_array().unwrap().len() == 40));
    }
    let files = Files::new();
    let npy = embed(&["a", "--output-value", "both", "-o", &files.path("out.npy")]);
    refuses(npy, &["are written as jsonl, not as npy"]);
    let bits = embed(&["a", "--output-value", "both", "--output-precision", "ubinary"]);
    refuses(bits, &["are written as float32, not as ubinary"]);
    let split = embed(&["a", "--output-value", "both", "--truncation", "split"]);
    refuses(split, &["truncation is Split"]);
}

#[test]
fn there_are_completions_and_manual_pages() {
    for (shell, says) in
        [("bash", "complete -F _minilm"), ("zsh", "#compdef minilm"), ("fish", "complete -c minilm")]
    {
        let script = stdout(minilm(&["completions", shell]));
        assert!(script.contains(says) && script.contains("similarity"), "{shell}");
    }
    let files = Files::new();
    stdout(minilm(&["man", "-o", &files.path("man1")]));
    let page = |name: &str| std::fs::read_to_string(files.path(&format!("man1/{name}.1"))).unwrap();
    assert!(page("minilm").contains("Exit status: 0 if all went well"));
    assert!(page("minilm-embed").contains("\\-\\-truncation"));
    assert!(page("minilm-eval-sts").contains("spearman") || page("minilm-eval-sts").contains("Spearman"));
    refuses(minilm(&["man", "-o", &files.write("file", "")]), &["cannot write"]);
}
