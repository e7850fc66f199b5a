//! Texts from files: a text a line, JSON lines, a JSON array.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::arguments::InputFormat;
use crate::error::CliError;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads all texts of a file, or of standard input if the path is `-`.
pub(crate) fn read(path: &Path, format: Option<InputFormat>, field: &str) -> Result<Vec<String>, CliError> {
    let is_stdin = path == Path::new("-");
    let place = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
    let format = match format {
        Some(format) => format,
        None if is_stdin => InputFormat::Txt,
        None => format_of(path)?,
    };
    let mut bytes = Vec::new();
    let read = if is_stdin {
        std::io::stdin().lock().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(path).map(|content| bytes = content)
    };
    read.map_err(|e| CliError::Input { place: place.clone(), reason: format!("cannot read it: {e}") })?;
    parse(&bytes, format, field).map_err(|problem| CliError::Input {
        place: match problem.line {
            Some(line) => format!("{place}:{line}"),
            None => place,
        },
        reason: problem.reason,
    })
}

fn format_of(path: &Path) -> Result<InputFormat, CliError> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        None | Some("txt" | "text") => Ok(InputFormat::Txt),
        Some("jsonl" | "ndjson") => Ok(InputFormat::Jsonl),
        Some("json") => Ok(InputFormat::Json),
        Some(other) => Err(CliError::Input {
            place: path.display().to_string(),
            reason: format!(
                "files ending in .{other} are not known (.txt, .jsonl and .json are); say what it is with \
                 --input-format"
            ),
        }),
    }
}

/// What is wrong, and in which line, counted from 1.
#[derive(Debug)]
struct Problem {
    line: Option<usize>,
    reason: String,
}

fn parse(bytes: &[u8], format: InputFormat, field: &str) -> Result<Vec<String>, Problem> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    match format {
        InputFormat::Txt => lines(bytes).map(|(number, line)| Ok(utf8(number, line)?.to_owned())).collect(),
        InputFormat::Jsonl => lines(bytes)
            .filter(|(_, line)| !line.trim_ascii().is_empty())
            .map(|(number, line)| {
                let at_line = |reason| Problem { line: Some(number), reason };
                let value = serde_json::from_str(utf8(number, line)?)
                    .map_err(|e| at_line(format!("not JSON: {e}")))?;
                text_of(value, field).map_err(at_line)
            })
            .collect(),
        InputFormat::Json => {
            for (number, line) in lines(bytes) {
                utf8(number, line)?;
            }
            let value = serde_json::from_slice(bytes)
                .map_err(|e| Problem { line: Some(e.line()), reason: format!("not JSON: {e}") })?;
            let whole = |reason| Problem { line: None, reason };
            let Value::Array(items) = value else {
                return Err(whole(format!("expected an array of strings, found {}", kind(&value))));
            };
            let texts = items.into_iter().enumerate();
            texts.map(|(i, item)| text_of(item, field).map_err(|e| whole(format!("item {i}: {e}")))).collect()
        }
    }
}

/// Lines with their numbers from 1, without their ends (`\n` or `\r\n`); nothing behind the last end.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    bytes.split_inclusive(|&b| b == b'\n').enumerate().map(|(i, line)| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        (i + 1, line.strip_suffix(b"\r").unwrap_or(line))
    })
}

fn utf8(number: usize, line: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(line).map_err(|e| Problem {
        line: Some(number),
        reason: format!("invalid UTF-8 at byte {} of the line", e.valid_up_to() + 1),
    })
}

/// A string, or the string in that field of an object.
fn text_of(value: Value, field: &str) -> Result<String, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes: &[u8], format: InputFormat) -> Vec<String> {
        parse(bytes, format, "text").unwrap()
    }

    #[test]
    fn txt_has_a_text_a_line_with_empty_lines_as_texts() {
        assert_eq!(texts(b"", InputFormat::Txt), [""; 0]);
        assert_eq!(texts(b"a\n\r\nb \r\nc", InputFormat::Txt), ["a", "", "b ", "c"]);
        assert_eq!(texts(b"\xef\xbb\xbfa\n", InputFormat::Txt), ["a"]);
        assert_eq!(texts(b"a\rb\x0cc\n", InputFormat::Txt), ["a\rb\x0cc"]);
    }

    #[test]
    fn jsonl_has_strings_and_objects_and_skips_blank_lines() {
        let input = "\"a\\nb\"\n\n{\"text\": \"ü\", \"id\": 7}\r\n  \n\"c\"";
        assert_eq!(texts(input.as_bytes(), InputFormat::Jsonl), ["a\nb", "ü", "c"]);
    }

    #[test]
    fn json_is_an_array_of_strings_or_objects() {
        assert_eq!(texts(br#"["a", {"text": "b"}]"#, InputFormat::Json), ["a", "b"]);
        assert_eq!(texts(b"[]", InputFormat::Json), [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (bytes, format, line, says) in [
            (&b"ok\nno\xff\n"[..], InputFormat::Txt, Some(2), "invalid UTF-8 at byte 3"),
            (b"\"ok\"\n\"\xff\"", InputFormat::Jsonl, Some(2), "invalid UTF-8 at byte 2"),
            (b"[\n\"\xff\"]", InputFormat::Json, Some(2), "invalid UTF-8 at byte 2"),
            (b"\"ok\"\n{\n", InputFormat::Jsonl, Some(2), "not JSON"),
            (b"\"ok\"\n5\n", InputFormat::Jsonl, Some(2), "found a number"),
            (b"{\"text\": null}\n", InputFormat::Jsonl, Some(1), "is null, expected a string"),
            (b"{\"body\": \"x\"}\n", InputFormat::Jsonl, Some(1), "no field \"text\""),
            (b"{\"a\": 1}", InputFormat::Json, None, "expected an array of strings, found an object"),
            (b"[\"a\", 1]", InputFormat::Json, None, "item 1"),
            (b"[\"a\",\n", InputFormat::Json, Some(2), "not JSON"),
        ] {
            let problem = parse(bytes, format, "text").unwrap_err();
            assert_eq!(problem.line, line, "{}", problem.reason);
            assert!(problem.reason.contains(says), "{}", problem.reason);
        }
    }
}
