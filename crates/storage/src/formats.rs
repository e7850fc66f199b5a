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
    /// A table with a header, one column of which has the texts. If there is a tab in the header, it is a
    /// [`TextFormat::Tsv`]; else it is CSV with quotes.
    Csv,
    /// Such a table in which tabs separate fields, and a row is a line ([`Table`](crate::Table) says what becomes of quotes).
    Tsv,
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

/// What the ending of a file's name says.
#[derive(Clone, Copy)]
enum Kind {
    Txt,
    Jsonl,
    Json,
    Csv,
    Tsv,
    Npy,
    Safetensors,
    Parquet,
    Arrow,
    /// Arrow IPC as a stream.
    Arrows,
}

impl Kind {
    fn of(extension: &str) -> Option<Kind> {
        match extension {
            "txt" | "text" => Some(Kind::Txt),
            "jsonl" | "ndjson" => Some(Kind::Jsonl),
            "json" => Some(Kind::Json),
            "csv" => Some(Kind::Csv),
            "tsv" => Some(Kind::Tsv),
            "npy" => Some(Kind::Npy),
            "safetensors" => Some(Kind::Safetensors),
            "parquet" | "pq" => Some(Kind::Parquet),
            "arrow" | "ipc" | "feather" => Some(Kind::Arrow),
            "arrows" => Some(Kind::Arrows),
            _ => None,
        }
    }

    /// Whether it may be compressed as a whole: lines of text are.
    fn may_be_gzip(self) -> bool {
        matches!(self, Kind::Txt | Kind::Jsonl | Kind::Json | Kind::Csv | Kind::Tsv)
    }
}

/// How a file's name ends.
struct Ending {
    /// In small letters, with the `.gz` behind it; `None` if there is nothing but that.
    extension: Option<String>,
    gzip: bool,
    kind: Option<Kind>,
}

impl Ending {
    fn of(path: &Path) -> Ending {
        let extension = |path: &Path| Some(path.extension()?.to_string_lossy().to_ascii_lowercase());
        match extension(path) {
            Some(last) if last == "gz" => {
                let extension = path.file_stem().and_then(|stem| extension(Path::new(stem)));
                let kind = extension.as_deref().and_then(Kind::of).filter(|kind| kind.may_be_gzip());
                Ending { extension: extension.map(|extension| extension + ".gz"), gzip: true, kind }
            }
            extension => {
                let kind = extension.as_deref().and_then(Kind::of);
                Ending { extension, gzip: false, kind }
            }
        }
    }

    fn unknown(self, path: &Path, known: &'static str) -> StorageError {
        let ending = self.extension.or(self.gzip.then(|| "gz".to_owned()));
        StorageError::UnknownFormat { name: path.display().to_string(), ending, known }
    }
}

/// Whether a file's name says that tabs separate its fields.
pub(crate) fn is_tsv(path: &Path) -> bool {
    matches!(Ending::of(path).kind, Some(Kind::Tsv))
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
        let ending = Ending::of(path);
        match ending.kind {
            Some(Kind::Txt) => Ok(TextFormat::Txt),
            None if ending.extension.is_none() => Ok(TextFormat::Txt),
            Some(Kind::Jsonl) => Ok(TextFormat::Jsonl),
            Some(Kind::Json) => Ok(TextFormat::Json),
            Some(Kind::Csv) => Ok(TextFormat::Csv),
            Some(Kind::Tsv) => Ok(TextFormat::Tsv),
            Some(Kind::Parquet) => Ok(TextFormat::Parquet),
            Some(Kind::Arrow | Kind::Arrows) => Ok(TextFormat::Arrow),
            Some(Kind::Npy | Kind::Safetensors) | None => Err(ending.unknown(path, TextFormat::KNOWN)),
        }
    }
}

impl EmbeddingFormat {
    /// The extensions that [`EmbeddingFormat::of`] knows.
    const KNOWN: &str = ".npy, .safetensors, .jsonl, .json, .csv, .tsv, .parquet and .arrow, those of text also with .gz \
                         behind them";

    /// The extensions that [`EmbeddingFormat::of_output`] knows.
    const WRITTEN: &str = ".npy, .safetensors, .jsonl, .json, .csv, .parquet and .arrow";

    /// Of the file of that name that is to be read, by its extension. What [`TextFormat::of`] knows of files that have texts, it
    /// knows, too: what is compressed with gzip, tables with tabs, and streams of Arrow IPC.
    ///
    /// # Errors
    ///
    /// [`StorageError::UnknownFormat`].
    pub fn of(path: &Path) -> Result<EmbeddingFormat, StorageError> {
        let ending = Ending::of(path);
        match ending.kind {
            Some(Kind::Jsonl) => Ok(EmbeddingFormat::Jsonl),
            Some(Kind::Json) => Ok(EmbeddingFormat::Json),
            Some(Kind::Csv | Kind::Tsv) => Ok(EmbeddingFormat::Csv),
            Some(Kind::Npy) => Ok(EmbeddingFormat::Npy),
            Some(Kind::Safetensors) => Ok(EmbeddingFormat::Safetensors),
            Some(Kind::Parquet) => Ok(EmbeddingFormat::Parquet),
            Some(Kind::Arrow | Kind::Arrows) => Ok(EmbeddingFormat::Arrow),
            Some(Kind::Txt) | None => Err(ending.unknown(path, EmbeddingFormat::KNOWN)),
        }
    }

    /// Of the file of that name that is to be written, by its extension: those of [`EmbeddingFormat::of`] that
    /// [`EmbeddingWriter`](crate::EmbeddingWriter) makes such files of.
    ///
    /// # Errors
    ///
    /// [`StorageError::UnknownFormat`].
    pub fn of_output(path: &Path) -> Result<EmbeddingFormat, StorageError> {
        match Ending::of(path) {
            ending @ (Ending { gzip: true, .. } | Ending { kind: Some(Kind::Tsv | Kind::Arrows), .. }) => {
                Err(ending.unknown(path, EmbeddingFormat::WRITTEN))
            }
            ending => EmbeddingFormat::of(path).map_err(|_| ending.unknown(path, EmbeddingFormat::WRITTEN)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_extensions() {
        let text = |name: &str| TextFormat::of(Path::new(name));
        assert_eq!(text("a/b.c/texts").unwrap(), TextFormat::Txt);
        assert_eq!(text("x.JSONL.gz").unwrap(), TextFormat::Jsonl);
        assert_eq!(text("x.tsv").unwrap(), TextFormat::Tsv);
        assert_eq!(text("x.feather").unwrap(), TextFormat::Arrow);
        assert_eq!(text("texts.gz").unwrap(), TextFormat::Txt);
        for (name, ending) in [("dir/x.xls", "xls"), ("dir/x.parquet.gz", "parquet.gz"), ("dir/x.npy", "npy")]
        {
            let error = text(name).unwrap_err().to_string();
            let expected = format!("{name}: files ending in .{ending} are not known; known are .txt,");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn vectors_are_read_from_what_texts_are_and_written_to_less() {
        let (read, written) = (
            |name: &str| EmbeddingFormat::of(Path::new(name)),
            |name: &str| EmbeddingFormat::of_output(Path::new(name)),
        );
        for format in ["jsonl", "json", "csv", "npy", "safetensors", "parquet", "arrow"] {
            let name = format!("x.{format}");
            assert_eq!(read(&name).unwrap().to_string(), format);
            assert_eq!(written(&name).unwrap().to_string(), format);
        }
        for (name, format) in [
            ("x.jsonl.gz", EmbeddingFormat::Jsonl),
            ("x.csv.gz", EmbeddingFormat::Csv),
            ("x.tsv", EmbeddingFormat::Csv),
            ("x.arrows", EmbeddingFormat::Arrow),
        ] {
            assert_eq!(read(name).unwrap(), format);
            assert!(TextFormat::of(Path::new(name)).is_ok());
            let error = written(name).unwrap_err().to_string();
            assert!(error.contains("are not known; known are .npy") && !error.contains("tsv and"), "{error}");
        }
        for (name, says) in [
            ("vectors", "vectors: files without an extension are not known; known are .npy"),
            ("vectors.gz", "vectors.gz: files ending in .gz are not known; known are .npy"),
            ("x.npy.gz", "x.npy.gz: files ending in .npy.gz are not known; known are .npy"),
            ("x.txt", "x.txt: files ending in .txt are not known; known are .npy"),
        ] {
            for error in [read(name), written(name)].map(|found| found.unwrap_err().to_string()) {
                assert!(error.starts_with(says), "{error}");
            }
        }
    }
}
