//! Tokens, as answers and as inputs.

use axum::http::StatusCode;
use minilm::EncodeOptions;
use minilm_server::ServerOptions;
use serde_json::json;

use crate::server::{expected, get, model, post, router, vectors};

#[tokio::test]
async fn tokens_of_texts_and_texts_of_tokens() {
    let router = router(ServerOptions::default());
    let text = "A dog sat";
    for inputs in [json!(text), json!([text])] {
        let answer = post(&router, "/tokenize", json!({"inputs": inputs}).to_string()).await;
        let tokens = answer.body[0].as_array().unwrap().clone();
        let ids: Vec<u64> = tokens.iter().map(|token| token["id"].as_u64().unwrap()).collect();
        assert_eq!(json!(ids), json!(model().tokenize(text).unwrap().0));
        let first = json!({"id": ids[0], "text": "[CLS]", "special": true, "start": null, "stop": null});
        assert_eq!(tokens[0], first);
        let dog = json!({"id": ids[2], "text": "dog", "special": false, "start": 2, "stop": 5});
        assert_eq!(tokens[2], dog);

        let answer = post(&router, "/decode", json!({"ids": ids}).to_string()).await;
        assert_eq!(answer.body, json!(["a dog sat"]));
        let answer = post(
            &router,
            "/decode",
            json!({"ids": [ids, [ids[2]]], "skip_special_tokens": false}).to_string(),
        );
        assert_eq!(answer.await.body, json!(["[CLS] a dog sat [SEP]", "dog"]));
    }
    let answer =
        post(&router, "/tokenize", json!({"inputs": text, "add_special_tokens": false}).to_string()).await;
    assert_eq!(answer.body[0].as_array().unwrap().len(), 3);
    // All of a text that is longer than the model takes.
    let long = "the cat ".repeat(240);
    let answer = post(&router, "/tokenize", json!({"inputs": long}).to_string()).await;
    assert_eq!(answer.body[0].as_array().unwrap().len(), 482);
    for (path, body, status, says) in [
        ("/tokenize", json!({"inputs": [[1]]}), 422, "token ids where texts are expected"),
        ("/tokenize", json!({"inputs": []}), 400, "there are no inputs"),
        ("/tokenize", json!({"inputs": "a", "prompt_name": "none"}), 422, "none"),
        ("/decode", json!({"ids": "a"}), 422, "a text where token ids are expected"),
        ("/decode", json!({"ids": [[5], [5, 1_000_000]]}), 422, "has the id 1000000, which is at index 1"),
    ] {
        let answer = post(&router, path, body.to_string()).await;
        let message = answer.body["error"].as_str().unwrap();
        assert_eq!(answer.status.as_u16(), status, "{message}");
        assert!(message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn ids_are_taken_where_they_are_asked_for_and_can_be_this_models() {
    let router = router(ServerOptions::default().accept_token_ids(true));
    let ids = model().tokenize("the cat sat on the mat").unwrap().0;
    let answer = post(&router, "/embed", json!({"inputs": [ids, ids]}).to_string()).await;
    let normalized = EncodeOptions::default().normalize_embeddings(true);
    assert_eq!(vectors(&answer.body)[1], expected(&normalized)[0]);

    let description = get(&router, "/openapi.json").await.body;
    let vocab_size = model().config().vocab_size;
    let input = &description["components"]["schemas"]["Input"]["oneOf"];
    for list in [&input[1], &input[2]["items"]["oneOf"][1]] {
        assert_eq!((&list["minItems"], &list["maxItems"]), (&json!(1), &json!(model().max_seq_length())));
        assert_eq!(list["items"]["maximum"], json!(vocab_size - 1), "{input}");
    }

    for (ids, status, says) in [
        (vec![5, vocab_size], 400, "the client has another model's tokenizer"),
        (vec![5; 1000], 422, "it has 1000 token ids, and the model takes"),
        (vec![], 400, "it has no token ids"),
    ] {
        let answer = post(&router, "/embed", json!({"inputs": [[5], ids]}).to_string()).await;
        let message = answer.body["error"].as_str().unwrap();
        assert_eq!(answer.status.as_u16(), status, "{message}");
        assert!(message.contains("input 1: ") && message.contains(says), "{message}");
    }
    let request = json!({"inputs": [[5]], "prompt_name": "none"}).to_string();
    let answer = post(&router, "/embed", request).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
}
