//! `minilm`: the command-line program. Each subcommand has a file; this one only chooses.

#![deny(clippy::print_stderr, reason = "it panics where standard error is closed: `say!` does not")]

mod arguments;
mod bench;
mod chunk;
mod cluster;
mod embed;
mod error;
mod eval;
mod index;
mod info;
mod input;
mod interrupt;
mod label;
mod manual;
mod model;
mod output;
mod percentile;
mod plot;
mod progress;
mod pull;
mod search;
#[cfg(feature = "serve")]
mod serve;
mod similarity;
mod stderr;
mod texts;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use error::CliError;
use stderr::say;

fn main() -> ExitCode {
    #[cfg(feature = "arrow")]
    say_nothing_of_caught_panics();
    let result = match Arguments::parse().command {
        Command::Embed(arguments) => embed::run(&arguments),
        Command::Chunk(arguments) => chunk::run(&arguments),
        Command::Index(arguments) => index::run(&arguments),
        Command::Search(arguments) => search::run(&arguments),
        Command::Similarity(arguments) => similarity::run(&arguments),
        Command::Cluster(arguments) => cluster::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Pull(arguments) => pull::run(&arguments),
        Command::Trace(arguments) => trace::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        #[cfg(feature = "serve")]
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Completions(arguments) => manual::completions(&arguments),
        Command::Man(arguments) => manual::man(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever was reading has read enough, as with `minilm … | head`.
        Err(CliError::ClosedPipe) => ExitCode::SUCCESS,
        Err(error) => {
            say!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A damaged file is an error, which says enough.
#[cfg(feature = "arrow")]
fn say_nothing_of_caught_panics() {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !minilm::storage::is_panic_caught() {
            say(panic);
        }
    }));
}
