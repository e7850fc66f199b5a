use std::sync::Arc;

use minilm::{EncodeOptions, StreamError};

use crate::arguments::{EmbedArguments, OutputFormat};
use crate::error::CliError;
use crate::input::Input;
use crate::model::{load, warn_of_truncated_texts};
use crate::output::{EmbeddingWriter, Output, format_of};
use crate::progress::EmbedBar;

/// Reads, encodes and writes a window of texts at a time, so that an input may be of any size.
pub(crate) fn run(arguments: &EmbedArguments) -> Result<(), CliError> {
    // What can be wrong is found out before the model is fetched and the work begins.
    let input = match &arguments.input {
        Some(path) => Some(Input::open(path, arguments.input_format, &arguments.field)?),
        None => None,
    };
    let output = Output::open(arguments.output.as_deref())?;
    let format = format_of(arguments.format, arguments.output.as_deref());
    if format == OutputFormat::Npy && output.is_terminal() {
        return Err(CliError::Options(
            "--format npy writes binary data; give a file with -o or redirect standard output".to_owned(),
        ));
    }
    let position = input.as_ref().map(Input::position);
    let mut texts: Box<dyn Iterator<Item = Result<String, CliError>>> = match input {
        Some(input) => Box::new(input),
        None => Box::new(arguments.texts.iter().cloned().map(Ok)),
    };
    // A wrong format or a wrong field is wrong in the first text already.
    let first = texts.next().transpose()?;
    // Where the vectors themselves are shown, a bar would be drawn over them.
    let bar_wanted = !arguments.model.source.quiet && !output.is_terminal();

    let model = load(&arguments.model, arguments.threads)?;

    let mut options = EncodeOptions::default();
    let bar = position.filter(|_| bar_wanted).and_then(EmbedBar::of_input).map(Arc::new);
    if let Some(bar) = &bar {
        options = options.progress(bar.clone());
    }
    let mut writer = EmbeddingWriter::new(output.start(), format, model.embedding_dimension())?;
    let mut cut = 0;
    let encoded =
        model.encode_stream(first.map(Ok).into_iter().chain(texts), &options, |texts, embeddings| {
            cut += embeddings.token_counts().iter().filter(|count| count.truncated()).count();
            writer.write(&texts, &embeddings)
        });
    if let Some(bar) = &bar {
        bar.finish();
    }
    let all = encoded.map_err(|error| match error {
        StreamError::Source(error) | StreamError::Sink(error) => error,
        StreamError::Encode(error) => error.into(),
    })?;
    warn_of_truncated_texts(&model, cut, all);
    writer.finish()
}
