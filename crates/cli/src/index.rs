//! `minilm index`: texts and their vectors in a directory, to be searched.

use minilm::storage::StoredVectors;
use minilm::{
    EncodeOptions, IndexError, IndexOptions, IndexWriter, SentenceTransformer, StreamError, cos_sim,
};

use crate::arguments::IndexArguments;
use crate::error::CliError;
use crate::input::{Input, place_of};
use crate::model::{name_of, warn_of_truncated_texts};
use crate::progress::{Extent, with_bar};
use crate::stderr::say;
use crate::texts::open_vectors;

/// How similar two vectors of a text are at least that are meant to be the same: more than those in bf16 and in f32 are, and other
/// programs', and less than those of another model, or with another prompt.
const SAME: f32 = 0.999;

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
        Some(path) => Some((path, open_vectors(path)?)),
        None => None,
    };

    let quiet = arguments.encode.model.source.quiet;
    let model = arguments.encode.load()?;
    let encode = arguments.encode.options();
    if let (Some((path, vectors)), Some(first)) = (&vectors, &first) {
        let place = path.display().to_string();
        check_first_vector(&model, &encode, &first.text, vectors)?
            .map_err(|reason| CliError::Input { place, reason })?;
    }
    let texts = first.map(Ok).into_iter().chain(texts);
    let (added, all) = with_bar(quiet, Extent::Input(position), encode, |encode| {
        let mut writer = writer(arguments, &model, &IndexOptions::default().encode(encode.clone()))?;
        let added = match &vectors {
            None => writer.add(texts),
            Some((_, vectors)) => writer.add_encoded(texts, vectors.vectors()),
        };
        Ok::<_, CliError>((added, writer.len()))
    })?;
    let added = added.map_err(|error| match error {
        StreamError::Source(error) => error,
        StreamError::Encode(error) => error.into(),
        StreamError::Sink(error) => match (error, &vectors) {
            (error @ (IndexError::Vectors(_) | IndexError::NotNormalized { .. }), Some((path, _))) => {
                CliError::Input { place: path.display().to_string(), reason: error.to_string() }
            }
            (error @ IndexError::OtherTexts { .. }, _) => {
                CliError::Options(format!("{error} (--discard-interrupted takes them out)"))
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
        let (texts, index) = (added.texts, arguments.output.display());
        say!("added {texts} texts{resumed}; {index} has {all}");
    }
    Ok(())
}

/// Of the index that the arguments name, without what an interrupted build left if they say so.
fn writer<'m>(
    arguments: &IndexArguments,
    model: &'m SentenceTransformer,
    options: &IndexOptions,
) -> Result<IndexWriter<'m>, CliError> {
    let mut writer = if arguments.append {
        IndexWriter::open(&arguments.output, model, options)?
    } else {
        IndexWriter::create(&arguments.output, model, options).map_err(|error| match error {
            IndexError::Exists { .. } => CliError::Options(format!("{error} (--append adds to an index)")),
            error => error.into(),
        })?
    };
    if arguments.discard_interrupted {
        let discarded = writer.discard_interrupted()?;
        if discarded > 0 && !arguments.encode.model.source.quiet {
            let index = arguments.output.display();
            say!("took {discarded} texts of an interrupted build out of {index}");
        }
    }
    Ok(writer)
}

/// That the first vector is what the model gives for the first text. What else is wrong with vectors, the index finds out itself.
fn check_first_vector(
    model: &SentenceTransformer,
    encode: &EncodeOptions,
    text: &str,
    vectors: &StoredVectors,
) -> Result<Result<(), String>, CliError> {
    let expected = model.encode_document(&[text], encode)?;
    if vectors.is_empty() || vectors.dimension() != expected.dimension() {
        return Ok(Ok(()));
    }
    let cosine = cos_sim(vectors.row(0), &expected).map(|cosines| cosines.row(0)[0]);
    Ok(match cosine {
        Ok(cosine) if cosine < SAME => {
            let model = name_of(model);
            Err(format!(
                "the vector of the first text is not the one that {model} gives with these options: their cosine is \
                 {cosine:.4}; if `minilm embed` wrote it, it needs the same options, and --prompt-name document if the model \
                 has such a prompt"
            ))
        }
        _ => Ok(()),
    })
}
