use std::io::Read;

use super::*;

/// Gives a byte at a time, so that every boundary of what is read falls everywhere.
struct Dripping<R>(R);

impl<R: Read> Read for Dripping<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = buffer.len().min(1);
        self.0.read(&mut buffer[..n])
    }
}

fn parse(bytes: &'static [u8], format: InputFormat, field: &str) -> Result<Vec<String>, Problem> {
    let whole: Result<Vec<_>, _> = super::texts(bytes, format, field).collect();
    let dripping: Result<Vec<_>, _> = super::texts(Dripping(bytes), format, field).collect();
    match (&whole, &dripping) {
        (Ok(whole), Ok(dripping)) => assert_eq!(whole, dripping),
        (Err(whole), Err(dripping)) => {
            assert_eq!((whole.line, &whole.reason), (dripping.line, &dripping.reason))
        }
        (whole, dripping) => panic!("{whole:?}, but byte by byte {dripping:?}"),
    }
    whole
}

fn texts(bytes: &'static [u8], format: InputFormat) -> Vec<String> {
    parse(bytes, format, "text").unwrap()
}

#[test]
fn txt_has_a_text_a_line_with_empty_lines_as_texts() {
    assert_eq!(texts(b"", InputFormat::Txt), [""; 0]);
    assert_eq!(texts(b"a\n\r\nb \r\nc", InputFormat::Txt), ["a", "", "b ", "c"]);
    assert_eq!(texts(b"\xef\xbb\xbfa\n", InputFormat::Txt), ["a"]);
    assert_eq!(texts(b"\xef\xbb\xbf", InputFormat::Txt), [""; 0]);
    assert_eq!(texts(b"\xef\xbb\xbf\n", InputFormat::Txt), [""]);
    assert_eq!(texts(b"a\rb\x0cc\n", InputFormat::Txt), ["a\rb\x0cc"]);
}

#[test]
fn jsonl_has_strings_and_objects_and_skips_blank_lines() {
    let input = "\"a\\nb\"\n\n{\"text\": \"ü\", \"id\": 7}\r\n  \n\"c\"";
    assert_eq!(texts(input.as_bytes(), InputFormat::Jsonl), ["a\nb", "ü", "c"]);
    assert_eq!(texts(b"\xef\xbb\xbf\n\"a\"", InputFormat::Jsonl), ["a"]);
}

#[test]
fn json_is_an_array_of_strings_or_objects() {
    assert_eq!(texts(br#"["a", {"text": "b"}]"#, InputFormat::Json), ["a", "b"]);
    assert_eq!(texts(b"[]", InputFormat::Json), [""; 0]);
    assert_eq!(texts(b"\xef\xbb\xbf \r\n[ ]\n\t", InputFormat::Json), [""; 0]);
    let nested = r#"[{"id": [1, {"text": "no"}], "text": "ü ]\"\u00e9\n", "more": {"text": ["}"]}}
        ,"日本",{"text":"last"}]"#;
    assert_eq!(texts(nested.as_bytes(), InputFormat::Json), ["ü ]\"é\n", "日本", "last"]);
}

#[test]
fn a_long_line_of_json_and_characters_across_chunks_are_read() {
    let items: Vec<String> = (0..20_000).map(|i| format!("日本 {i} é 🦀")).collect();
    let json: &'static [u8] = serde_json::to_vec(&items).unwrap().leak();
    assert!(json.len() > 400_000);
    assert_eq!(texts(json, InputFormat::Json), items);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (bytes, format, line, says) in [
        (&b"ok\nno\xff\n"[..], InputFormat::Txt, Some(2), "invalid UTF-8 at byte 3"),
        (b"\"ok\"\n\"\xff\"", InputFormat::Jsonl, Some(2), "invalid UTF-8 at byte 2"),
        (b"[\n\"\xff\"]", InputFormat::Json, Some(2), "invalid UTF-8 at byte 2"),
        (b"[\n\"a\",\n \xe6\x97", InputFormat::Json, Some(3), "invalid UTF-8 at byte 2"),
        (b"\xef\xbb\xbf\xff", InputFormat::Json, Some(1), "invalid UTF-8 at byte 1"),
        (b"\"ok\"\n{\n", InputFormat::Jsonl, Some(2), "not JSON: EOF while parsing an object at column 1"),
        (b"\"ok\"\n5\n", InputFormat::Jsonl, Some(2), "found a number"),
        (b"{\"text\": null}\n", InputFormat::Jsonl, Some(1), "is null, expected a string"),
        (b"{\"body\": \"x\"}\n", InputFormat::Jsonl, Some(1), "no field \"text\""),
        (b"{\"a\": 1}", InputFormat::Json, None, "expected an array of strings, found an object"),
        (b" 1", InputFormat::Json, None, "expected an array of strings, found a number"),
        (b"nonsense", InputFormat::Json, Some(1), "not JSON: expected ident at column 2"),
        (b"", InputFormat::Json, Some(1), "not JSON: EOF while parsing a value at column 0"),
        (b"[\"a\", 1]", InputFormat::Json, None, "item 1"),
        (b"[\"a\",\n", InputFormat::Json, Some(2), "not JSON: EOF while parsing a list"),
        (b"[\"a\"\n", InputFormat::Json, Some(2), "not JSON: EOF while parsing a list"),
        (b"[\n", InputFormat::Json, Some(2), "not JSON: EOF while parsing a list"),
        (b"[\"a\"\n \"b\"]", InputFormat::Json, Some(2), "not JSON: expected `,` or `]` at column 1"),
        (b"[\"a\",\n]", InputFormat::Json, Some(2), "not JSON: trailing comma"),
        (b"[\"a\"]\n]", InputFormat::Json, Some(2), "not JSON: trailing characters"),
        (b"[\n {\"a\": 1,\n\n \"b\" 2}]", InputFormat::Json, Some(4), "not JSON: expected `:` at column 6"),
        (b"[\n {\"a\": 1, \"b\" 2}]", InputFormat::Json, Some(2), "not JSON: expected `:` at column 15"),
        (b"[\"a\",\n \"b\n\"]", InputFormat::Json, Some(3), "not JSON: control character"),
    ] {
        let problem = parse(bytes, format, "text").unwrap_err();
        assert_eq!(problem.line, line, "{}", problem.reason);
        assert!(problem.reason.contains(says), "{says}: {}", problem.reason);
    }
}
