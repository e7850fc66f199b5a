//! Writes `fixtures/golden/bits.json` anew, on one instruction set (`MINILM_ISA`, or the fastest), and says what is another
//! hash than before. For a change of the numerics contract; the tests then tell whether all instruction sets agree.

use std::process::ExitCode;

use minilm::{EncodeOptions, LoadOptions, Precision};
use minilm_tests::golden_bits::{self, Hashes};

fn main() -> ExitCode {
    let before = golden_bits::read();
    let mut hashes = Hashes::new();
    for model in golden_bits::models() {
        let texts = golden_bits::texts(model);
        for precision in Precision::ALL {
            let loaded = golden_bits::load(model, &LoadOptions::default().precision(precision));
            let vectors = match loaded.encode_batch(&texts, &EncodeOptions::default()) {
                Ok(vectors) => vectors,
                Err(error) => {
                    eprintln!("{model} in {precision}: {error}");
                    return ExitCode::FAILURE;
                }
            };
            for &step in golden_bits::steps(model) {
                let name = golden_bits::name(precision, step);
                let hash = golden_bits::hash(vectors.rows().step_by(step));
                let was = before.get(model).and_then(|hashes| hashes.get(&name));
                let change = match was {
                    Some(was) if *was == hash => "as before",
                    Some(_) => "changed",
                    None => "new",
                };
                println!("{change:9}  {hash}  {model}, {name}, on {}", loaded.isa());
                hashes.entry(model.to_owned()).or_default().insert(name, hash);
            }
        }
    }
    let json = serde_json::to_string_pretty(&hashes).expect("names and hashes are JSON") + "\n";
    let path = golden_bits::path();
    if let Err(error) = std::fs::write(&path, json) {
        eprintln!("{}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
