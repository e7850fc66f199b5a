//! Tables, columns and ids: what `embed` reads and writes beside lines and JSON.

use minilm::storage::{EmbeddingFormat, Id, StoredVectors, TextItem, TextOptions, TextReader, VectorOptions};

use super::{Files, embed, minilm, records, refuses, run, stdout};

const TABLE: &str = "key,title\n7,\"one, two\"\n8,\n-9,\"and\na third\"\n";

const TEXTS: [&str; 3] = ["one, two", "", "and\na third"];

/// The formats that this build can write, without `npy`, which has no ids.
pub(super) const FORMATS: &[&str] = &[
    "jsonl",
    "json",
    "csv",
    "safetensors",
    #[cfg(feature = "arrow")]
    "parquet",
    #[cfg(feature = "arrow")]
    "arrow",
];

/// `[3][40]`
fn expected() -> Vec<f32> {
    let records = records(&stdout(embed(&TEXTS)));
    let rows = records.iter().flat_map(|record| record["embedding"].as_array().unwrap());
    rows.map(|x| x.as_f64().unwrap() as f32).collect()
}

fn ids() -> Vec<Id> {
    ["7", "8", "-9"].map(Id::from).to_vec()
}

#[test]
fn a_table_becomes_vectors_with_ids_in_every_format() {
    let files = Files::new();
    let input = files.write("in.csv", TABLE);
    let expected = expected();
    for format in FORMATS {
        let output = files.path(&format!("out.{format}"));
        stdout(embed(&["-i", &input, "--field", "title", "--id-field", "key", "-o", &output]));
        let id_field = if *format == "safetensors" { "ids" } else { "id" };
        let stored = StoredVectors::open(&output, &VectorOptions::default().id_field(id_field)).unwrap();
        assert_eq!((stored.len(), stored.dimension()), (3, 40));
        assert!(stored.as_slice() == expected, "{format}");
        assert_eq!(stored.ids().unwrap(), ids());

        // Standard output has the same bytes.
        let piped = run(embed(&["-i", &input, "--field", "title", "--id-field", "key", "--format", format]));
        assert!(piped.stdout == std::fs::read(&output).unwrap(), "{format}");

        // What has texts is an input too.
        if *format != "safetensors" {
            let options = TextOptions::default().id_field("id");
            let items: Vec<TextItem> =
                TextReader::open(&output, &options).unwrap().map(Result::unwrap).collect();
            assert!(items.iter().map(|item| &item.text[..]).eq(TEXTS));
            assert!(items.into_iter().map(|item| item.id.unwrap()).eq(ids()));
            let again = files.path("again.npy");
            stdout(embed(&["-i", &output, "-o", &again]));
            let stored = StoredVectors::open(&again, &VectorOptions::default()).unwrap();
            assert!(stored.as_slice() == expected, "{format}");
        }
        std::fs::remove_file(output).unwrap();
    }
    assert_eq!(files.names(), ["again.npy", "in.csv"]);
}

#[test]
fn ids_keep_their_kind_and_come_first() {
    let files = Files::new();
    let input = files
        .write("in.jsonl", "{\"text\":\"a\",\"n\":7,\"s\":\"x\"}\n{\"text\":\"b\",\"n\":8,\"s\":\"y\"}\n");
    for (field, first) in [("n", "{\"id\":7,\"text\":\"a\","), ("s", "{\"id\":\"x\",\"text\":\"a\",")] {
        let lines = stdout(embed(&["-i", &input, "--id-field", field]));
        assert!(lines.starts_with(first), "{lines}");
    }
    // Without any text it is not known what they are.
    let empty = files.write("empty.jsonl", "");
    assert_eq!(stdout(embed(&["-i", &empty, "--id-field", "n"])), "");
}

#[test]
fn what_is_wrong_with_ids_and_columns_is_said_before_the_model_is_looked_for() {
    let files = Files::new();
    let csv = files.write("in.csv", TABLE);
    let npy = files.path("out.npy");
    let no_model = |arguments: &[&str]| {
        let mut command = minilm(&["embed", "--model", "./no/such/model"]);
        command.args(arguments);
        command
    };
    for (arguments, says) in [
        (
            &["-i", &csv][..],
            &["in.csv: there is no column \"text\"; found \"key\", \"title\"", "--field)"][..],
        ),
        (
            &["-i", &csv, "--field", "title", "--id-field", "id"],
            &["in.csv: there is no column \"id\"; found \"key\", \"title\"", "--id-field)"],
        ),
        (
            &["-i", &csv, "--field", "title", "--id-field", "key", "-o", &npy],
            &["cannot write", "out.npy: npy has no ids"],
        ),
    ] {
        refuses(no_model(arguments), says);
    }
    let mixed = files.write("mixed.jsonl", "{\"text\":\"a\",\"id\":7}\n{\"text\":\"b\",\"id\":\"x\"}\n");
    let says =
        ["cannot write row 1 to standard output: expected an id that is an integer, found a string: \"x\""];
    let output = run(embed(&["-i", &mixed, "--id-field", "id"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(says[0]), "{output:?}");
    // An id without an input means nothing.
    assert_eq!(run(embed(&["x", "--id-field", "id"])).status.code(), Some(2));
}

#[cfg(not(feature = "arrow"))]
#[test]
fn parquet_and_arrow_say_how_to_get_them() {
    let files = Files::new();
    for (name, format) in [("x.parquet", "Parquet"), ("x.arrow", "Arrow IPC")] {
        let says = [name, &format!("this build has no {format}"), "cargo install", "--features arrow"];
        let input = files.write(name, "");
        refuses(embed(&["-i", &input]), &says);
        let mut command = minilm(&["embed", "x", "--model", "./no/such/model", "-o"]);
        command.arg(files.path(name));
        refuses(command, &says);
    }
    assert!(EmbeddingFormat::Parquet.check("x", false).is_err());
}

#[cfg(feature = "arrow")]
#[test]
fn columns_of_others_are_read() {
    let storage = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/storage");
    let expected =
        stdout(embed(&["one", "two words", "", "ünïcödé 日本 🦀", "a \"quoted\", text\nof two lines"]));
    for name in ["pyarrow.parquet", "pyarrow.feather", "pyarrow.arrows", "polars.parquet", "polars.arrow"] {
        let path = storage.join(name);
        assert_eq!(stdout(embed(&["-i", path.to_str().unwrap()])), expected, "{name}");
    }
    let file = std::fs::File::open(storage.join("pyarrow.arrows")).unwrap();
    let mut command = embed(&["-i", "-", "--input-format", "arrow"]);
    command.stdin(file);
    assert_eq!(stdout(command), expected);
    assert!(EmbeddingFormat::Parquet.check("x", false).is_ok());

    let files = Files::new();
    let broken = files.write("broken.parquet", "PAR1 and then something else");
    refuses(embed(&["-i", &broken]), &["broken.parquet: not Parquet: "]);
}
