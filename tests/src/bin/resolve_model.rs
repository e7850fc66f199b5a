//! Resolves a model in a process of its own, which tests start several times, or kill: `resolve_model NAME
//! CACHE ENDPOINT`.

use std::path::Path;
use std::process::ExitCode;

use minilm::resolve::resolve;
use minilm_tests::hub_client::options;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, cache, endpoint] = &arguments[..] else {
        eprintln!("usage: resolve_model NAME CACHE ENDPOINT");
        return ExitCode::from(2);
    };
    match resolve(name, &options(Path::new(cache), endpoint)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
