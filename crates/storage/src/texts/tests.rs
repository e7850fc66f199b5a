use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// Gives a byte at a time, so that every boundary of what is read falls everywhere.
struct Dripping<R>(R);

impl<R: Read> Read for Dripping<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = buffer.len().min(1);
        self.0.read(&mut buffer[..n])
    }
}

fn read(source: impl Read + Send + 'static, options: &TextOptions) -> Result<Vec<TextItem>, String> {
    let items = TextReader::from_reader(source, "in", options).and_then(Iterator::collect);
    items.map_err(|error: StorageError| error.to_string())
}

/// Whole, byte by byte, and compressed: each gives the same.
#[track_caller]
fn parse(bytes: impl AsRef<[u8]>, options: &TextOptions) -> Result<Vec<TextItem>, String> {
    let bytes = bytes.as_ref().to_vec();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&bytes).unwrap();
    let whole = read(io::Cursor::new(bytes.clone()), options);
    assert_eq!(read(Dripping(io::Cursor::new(bytes)), options), whole, "byte by byte");
    assert_eq!(read(io::Cursor::new(gzip.finish().unwrap()), options), whole, "compressed");
    whole
}

fn of(format: TextFormat) -> TextOptions {
    TextOptions::default().format(format)
}

#[track_caller]
fn texts(bytes: impl AsRef<[u8]>, format: TextFormat) -> Vec<String> {
    parse(bytes, &of(format)).unwrap().into_iter().map(|item| item.text).collect()
}

#[track_caller]
fn refuses(bytes: impl AsRef<[u8]>, options: &TextOptions, message: &str) {
    let error = parse(bytes, options).unwrap_err();
    assert!(error.starts_with(message), "expected {message:?}, found {error:?}");
}

#[test]
fn txt_has_a_text_a_line_with_empty_lines_as_texts() {
    assert_eq!(texts(b"", TextFormat::Txt), [""; 0]);
    assert_eq!(texts(b"a\n\r\nb \r\nc", TextFormat::Txt), ["a", "", "b ", "c"]);
    assert_eq!(texts(b"\xef\xbb\xbfa\n", TextFormat::Txt), ["a"]);
    assert_eq!(texts(b"\xef\xbb\xbf", TextFormat::Txt), [""; 0]);
    assert_eq!(texts(b"\xef\xbb\xbf\n", TextFormat::Txt), [""]);
    assert_eq!(texts(b"a\rb\x0cc\n", TextFormat::Txt), ["a\rb\x0cc"]);
}

#[test]
fn jsonl_has_strings_and_objects_and_skips_blank_lines() {
    let input = "\"a\\nb\"\n\n{\"text\": \"ü\", \"id\": 7}\r\n  \n\"c\"";
    assert_eq!(texts(input.as_bytes(), TextFormat::Jsonl), ["a\nb", "ü", "c"]);
    assert_eq!(texts(b"\xef\xbb\xbf\n\"a\"", TextFormat::Jsonl), ["a"]);
}

#[test]
fn json_is_an_array_of_strings_or_objects() {
    assert_eq!(texts(br#"["a", {"text": "b"}]"#, TextFormat::Json), ["a", "b"]);
    assert_eq!(texts(b"[]", TextFormat::Json), [""; 0]);
    assert_eq!(texts(b"\xef\xbb\xbf \r\n[ ]\n\t", TextFormat::Json), [""; 0]);
    let nested = r#"[{"id": [1, {"text": "no"}], "text": "ü ]\"\u00e9\n", "more": {"text": ["}"]}}
        ,"日本",{"text":"last"}]"#;
    assert_eq!(texts(nested.as_bytes(), TextFormat::Json), ["ü ]\"é\n", "日本", "last"]);
}

#[test]
fn a_long_line_of_json_and_characters_across_chunks_are_read() {
    let items: Vec<String> = (0..20_000).map(|i| format!("日本 {i} é 🦀")).collect();
    let json = serde_json::to_vec(&items).unwrap();
    assert!(json.len() > 400_000);
    assert_eq!(texts(json, TextFormat::Json), items);
}

#[test]
fn a_table_has_texts_in_a_column() {
    let csv = "id,text\n7,\"a, \"\"b\"\"\"\r\n\n8,\"two\nlines\"\n9,\n";
    assert_eq!(texts(csv, TextFormat::Csv), ["a, \"b\"", "two\nlines", ""]);
    assert_eq!(texts("x\ttext\n1\t\"quoted\", here\n", TextFormat::Csv), ["\"quoted\", here"]);
    assert_eq!(texts("\u{feff}text\rü\r", TextFormat::Csv), ["ü"]);
    let many: String = (0..50_000).map(|i| format!("{i},text {i}\r\n")).collect();
    let expected: Vec<String> = (0..50_000).map(|i| format!("text {i}")).collect();
    assert_eq!(texts(format!("id,text\r\n{many}"), TextFormat::Csv), expected);
}

#[test]
fn tabs_separate_fields_and_quotes_are_taken_away_that_a_program_has_written() {
    let tsv = |table: &str| texts(table, TextFormat::Tsv);
    assert_eq!(tsv("text\na, \"b\", c\n\"as it is\"\n"), ["a, \"b\", c", "\"as it is\""]);
    // Of Python's `csv`, by default, with all fields quoted, and of a single column.
    let expected = ["\"Who?\" he said.", "as it is", "\"whole\""];
    let minimal = "id\ttext\r\n1\t\"\"\"Who?\"\" he said.\"\r\n2\tas it is\r\n3\t\"\"\"whole\"\"\"\r\n";
    let all = "\"id\"\t\"text\"\r\n\"1\"\t\"\"\"Who?\"\" he said.\"\r\n\"2\"\t\"as it is\"\r\n\"3\"\t\"\"\"whole\"\"\"\r\n";
    for table in [minimal, all] {
        assert_eq!(tsv(table), expected);
        assert_eq!(texts(table, TextFormat::Csv), expected);
    }
    assert_eq!(tsv("text\r\n\"\"\r\n\"a, b\"\r\n\"say \"\"a\"\"\"\r\n"), ["", "\"a, b\"", "say \"a\""]);
    // A line is a row, and the error is in its line.
    let two_lines = "id\ttext\n1\t\"\"\"a\"\"\"\n2\t\"one\ntwo\"\n";
    refuses(
        two_lines,
        &of(TextFormat::Tsv),
        "in:4: expected 2 fields between tabs, as in the header, found 1",
    );
}

#[test]
fn ids_are_strings_or_integers() {
    let item = |id: Id, text: &str| TextItem { id: Some(id), text: text.to_owned() };
    let options = of(TextFormat::Jsonl).id_field("key");
    let lines = "{\"key\":\"k\",\"text\":\"a\"}\n{\"key\":-7,\"text\":\"b\"}";
    assert_eq!(parse(lines, &options).unwrap(), [item("k".into(), "a"), item((-7).into(), "b")]);
    let csv = of(TextFormat::Csv).id_field("key").field("title");
    assert_eq!(parse("key,title\n7,a\n", &csv).unwrap(), [item("7".into(), "a")]);

    refuses("{\"text\":\"a\"}", &options, "in:1: the object has no field \"key\"");
    refuses("\"a\"", &options, "in:1: expected an object with a field \"key\", found a string");
    refuses("null", &options, "in:1: expected a string or an object with a field \"text\", found null");
    let wrong = "in:1: field \"key\" is 1.5, expected a string or an integer of 64 bits";
    refuses("{\"key\":1.5,\"text\":\"a\"}", &options, wrong);
    refuses(
        "{\"key\":18446744073709551615,\"text\":\"a\"}",
        &options,
        "in:1: field \"key\" is 18446744073709551615",
    );
    refuses("{\"key\":null,\"text\":\"a\"}", &options, "in:1: field \"key\" is null");
    refuses("a", &of(TextFormat::Txt).id_field("key"), "in: plain text has no ids");
}

#[test]
fn nulls_are_refused_empty_or_skipped() {
    let input = "{\"text\":\"a\"}\n{\"text\":null}\nnull\n\"b\"";
    let with = |nulls| {
        let items = parse(input, &of(TextFormat::Jsonl).nulls(nulls)).unwrap();
        items.into_iter().map(|item| item.text).collect::<Vec<_>>()
    };
    refuses(input, &of(TextFormat::Jsonl), "in:2: field \"text\" is null, expected a string");
    assert_eq!(with(Nulls::Empty), ["a", "", "", "b"]);
    assert_eq!(with(Nulls::Skip), ["a", "b"]);
}

#[test]
fn reading_ends_after_an_error() {
    let mut texts = TextReader::from_reader(&b"a\n\xff\nb\n"[..], "in", &TextOptions::default()).unwrap();
    assert!(texts.next().unwrap().is_ok() && texts.next().unwrap().is_err() && texts.next().is_none());
    // Two bytes of seven for each text that has been read.
    assert_eq!((texts.position().length(), texts.position().of_texts(1)), (None, 6));
}

#[test]
fn what_is_wrong_with_a_table_is_named_with_its_line() {
    let csv = of(TextFormat::Csv);
    refuses("a,b\n1,2\n", &csv, "in: there is no column \"text\"; found \"a\", \"b\"");
    refuses("", &csv, "in: expected a table with a header, found nothing");
    refuses("text,text\na,b\n", &csv, "in: the header has several columns \"text\"");
    refuses("text\na\nb,c\n", &csv, "in:3: expected 1 fields between commas, as in the header, found 2");
    // Far behind what is kept.
    for end in ["\n", "\r\n", "\r"] {
        let rows = format!("{},7{end}", "word ".repeat(20)).repeat(4_000);
        let wrong = format!("text,id{end}{rows}{end}no\u{e9} id{end}{rows}");
        refuses(wrong, &csv, "in:4003: expected 2 fields between commas, as in the header, found 1");
        let mut invalid = format!("text,id{end}{rows}\u{e9}").into_bytes();
        invalid.extend(b"\xff,7");
        refuses(invalid, &csv, "in:4002: invalid UTF-8 at byte 3 of the line");
    }
}

#[test]
fn a_broken_archive_is_an_error() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(b"one\ntwo\n").unwrap();
    let gzip = gzip.finish().unwrap();
    for broken in [gzip[..gzip.len() - 9].to_vec(), gzip[..2].to_vec()] {
        let error = read(io::Cursor::new(broken), &of(TextFormat::Txt)).unwrap_err();
        assert!(error.starts_with("in: cannot decompress it as gzip: "), "{error}");
    }
}

#[cfg(not(feature = "arrow"))]
#[test]
fn what_is_not_built_in_is_said_to_be_so() {
    for (format, name) in [(TextFormat::Parquet, "Parquet"), (TextFormat::Arrow, "Arrow IPC")] {
        let error = read(io::empty(), &of(format)).unwrap_err();
        assert!(
            error.starts_with(&format!("in: this build has no {name}; the feature `arrow` has it (`cargo")),
            "{error}"
        );
    }
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let cases: &[(&[u8], TextFormat, Option<usize>, &str)] = &[
        (b"ok\nno\xff\n", TextFormat::Txt, Some(2), "invalid UTF-8 at byte 3"),
        (b"\"ok\"\n\"\xff\"", TextFormat::Jsonl, Some(2), "invalid UTF-8 at byte 2"),
        (b"[\n\"\xff\"]", TextFormat::Json, Some(2), "invalid UTF-8 at byte 2"),
        (b"[\n\"a\",\n \xe6\x97", TextFormat::Json, Some(3), "invalid UTF-8 at byte 2"),
        (b"\xef\xbb\xbf\xff", TextFormat::Json, Some(1), "invalid UTF-8 at byte 1"),
        (b"\"ok\"\n{\n", TextFormat::Jsonl, Some(2), "not JSON: EOF while parsing an object at column 1"),
        (b"\"ok\"\n5\n", TextFormat::Jsonl, Some(2), "found a number"),
        (b"{\"text\": null}\n", TextFormat::Jsonl, Some(1), "is null, expected a string"),
        (b"{\"body\": \"x\"}\n", TextFormat::Jsonl, Some(1), "no field \"text\""),
        (b"{\"a\": 1}", TextFormat::Json, None, "expected an array, found an object"),
        (b" 1", TextFormat::Json, None, "expected an array, found a number"),
        (b"nonsense", TextFormat::Json, Some(1), "not JSON: expected ident at column 2"),
        (b"", TextFormat::Json, Some(1), "not JSON: EOF while parsing a value at column 0"),
        (b"[\"a\", 1]", TextFormat::Json, None, "item 1"),
        (b"[\"a\",\n", TextFormat::Json, Some(2), "not JSON: EOF while parsing a list"),
        (b"[\"a\"\n", TextFormat::Json, Some(2), "not JSON: EOF while parsing a list"),
        (b"[\n", TextFormat::Json, Some(2), "not JSON: EOF while parsing a list"),
        (b"[\"a\"\n \"b\"]", TextFormat::Json, Some(2), "not JSON: expected `,` or `]` at column 1"),
        (b"[\"a\",\n]", TextFormat::Json, Some(2), "not JSON: trailing comma"),
        (b"[\"a\"]\n]", TextFormat::Json, Some(2), "not JSON: trailing characters"),
        (b"[\n {\"a\": 1,\n\n \"b\" 2}]", TextFormat::Json, Some(4), "not JSON: expected `:` at column 6"),
        (b"[\n {\"a\": 1, \"b\" 2}]", TextFormat::Json, Some(2), "not JSON: expected `:` at column 15"),
        (b"[\"a\",\n \"b\n\"]", TextFormat::Json, Some(3), "not JSON: control character"),
    ];
    for &(bytes, format, line, says) in cases {
        let error = parse(bytes, &of(format)).unwrap_err();
        let place = line.map_or("in: ".to_owned(), |line| format!("in:{line}: "));
        assert!(error.starts_with(&place) && error.contains(says), "{place}…{says}: {error}");
    }
}
