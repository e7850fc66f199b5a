//! Where results go: standard output, or a file.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use minilm::storage;
use serde::Serialize;

use crate::error::CliError;
use crate::interrupt;

/// What messages call standard output.
pub(crate) const STDOUT: &str = "standard output";

pub(crate) fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// An output that has been opened, so that one that cannot be written is known before the work begins.
pub(crate) struct Output {
    output: storage::Output,
    is_terminal: bool,
}

impl Output {
    /// A file, which appears when it is complete; or standard output, also if the path is `-`.
    pub(crate) fn open(path: Option<&Path>) -> Result<Output, CliError> {
        match path.filter(|path| !is_stdout(path)) {
            Some(path) => Output::file(path),
            None => Ok(Output::stdout()),
        }
    }

    /// A file for a picture, which standard output has no room for beside the results.
    pub(crate) fn plot(path: &Path) -> Result<Output, CliError> {
        if is_stdout(path) {
            return Err(CliError::Options("--plot is -; expected the name of a file".to_owned()));
        }
        Output::file(path)
    }

    /// A file, which appears when it is complete.
    pub(crate) fn file(path: &Path) -> Result<Output, CliError> {
        interrupt::leave_nothing_behind();
        Ok(Output { output: storage::Output::create(path)?, is_terminal: false })
    }

    pub(crate) fn stdout() -> Output {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        Output { output: storage::Output::stream(stdout, STDOUT), is_terminal }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> &str {
        self.output.name()
    }

    /// To write to it piece by piece.
    pub(crate) fn start(self) -> storage::Output {
        self.output
    }

    /// Writes everything, and only then lets the file appear under its name.
    pub(crate) fn write(
        self,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), CliError> {
        let mut output = self.output;
        content(&mut output).map_err(|e| output.failed(e))?;
        Ok(output.finish()?)
    }

    /// Writes one JSON object on a line, or what `print` makes of the value for people.
    pub(crate) fn report<T: Serialize>(
        self,
        json: bool,
        value: &T,
        print: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>,
    ) -> Result<(), CliError> {
        self.write(|to| {
            if !json {
                return print(value, to);
            }
            serde_json::to_writer(&mut *to, value)?;
            writeln!(to)
        })
    }
}
