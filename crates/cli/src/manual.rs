//! `minilm completions` and `minilm man`: what shells and `man` know of the program, made from its arguments.

use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;
use minilm::storage;

use crate::arguments::{Arguments, CompletionsArguments, ManArguments};
use crate::error::CliError;
use crate::output::Output;

pub(crate) fn completions(arguments: &CompletionsArguments) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "minilm", &mut script);
    Output::stdout().write(|to| to.write_all(&script))
}

/// A page for the program, and one for each command, however deep: `minilm-eval-sts.1`.
pub(crate) fn man(arguments: &ManArguments) -> Result<(), CliError> {
    let directory = &arguments.output;
    std::fs::create_dir_all(directory).map_err(|source| {
        CliError::from(storage::StorageError::Write { name: directory.display().to_string(), source })
    })?;
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build();
    page(&program, directory)
}

fn page(command: &clap::Command, directory: &Path) -> Result<(), CliError> {
    // As a command is called, "minilm eval sts", it is named here with hyphens.
    let name = command.get_display_name().unwrap_or(command.get_name());
    let man = Man::new(command.clone());
    Output::file(&directory.join(format!("{name}.1")))?.write(|mut to| man.render(&mut to))?;
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .try_for_each(|command| page(command, directory))
}
