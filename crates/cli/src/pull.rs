use minilm::resolve::resolve;

use crate::arguments::PullArguments;
use crate::error::CliError;
use crate::model::resolve_options;
use crate::output::Output;

pub(crate) fn run(arguments: &PullArguments) -> Result<(), CliError> {
    let resolved = resolve(&arguments.model, &resolve_options(&arguments.source))?;
    let files = resolved.verify()?;
    Output::stdout().write(|to| {
        for file in &files {
            writeln!(to, "{}  {:>10}  {}  ({})", file.sha256, file.bytes, file.file, file.check)?;
        }
        writeln!(to, "{} (from: {})", resolved.directory().display(), resolved.source())
    })
}
