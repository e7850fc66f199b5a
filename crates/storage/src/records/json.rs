//! What a JSON value says.

use serde_json::Value;

use crate::Id;
use crate::error::What;

/// A string, or the string in that field of an object; `None` for null.
pub(crate) fn text_of(value: &mut Value, field: &str) -> Result<Option<String>, What> {
    let not_a_string = |found: &Value| format!("field \"{field}\" is {}, expected a string", kind(found));
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(std::mem::take(text))),
        Value::Object(fields) => match fields.get_mut(field) {
            Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(std::mem::take(text))),
            Some(other) => Err(not_a_string(other).into()),
            None => Err(What::MissingField(field.to_owned())),
        },
        other => {
            Err(format!("expected a string or an object with a field \"{field}\", found {}", kind(other))
                .into())
        }
    }
}

/// What is said of a null where a text should be.
pub(crate) fn null_text(value: &Value, field: &str) -> String {
    match value {
        Value::Null => format!("expected a string or an object with a field \"{field}\", found null"),
        _ => format!("field \"{field}\" is null, expected a string"),
    }
}

/// The id in that field of an object.
pub(crate) fn id_of(value: &Value, field: &str) -> Result<Id, What> {
    let found = match field_of(value, field)? {
        Value::String(name) => return Ok(Id::Text(name.clone())),
        Value::Number(number) => match number.as_i64() {
            Some(number) => return Ok(Id::Integer(number)),
            None => number.to_string(),
        },
        other => kind(other).to_owned(),
    };
    Err(format!("field \"{field}\" is {found}, expected a string or an integer of 64 bits").into())
}

/// That field of an object.
pub(crate) fn field_of<'a>(value: &'a Value, field: &str) -> Result<&'a Value, What> {
    match value {
        Value::Object(fields) => fields.get(field).ok_or_else(|| What::MissingField(field.to_owned())),
        other => Err(format!("expected an object with a field \"{field}\", found {}", kind(other)).into()),
    }
}

pub(crate) fn kind(value: &Value) -> &'static str {
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
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&place).unwrap_or(&message).to_owned()
}
