//! `minilm embed`: vectors of texts, of any number of them.

mod tokens;

use minilm::storage::{
    Components, ElementType, EmbeddingFormat, EmbeddingRow, EmbeddingSchema, EmbeddingWriter, Id, TextItem,
};
use minilm::{
    EmbeddingPrecision, Embeddings, EncodeOptions, QuantizationRanges, QuantizedEmbeddings,
    SentenceTransformer, StreamError, quantize_embeddings,
};

use crate::arguments::{EmbedArguments, OutputValue};
use crate::error::CliError;
use crate::input::Input;
use crate::label::shortened;
use crate::model::{name_of, warn_of_truncated_texts};
use crate::output::Output;
use crate::progress::{Extent, with_bar};
use crate::stderr::say;
use crate::texts::open_vectors;

/// Reads, encodes and writes a window of texts at a time, so that an input may be of any size.
pub(crate) fn run(arguments: &EmbedArguments) -> Result<(), CliError> {
    // What can be wrong is found out before the model is fetched and the work begins.
    let format = format_of(arguments)?;
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
    let extent = match &input {
        Some(input) => Extent::Input(input.position()),
        None => Extent::Texts(arguments.texts.len()),
    };
    let mut texts: Box<dyn Iterator<Item = Result<TextItem, CliError>>> = match input {
        Some(input) => Box::new(input),
        None => Box::new(arguments.texts.iter().map(|text| Ok(TextItem { id: None, text: text.clone() }))),
    };
    // A wrong format or a wrong field is wrong in the first text already.
    let first = texts.next().transpose()?;
    // Where the vectors themselves are shown, a bar would be drawn over them.
    let quiet = arguments.encode.model.source.quiet || output.is_terminal();

    let model = arguments.encode.load()?;

    let first_id = first.as_ref().and_then(|first| first.id.clone());
    let texts = first.map(Ok).into_iter().chain(texts);
    let (all, cut) = with_bar(quiet, extent, arguments.encode.options(), |options| {
        if arguments.output_value != OutputValue::Sentence {
            let both = arguments.output_value == OutputValue::Both;
            return tokens::write(&model, texts, options, both, output);
        }
        let quantization = Quantization { precision: arguments.output_precision, ranges };
        let schema = schema(&model, options, &quantization, first_id.as_ref())?;
        let writer = EmbeddingWriter::new(output.start(), format, schema)?;
        sentences(&model, texts, options, &quantization, writer)
    })?;
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
    let (mut before, mut cut) = (0, 0);
    let encoded = model.encode_stream(texts, options, |texts, embeddings| {
        cut += embeddings.token_counts().iter().filter(|count| count.truncated()).count();
        for (i, (text, vector)) in texts.iter().zip(embeddings.rows()).enumerate() {
            check_finite(model, vector, before + i, text)?;
        }
        before += texts.len();
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
        (None, None) if !precision.needs_ranges() => return Ok(None),
        _ if !precision.needs_ranges() => {
            return Err(CliError::Options(format!(
                "--output-precision {precision} needs no ranges; --calibration and --ranges are for int8 and uint8"
            )));
        }
        (Some(path), _) => (path, true),
        (None, Some(path)) => (path, false),
        (None, None) => {
            return Err(CliError::Options(format!(
                "--output-precision {precision} needs the range of each component; give a file of vectors of texts like \
                 these with --calibration, or ranges with --ranges"
            )));
        }
    };
    let stored = open_vectors(path)?;
    let vectors = stored.vectors();
    let place = || path.display().to_string();
    let found = if calibration {
        if vectors.len() < 100 {
            let (place, n) = (place(), vectors.len());
            say!("warning: {place} has {n} vectors; ranges are more stable with a hundred or more");
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

/// The format asked for, or that of the output file's extension; JSON lines for standard output, and for a name without an
/// extension, as those of pipes and devices are.
fn format_of(arguments: &EmbedArguments) -> Result<EmbeddingFormat, CliError> {
    match (arguments.format, &arguments.output) {
        (Some(format), _) => Ok(format.into()),
        (None, Some(path)) if path.extension().is_some() => {
            EmbeddingFormat::of_output(path).map_err(|error| CliError::Advised {
                error,
                advice: "say what to write with --format".to_owned(),
            })
        }
        _ => Ok(EmbeddingFormat::Jsonl),
    }
}

/// That a vector consists of numbers; `number` counts the texts from 0.
fn check_finite(
    model: &SentenceTransformer,
    vector: &[f32],
    number: usize,
    text: &TextItem,
) -> Result<(), CliError> {
    if vector.iter().all(|x| x.is_finite()) {
        return Ok(());
    }
    let text = shortened(&text.text, 40);
    let reason = format!("its vector of text {number}, \"{text}\", is not finite");
    Err(CliError::Input { place: name_of(model), reason })
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
