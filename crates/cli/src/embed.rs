use std::borrow::Cow;

use minilm::{EncodeOptions, LoadOptions, SentenceTransformer};

use crate::arguments::{EmbedArguments, OutputFormat};
use crate::error::CliError;
use crate::input;
use crate::model::{packed_cache, resolve_options, warn_of_unavailable_cache};
use crate::output::{Output, format_of, write_embeddings};

pub(crate) fn run(arguments: &EmbedArguments) -> Result<(), CliError> {
    // What can be wrong is found out before the model is fetched and the work begins.
    let texts = match &arguments.input {
        Some(path) => Cow::Owned(input::read(path, arguments.input_format, &arguments.field)?),
        None => Cow::Borrowed(&arguments.texts[..]),
    };
    let output = Output::open(arguments.output.as_deref())?;
    let format = format_of(arguments.format, arguments.output.as_deref());
    if format == OutputFormat::Npy && output.is_terminal() {
        return Err(CliError::Options(
            "--format npy writes binary data; give a file with -o or redirect standard output".to_owned(),
        ));
    }

    let options = LoadOptions::default()
        .resolve(resolve_options(&arguments.source))
        .threads(arguments.threads)
        .packed_cache(packed_cache(&arguments.packed_cache));
    let model = SentenceTransformer::load_with(&arguments.model, &options)?;
    warn_of_unavailable_cache(&model);
    let embeddings = model.encode_batch(&texts, &EncodeOptions::default())?;

    let cut = embeddings.token_counts().iter().filter(|count| count.truncated()).count();
    if cut > 0 {
        let (all, limit) = (texts.len(), model.max_seq_length());
        eprintln!(
            "minilm: warning: {cut} of {all} texts had more than {limit} tokens; their ends were ignored"
        );
    }
    output.write(|to| write_embeddings(to, format, &texts, &embeddings))
}
