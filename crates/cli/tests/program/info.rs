//! `minilm info`: what a model's files say beside what is computed.

use serde_json::Value;

use super::{Files, copy, minilm, stdout, tiny_bert};

#[test]
fn the_licence_is_the_one_that_the_card_states() {
    let files = Files::new();
    let model = files.path("model");
    copy(&tiny_bert(), model.as_ref());
    let info = || -> Value { serde_json::from_str(&stdout(minilm(&["info", &model, "--json"]))).unwrap() };
    assert_eq!(info()["model"]["license"], Value::Null);
    assert!(!stdout(minilm(&["info", &model])).contains("licence"));

    files.write(
        "model/README.md",
        "---\nlanguage: en\nlicense: apache-2.0\n---\n\n# A model\n\nlicense: mit\n",
    );
    assert_eq!(info()["model"]["license"], "apache-2.0");
    let text = stdout(minilm(&["info", &model]));
    assert!(text.contains("licence            apache-2.0\n"), "{text}");
}
