//! `minilm embed`: vectors of texts, of any number of them.

mod tokens;

use std::sync::Arc;

use minilm::storage::{
    Components, ElementType, EmbeddingFormat, EmbeddingRow, EmbeddingSchema, EmbeddingWriter, Id,
    StoredVectors, TextItem, VectorOptions,
};
use minilm::{
    EmbeddingPrecision, Embeddings, EncodeOptions, QuantizationRanges, QuantizedEmbeddings,
    SentenceTransformer, StreamError, quantize_embeddings,
};

use crate::arguments::{EmbedArguments, OutputValue};
use crate::error::CliError;
use crate::input::Input;
use crate::model::{load, name_of, warn_of_truncated_texts};
use crate::output::Output;
use crate::progress::EmbedBar;

/// Reads, encodes and writes a window of texts at a time, so that an input may be of any size.
pub(crate) fn run(arguments: &EmbedArguments) -> Result<(), CliError> {
    // What can be wrong is found out before the model is fetched and the work begins.
    let format = format_of(arguments);
    check_output_value(arguments, format)?;
    let ranges = ranges(arguments)?;
    let input = match &arguments.input {
        Some(path) => Some(Input::open(path, &arguments.reading, arguments.id_field.as_deref())?),
        None => None,
    };
    let output = Output::open(arguments.output.as_deref())?;
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
    let bar_wanted = !arguments.encode.model.source.quiet && !output.is_terminal();

    let model = load(&arguments.encode.model, arguments.encode.threads)?;

    let mut options = arguments.encode.options();
    let bar = position.filter(|_| bar_wanted).and_then(EmbedBar::of_input).map(Arc::new);
    if let Some(bar) = &bar {
        options = options.progress(bar.clone());
    }
    let first_id = first.as_ref().and_then(|first| first.id.clone());
    let texts = first.map(Ok).into_iter().chain(texts);
    let written = match arguments.output_value {
        OutputValue::Sentence => {
            let quantization = Quantization { precision: arguments.output_precision, ranges };
            let schema = schema(&model, &options, &quantization, first_id.as_ref())?;
            let writer = EmbeddingWriter::new(output.start(), format, schema)?;
            sentences(&model, texts, &options, &quantization, writer)
        }
        value => tokens::write(&model, texts, &options, value == OutputValue::Both, output),
    };
    if let Some(bar) = &bar {
        bar.finish();
    }
    let (all, cut) = written?;
    warn_of_truncated_texts(&model, cut, all);
    Ok(())
}

/// What vectors become before they are written.
struct Quantization {
    precision: EmbeddingPrecision,
    ranges: Option<QuantizationRanges>,
}

/// Writes a row for each text, and says how many texts there were and how many of them were cut.
fn sentences(
    model: &SentenceTransformer,
    texts: impl Iterator<Item = Result<TextItem, CliError>>,
    options: &EncodeOptions,
    quantization: &Quantization,
    mut writer: EmbeddingWriter,
) -> Result<(usize, usize), CliError> {
    let mut cut = 0;
    let encoded = model.encode_stream(texts, options, |texts, embeddings| {
        cut += embeddings.token_counts().iter().filter(|count| count.truncated()).count();
        let Quantization { precision, ranges } = quantization;
        let quantized = match precision {
            EmbeddingPrecision::Float32 => None,
            _ => Some(
                quantize_embeddings(&embeddings, *precision, ranges.as_ref())
                    .map_err(|error| CliError::Options(format!("--output-precision {precision}: {error}")))?,
            ),
        };
        let width = precision.width(embeddings.dimension());
        Ok(writer.write(rows(&texts, &embeddings, quantized.as_ref(), width))?)
    });
    let all = encoded.map_err(|error| match error {
        StreamError::Source(error) | StreamError::Sink(error) => error,
        StreamError::Encode(error) => error.into(),
    })?;
    writer.finish()?;
    Ok((all, cut))
}

fn check_output_value(arguments: &EmbedArguments, format: EmbeddingFormat) -> Result<(), CliError> {
    let refused = |what: String| Err(CliError::Options(format!("--output-value tokens and both {what}")));
    match arguments {
        EmbedArguments { output_value: OutputValue::Sentence, .. } => Ok(()),
        _ if format != EmbeddingFormat::Jsonl => refused(format!("are written as jsonl, not as {format}")),
        EmbedArguments { output_precision, .. } if *output_precision != EmbeddingPrecision::Float32 => {
            refused(format!("are written as float32, not as {output_precision}"))
        }
        _ => Ok(()),
    }
}

/// The ranges that the arguments name a file of, if they are needed.
fn ranges(arguments: &EmbedArguments) -> Result<Option<QuantizationRanges>, CliError> {
    let precision = arguments.output_precision;
    let (path, calibration) = match (&arguments.calibration, &arguments.ranges) {
        _ if !precision.needs_ranges() => return Ok(None),
        (Some(path), _) => (path, true),
        (None, Some(path)) => (path, false),
        (None, None) => {
            return Err(CliError::Options(format!(
                "--output-precision {precision} needs the range of each component; give a file of vectors of texts like \
                 these with --calibration, or ranges with --ranges"
            )));
        }
    };
    let stored = StoredVectors::open(path, &VectorOptions::default())?;
    let vectors = stored.vectors();
    let place = || path.display().to_string();
    let found = if calibration {
        if vectors.len() < 100 {
            let (place, n) = (place(), vectors.len());
            eprintln!(
                "minilm: warning: {place} has {n} vectors; ranges are more stable with a hundred or more"
            );
        }
        QuantizationRanges::of(vectors)
    } else if vectors.len() == 2 {
        QuantizationRanges::new(vectors.row(0).to_vec(), vectors.row(1).to_vec())
    } else {
        let reason = format!("expected two vectors, starts and ends of ranges, found {}", vectors.len());
        return Err(CliError::Input { place: place(), reason });
    };
    found.map(Some).map_err(|error| CliError::Input { place: place(), reason: error.to_string() })
}

/// The format asked for, or that of the output file's extension, or JSON lines.
fn format_of(arguments: &EmbedArguments) -> EmbeddingFormat {
    let by_extension = || arguments.output.as_deref().and_then(|path| EmbeddingFormat::of(path).ok());
    arguments.format.map(Into::into).or_else(by_extension).unwrap_or(EmbeddingFormat::Jsonl)
}

/// What is known of each text; its id is of the first one's kind.
fn schema(
    model: &SentenceTransformer,
    options: &EncodeOptions,
    quantization: &Quantization,
    first_id: Option<&Id>,
) -> Result<EmbeddingSchema, CliError> {
    // Of no texts, so that what is wrong with the options is said before the output begins.
    let none: [&str; 0] = [];
    let dimension = model.encode_batch(&none, options)?.dimension();
    let Quantization { precision, ranges } = quantization;
    if let Some(found) =
        ranges.as_ref().map(|ranges| ranges.starts().len()).filter(|found| *found != dimension)
    {
        return Err(CliError::Options(format!(
            "--output-precision {precision}: the ranges have {found} components, and vectors {dimension}"
        )));
    }
    let element_type = match precision {
        EmbeddingPrecision::Int8 | EmbeddingPrecision::Binary => ElementType::I8,
        EmbeddingPrecision::Uint8 | EmbeddingPrecision::Ubinary => ElementType::U8,
        _ => ElementType::F32,
    };
    let schema = EmbeddingSchema::new(precision.width(dimension))
        .element_type(element_type)
        .texts()
        .tokens()
        .metadata("model", name_of(model))
        .metadata("precision", model.precision().name())
        .metadata("embedding_precision", precision.name());
    Ok(match first_id {
        Some(id) => schema.ids(id.id_type()),
        None => schema,
    })
}

fn rows<'a>(
    texts: &'a [TextItem],
    embeddings: &'a Embeddings,
    quantized: Option<&'a QuantizedEmbeddings>,
    width: usize,
) -> impl Iterator<Item = EmbeddingRow<'a>> {
    texts.iter().zip(embeddings.token_counts()).enumerate().map(move |(i, (item, count))| {
        let range = i * width..(i + 1) * width;
        let components = match quantized {
            Some(QuantizedEmbeddings::Int8(numbers) | QuantizedEmbeddings::Binary(numbers)) => {
                Components::I8(&numbers[range])
            }
            Some(QuantizedEmbeddings::Uint8(numbers) | QuantizedEmbeddings::Ubinary(numbers)) => {
                Components::U8(&numbers[range])
            }
            _ => Components::F32(embeddings.row(i)),
        };
        let mut row = EmbeddingRow::new(components).text(&item.text).tokens(count.total, count.truncated());
        row.id = item.id.as_ref();
        row
    })
}
