//! `minilm search`: the texts of an index that are most similar to a query.

use std::io::{self, Write};

use minilm::storage::Id;
use minilm::{Index, IndexHit, SearchOptions};
use serde::Serialize;

use crate::arguments::SearchArguments;
use crate::error::CliError;
use crate::label::one_line;
use crate::output::Output;
use crate::texts::read_texts;

/// What `search --json` prints of each hit.
#[derive(Serialize)]
struct Hit<'a> {
    /// Which of several queries, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<usize>,
    /// Counted from 1.
    rank: usize,
    score: f32,
    id: &'a Id,
    text: &'a str,
}

pub(crate) fn run(arguments: &SearchArguments) -> Result<(), CliError> {
    // What can be wrong is found out before the model is fetched and the work begins.
    if arguments.top_k == 0 {
        return Err(CliError::Options("--top-k is 0; expected at least 1".to_owned()));
    }
    if let Some(threshold) = arguments.threshold.filter(|threshold| threshold.is_nan()) {
        return Err(CliError::Options(format!("--threshold is {threshold}; expected a number")));
    }
    let index = Index::open(&arguments.index)?;
    if index.is_empty() {
        let place = arguments.index.display().to_string();
        return Err(CliError::Input { place, reason: "the index has no texts".to_owned() });
    }
    let queries = match &arguments.input {
        Some(path) => read_texts(path, &arguments.reading)?,
        None => arguments.queries.clone(),
    };
    let output = Output::open(arguments.output.as_deref())?;
    if index.is_unfinished() {
        let (place, texts) = (arguments.index.display(), index.len());
        crate::stderr::say!(
            "warning: the build of {place} was interrupted; only its first {texts} texts are searched"
        );
    }
    let model = arguments.encode.load()?;
    let mut options = SearchOptions::default()
        .top_k(arguments.top_k)
        .threads(arguments.encode.threads)
        .score_function(model.similarity_function());
    if let Some(threshold) = arguments.threshold {
        options = options.score_threshold(threshold);
    }
    let found = index.search(&model, &queries, &arguments.encode.options(), &options)?;
    output.write(|to| {
        for (query, hits) in found.iter().enumerate() {
            if arguments.json {
                print_json((queries.len() > 1).then_some(query), hits, to)?;
            } else {
                print((queries.len() > 1).then_some(&queries[query]), hits, to)?;
            }
        }
        Ok(())
    })
}

fn print_json(query: Option<usize>, hits: &[IndexHit], to: &mut dyn Write) -> io::Result<()> {
    for (i, hit) in hits.iter().enumerate() {
        let hit = Hit { query, rank: i + 1, score: hit.score, id: &hit.id, text: &hit.text };
        serde_json::to_writer(&mut *to, &hit)?;
        writeln!(to)?;
    }
    Ok(())
}

fn print(query: Option<&String>, hits: &[IndexHit], to: &mut dyn Write) -> io::Result<()> {
    if let Some(query) = query {
        writeln!(to, "{}", one_line(query))?;
    }
    for (i, hit) in hits.iter().enumerate() {
        writeln!(
            to,
            "{:>3}  {:.4}  {}  {}",
            i + 1,
            hit.score,
            one_line(&hit.id.to_string()),
            one_line(&hit.text)
        )?;
    }
    if query.is_some() { writeln!(to) } else { Ok(()) }
}
