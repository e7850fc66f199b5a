use clap::{Args, ValueEnum};
use minilm::storage::TextFormat;

/// What says where texts are read from, and how: nothing for those who give texts themselves.
pub(crate) const OF_INPUT: [&str; 3] = ["input", "input_format", "field"];

/// How to read the texts of an input.
#[derive(Args)]
pub(crate) struct InputArguments {
    /// What the input is: txt has a text a line, jsonl a string or an object a line, json an array of
    /// strings or objects; csv is a table with a header, as tsv if there is a tab in the header; in tsv tabs separate fields, a
    /// row is a line, and quotes around a field are a part of the text, but where all names of the header have them, or quotes
    /// inside the field are doubled, as Python writes them; parquet and arrow (IPC) need a build with the feature `arrow`
    /// [default: by the file's extension; txt for standard input]
    #[arg(long, value_name = "FORMAT", requires = "input")]
    pub(crate) input_format: Option<InputFormat>,

    /// The field of an input object, or the column, that holds the text
    #[arg(long, value_name = "NAME", default_value = "text", requires = "input")]
    pub(crate) field: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    Txt,
    Jsonl,
    Json,
    Csv,
    Tsv,
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
            InputFormat::Tsv => TextFormat::Tsv,
            InputFormat::Parquet => TextFormat::Parquet,
            InputFormat::Arrow => TextFormat::Arrow,
        }
    }
}
