//! `minilm eval`: how good vectors are.

mod layers;
mod pairs;
mod statistics;
mod sts;

use crate::arguments::{EvalArguments, Evaluation};
use crate::error::CliError;

pub(crate) fn run(arguments: &EvalArguments) -> Result<(), CliError> {
    match &arguments.evaluation {
        Evaluation::Sts(arguments) => sts::run(arguments),
        Evaluation::Layers(arguments) => layers::run(arguments),
    }
}
