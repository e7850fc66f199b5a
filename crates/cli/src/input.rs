//! The texts of a file or of standard input.

use std::io;
use std::path::Path;

use minilm::storage::{Position, StorageError, TextFormat, TextItem, TextOptions, TextReader};

use crate::error::CliError;

/// Texts, read as they are asked for. Ends after an error.
pub(crate) struct Input {
    texts: TextReader,
    options: TextOptions,
}

/// What messages call a file, or standard input if the path is `-`.
pub(crate) fn place_of(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

impl Input {
    /// Opens a file, or standard input if the path is `-`.
    pub(crate) fn open(
        path: &Path,
        format: Option<TextFormat>,
        field: &str,
        id_field: Option<&str>,
    ) -> Result<Input, CliError> {
        let mut options = TextOptions::default().field(field);
        options.format = format;
        options.id_field = id_field.map(str::to_owned);
        let texts = if is_stdin(path) {
            TextReader::from_reader(io::stdin(), place_of(path), &options)
        } else {
            TextReader::open(path, &options)
        };
        match texts {
            Ok(texts) => Ok(Input { texts, options }),
            Err(error) => Err(with_advice(error, &options)),
        }
    }

    pub(crate) fn position(&self) -> Position {
        self.texts.position()
    }
}

impl Iterator for Input {
    type Item = Result<TextItem, CliError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.texts.next()?.map_err(|error| with_advice(error, &self.options)))
    }
}

/// Which option chooses something else.
fn with_advice(error: StorageError, options: &TextOptions) -> CliError {
    let advice = match &error {
        StorageError::MissingField { field, .. } | StorageError::MissingColumn { column: field, .. } => {
            let id = options.id_field.as_ref() == Some(field) && options.field != *field;
            if id { "choose one with --id-field" } else { "choose one with --field" }
        }
        StorageError::UnknownFormat { .. } => "say what it is with --input-format",
        _ => return error.into(),
    };
    CliError::Advised { error, advice: advice.to_owned() }
}
