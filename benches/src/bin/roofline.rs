//! What share of the machine's peaks the kernels reach.
//!
//! `cargo run --release -p minilm-benches --bin roofline -- --out benches/records/NAME`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use minilm_benches::record::{Effort, Record};
use minilm_benches::{plot, report};
use minilm_kernels::{Isa, Precision};

/// Measure the kernels against this machine's peaks, on one thread.
#[derive(Parser)]
#[command(name = "roofline", version)]
struct Arguments {
    /// Instruction sets to measure, separated by commas [default: all of this machine]
    #[arg(long, value_name = "ISA", value_delimiter = ',')]
    isa: Vec<String>,

    /// What products are computed in, separated by commas: f32, bf16, int8 [default: all of them]
    #[arg(long, value_name = "PRECISION", value_delimiter = ',')]
    precision: Vec<String>,

    /// Write record.json, README.md and roofline.svg into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Samples of each kernel
    #[arg(long, value_name = "N", default_value_t = 21, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// The length of a sample in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    sample: u16,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    if cfg!(debug_assertions) {
        eprintln!("warning: this is a debug build; add --release for figures that mean something");
    }
    let isas = if arguments.isa.is_empty() {
        Isa::available()
    } else {
        arguments.isa.iter().map(|name| Isa::named(name)).collect::<Result<_, _>>()?
    };
    let precisions = if arguments.precision.is_empty() {
        Precision::ALL.to_vec()
    } else {
        arguments.precision.iter().map(|name| name.parse()).collect::<Result<_, _>>()?
    };
    // Before minutes of measuring.
    if let Some(directory) = &arguments.out {
        std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    let effort =
        Effort { rounds: arguments.rounds.into(), sample: Duration::from_millis(arguments.sample.into()) };
    let record = Record::measure(&isas, &precisions, effort, &mut |what| eprintln!("{what} …"));
    let text = report::markdown(&record);
    println!("{text}");
    if let Some(directory) = &arguments.out {
        let json = serde_json::to_string_pretty(&record)? + "\n";
        write(directory, "record.json", &json)?;
        write(directory, "README.md", &format!("{text}\n![Roofline](roofline.svg)\n"))?;
        write(directory, "roofline.svg", &plot::svg(&record)?)?;
    }
    Ok(())
}

fn write(directory: &Path, name: &str, contents: &str) -> Result<(), String> {
    let path = directory.join(name);
    std::fs::write(&path, contents).map_err(|error| format!("{}: {error}", path.display()))
}
