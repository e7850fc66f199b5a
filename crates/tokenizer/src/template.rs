//! A check of what a `tokenizer.json` puts around a text.
//!
//! The `tokenizers` crate loads templates that it then cannot apply: one that names a second text or a
//! special token that it does not define panics at the first text. Nor does it promise that a text occurs
//! once, on which counting and cutting rely.

use serde::Deserialize;
use serde_json::{Map, Value};

/// `tokenizer.json`, but for everything else.
#[derive(Deserialize)]
struct PostProcessorOnly {
    post_processor: Option<Value>,
}

/// Says what is wrong with the post-processor, if it cannot be used for single texts.
pub(crate) fn check(tokenizer_json: &[u8]) -> Result<(), String> {
    let file: PostProcessorOnly = serde_json::from_slice(tokenizer_json).map_err(|e| e.to_string())?;
    check_post_processor(file.post_processor.as_ref())
}

/// The same of the post-processor itself, as far as there is one.
pub(crate) fn check_post_processor(post_processor: Option<&Value>) -> Result<(), String> {
    let is_there = |processor: &&Value| !processor.is_null();
    post_processor.filter(is_there).map_or(Ok(()), |processor| check_processor(processor, &mut 0))
}

/// `around` counts the processors that put something around the text: a second would be applied to the first's
/// result, special tokens included, which is not counted as it should be.
fn check_processor(processor: &Value, around: &mut usize) -> Result<(), String> {
    let of = |name: &str| processor.get(name).unwrap_or(&Value::Null);
    match of("type").as_str().unwrap_or_default() {
        "Sequence" => {
            let parts = of("processors").as_array().ok_or("a post-processor has no processors")?;
            return parts.iter().try_for_each(|part| check_processor(part, around));
        }
        "TemplateProcessing" => check_template(of("single"), of("special_tokens").as_object())?,
        "ByteLevel" => return Ok(()),
        // BertProcessing, RobertaProcessing: `[CLS]` and `[SEP]` by construction.
        _ => {}
    }
    *around += 1;
    if *around > 1 { Err("more than one post-processor adds special tokens".to_owned()) } else { Ok(()) }
}

fn check_template(single: &Value, special_tokens: Option<&Map<String, Value>>) -> Result<(), String> {
    let pieces = single.as_array().ok_or("the template for single texts is not a list of pieces")?;
    let mut texts = 0;
    for piece in pieces {
        let (kind, content) = piece
            .as_object()
            .and_then(|piece| piece.iter().next())
            .ok_or_else(|| format!("the template has the piece {piece}"))?;
        let id = content.get("id").and_then(Value::as_str).unwrap_or_default();
        if content.get("type_id").and_then(Value::as_u64) != Some(0) {
            return Err(format!("the template gives {id:?} another type than 0"));
        }
        match kind.as_str() {
            "Sequence" if id == "A" => texts += 1,
            "SpecialToken" if special_tokens.is_some_and(|tokens| tokens.contains_key(id)) => {}
            "SpecialToken" => {
                return Err(format!("the template names the special token {id:?} without defining it"));
            }
            _ => return Err(format!("the template for single texts has the piece {piece}")),
        }
    }
    if texts == 1 { Ok(()) } else { Err(format!("the template has the text {texts} times, expected once")) }
}
