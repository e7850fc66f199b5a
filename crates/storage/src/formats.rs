//! What files are, told by their names.

use std::fmt;
use std::path::Path;

use crate::StorageError;

/// What a file of texts is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextFormat {
    /// A text a line; an empty line is an empty text.
    Txt,
    /// A string a line, or an object, one field of which is the text. Blank lines are nothing.
    Jsonl,
    /// An array of such strings or objects.
    Json,
    /// A table with a header, one column of which has the texts. If there is a tab in the header, tabs separate fields and
    /// quotes mean nothing; else it is CSV with quotes.
    Csv,
    /// A column of Parquet. Needs the feature `arrow`, and a file that can be seeked.
    Parquet,
    /// A column of Arrow IPC, as a file (as Feather version 2 is) or as a stream. Needs the feature `arrow`.
    Arrow,
}

/// What a file of vectors is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmbeddingFormat {
    /// An object a line: `id`, `text`, `embedding` (an array of numbers), `tokens`, `truncated`.
    Jsonl,
    /// An array of such objects.
    Json,
    /// A table with such columns; an embedding is a JSON array, which `json.loads` and pgvector read.
    Csv,
    /// An array of NumPy's: `[n, dimension]` of `<f4`, `|i1` or `|u1`, nothing else.
    Npy,
    /// The tensor `embeddings` `[n, dimension]` of F32, I8 or U8. Ids are a JSON array in the metadata `ids`.
    Safetensors,
    /// Columns `id`, `text`, `embedding` (a list of fixed size), `tokens`, `truncated`. Needs the feature `arrow`.
    Parquet,
    /// The same columns as an Arrow IPC file. Needs the feature `arrow`.
    Arrow,
}

impl TextFormat {
    /// The extensions that [`TextFormat::of`] knows.
    const KNOWN: &str =
        ".txt, .jsonl, .json, .csv, .tsv, .parquet and .arrow, those of text also with .gz behind them";

    /// Of the file of that name, by its extension. A name without one is a [`TextFormat::Txt`].
    ///
    /// # Errors
    ///
    /// [`StorageError::UnknownFormat`].
    pub fn of(path: &Path) -> Result<TextFormat, StorageError> {
        let mut extension = extension(path);
        if extension.as_deref() == Some("gz") {
            extension = path.file_stem().and_then(|stem| self::extension(Path::new(stem)));
        }
        match extension.as_deref() {
            None | Some("txt" | "text") => Ok(TextFormat::Txt),
            Some("jsonl" | "ndjson") => Ok(TextFormat::Jsonl),
            Some("json") => Ok(TextFormat::Json),
            Some("csv" | "tsv") => Ok(TextFormat::Csv),
            Some("parquet" | "pq") => Ok(TextFormat::Parquet),
            Some("arrow" | "arrows" | "ipc" | "feather") => Ok(TextFormat::Arrow),
            Some(_) => Err(unknown(path, extension, TextFormat::KNOWN)),
        }
    }
}

impl EmbeddingFormat {
    /// The extensions that [`EmbeddingFormat::of`] knows.
    const KNOWN: &str = ".npy, .safetensors, .jsonl, .json, .csv, .parquet and .arrow";

    /// Of the file of that name, by its extension.
    ///
    /// # Errors
    ///
    /// [`StorageError::UnknownFormat`].
    pub fn of(path: &Path) -> Result<EmbeddingFormat, StorageError> {
        let extension = extension(path);
        match extension.as_deref() {
            Some("jsonl" | "ndjson") => Ok(EmbeddingFormat::Jsonl),
            Some("json") => Ok(EmbeddingFormat::Json),
            Some("csv") => Ok(EmbeddingFormat::Csv),
            Some("npy") => Ok(EmbeddingFormat::Npy),
            Some("safetensors") => Ok(EmbeddingFormat::Safetensors),
            Some("parquet" | "pq") => Ok(EmbeddingFormat::Parquet),
            Some("arrow" | "ipc" | "feather") => Ok(EmbeddingFormat::Arrow),
            _ => Err(unknown(path, extension, EmbeddingFormat::KNOWN)),
        }
    }

    /// Whether a file of that name, with ids or without, can be written so.
    ///
    /// # Errors
    ///
    /// [`StorageError::NotBuiltIn`] for Parquet and Arrow without the feature `arrow`; [`StorageError::Schema`] for ids in
    /// [`EmbeddingFormat::Npy`].
    pub fn check(self, name: &str, ids: bool) -> Result<(), StorageError> {
        let name = || name.to_owned();
        match self {
            EmbeddingFormat::Parquet if !cfg!(feature = "arrow") => {
                Err(StorageError::NotBuiltIn { name: name(), format: "Parquet" })
            }
            EmbeddingFormat::Arrow if !cfg!(feature = "arrow") => {
                Err(StorageError::NotBuiltIn { name: name(), format: "Arrow IPC" })
            }
            EmbeddingFormat::Npy if ids => {
                Err(StorageError::Schema { name: name(), format: self, missing: "ids" })
            }
            _ => Ok(()),
        }
    }

    /// Its name, as its extension.
    pub fn name(self) -> &'static str {
        match self {
            EmbeddingFormat::Jsonl => "jsonl",
            EmbeddingFormat::Json => "json",
            EmbeddingFormat::Csv => "csv",
            EmbeddingFormat::Npy => "npy",
            EmbeddingFormat::Safetensors => "safetensors",
            EmbeddingFormat::Parquet => "parquet",
            EmbeddingFormat::Arrow => "arrow",
        }
    }

    /// Whether it is lines of text, which a terminal can show.
    pub fn is_text(self) -> bool {
        matches!(self, EmbeddingFormat::Jsonl | EmbeddingFormat::Json | EmbeddingFormat::Csv)
    }
}

impl fmt::Display for EmbeddingFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn extension(path: &Path) -> Option<String> {
    path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase())
}

fn unknown(path: &Path, ending: Option<String>, known: &'static str) -> StorageError {
    StorageError::UnknownFormat { name: path.display().to_string(), ending, known }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_extensions() {
        let text = |name: &str| TextFormat::of(Path::new(name));
        assert_eq!(text("a/b.c/texts").unwrap(), TextFormat::Txt);
        assert_eq!(text("x.JSONL.gz").unwrap(), TextFormat::Jsonl);
        assert_eq!(text("x.tsv").unwrap(), TextFormat::Csv);
        assert_eq!(text("x.feather").unwrap(), TextFormat::Arrow);
        assert_eq!(text("texts.gz").unwrap(), TextFormat::Txt);
        let error = text("dir/x.xls").unwrap_err().to_string();
        assert!(
            error.starts_with("dir/x.xls: files ending in .xls are not known; known are .txt,"),
            "{error}"
        );

        let vectors = |name: &str| EmbeddingFormat::of(Path::new(name));
        for format in ["jsonl", "json", "csv", "npy", "safetensors", "parquet", "arrow"] {
            assert_eq!(vectors(&format!("x.{format}")).unwrap().to_string(), format);
        }
        let error = vectors("vectors").unwrap_err().to_string();
        assert!(
            error.starts_with("vectors: files without an extension are not known; known are .npy"),
            "{error}"
        );
    }
}
