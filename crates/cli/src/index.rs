//! `minilm index`: texts and their vectors in a directory, to be searched.

use std::sync::Arc;

use minilm::storage::{StoredVectors, VectorOptions};
use minilm::{IndexError, IndexOptions, IndexWriter, StreamError};

use crate::arguments::IndexArguments;
use crate::error::CliError;
use crate::input::{Input, place_of};
use crate::model::{load, warn_of_truncated_texts};
use crate::progress::EmbedBar;

pub(crate) fn run(arguments: &IndexArguments) -> Result<(), CliError> {
    // What can be wrong is found out before the model is fetched and the work begins.
    let mut texts = Input::open(&arguments.input, &arguments.reading, arguments.id_field.as_deref())?;
    let position = texts.position();
    let first = texts.next().transpose()?;
    if first.is_none() {
        let (place, reason) =
            (place_of(&arguments.input), "expected at least one text, found none".to_owned());
        return Err(CliError::Input { place, reason });
    }
    let vectors = match &arguments.vectors {
        Some(path) => Some((path, StoredVectors::open(path, &VectorOptions::default())?)),
        None => None,
    };

    let quiet = arguments.encode.model.source.quiet;
    let model = load(&arguments.encode.model, arguments.encode.threads)?;
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
    let texts = first.map(Ok).into_iter().chain(texts);
    let added = match &vectors {
        None => writer.add(texts),
        Some((_, vectors)) => writer.add_encoded(texts, vectors.vectors()),
    };
    if let Some(bar) = &bar {
        bar.finish();
    }
    let added = added.map_err(|error| match error {
        StreamError::Source(error) => error,
        StreamError::Encode(error) => error.into(),
        StreamError::Sink(error) => match (error, &vectors) {
            (IndexError::Vectors(error), Some((path, _))) => {
                CliError::Input { place: path.display().to_string(), reason: error.to_string() }
            }
            (error, _) => error.into(),
        },
    })?;
    warn_of_truncated_texts(&model, added.truncated, added.texts);
    if !quiet {
        let resumed = match added.resumed {
            0 => String::new(),
            n => format!(" to {n} of an interrupted build"),
        };
        let (texts, all, index) = (added.texts, writer.len(), arguments.output.display());
        crate::stderr::say!("added {texts} texts{resumed}; {index} has {all}");
    }
    Ok(())
}
