//! The description of the API.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use minilm_server::{Server, ServerOptions};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt;

use crate::server::{Answer, get, model, post, router};

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

/// What is posted to a path that it may be posted to.
fn request_for(path: &str) -> String {
    let request = match path {
        "/similarity" => json!({"inputs": {"source_sentence": "a cat", "sentences": ["a dog"]}}),
        "/decode" => json!({"ids": [5]}),
        "/embeddings" | "/v1/embeddings" => json!({"input": "a dog"}),
        _ => json!({"inputs": "a dog"}),
    };
    request.to_string()
}

/// Asserts that the headers of an answer are those that the description has of it, beside those of every answer.
fn assert_described(document: &Value, method: &str, path: &str, answer: &Answer) {
    let status = answer.status.as_str();
    let response = &document["paths"][path][method]["responses"][status];
    assert!(response.is_object(), "{method} {path} {status}");
    let no_headers = serde_json::Map::new();
    let described = response["headers"].as_object().unwrap_or(&no_headers);
    for (name, value) in &answer.headers {
        if name != "content-type" && name != "content-length" {
            let value = value.to_str().unwrap();
            let header = described.get(name.as_str()).unwrap_or_else(|| panic!("{path} {status}: {name}"));
            let schema = &header["schema"];
            assert!(schema["type"] != "integer" || value.parse::<u64>().is_ok(), "{path}: {name}: {value}");
            assert!(schema.get("const").is_none_or(|only| only == value), "{path}: {name}: {value}");
        }
    }
    for (name, header) in described {
        let is_required = header["required"].as_bool().unwrap();
        assert!(!is_required || answer.headers.contains_key(name), "{path} {status}: {name}");
    }
}

#[tokio::test]
async fn headers_are_those_of_the_description() {
    let document = get(&router(ServerOptions::default()), "/openapi.json").await.body;
    let paths = document["paths"].as_object().unwrap();
    let posted: Vec<&String> =
        paths.iter().filter(|(_, path)| path["post"].is_object()).map(|of| of.0).collect();
    assert_eq!(posted.len(), 8, "{posted:?}");

    let (open, locked) = (ServerOptions::default(), ServerOptions::default().api_key("secret"));
    // One that is as full as it may be, as long as somebody does not take all of his answer.
    let full = router(ServerOptions::default().max_concurrent_requests(1));
    let long = json!({"inputs": vec!["the cat sat on the mat"; 100]}).to_string();
    let unread =
        full.clone().oneshot(Request::post("/embed_all").body(Body::from(long)).unwrap()).await.unwrap();
    // One that is over.
    let server = Server::new(model(), ServerOptions::default()).unwrap();
    let closed = server.router();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    server.serve(listener, std::future::ready(())).await.unwrap();

    for (router, status) in [
        (router(open), StatusCode::OK),
        (router(locked), StatusCode::UNAUTHORIZED),
        (full, StatusCode::TOO_MANY_REQUESTS),
        (closed, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        for path in &posted {
            let answer = post(&router, path, request_for(path)).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.body);
            assert_described(&document, "post", path, &answer);
        }
        for path in ["/health", "/ping", "/info", "/v1/models", "/openapi.json"] {
            assert_described(&document, "get", path, &get(&router, path).await);
        }
    }
    drop(unread);

    let request = json!({"inputs": ["a dog", "the cat ".repeat(240)]}).to_string();
    let answer = post(&router(ServerOptions::default()), "/embed", request).await;
    assert!(answer.headers.contains_key("x-truncated-inputs"));
    assert_described(&document, "post", "/embed", &answer);
}
