//! `minilm chunk`: a document in pieces that the model takes whole.

use std::io::{self, Write};
use std::path::Path;

use minilm::chunking::{Chunk, ChunkOptions};
use minilm::{EncodeOptions, LoadOptions, SentenceTransformer};
use serde::Serialize;

use crate::arguments::ChunkArguments;
use crate::error::CliError;
use crate::input::{is_stdin, read_document};
use crate::model::resolve_options;
use crate::output::Output;

/// A line of JSON.
#[derive(Serialize)]
struct Record<'a> {
    /// The document and the place in it, which is still known when nothing else of the chunk is.
    id: String,
    start: usize,
    end: usize,
    tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    headings: Option<&'a [&'a str]>,
    text: &'a str,
}

pub(crate) fn run(arguments: &ChunkArguments) -> Result<(), CliError> {
    // What can be wrong is found out before the model is fetched.
    let document = read_document(&arguments.input)?;
    let output = Output::open(arguments.output.as_deref())?;
    let mut options = ChunkOptions::default().by(arguments.by.into()).overlap(arguments.overlap);
    options.max_tokens = arguments.max_tokens;
    options.markdown = arguments.markdown.unwrap_or_else(|| is_markdown(&arguments.input));

    let load = LoadOptions::default().resolve(resolve_options(&arguments.source)).threads(1);
    let model = SentenceTransformer::load_with(&arguments.name_or_path, &load)?;
    let mut encode = EncodeOptions::default();
    encode.prompt = arguments.prompt.clone();
    encode.prompt_name = arguments.prompt_name.clone();
    let chunker = model.chunker_for(&options, &encode)?;

    let mut failed = None;
    output
        .write(|to| {
            for (number, chunk) in (1..).zip(chunker.chunks(&document)) {
                match chunk {
                    Ok(chunk) if arguments.json => {
                        let headings = options.markdown.then_some(&chunk.headings[..]);
                        print_json(&arguments.input, &chunk, headings, to)?;
                    }
                    Ok(chunk) => print(number, &chunk, to)?,
                    Err(error) => {
                        failed = Some(error);
                        // Nothing of a file is left behind then.
                        return Err(io::ErrorKind::Other.into());
                    }
                }
            }
            Ok(())
        })
        .map_err(|error| failed.map_or(error, CliError::Model))
}

fn is_markdown(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("md") || e.eq_ignore_ascii_case("markdown"))
}

fn print_json(
    document: &Path,
    chunk: &Chunk<'_>,
    headings: Option<&[&str]>,
    to: &mut dyn Write,
) -> io::Result<()> {
    let &Chunk { start, end, tokens, text, .. } = chunk;
    let id = match is_stdin(document) {
        true => format!("{start}-{end}"),
        false => format!("{}:{start}-{end}", document.display()),
    };
    serde_json::to_writer(&mut *to, &Record { id, start, end, tokens, headings, text })?;
    writeln!(to)
}

fn print(number: usize, chunk: &Chunk<'_>, to: &mut dyn Write) -> io::Result<()> {
    if number > 1 {
        writeln!(to)?;
    }
    write!(to, "--- {number}: bytes {}..{}, {} tokens", chunk.start, chunk.end, chunk.tokens)?;
    if !chunk.headings.is_empty() {
        write!(to, ", {}", chunk.headings.join(" > "))?;
    }
    writeln!(to, "\n{}", chunk.text)
}
