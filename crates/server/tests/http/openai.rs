//! OpenAI's API.

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minilm::EncodeOptions;
use minilm_server::ServerOptions;
use serde_json::{Value, json};

use crate::server::{Answer, TEXTS, expected, get, model, post, router, vector};

#[tokio::test]
async fn openai_gets_lists_and_base64_and_what_it_pays_for() {
    let router = router(ServerOptions::default().served_model_name("tiny"));
    let normalized = EncodeOptions::default().normalize_embeddings(true);
    let expected = expected(&normalized);
    for path in ["/v1/embeddings", "/embeddings"] {
        for format in ["float", "base64"] {
            let request =
                json!({"input": TEXTS, "model": "anything", "user": "me", "encoding_format": format});
            let Answer { status, body, .. } = post(&router, path, request.to_string()).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            assert_eq!((&body["object"], &body["model"]), (&json!("list"), &json!("tiny")));
            let count = model().encode_batch(&TEXTS, &normalized).unwrap();
            let used: usize = count.token_counts().iter().map(|count| count.used).sum();
            assert_eq!(body["usage"], json!({"prompt_tokens": used, "total_tokens": used}));
            for (index, item) in body["data"].as_array().unwrap().iter().enumerate() {
                assert_eq!((&item["object"], &item["index"]), (&json!("embedding"), &json!(index)));
                let found = match format {
                    "float" => vector(&item["embedding"]),
                    _ => {
                        let bytes = STANDARD.decode(item["embedding"].as_str().unwrap()).unwrap();
                        bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
                    }
                };
                assert_eq!(found, expected[index]);
            }
            assert_eq!(body["data"].as_array().unwrap().len(), TEXTS.len());
        }
    }
    let request = json!({"input": "a dog", "dimensions": 5});
    let body = post(&router, "/v1/embeddings", request.to_string()).await.body;
    let cut = model().encode_batch(&["a dog"], &normalized.truncate_dim(5)).unwrap();
    assert_eq!(vector(&body["data"][0]["embedding"]), cut.row(0));
}

/// A text that is cut is told to OpenAI's clients too.
#[tokio::test]
async fn openai_hears_what_was_cut() {
    let router = router(ServerOptions::default());
    let request = json!({"input": ["a dog", "the cat ".repeat(240)]}).to_string();
    let body = post(&router, "/v1/embeddings", request).await.body;
    assert_eq!((&body["data"][0]["truncated"], &body["data"][1]["truncated"]), (&Value::Null, &json!(true)));
}

#[tokio::test]
async fn the_one_model_is_found_by_its_name() {
    let router = router(ServerOptions::default().served_model_name("owner/tiny"));
    let models = get(&router, "/v1/models").await.body;
    let model = get(&router, "/v1/models/owner/tiny").await.body;
    assert_eq!((&models["data"], &model["id"]), (&json!([model]), &json!("owner/tiny")));
    let answer = get(&router, "/v1/models/tiny").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.body["error"]["message"].as_str().unwrap().contains("\"tiny\""), "{}", answer.body);
}
