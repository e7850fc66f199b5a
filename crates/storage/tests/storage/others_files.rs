//! What NumPy, safetensors, pyarrow and polars wrote: `fixtures/storage.py`.

use std::io::Write;

use minilm_storage::{Id, StoredVectors, VectorOptions};

use super::{fixture, vectors, written};

const TEXTS: [&str; 5] = ["one", "two words", "", "ünïcödé 日本 🦀", "a \"quoted\", text\nof two lines"];
const DIMENSION: usize = 6;

fn expected() -> Vec<f32> {
    (0..30u8).map(|i| f32::from(i) - 14.5).collect()
}

fn expected_integers() -> Vec<i8> {
    (-15..15).collect()
}

fn ids() -> Vec<Id> {
    ["a", "b", "c", "d", "e"].map(Id::from).to_vec()
}

#[track_caller]
fn assert_expected(stored: &StoredVectors) {
    assert_eq!((stored.len(), stored.dimension()), (5, DIMENSION));
    assert_eq!(stored.as_slice(), expected());
}

#[test]
fn arrays_of_numpy_are_mapped_or_converted() {
    for (name, mapped) in [("f4.npy", true), ("version2.npy", true), ("f2.npy", false), ("f8.npy", false)] {
        let stored = vectors(&fixture(name), &VectorOptions::default()).unwrap();
        assert_expected(&stored);
        assert_eq!(stored.is_mapped(), mapped, "{name}");
        assert_eq!((stored.row(1), stored.vectors().row(4)), (&expected()[6..12], &expected()[24..]));
    }
    let empty = vectors(&fixture("empty.npy"), &VectorOptions::default()).unwrap();
    assert_eq!((empty.len(), empty.dimension(), empty.vectors().len()), (0, DIMENSION, 0));

    let codes = StoredVectors::<i8>::open_as(fixture("i1.npy"), &VectorOptions::default()).unwrap();
    assert_eq!((codes.as_slice(), codes.is_mapped()), (&expected_integers()[..], true));
    let bytes = StoredVectors::<u8>::open_as(fixture("u1.npy"), &VectorOptions::default()).unwrap();
    let expected: Vec<u8> = expected_integers().into_iter().map(|code| code as u8).collect();
    assert_eq!((bytes.as_slice(), bytes.is_mapped()), (&expected[..], true));
}

#[test]
fn tensors_of_safetensors_are_mapped_or_converted() {
    let path = fixture("vectors.safetensors");
    let stored = vectors(&path, &VectorOptions::default().id_field("ids")).unwrap();
    assert_expected(&stored);
    assert_eq!((stored.ids(), stored.is_mapped()), (Some(&ids()[..]), true));
    assert_expected(&vectors(&path, &VectorOptions::default().field("double")).unwrap());
    let codes = StoredVectors::<i8>::open_as(&path, &VectorOptions::default().field("codes")).unwrap();
    assert_eq!(codes.as_slice(), expected_integers());
}

#[test]
fn tables_of_text_are_read() {
    let options = minilm_storage::TextOptions::default().id_field("key");
    let items = super::texts(&fixture("polars.csv"), &options).unwrap();
    assert!(items.iter().map(|item| &item.text[..]).eq(TEXTS));
    assert!(items.into_iter().map(|item| item.id.unwrap()).eq(ids()));

    let items = super::texts(&fixture("python.csv.gz"), &options).unwrap();
    assert!(items.iter().map(|item| &item.text[..]).eq(TEXTS));
    let options = VectorOptions::default().format(minilm_storage::EmbeddingFormat::Csv).id_field("key");
    let stored = vectors(&fixture("python.csv.gz"), &options).unwrap();
    assert_expected(&stored);
    assert_eq!(stored.ids().unwrap(), ids());
}

#[test]
fn vectors_are_in_whatever_texts_are_in() {
    let lines = b"{\"embedding\": [0.5, 1]}\n{\"embedding\": [2, 3.25]}\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(lines).unwrap();
    for (name, bytes) in [
        ("vectors.jsonl.gz", gzip.finish().unwrap()),
        ("vectors.tsv", b"id\tembedding\n7\t[0.5, 1]\n8\t[2, 3.25]\n".to_vec()),
        // There is no tab that would tell.
        ("alone.tsv", b"embedding\n[0.5, 1]\n[2, 3.25]\n".to_vec()),
    ] {
        let (_directory, path) = written(name, bytes);
        let stored = vectors(&path, &VectorOptions::default()).unwrap();
        assert_eq!((stored.as_slice(), stored.dimension()), (&[0.5, 1.0, 2.0, 3.25][..], 2), "{name}");
    }
}

#[cfg(feature = "arrow")]
mod columns {
    use std::fs::File;

    use minilm_storage::{Nulls, TextFormat, TextOptions, TextReader};

    use super::super::{says, texts};
    use super::*;

    const PYARROW: [&str; 3] = ["pyarrow.parquet", "pyarrow.feather", "pyarrow.arrows"];
    const POLARS: [&str; 3] = ["polars.parquet", "polars.arrow", "polars.arrows"];

    fn of(field: &str) -> TextOptions {
        TextOptions::default().field(field)
    }

    fn strings(name: &str, options: &TextOptions) -> Vec<String> {
        texts(&fixture(name), options).unwrap().into_iter().map(|item| item.text).collect()
    }

    #[test]
    fn every_form_of_text_is_read() {
        for name in PYARROW {
            for field in ["text", "large", "view", "dictionary"] {
                assert_eq!(strings(name, &of(field)), TEXTS, "{name}: {field}");
            }
        }
        for name in POLARS {
            for field in ["text", "category"] {
                assert_eq!(strings(name, &of(field)), TEXTS, "{name}: {field}");
            }
        }
        for name in ["gzip.parquet", "zstd.parquet", "lz4.parquet", "none.parquet", "zstd.feather"] {
            assert_eq!(strings(name, &of("text")), TEXTS, "{name}");
        }
    }

    #[test]
    fn ids_are_texts_or_integers() {
        for name in PYARROW.iter().chain(&POLARS) {
            for (field, expected) in
                [("key", ids()), ("number", [7, -1, 0, 1 << 40, 5].map(Id::from).to_vec())]
            {
                let items = texts(&fixture(name), &of("text").id_field(field)).unwrap();
                assert!(items.into_iter().map(|item| item.id.unwrap()).eq(expected), "{name}: {field}");
            }
        }
        for name in PYARROW {
            let path = fixture(name);
            says(
                texts(&path, &of("text").id_field("unsigned")),
                &path,
                ": row 4: column \"unsigned\": 18446744073709551615 is not in the range",
            );
            says(
                texts(&path, &of("text").id_field("nulls")),
                &path,
                ": row 1: column \"nulls\": null, expected an id",
            );
            says(
                texts(&path, &of("text").id_field("half")),
                &path,
                ": column \"half\" is FixedSizeList(6 x Float16",
            );
        }
    }

    #[test]
    fn nulls_are_refused_empty_or_skipped() {
        for name in PYARROW {
            let path = fixture(name);
            says(texts(&path, &of("nulls")), &path, ": row 1: column \"nulls\": null, expected a text");
            assert_eq!(strings(name, &of("nulls").nulls(Nulls::Empty)), ["one", "", "three", "", "five"]);
            assert_eq!(strings(name, &of("nulls").nulls(Nulls::Skip)), ["one", "three", "five"]);
        }
    }

    #[test]
    fn wrong_columns_are_named() {
        for name in PYARROW {
            let path = fixture(name);
            says(
                texts(&path, &of("title")),
                &path,
                ": there is no column \"title\"; found \"key\", \"number\", \"text\", \"large\"",
            );
            says(texts(&path, &of("number")), &path, ": column \"number\" is Int64, expected text (Utf8,");
            says(texts(&path, &of("binary")), &path, ": column \"binary\" is Binary, expected text (Utf8,");
        }
        let path = fixture("brotli.parquet");
        let message = texts(&path, &of("text")).unwrap_err();
        assert!(message.contains("malformed Parquet: ") && message.contains("brotli"), "{message}");
    }

    #[test]
    fn lists_are_vectors() {
        for name in PYARROW {
            for field in ["embedding", "list64", "half"] {
                let options = VectorOptions::default().field(field).id_field("key");
                let stored = vectors(&fixture(name), &options).unwrap();
                assert_expected(&stored);
                assert_eq!(stored.ids().unwrap(), ids());
            }
            let options = VectorOptions::default().field("codes");
            let codes = StoredVectors::<i8>::open_as(fixture(name), &options).unwrap();
            assert_eq!((codes.as_slice(), codes.dimension()), (&expected_integers()[..], DIMENSION));
        }
        for name in POLARS {
            for field in ["embedding", "list"] {
                let options = VectorOptions::default().field(field);
                assert_expected(&vectors(&fixture(name), &options).unwrap());
            }
        }
    }

    #[test]
    fn lists_that_are_no_vectors_are_named() {
        for name in PYARROW {
            let path = fixture(name);
            for (field, message) in [
                ("ragged", ": row 1: column \"ragged\": the vector has 1 components, those before have 2"),
                ("holes", ": row 1: column \"holes\": component 0 is null, expected a number"),
                ("null_lists", ": row 1: column \"null_lists\": null, expected a list of numbers"),
                ("codes", ": column \"codes\" is FixedSizeList(6 x Int8"),
                ("text", ": column \"text\" is Utf8, expected a list of float32"),
                ("vector", ": there is no column \"vector\"; found \"key\""),
            ] {
                let options = VectorOptions::default().field(field);
                says(vectors(&path, &options), &path, message);
            }
        }
    }

    #[test]
    fn arrow_is_read_from_a_stream_and_parquet_is_not() {
        for name in ["pyarrow.arrows", "polars.arrows"] {
            let file = File::open(fixture(name)).unwrap();
            let options = of("text").format(TextFormat::Arrow);
            let items: Result<Vec<_>, _> =
                TextReader::from_reader(file, "standard input", &options).unwrap().collect();
            assert!(items.unwrap().iter().map(|item| &item.text[..]).eq(TEXTS), "{name}");
        }
        let file = File::open(fixture("pyarrow.parquet")).unwrap();
        let refused =
            TextReader::from_reader(file, "standard input", &of("text").format(TextFormat::Parquet));
        let message = "standard input: Parquet is read from its end, so it must be a regular file";
        assert_eq!(refused.err().unwrap().to_string(), message);
    }

    #[test]
    fn the_position_is_in_rows_of_parquet_and_in_bytes_of_arrow() {
        for (name, length) in [("polars.parquet", 5), ("polars.arrow", 2870)] {
            let mut reader = TextReader::open(fixture(name), &of("text")).unwrap();
            let position = reader.position();
            assert_eq!(position.length(), Some(length), "{name}");
            assert!(reader.by_ref().all(|item| item.is_ok()));
            assert_eq!(position.of_texts(5).min(length), position.of_texts(5));
            assert!(position.of_texts(5) > length / 3, "{name}: {}", position.of_texts(5));
        }
    }
}
