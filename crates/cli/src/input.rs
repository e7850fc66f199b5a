//! The texts of a file or of standard input.

use std::io::{self, Read};
use std::path::Path;

use minilm::storage::{Position, StorageError, TextItem, TextOptions, TextReader};

use crate::arguments::InputArguments;
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
        reading: &InputArguments,
        id_field: Option<&str>,
    ) -> Result<Input, CliError> {
        let mut options = TextOptions::default().field(&reading.field);
        options.format = reading.input_format.map(Into::into);
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

/// A whole file, or standard input if the path is `-`, as one text.
pub(crate) fn read_document(path: &Path) -> Result<String, CliError> {
    let place = place_of(path);
    let read = if is_stdin(path) {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(source) => return Err(StorageError::Read { name: place, source }.into()),
    };
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        let byte = 1 + valid.iter().rev().take_while(|&&byte| byte != b'\n').count();
        let reason = format!("invalid UTF-8 at byte {byte} of the line");
        CliError::Input { place: format!("{place}:{line}"), reason }
    })
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
