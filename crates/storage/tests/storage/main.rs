//! Files that others wrote are read, what we write others read, and what nobody should have written is refused.

mod malformed;
mod others_files;
mod round_trips;

use std::path::{Path, PathBuf};

use minilm_storage::{
    EmbeddingFormat, EmbeddingRow, EmbeddingSchema, EmbeddingWriter, Id, Output, StorageError, StoredVectors,
    TextItem, TextOptions, TextReader, VectorOptions,
};

/// The formats that this build can write.
const FORMATS: &[EmbeddingFormat] = &[
    EmbeddingFormat::Jsonl,
    EmbeddingFormat::Json,
    EmbeddingFormat::Csv,
    EmbeddingFormat::Npy,
    EmbeddingFormat::Safetensors,
    #[cfg(feature = "arrow")]
    EmbeddingFormat::Parquet,
    #[cfg(feature = "arrow")]
    EmbeddingFormat::Arrow,
];

/// A file of `fixtures/storage`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/storage").join(name)
}

fn texts(path: &Path, options: &TextOptions) -> Result<Vec<TextItem>, String> {
    let items = TextReader::open(path, options).and_then(Iterator::collect);
    items.map_err(|error: StorageError| error.to_string())
}

fn vectors(path: &Path, options: &VectorOptions) -> Result<StoredVectors, String> {
    StoredVectors::open(path, options).map_err(|error| error.to_string())
}

/// A file in a directory that lives as long.
fn written(name: &str, bytes: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (directory, path)
}

/// The error names the file, and then says this.
#[track_caller]
fn says<T>(result: Result<T, String>, path: &Path, message: &str) {
    let Err(error) = result else { panic!("{} was read, expected: {message}", path.display()) };
    let rest = error.strip_prefix(path.to_str().unwrap());
    let rest = rest.unwrap_or_else(|| panic!("the error does not name {}: {error}", path.display()));
    assert!(rest.starts_with(message), "expected {message:?}, found {rest:?}");
}

/// Rows of a file that has everything.
#[derive(Debug)]
struct Rows {
    dimension: usize,
    components: Vec<f32>,
    texts: Vec<String>,
    ids: Vec<Id>,
}

impl Rows {
    fn schema(&self) -> EmbeddingSchema {
        EmbeddingSchema::new(self.dimension).texts().tokens()
    }

    fn rows(&self, with_ids: bool) -> Vec<EmbeddingRow<'_>> {
        let vectors = self.components.chunks_exact(self.dimension);
        let rows = vectors.zip(&self.texts).zip(&self.ids).enumerate();
        rows.map(|(i, ((vector, text), id))| {
            let row = EmbeddingRow::new(vector).text(text).tokens(i, i % 2 == 0);
            if with_ids { row.id(id) } else { row }
        })
        .collect()
    }

    /// Writes them in windows.
    fn write(&self, path: &Path, format: EmbeddingFormat, window: usize) {
        let with_ids = format != EmbeddingFormat::Npy;
        let mut schema = self.schema().metadata("model", "a \"model\"");
        if let Some(id) = self.ids.first().filter(|_| with_ids) {
            schema = schema.ids(id.id_type());
        }
        let mut writer = EmbeddingWriter::new(Output::create(path).unwrap(), format, schema).unwrap();
        for window in self.rows(with_ids).chunks(window) {
            writer.write(window.iter().copied()).unwrap();
        }
        assert_eq!(writer.rows(), self.texts.len());
        writer.finish().unwrap();
    }
}

/// A service hands them from thread to thread.
#[test]
fn readers_writers_and_vectors_go_to_other_threads() {
    fn sent<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    sent::<TextReader>();
    sent::<EmbeddingWriter>();
    shared::<StoredVectors>();
}

#[test]
fn vectors_say_what_they_are() {
    let stored = vectors(&fixture("f4.npy"), &VectorOptions::default()).unwrap();
    assert_eq!(format!("{stored:?}"), "StoredVectors { len: 5, dimension: 6, mapped: true, .. }");
}
