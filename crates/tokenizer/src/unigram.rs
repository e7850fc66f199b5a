//! A `tokenizer.json` with a Unigram model, read in less time than by the `tokenizers` crate, with the same result.
//!
//! The crate makes a tree of all JSON, copies it, makes another one of the model's part, and then the model, which for 250,000
//! tokens takes as long as the model itself. Here the vocabulary is read as what it is, and the crate reads a file without it.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokenizers::AddedToken;
use tokenizers::models::unigram::Unigram;

use crate::template;

#[derive(Deserialize)]
struct File {
    added_tokens: Vec<AddedToken>,
    model: Model,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    #[serde(rename = "type")]
    _kind: Kind,
    unk_id: Option<usize>,
    vocab: Vec<(String, f64)>,
    #[serde(default)]
    byte_fallback: bool,
}

#[derive(Deserialize)]
enum Kind {
    Unigram,
}

/// `None` if this is any other file, or if something is wrong with it, of which the crate has its say.
pub(crate) fn read(tokenizer_json: &[u8]) -> Option<tokenizers::Tokenizer> {
    let File { added_tokens, model, mut others } = serde_json::from_slice(tokenizer_json).ok()?;
    template::check_post_processor(others.get("post_processor")).ok()?;
    others.insert("model".to_owned(), json!({"type": "Unigram", "unk_id": null, "vocab": []}));
    others.insert("added_tokens".to_owned(), json!([]));
    let mut tokenizer = tokenizers::Tokenizer::from_bytes(Value::Object(others).to_string()).ok()?;
    tokenizer.with_model(Unigram::from(model.vocab, model.unk_id, model.byte_fallback).ok()?);
    // As there: when all else is known, since the vocabulary says their ids, and the normalizer what is looked for.
    tokenizer.add_tokens(added_tokens).ok()?;
    Some(tokenizer)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn file(model: &str) -> Value {
        let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
        serde_json::from_slice(&std::fs::read(fixtures.join(model).join("tokenizer.json")).unwrap()).unwrap()
    }

    #[test]
    fn it_is_what_the_crate_reads() {
        for model in ["tiny-xlm-roberta", "tiny-multilingual-bert"] {
            let mut json = file(model);
            for new in [false, true] {
                let text = json.to_string();
                let expected: tokenizers::Tokenizer = text.parse().unwrap();
                let found = read(text.as_bytes()).unwrap();
                assert_eq!(
                    found.to_string(true).unwrap(),
                    expected.to_string(true).unwrap(),
                    "{model} {new}"
                );
                for text in ["İ <mask>ﬁne <mask> Wow wow", "我喜欢编程。\u{0}", "Ẅow   "] {
                    let [found, expected] =
                        [&found, &expected].map(|tokenizer| tokenizer.encode(text, true).unwrap());
                    assert_eq!(found, expected, "{model}: {text:?}");
                }
                let mut token = json["added_tokens"][0].clone();
                token["content"] = "Wow".into();
                token["normalized"] = true.into();
                token["id"] = 1740.into();
                json["added_tokens"].as_array_mut().unwrap().push(token);
            }
        }
    }

    #[test]
    fn others_are_left_to_the_crate() {
        let not_read = |change: &dyn Fn(&mut Value)| {
            let mut json = file("tiny-xlm-roberta");
            change(&mut json);
            assert!(read(json.to_string().as_bytes()).is_none());
        };
        not_read(&|json| json["model"]["type"] = "BPE".into());
        not_read(&|json| drop(json["model"].as_object_mut().unwrap().remove("type")));
        not_read(&|json| json["model"]["more"] = 1.into());
        not_read(&|json| json["model"]["unk_id"] = 1_000_000.into());
        not_read(&|json| json["model"]["vocab"][7] = "a".into());
        not_read(&|json| json["version"] = "2.0".into());
        not_read(&|json| json["normalizer"] = json!({"type": "Magic"}));
        not_read(&|json| json["post_processor"]["single"] = json!([]));
        assert!(read(file("tiny-roberta").to_string().as_bytes()).is_none());
        assert!(read(b"[").is_none());
    }
}
