//! `minilm index`: texts and their vectors in a directory, to be searched.

use std::sync::Arc;

use minilm::{IndexError, IndexOptions, IndexWriter, StreamError};

use crate::arguments::IndexArguments;
use crate::error::CliError;
use crate::input::Input;
use crate::model::{load, warn_of_truncated_texts};
use crate::progress::EmbedBar;

pub(crate) fn run(arguments: &IndexArguments) -> Result<(), CliError> {
    // What can be wrong is found out before the model is fetched and the work begins.
    let mut texts = Input::open(&arguments.input, &arguments.reading, arguments.id_field.as_deref())?;
    let position = texts.position();
    let first = texts.next().transpose()?;

    let quiet = arguments.model.source.quiet;
    let model = load(&arguments.model, arguments.threads)?;
    let mut encode = arguments.encode.options();
    let bar = if quiet { None } else { EmbedBar::of_input(position).map(Arc::new) };
    if let Some(bar) = &bar {
        encode = encode.progress(bar.clone());
    }
    let options = IndexOptions::default().encode(encode);
    let mut writer = if arguments.append {
        IndexWriter::open(&arguments.output, &model, &options)?
    } else {
        IndexWriter::create(&arguments.output, &model, &options).map_err(|error| match error {
            IndexError::Exists { .. } => CliError::Options(format!("{error} (--append adds to an index)")),
            error => error.into(),
        })?
    };
    let added = writer.add(first.map(Ok).into_iter().chain(texts));
    if let Some(bar) = &bar {
        bar.finish();
    }
    let added = added.map_err(|error| match error {
        StreamError::Source(error) => error,
        StreamError::Encode(error) => error.into(),
        StreamError::Sink(error) => error.into(),
    })?;
    warn_of_truncated_texts(&model, added.truncated, added.texts);
    if !quiet {
        let resumed = match added.resumed {
            0 => String::new(),
            n => format!(" to {n} of an interrupted build"),
        };
        let (texts, all, index) = (added.texts, writer.len(), arguments.output.display());
        eprintln!("minilm: added {texts} texts{resumed}; {index} has {all}");
    }
    Ok(())
}
