//! What a JSON value says.

use serde_json::Value;

/// A string, or the string in that field of an object.
pub(super) fn text_of(value: Value, field: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Object(mut fields) => match fields.remove(field) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(format!("field \"{field}\" is {}, expected a string", kind(&other))),
            None => Err(format!("the object has no field \"{field}\" (choose one with --field)")),
        },
        other => {
            Err(format!("expected a string or an object with a field \"{field}\", found {}", kind(&other)))
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The reason alone, without the place: of a part of a file, serde_json counts lines from the part's start.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&place).unwrap_or(&message).to_owned()
}
