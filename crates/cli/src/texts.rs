//! All texts of an input in memory, and vectors of texts: what is compared, searched for and put together.

use std::path::Path;

use minilm::storage::{StorageError, StoredVectors, VectorOptions};
use minilm::{Embeddings, SentenceTransformer};

use crate::arguments::{EncodeArguments, InputArguments};
use crate::error::CliError;
use crate::input::{Input, place_of};
use crate::model::warn_of_truncated_texts;
use crate::progress::{Extent, with_bar};

/// The texts of a file or of standard input; never none.
pub(crate) fn read_texts(path: &Path, reading: &InputArguments) -> Result<Vec<String>, CliError> {
    let input = Input::open(path, reading, None)?;
    let texts: Vec<String> = input.map(|item| Ok(item?.text)).collect::<Result<_, CliError>>()?;
    if texts.is_empty() {
        let reason = "expected at least one text, found none".to_owned();
        return Err(CliError::Input { place: place_of(path), reason });
    }
    Ok(texts)
}

/// The vectors of a file.
pub(crate) fn open_vectors(path: &Path) -> Result<StoredVectors, CliError> {
    StoredVectors::open(path, &VectorOptions::default()).map_err(|error| match error {
        StorageError::UnknownFormat { .. } => {
            CliError::Advised { error, advice: "name it as what it is".to_owned() }
        }
        error => error.into(),
    })
}

/// The vectors of a file, of which there is one for each text.
pub(crate) fn read_vectors(path: &Path, texts: usize) -> Result<StoredVectors, CliError> {
    let stored = open_vectors(path)?;
    if stored.len() != texts {
        let reason = format!("it has {} vectors, and there are {texts} texts", stored.len());
        return Err(CliError::Input { place: path.display().to_string(), reason });
    }
    Ok(stored)
}

/// The texts' vectors. Says so if the ends of some were ignored.
pub(crate) fn encode(
    model: &SentenceTransformer,
    texts: &[String],
    arguments: &EncodeArguments,
) -> Result<Embeddings, CliError> {
    let (quiet, extent) = (arguments.model.source.quiet, Extent::Texts(texts.len()));
    let vectors = with_bar(quiet, extent, arguments.options(), |options| model.encode_batch(texts, options))?;
    let cut = vectors.token_counts().iter().filter(|count| count.truncated()).count();
    warn_of_truncated_texts(model, cut, texts.len());
    Ok(vectors)
}
