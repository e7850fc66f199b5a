//! What is written is read again, by us and by the formats' own crates.

use std::io::Write;
use std::sync::{Arc, Mutex};

use minilm_storage::{
    Components, ElementType, EmbeddingFormat, EmbeddingRow, EmbeddingSchema, EmbeddingWriter, Id, IdType,
    Output, StorageError, StoredVectors, TextOptions, VectorOptions,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{FORMATS, Rows, texts, vectors};

fn extension(format: EmbeddingFormat) -> String {
    format!("written.{format}")
}

fn options(format: EmbeddingFormat) -> VectorOptions {
    match format {
        EmbeddingFormat::Npy => VectorOptions::default(),
        EmbeddingFormat::Safetensors => VectorOptions::default().id_field("ids"),
        _ => VectorOptions::default().id_field("id"),
    }
}

fn has_texts(format: EmbeddingFormat) -> bool {
    !matches!(format, EmbeddingFormat::Npy | EmbeddingFormat::Safetensors)
}

/// Ids as the format gives them back: CSV has no integers.
fn read_ids(ids: &[Id], format: EmbeddingFormat) -> Vec<Id> {
    match format {
        EmbeddingFormat::Csv => ids.iter().map(|id| Id::Text(id.to_string())).collect(),
        _ => ids.to_vec(),
    }
}

fn finite() -> impl Strategy<Value = f32> {
    any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |x| x.is_finite())
}

/// Some rows, all of a dimension, with ids of one kind.
fn some_rows() -> impl Strategy<Value = Rows> {
    (1..9usize, 0..40usize, any::<bool>()).prop_flat_map(|(dimension, n, integers)| {
        let ids = if integers {
            vec(any::<i64>().prop_map(Id::from), n).boxed()
        } else {
            vec("[ -~é日\u{0}\u{1f}\"\\\\\n]{0,8}".prop_map(Id::from), n).boxed()
        };
        (vec(finite(), n * dimension), vec(".{0,20}", n), ids)
            .prop_map(move |(components, texts, ids)| Rows { dimension, components, texts, ids })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(rows in some_rows(), format in select(FORMATS), window in 1..50usize) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(extension(format));
        rows.write(&path, format, window);

        let mut options = options(format);
        if rows.ids.is_empty() {
            // Then it is not known of which kind they are, and there is no column of them.
            options.id_field = None;
        }
        let stored = vectors(&path, &options).unwrap();
        prop_assert_eq!(stored.len(), rows.texts.len());
        let bits = |components: &[f32]| components.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(stored.as_slice()), bits(&rows.components));
        if options.id_field.is_some() {
            prop_assert_eq!(stored.ids().unwrap(), read_ids(&rows.ids, format));
        }
        let maps = matches!(format, EmbeddingFormat::Npy | EmbeddingFormat::Safetensors);
        prop_assert_eq!(stored.is_mapped(), maps);

        if has_texts(format) {
            let mut options = TextOptions::default();
            options.id_field = (!rows.ids.is_empty()).then(|| "id".to_owned());
            let items = texts(&path, &options).unwrap();
            prop_assert!(items.iter().map(|item| &item.text).eq(&rows.texts));
            if options.id_field.is_some() {
                let ids: Vec<Id> = items.into_iter().map(|item| item.id.unwrap()).collect();
                prop_assert_eq!(ids, read_ids(&rows.ids, format));
            }
        }
    }

    #[test]
    fn quantised_vectors_are_read(bytes in vec(any::<u8>(), 0..60), format in select(FORMATS), signed: bool) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(extension(format));
        let codes: Vec<i8> = bytes.iter().map(|&byte| byte as i8).collect();
        let whole = bytes.len() / 3 * 3;
        let element_type = if signed { ElementType::I8 } else { ElementType::U8 };
        let schema = EmbeddingSchema::new(3).element_type(element_type);
        let mut writer = EmbeddingWriter::new(Output::create(&path).unwrap(), format, schema).unwrap();
        if signed {
            writer.write(codes[..whole].chunks(3).map(EmbeddingRow::new)).unwrap();
        } else {
            writer.write(bytes[..whole].chunks(3).map(EmbeddingRow::new)).unwrap();
        }
        writer.finish().unwrap();
        let options = VectorOptions::default();
        if signed {
            let stored = StoredVectors::<i8>::open_as(&path, &options).unwrap();
            prop_assert_eq!(stored.as_slice(), &codes[..whole]);
        } else {
            let stored = StoredVectors::<u8>::open_as(&path, &options).unwrap();
            prop_assert_eq!(stored.as_slice(), &bytes[..whole]);
        }
    }
}

fn five() -> Rows {
    Rows {
        dimension: 3,
        components: (0..15u8).map(|i| f32::from(i) / 8.0).collect(),
        texts: ["one", "two", "", "four, \"quoted\"", "ünf"].map(str::to_owned).to_vec(),
        ids: [3, -1, 4, 1, 5].map(Id::from).to_vec(),
    }
}

fn bytes_of(rows: &Rows, format: EmbeddingFormat) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(extension(format));
    rows.write(&path, format, 2);
    std::fs::read(path).unwrap()
}

#[test]
fn text_formats_look_like_this() {
    let text = |format| String::from_utf8(bytes_of(&five(), format)).unwrap();
    let jsonl = text(EmbeddingFormat::Jsonl);
    let mut lines = jsonl.lines();
    assert_eq!(
        lines.next(),
        Some(r#"{"id":3,"text":"one","embedding":[0.0,0.125,0.25],"tokens":0,"truncated":true}"#)
    );
    assert_eq!(lines.count(), 4);
    assert_eq!(text(EmbeddingFormat::Json), format!("[\n{}\n]\n", jsonl.trim_end().replace("}\n", "},\n")));
    let csv = text(EmbeddingFormat::Csv);
    assert!(
        csv.starts_with("id,text,embedding,tokens,truncated\n3,one,\"[0.0,0.125,0.25]\",0,true\n"),
        "{csv}"
    );
    assert!(csv.contains("\n1,\"four, \"\"quoted\"\"\",\"[1.125,1.25,1.375]\",3,false\n"), "{csv}");
}

#[test]
fn npyz_reads_arrays() {
    let bytes = bytes_of(&five(), EmbeddingFormat::Npy);
    let npy = npyz::NpyFile::new(&bytes[..]).unwrap();
    assert_eq!(npy.shape(), [5, 3]);
    assert_eq!(npy.into_vec::<f32>().unwrap(), five().components);
}

#[test]
fn the_safetensors_crate_reads_tensors_and_ids() {
    for with_ids in [true, false] {
        let rows = five();
        let mut schema =
            EmbeddingSchema::new(3).metadata("model", "a \"model\"").metadata("precision", "f32");
        if with_ids {
            schema = schema.ids(IdType::Integer);
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vectors.safetensors");
        let output = Output::create(&path).unwrap();
        let mut writer = EmbeddingWriter::new(output, EmbeddingFormat::Safetensors, schema).unwrap();
        writer.write(rows.rows(with_ids)).unwrap();
        writer.finish().unwrap();

        let bytes = std::fs::read(&path).unwrap();
        let (header_bytes, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        // So that it can be used where it is mapped.
        assert_eq!((8 + header_bytes) % 64, 0);
        let metadata = header.metadata().as_ref().unwrap();
        assert_eq!((&metadata["model"][..], &metadata["precision"][..]), ("a \"model\"", "f32"));
        assert_eq!(metadata.get("ids").map(|ids| &ids[..]), with_ids.then_some("[3,-1,4,1,5]"));
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.names(), ["embeddings"]);
        let tensor = tensors.tensor("embeddings").unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (safetensors::Dtype::F32, &[5, 3][..]));
        assert_eq!(tensor.data(), bytemuck::cast_slice::<f32, u8>(&rows.components));
    }
}

#[cfg(feature = "arrow")]
#[test]
fn columns_have_these_types_and_metadata() {
    use std::collections::HashMap;

    use arrow_array::RecordBatchReader;
    use arrow_schema::{DataType, Field, Schema};

    let list = DataType::FixedSizeList(Field::new("item", DataType::Float32, false).into(), 3);
    let fields = [
        ("id", DataType::Int64),
        ("text", DataType::Utf8),
        ("embedding", list),
        ("tokens", DataType::Int64),
        ("truncated", DataType::Boolean),
    ];
    let fields: Vec<Field> =
        fields.into_iter().map(|(name, data_type)| Field::new(name, data_type, false)).collect();
    let metadata = HashMap::from([("model".to_owned(), "a \"model\"".to_owned())]);
    let expected = Schema::new_with_metadata(fields, metadata);

    let parquet = bytes::Bytes::from(bytes_of(&five(), EmbeddingFormat::Parquet));
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(parquet, 64).unwrap();
    assert_eq!(*reader.schema(), Schema { metadata: Default::default(), ..expected.clone() });
    let from_parquet: Vec<_> = reader.map(Result::unwrap).collect();

    let arrow = bytes_of(&five(), EmbeddingFormat::Arrow);
    let reader = arrow_ipc::reader::FileReader::try_new(std::io::Cursor::new(arrow), None).unwrap();
    assert_eq!(*reader.schema(), expected);
    let from_arrow: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(from_parquet[0].columns(), from_arrow[0].columns());
    assert_eq!((from_arrow.len(), from_arrow[0].num_rows()), (1, 5));
}

/// More than a batch, and more than waits in memory.
#[test]
fn many_windows_are_one_file() {
    let rows = Rows {
        dimension: 200,
        components: (0..12_000 * 200).map(|i| i as f32).collect(),
        texts: (0..12_000).map(|i| format!("text {i}")).collect(),
        ids: (0..12_000).map(|i| Id::from(format!("id {i}"))).collect(),
    };
    for &format in FORMATS.iter().filter(|format| !format.is_text()) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(extension(format));
        rows.write(&path, format, 512);
        let stored = vectors(&path, &options(format)).unwrap();
        assert!(stored.as_slice() == rows.components, "{format}");
        assert!(stored.ids().is_none_or(|ids| ids == rows.ids), "{format}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}

/// What is written can be looked at.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stream_has_the_bytes_of_a_file_and_lines_at_once() {
    for &format in FORMATS {
        let rows = five();
        let shared = Shared::default();
        let mut schema = rows.schema().metadata("model", "a \"model\"");
        if format != EmbeddingFormat::Npy {
            schema = schema.ids(IdType::Integer);
        }
        let mut writer =
            EmbeddingWriter::new(Output::stream(shared.clone(), "a pipe"), format, schema).unwrap();
        for window in rows.rows(format != EmbeddingFormat::Npy).chunks(2) {
            writer.write(window.iter().copied()).unwrap();
            let lines = shared.0.lock().unwrap().iter().filter(|&&byte| byte == b'\n').count();
            match format {
                EmbeddingFormat::Jsonl => assert_eq!(lines, writer.rows()),
                EmbeddingFormat::Csv => assert_eq!(lines, 1 + writer.rows()),
                _ => {}
            }
        }
        writer.finish().unwrap();
        assert!(*shared.0.lock().unwrap() == bytes_of(&rows, format), "{format}");
    }
}

#[test]
fn an_unfinished_file_is_none_and_an_existing_one_stays() {
    for &format in FORMATS {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(extension(format));
        std::fs::write(&path, "precious").unwrap();
        let schema = EmbeddingSchema::new(2);
        let mut writer = EmbeddingWriter::new(Output::create(&path).unwrap(), format, schema).unwrap();
        writer.write([EmbeddingRow::new(&[1.0f32, 2.0][..])]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        drop(writer);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}

fn changed<'a>(mut row: EmbeddingRow<'a>, change: impl Fn(&mut EmbeddingRow<'a>)) -> EmbeddingRow<'a> {
    change(&mut row);
    row
}

#[test]
fn rows_of_another_schema_are_refused() {
    let id = Id::from(7);
    let name = Id::from("se\u{1b}ven");
    let vector: Components<'_> = (&[1.0f32, 2.0][..]).into();
    let schema = EmbeddingSchema::new(2).ids(IdType::Integer).texts().tokens();
    let row = EmbeddingRow::new(vector).id(&id).text("x").tokens(3, false);
    for (wrong, reason) in [
        (
            changed(row, |row| row.embedding = (&[1.0f32][..]).into()),
            "expected a vector of 2 float32, found 1 float32",
        ),
        (
            changed(row, |row| row.embedding = (&[1i8, 2][..]).into()),
            "expected a vector of 2 float32, found 2 int8",
        ),
        (changed(row, |row| row.id = None), "expected an id that is an integer, found none"),
        (row.id(&name), "expected an id that is an integer, found a string: \"se\\u{1b}ven\""),
        (changed(row, |row| row.text = None), "expected a text, found none"),
        (changed(row, |row| row.tokens = None), "expected a count of tokens, found none"),
    ] {
        let output = Output::stream(std::io::sink(), "a pipe");
        let mut writer = EmbeddingWriter::new(output, EmbeddingFormat::Jsonl, schema.clone()).unwrap();
        let error = writer.write([row, wrong]).unwrap_err().to_string();
        assert_eq!(error, format!("cannot write row 1 to a pipe: {reason}"));
    }
    let output = Output::stream(std::io::sink(), "a pipe");
    let error = EmbeddingWriter::new(output, EmbeddingFormat::Npy, schema).err().unwrap().to_string();
    assert_eq!(error, "cannot write a pipe: npy has no ids");
}

/// JSON would have a null, which nothing reads as a number again.
#[test]
fn text_has_no_numbers_that_are_not_finite() {
    let vectors = [[1.0, 2.0], [0.5, f32::NAN], [f32::NEG_INFINITY, 0.0]];
    for &format in FORMATS {
        let output = Output::stream(std::io::sink(), "a pipe");
        let mut writer = EmbeddingWriter::new(output, format, EmbeddingSchema::new(2)).unwrap();
        let mut written = vectors.iter().map(|vector| writer.write([EmbeddingRow::new(&vector[..])]));
        assert!(written.next().unwrap().is_ok());
        for found in ["component 1 of the vector is NaN", "component 0 of the vector is -inf"] {
            match written.next().unwrap() {
                Ok(()) => assert!(!format.is_text(), "{format}"),
                Err(error) => {
                    let reason = format!("{found}, and {format} has finite numbers alone");
                    assert_eq!(error.to_string(), format!("cannot write row 1 to a pipe: {reason}"));
                    assert!(format.is_text(), "{format}");
                }
            }
        }
    }
}

/// As a reader that has gone away.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn what_the_output_says_is_passed_on() {
    let vector = [0.5f32; 4096];
    for &format in FORMATS {
        let written =
            EmbeddingWriter::new(Output::stream(Closed, "a pipe"), format, EmbeddingSchema::new(4096))
                .and_then(|mut writer| {
                    // Some formats write many rows at once, and some all of them in the end.
                    (0..1000).try_for_each(|_| writer.write([EmbeddingRow::new(&vector[..])]))?;
                    writer.finish()
                });
        match written {
            Err(StorageError::Write { source, .. }) => {
                assert_eq!(source.kind(), std::io::ErrorKind::BrokenPipe, "{format}: {source}");
            }
            other => panic!("{format}: {other:?}"),
        }
    }
}

#[test]
fn more_ids_than_a_header_holds_are_refused() {
    let output = Output::stream(std::io::sink(), "a pipe");
    let schema = EmbeddingSchema::new(1).ids(IdType::Text);
    let mut writer = EmbeddingWriter::new(output, EmbeddingFormat::Safetensors, schema).unwrap();
    let id = Id::from("x".repeat(1_000_000));
    let rows = std::iter::repeat_n(EmbeddingRow::new(&[1.0f32][..]).id(&id), 200);
    let error = writer.write(rows).unwrap_err().to_string();
    assert!(error.starts_with("cannot write a pipe: 100 ids take more than the 100000000 bytes"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_full_device_is_an_error() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    for &format in FORMATS {
        let schema = EmbeddingSchema::new(2);
        let written = EmbeddingWriter::new(Output::create("/dev/full").unwrap(), format, schema).and_then(
            |mut writer| {
                writer.write([EmbeddingRow::new(&[1.0f32, 2.0][..])])?;
                writer.finish()
            },
        );
        let error = written.unwrap_err().to_string();
        assert!(error.starts_with("cannot write /dev/full: ") && error.contains("No space left"), "{error}");
    }
}
