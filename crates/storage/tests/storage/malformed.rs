//! What cannot be vectors or texts gets an error that says so.

use minilm_storage::{StoredVectors, TextOptions, VectorOptions};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{fixture, says, texts, vectors, written};

#[test]
fn arrays_that_are_no_vectors_are_refused() {
    for (name, message) in [
        (
            "big_endian.npy",
            ": the elements are \">f4\", expected \"<f4\", \"<f2\" or \"<f8\" (`array.astype`",
        ),
        ("i8.npy", ": the elements are \"<i8\", expected \"<f4\", \"<f2\" or \"<f8\""),
        ("i1.npy", ": the elements are int8, expected float32, float16"),
        ("structured.npy", ": it has structured elements, expected numbers of one type"),
        (
            "fortran.npy",
            ": the array is in Fortran's order, expected C's (`numpy.ascontiguousarray` makes it)",
        ),
        ("one_dimension.npy", ": the shape is [6], expected two dimensions, [n, dimension]"),
        ("three_dimensions.npy", ": the shape is [5, 2, 3], expected two dimensions, [n, dimension]"),
        ("nan.npy", ": component 2 of vector 3 is NaN; expected a finite number"),
        ("none.npy", ": cannot read it: "),
    ] {
        says(vectors(&fixture(name), &VectorOptions::default()), &fixture(name), message);
    }
    let with_nan = vectors(&fixture("nan.npy"), &VectorOptions::default().check_finite(false)).unwrap();
    assert!(with_nan.row(3)[2].is_nan());
    let path = fixture("f4.npy");
    let codes = StoredVectors::<u8>::open_as(&path, &VectorOptions::default());
    says(codes.map_err(|e| e.to_string()), &path, ": the elements are float32, expected uint8");
    says(vectors(&path, &VectorOptions::default().id_field("id")), &path, ": an array of NumPy's has no ids");
}

#[test]
fn an_array_of_another_length_is_refused() {
    let whole = std::fs::read(fixture("f4.npy")).unwrap();
    let message = ": the shape [5, 6] of \"<f4\" needs 120 bytes, but";
    for (bytes, says_more) in [
        (&whole[..whole.len() - 1], format!("{message} 119 follow the header")),
        (&whole[..128], format!("{message} 0 follow the header")),
        (&[&whole[..], b"\0"].concat(), format!("{message} 121 follow the header")),
        (&whole[..100], ": the file ends in its header".to_owned()),
        (b"PK\x03\x04", ": not a .npy file".to_owned()),
        (b"", ": cannot read it: it is empty".to_owned()),
    ] {
        let (_directory, path) = written("cut.npy", bytes);
        says(vectors(&path, &VectorOptions::default()), &path, &says_more);
    }
    // More elements than there are addresses.
    let text = String::from_utf8_lossy(&whole[10..128]).into_owned();
    let huge = text.replace("(5, 6)", "(9999999999999999, 9999999999999)").replace("  \n", "\n");
    let huge = [&whole[..8], &(huge.len() as u16).to_le_bytes(), huge.as_bytes()].concat();
    let (_directory, path) = written("huge.npy", huge);
    says(vectors(&path, &VectorOptions::default()), &path, ": the shape [9999999999999999, 9999999999999]");
    let none = text.replace("(5, 6)", "(5, 0)");
    let none = [&whole[..10], none.as_bytes()].concat();
    let (_directory, path) = written("none.npy", none);
    says(vectors(&path, &VectorOptions::default()), &path, ": it has 5 vectors without a component");
}

/// A file with this header.
fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn tensors_that_are_no_vectors_are_refused() {
    let path = fixture("vectors.safetensors");
    let missing = ": there is no tensor \"embedding\"; found \"codes\", \"double\", \"embeddings\"";
    says(vectors(&path, &VectorOptions::default().field("embedding")), &path, missing);
    let wrong = ": tensor \"codes\": the elements are int8, expected float32, float16, bfloat16 or float64";
    says(vectors(&path, &VectorOptions::default().field("codes")), &path, wrong);
    says(
        vectors(&path, &VectorOptions::default().id_field("keys")),
        &path,
        ": the metadata has no \"keys\" (\"ids\" is what minilm writes)",
    );
    let tensor = |dtype: &str, shape: &str, bytes: usize| {
        format!("\"embeddings\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[0,{bytes}]}}")
    };
    let two = tensor("F32", "[2,1]", 8);
    for (header, data, message) in [
        (
            format!("{{{}}}", tensor("I64", "[1,1]", 8)),
            8,
            ": tensor \"embeddings\": the elements are I64, expected",
        ),
        (
            format!("{{{}}}", tensor("F32", "[2]", 8)),
            8,
            ": tensor \"embeddings\": the shape is [2], expected two",
        ),
        (
            format!("{{{}}}", tensor("F32", "[2,2]", 8)),
            8,
            ": tensor \"embeddings\": offsets 0..8 hold 8 bytes",
        ),
        (format!("{{{two}}}"), 7, ": tensor \"embeddings\": offsets 0..8 are outside the 7 bytes"),
        (format!("{{{two}}}"), 9, ": not a valid safetensors file: its tensors end after 8 bytes"),
        (
            format!("{{\"__metadata__\":{{\"ids\":\"[1]\"}},{two}}}"),
            8,
            ": \"ids\" in the metadata: expected 2 ids",
        ),
        (
            format!("{{\"__metadata__\":{{\"ids\":\"[1.5,2]\"}},{two}}}"),
            8,
            ": \"ids\" in the metadata: expected a JSON",
        ),
        (format!("{{\"__metadata__\":{{\"ids\":[1,2]}},{two}}}"), 8, ": the metadata has no \"ids\""),
    ] {
        let (_directory, path) = written("wrong.safetensors", safetensors(&header, &vec![0; data]));
        says(vectors(&path, &VectorOptions::default().id_field("ids")), &path, message);
    }
    let header = format!("{{{two}}}");
    let (_directory, path) =
        written("nan.safetensors", safetensors(&header, &[0, 0, 0, 0, 0, 0, 0xc0, 0x7f]));
    says(vectors(&path, &VectorOptions::default()), &path, ": component 0 of vector 1 is NaN");
    // What lies where no f32 may lie is copied.
    for odd in 0..4 {
        let spaces = 4 - header.len() % 4 + odd;
        let bytes = safetensors(&format!("{header}{}", " ".repeat(spaces)), &[0, 0, 0, 63, 0, 0, 128, 63]);
        let (_directory, path) = written("odd.safetensors", bytes);
        let stored = vectors(&path, &VectorOptions::default()).unwrap();
        assert_eq!((stored.as_slice(), stored.is_mapped()), (&[0.5, 1.0][..], odd == 0));
    }
    let (_directory, path) = written("empty.safetensors", "");
    says(vectors(&path, &VectorOptions::default()), &path, ": cannot read it: it is empty");
}

#[test]
fn records_that_are_no_vectors_are_refused() {
    for (line, message) in [
        ("{\"embedding\": [1, 2, 3]}", ":2: the vector has 3 components, those before have 2"),
        ("{\"embedding\": []}", ":2: the vector has no components"),
        ("{\"embedding\": [1, null]}", ":2: component 1 is null, expected a number as of float32"),
        ("{\"embedding\": \"1, 2\"}", ":2: expected an array of numbers, found a string"),
        ("{\"vector\": [1, 2]}", ":2: the object has no field \"embedding\""),
        ("7", ":2: expected an object with a field \"embedding\", found a number"),
        ("{\"embedding\": [1, 1e39]}", ": component 1 of vector 1 is inf; expected a finite number"),
        ("{\"embedding\": [1, 2]", ":2: not JSON: EOF while parsing an object"),
    ] {
        let (_directory, path) = written("wrong.jsonl", format!("{{\"embedding\": [0.5, 1]}}\n{line}\n"));
        says(vectors(&path, &VectorOptions::default()), &path, message);
    }
    let (_directory, path) = written("wrong.json", "[[1, 2], [3]]");
    says(vectors(&path, &VectorOptions::default()), &path, ": item 1: the vector has 1 components");
    let (_directory, path) = written("wrong.csv", "embedding,id\n\"[1, 2]\",a\n1;2,b\n");
    says(
        vectors(&path, &VectorOptions::default()),
        &path,
        ":3: expected a JSON array of numbers, found \"1;2\"",
    );
    says(
        vectors(&path, &VectorOptions::default().id_field("key")),
        &path,
        ": there is no column \"key\"; found \"embedding\", \"id\"",
    );
    let (_directory, path) = written("codes.jsonl", "[1, -128]\n[1, 128]\n");
    let codes = StoredVectors::<i8>::open_as(&path, &VectorOptions::default());
    says(codes.map_err(|e| e.to_string()), &path, ":2: component 1 is 128, expected a number as of int8");

    let (_directory, path) = written("empty.jsonl", "");
    let none = vectors(&path, &VectorOptions::default()).unwrap();
    assert_eq!((none.len(), none.dimension(), none.vectors().is_empty()), (0, 0, true));
    let (_directory, path) = written("vectors.bin", "");
    says(
        vectors(&path, &VectorOptions::default()),
        &path,
        ": files ending in .bin are not known; known are .npy",
    );
}

#[cfg(not(feature = "arrow"))]
#[test]
fn what_is_not_built_in_is_said_to_be_so() {
    for (name, format) in [("pyarrow.parquet", "Parquet"), ("polars.arrow", "Arrow IPC")] {
        let (path, message) =
            (fixture(name), format!(": this build has no {format}; the feature `arrow` has it"));
        says(texts(&path, &TextOptions::default()), &path, &message);
        says(vectors(&path, &VectorOptions::default()), &path, &message);
        let format = minilm_storage::EmbeddingFormat::of(&path).unwrap();
        let output = minilm_storage::Output::stream(std::io::sink(), path.to_str().unwrap());
        let writer =
            minilm_storage::EmbeddingWriter::new(output, format, minilm_storage::EmbeddingSchema::new(1));
        says(writer.map(drop).map_err(|e| e.to_string()), &path, &message);
    }
}

#[cfg(feature = "arrow")]
#[test]
fn columns_that_are_cut_are_refused() {
    let whole = std::fs::read(fixture("none.parquet")).unwrap();
    for (bytes, message) in [
        (&whole[..whole.len() - 1], ": not Parquet: "),
        (&whole[100..], ": malformed Parquet: "),
        (b"PAR1", ": not Parquet: "),
        (b"", ": not Parquet: "),
        (b"a,b\n1,2\n", ": not Parquet: "),
    ] {
        let (_directory, path) = written("cut.parquet", bytes);
        says(texts(&path, &TextOptions::default()), &path, message);
        says(vectors(&path, &VectorOptions::default()), &path, message);
    }
    let whole = std::fs::read(fixture("pyarrow.feather")).unwrap();
    let stream = std::fs::read(fixture("pyarrow.arrows")).unwrap();
    for (bytes, message) in [
        (&b""[..], ": not Arrow IPC: it is empty"),
        (b"ARROW1\0\0", ": not Arrow IPC: it has 8 bytes"),
        (b"a,b\n1,2\n", ": not Arrow IPC: a message should go on for 174206049 bytes, but 4 follow"),
        (&whole[..1000], ": not Arrow IPC: it does not end with ARROW1; it may have been cut"),
        (&stream[..100], ": not Arrow IPC: a message should go on for"),
        (&stream[..stream.len() / 2], ": not Arrow IPC: a message should go on for"),
    ] {
        let (_directory, path) = written("cut.arrow", bytes);
        says(texts(&path, &TextOptions::default()), &path, message);
        says(vectors(&path, &VectorOptions::default()), &path, message);
    }
}

const FIXTURES: &[&str] = &[
    "f4.npy",
    "vectors.safetensors",
    "polars.csv",
    #[cfg(feature = "arrow")]
    "none.parquet",
    #[cfg(feature = "arrow")]
    "zstd.parquet",
    #[cfg(feature = "arrow")]
    "pyarrow.parquet",
    #[cfg(feature = "arrow")]
    "polars.parquet",
    #[cfg(feature = "arrow")]
    "pyarrow.feather",
    #[cfg(feature = "arrow")]
    "zstd.feather",
    #[cfg(feature = "arrow")]
    "polars.arrow",
    #[cfg(feature = "arrow")]
    "pyarrow.arrows",
    #[cfg(feature = "arrow")]
    "polars.arrows",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2048, ..ProptestConfig::default() })]

    /// Whatever is in a file, it is read or refused.
    #[test]
    fn damaged_files_are_read_or_refused(
        name in select(FIXTURES),
        damage in vec((any::<Index>(), any::<u8>()), 1..6),
        cut in proptest::option::weighted(0.2, any::<Index>()),
    ) {
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let (_directory, path) = written(name, bytes);
        // An error names the file and then says something, on one line.
        let refused = |error: &str| {
            let reason = error.strip_prefix(path.to_str().unwrap()).unwrap_or_default();
            reason.starts_with([':', ' ']) && reason.trim_start_matches([':', ' ']).len() > 10 && !reason.contains('\n')
        };
        match vectors(&path, &VectorOptions::default()) {
            Ok(stored) => {
                prop_assert_eq!(stored.as_slice().len(), stored.len() * stored.dimension());
                prop_assert!(stored.as_slice().iter().all(|x| x.is_finite()));
            }
            Err(error) => prop_assert!(refused(&error), "{error}"),
        }
        for field in ["text", "dictionary", "category"] {
            match texts(&path, &TextOptions::default().field(field).id_field("key")) {
                Ok(items) => prop_assert!(items.iter().all(|item| item.id.is_some())),
                Err(error) => prop_assert!(refused(&error), "{error}"),
            }
        }
    }
}
