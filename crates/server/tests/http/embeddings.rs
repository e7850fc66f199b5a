//! Vectors of texts, and how similar these are.

use axum::http::StatusCode;
use minilm::{EncodeOptions, TruncationSide, cos_sim};
use minilm_server::ServerOptions;
use serde_json::json;

use crate::server::{Answer, TEXTS, expected, model, post, router, vector, vectors};

#[tokio::test]
async fn vectors_are_the_bits_of_the_library() {
    let router = router(ServerOptions::default());
    let normalized = EncodeOptions::default().normalize_embeddings(true);
    for (fields, options) in [
        (json!({}), normalized.clone()),
        (json!({"normalize": false}), EncodeOptions::default().unscaled(true)),
        (json!({"dimensions": 7}), normalized.clone().truncate_dim(7)),
        // To JSON, and to JSON Schema, it is the same number.
        (json!({"dimensions": 7.0}), normalized.clone().truncate_dim(7)),
        (json!({"truncate": true, "prompt_name": null, "normalize": null}), normalized.clone()),
    ] {
        let mut request = fields.clone();
        request["inputs"] = json!(TEXTS);
        let answer = post(&router, "/embed", request.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{fields}: {}", answer.body);
        assert_eq!(vectors(&answer.body), expected(&options), "{fields}");
    }
    // One text is a list of one.
    let answer = post(&router, "/embed", json!({"inputs": TEXTS[2]}).to_string()).await;
    assert_eq!(vectors(&answer.body), expected(&normalized)[2..]);

    let answer = post(&router, "/embed_all", json!({"inputs": TEXTS}).to_string()).await;
    let tokens = model().encode_tokens(&TEXTS, &EncodeOptions::default()).unwrap();
    for (found, text) in answer.body.as_array().unwrap().iter().zip(&tokens) {
        let expected: Vec<Vec<f32>> = text.token_embeddings().rows().map(<[f32]>::to_vec).collect();
        assert_eq!(vectors(found), expected);
    }
}

#[tokio::test]
async fn the_side_that_is_cut_is_the_requests() {
    let router = router(ServerOptions::default());
    let text = "the cat ".repeat(240) + "sat on the mat";
    for (direction, side) in [("Left", TruncationSide::Left), ("Right", TruncationSide::Right)] {
        let request = json!({"inputs": text, "truncation_direction": direction}).to_string();
        let answer = post(&router, "/embed", request).await;
        let options = EncodeOptions::default().normalize_embeddings(true).truncation_side(side);
        assert_eq!(vector(&answer.body[0]), model().encode_batch(&[&text], &options).unwrap().row(0));
    }
}

#[tokio::test]
async fn similarities_are_cosines_at_their_own_path_and_at_the_root() {
    let router = router(ServerOptions::default());
    let model = model();
    let vectors = model.encode_batch(&TEXTS, &EncodeOptions::default().normalize_embeddings(true)).unwrap();
    let source =
        model.encode_batch(&["a cat"], &EncodeOptions::default().normalize_embeddings(true)).unwrap();
    let expected = cos_sim(&source, &vectors).unwrap();
    let inputs = json!({"source_sentence": "a cat", "sentences": TEXTS});
    for path in ["/similarity", "/"] {
        for request in
            [json!({"inputs": inputs}), json!({"inputs": inputs, "parameters": {"truncate": true}})]
        {
            let answer = post(&router, path, request.to_string()).await;
            assert_eq!(vector(&answer.body), expected.row(0), "{path}: {}", answer.body);
        }
        let request = json!({"inputs": {"source_sentence": "a cat", "sentences": []}});
        assert_eq!(post(&router, path, request.to_string()).await.status, StatusCode::BAD_REQUEST);
    }
    let answer = post(&router, "/", json!({"inputs": TEXTS, "normalize": true}).to_string()).await;
    assert_eq!(self::vectors(&answer.body), vectors.rows().map(<[f32]>::to_vec).collect::<Vec<_>>());

    // Fields are those of the request that the inputs are for, also where they stand in front of them.
    let answer = post(&router, "/", r#"{"normalize": 7, "inputs": "a"}"#).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
    let similarity = |field: &str| format!(r#"{{"{field}": 7, "inputs": {inputs}}}"#);
    assert_eq!(post(&router, "/", similarity("normalize")).await.status, StatusCode::OK);
    let answer = post(&router, "/", similarity("parameters")).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
    let answer = post(&router, "/", r#"{"inputs": 7}"#).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let says = answer.body["error"].as_str().unwrap();
    assert!(says.contains("a list of strings") && says.contains("a sentence and those to compare"), "{says}");
}

#[tokio::test]
async fn what_was_cut_is_said() {
    let router = router(ServerOptions::default());
    let long = "the cat ".repeat(240);
    let request = json!({"inputs": ["a dog", long, "a cat", long]}).to_string();
    let Answer { status, headers, .. } = post(&router, "/embed", request).await;
    assert_eq!((status, headers["x-truncated-inputs"].to_str().unwrap()), (StatusCode::OK, "1, 3"));
    let tokens: usize = headers["x-compute-tokens"].to_str().unwrap().parse().unwrap();
    assert!(tokens > 2 * model().max_seq_length(), "{tokens}");
    let timing = headers["server-timing"].to_str().unwrap();
    assert!(timing.contains("inference;dur=") && timing.contains("queue;dur="), "{timing}");

    let answer = post(&router, "/embed", json!({"inputs": "a dog"}).to_string()).await;
    assert!(!answer.headers.contains_key("x-truncated-inputs"));
    let server = self::router(ServerOptions::default().auto_truncate(false));
    let answer = post(&server, "/v1/embeddings", json!({"input": long}).to_string()).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_default_prompt_is_put_before_texts_of_requests_that_name_none() {
    let router = router(ServerOptions::default().default_prompt("the dog: "));
    let options = EncodeOptions::default().normalize_embeddings(true);
    for (fields, options) in [
        (json!({}), options.clone().prompt("the dog: ")),
        (json!({"prompt_name": "query"}), options.clone().prompt_name("query")),
    ] {
        let mut request = fields.clone();
        request["inputs"] = json!(TEXTS);
        let answer = post(&router, "/embed", request.to_string()).await;
        assert_eq!(vectors(&answer.body), expected(&options), "{fields}");
    }
}
