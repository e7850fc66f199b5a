use clap::{Args, ValueEnum};
use minilm::storage::TextFormat;

/// How to read the texts of an input.
#[derive(Args)]
pub(crate) struct InputArguments {
    /// What the input is: txt has a text a line, jsonl a string or an object a line, json an array of
    /// strings or objects; csv is a table with a header, separated by commas or tabs; parquet and arrow (IPC) need a build
    /// with the feature `arrow` [default: by the file's extension; txt for standard input]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) input_format: Option<InputFormat>,

    /// The field of an input object, or the column, that holds the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub(crate) field: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    Txt,
    Jsonl,
    Json,
    Csv,
    Parquet,
    Arrow,
}

impl From<InputFormat> for TextFormat {
    fn from(format: InputFormat) -> TextFormat {
        match format {
            InputFormat::Txt => TextFormat::Txt,
            InputFormat::Jsonl => TextFormat::Jsonl,
            InputFormat::Json => TextFormat::Json,
            InputFormat::Csv => TextFormat::Csv,
            InputFormat::Parquet => TextFormat::Parquet,
            InputFormat::Arrow => TextFormat::Arrow,
        }
    }
}
