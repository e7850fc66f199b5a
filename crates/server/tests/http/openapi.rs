//! The description of the API.

use axum::http::StatusCode;
use minilm_server::ServerOptions;
use serde_json::{Value, json};

use crate::server::{Answer, get, model, router};

#[tokio::test]
async fn the_description_of_the_api_knows_this_server() {
    let router = router(ServerOptions::default().max_client_batch_size(9).api_key("secret"));
    let Answer { status, body, .. } = get(&router, "/openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    assert!(body["openapi"].as_str().unwrap().starts_with("3.1"), "{}", body["openapi"]);
    let paths: Vec<&String> = body["paths"].as_object().unwrap().keys().collect();
    for path in
        ["/", "/embed", "/embed_all", "/similarity", "/v1/embeddings", "/embeddings", "/info", "/health"]
    {
        assert!(paths.iter().any(|found| *found == path), "{path} is none of {paths:?}");
    }
    let schemas = &body["components"]["schemas"];
    let texts = &schemas["Input"]["oneOf"][1];
    assert_eq!((&texts["minItems"], &texts["maxItems"]), (&json!(1), &json!(9)), "{}", schemas["Input"]);
    assert_eq!(schemas["Input"]["oneOf"].as_array().unwrap().len(), 2, "token ids are not accepted");
    let dimensions = &schemas["EmbedRequest"]["properties"]["dimensions"];
    assert_eq!(dimensions["maximum"], model().embedding_dimension(), "{dimensions}");
    assert_eq!(body["security"], json!([{"key": []}]));
    for path in ["/info", "/v1/models"] {
        assert!(body["paths"][path]["get"]["responses"]["401"].is_object(), "{path}");
    }
    // Every reference leads somewhere.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => (),
        }
    }
    let mut found = Vec::new();
    references(&body, &mut found);
    assert!(found.len() > 10);
    for reference in found {
        assert!(body.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
}
