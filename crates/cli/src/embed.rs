use std::sync::Arc;

use minilm::storage::{EmbeddingFormat, EmbeddingRow, EmbeddingSchema, EmbeddingWriter, Id, TextItem};
use minilm::{Embeddings, EncodeOptions, SentenceTransformer, StreamError};

use crate::arguments::EmbedArguments;
use crate::error::CliError;
use crate::input::Input;
use crate::model::{load, name_of, warn_of_truncated_texts};
use crate::output::Output;
use crate::progress::EmbedBar;

/// Reads, encodes and writes a window of texts at a time, so that an input may be of any size.
pub(crate) fn run(arguments: &EmbedArguments) -> Result<(), CliError> {
    // What can be wrong is found out before the model is fetched and the work begins.
    let input = match &arguments.input {
        Some(path) => {
            let format = arguments.input_format.map(Into::into);
            Some(Input::open(path, format, &arguments.field, arguments.id_field.as_deref())?)
        }
        None => None,
    };
    let output = Output::open(arguments.output.as_deref())?;
    let format = format_of(arguments);
    format.check(output.name(), arguments.id_field.is_some())?;
    if !format.is_text() && output.is_terminal() {
        return Err(CliError::Options(format!(
            "--format {format} writes binary data; give a file with -o or redirect standard output"
        )));
    }
    let position = input.as_ref().map(Input::position);
    let mut texts: Box<dyn Iterator<Item = Result<TextItem, CliError>>> = match input {
        Some(input) => Box::new(input),
        None => Box::new(arguments.texts.iter().map(|text| Ok(TextItem { id: None, text: text.clone() }))),
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
    let schema = schema(&model, first.as_ref().and_then(|first| first.id.as_ref()));
    let mut writer = EmbeddingWriter::new(output.start(), format, schema)?;
    let mut cut = 0;
    let encoded =
        model.encode_stream(first.map(Ok).into_iter().chain(texts), &options, |texts, embeddings| {
            cut += embeddings.token_counts().iter().filter(|count| count.truncated()).count();
            writer.write(rows(&texts, &embeddings)).map_err(CliError::from)
        });
    if let Some(bar) = &bar {
        bar.finish();
    }
    let all = encoded.map_err(|error| match error {
        StreamError::Source(error) | StreamError::Sink(error) => error,
        StreamError::Encode(error) => error.into(),
    })?;
    warn_of_truncated_texts(&model, cut, all);
    Ok(writer.finish()?)
}

/// The format asked for, or that of the output file's extension, or JSON lines.
fn format_of(arguments: &EmbedArguments) -> EmbeddingFormat {
    let by_extension = || arguments.output.as_deref().and_then(|path| EmbeddingFormat::of(path).ok());
    arguments.format.map(Into::into).or_else(by_extension).unwrap_or(EmbeddingFormat::Jsonl)
}

/// What is known of each text; its id is of the first one's kind.
fn schema(model: &SentenceTransformer, first_id: Option<&Id>) -> EmbeddingSchema {
    let schema = EmbeddingSchema::new(model.embedding_dimension())
        .texts()
        .tokens()
        .metadata("model", name_of(model))
        .metadata("precision", model.precision().name());
    match first_id {
        Some(id) => schema.ids(id.id_type()),
        None => schema,
    }
}

fn rows<'a>(texts: &'a [TextItem], embeddings: &'a Embeddings) -> impl Iterator<Item = EmbeddingRow<'a>> {
    texts.iter().zip(embeddings.rows()).zip(embeddings.token_counts()).map(|((item, embedding), count)| {
        let mut row = EmbeddingRow::new(embedding).text(&item.text).tokens(count.total, count.truncated());
        row.id = item.id.as_ref();
        row
    })
}
