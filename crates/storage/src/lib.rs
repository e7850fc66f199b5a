//! Files of texts and of vectors, and what vectors are in memory.
//!
//! [`TextReader`] reads texts one after the other: a text a line, JSON lines, a JSON array, a column of CSV, and with the
//! feature `arrow` a column of Parquet or Arrow IPC. [`EmbeddingWriter`] writes texts and their vectors, window by window, as
//! JSON, CSV, an array of NumPy's, safetensors, Parquet or Arrow IPC; both take files of any size in bounded memory.
//! [`StoredVectors`] are the vectors of such a file, mapped into memory where they lie there as they are needed, and
//! [`Vectors`] is a view of vectors wherever they lie.
//!
//! What is written appears complete or not at all ([`Output`], [`OutputDirectory`]). Errors name the file, the line or the row,
//! what was expected and what was found.
//!
//! ```
//! use minilm_storage::{
//!     EmbeddingFormat, EmbeddingRow, EmbeddingSchema, EmbeddingWriter, Output, StoredVectors, TextOptions, TextReader,
//!     VectorOptions,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let (texts, vectors) = (directory.path().join("texts.csv"), directory.path().join("vectors.npy"));
//! std::fs::write(&texts, "text,title\n\"one, two\",numbers\nthree,another\n")?;
//! let mut writer = EmbeddingWriter::new(Output::create(&vectors)?, EmbeddingFormat::Npy, EmbeddingSchema::new(2))?;
//! for item in TextReader::open(&texts, &TextOptions::default())? {
//!     let embedding = [item?.text.len() as f32, 1.0];
//!     writer.write([EmbeddingRow::new(&embedding[..])])?;
//! }
//! writer.finish()?;
//!
//! let stored = StoredVectors::open(&vectors, &VectorOptions::default())?;
//! assert_eq!(stored.vectors().as_slice(), [8.0, 1.0, 5.0, 1.0]);
//! # Ok(()) }
//! ```

#[cfg(feature = "arrow")]
mod columns;
mod embeddings;
mod error;
mod excerpt;
mod formats;
mod id;
mod npy;
mod output;
mod position;
mod records;
mod source;
mod stored_vectors;
mod texts;
mod vectors;

#[cfg(feature = "arrow")]
pub use columns::is_panic_caught;
pub use embeddings::{Components, ElementType, EmbeddingRow, EmbeddingSchema, EmbeddingWriter};
pub use error::{At, Place, StorageError};
pub use excerpt::{excerpt, listed};
pub use formats::{EmbeddingFormat, TextFormat};
pub use id::{Id, IdType};
pub use output::{Output, OutputDirectory};
pub use position::Position;
pub use records::Table;
pub use stored_vectors::{Element, StoredVectors, VectorOptions};
pub use texts::{Nulls, TextItem, TextOptions, TextReader};
pub use vectors::{Vectors, VectorsError};
