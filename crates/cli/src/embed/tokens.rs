//! `--output-value tokens` and `both`: the vectors of each text's tokens, as JSON lines.

use std::io::Write;

use minilm::storage::{Id, TextItem};
use minilm::{EncodeOptions, SentenceTransformer, TokenEmbeddings};
use serde::{Serialize, Serializer};

use super::check_finite;
use crate::error::CliError;
use crate::output::Output;

/// How many texts are held at a time: of 256 tokens each they are 25 MB of vectors.
const WINDOW: usize = 64;

/// A line.
#[derive(Serialize)]
struct Record<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Id>,
    text: &'a str,
    token_ids: &'a [u32],
    #[serde(serialize_with = "rows")]
    token_embeddings: &'a TokenEmbeddings,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<&'a [f32]>,
    tokens: usize,
    truncated: bool,
}

/// Writes a line for each text, and says how many texts there were and how many of them were cut.
pub(super) fn write(
    model: &SentenceTransformer,
    texts: impl Iterator<Item = Result<TextItem, CliError>>,
    options: &EncodeOptions,
    sentences: bool,
    output: Output,
) -> Result<(usize, usize), CliError> {
    let mut output = output.start();
    let mut texts = texts.peekable();
    let (mut all, mut cut) = (0, 0);
    while texts.peek().is_some() {
        let window = texts.by_ref().take(WINDOW).collect::<Result<Vec<_>, _>>()?;
        let encoded = model.encode_tokens_part(&window, options, all, None)?;
        for (number, (item, found)) in (all..).zip(window.iter().zip(&encoded)) {
            for vector in found.token_embeddings().rows().chain([found.sentence_embedding()]) {
                check_finite(model, vector, number, item)?;
            }
            let count = found.token_count();
            let record = Record {
                id: item.id.as_ref(),
                text: &item.text,
                token_ids: found.ids(),
                token_embeddings: found,
                embedding: sentences.then_some(found.sentence_embedding()),
                tokens: count.total,
                truncated: count.truncated(),
            };
            let written = serde_json::to_writer(&mut output, &record).map_err(std::io::Error::from);
            written.and_then(|()| writeln!(output)).map_err(|source| output.failed(source))?;
            cut += usize::from(count.truncated());
        }
        all += window.len();
        output.flush().map_err(|source| output.failed(source))?;
    }
    output.finish()?;
    Ok((all, cut))
}

fn rows<S: Serializer>(found: &TokenEmbeddings, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(found.token_embeddings().rows())
}
