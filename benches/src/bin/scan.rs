//! Exact search for `benches/peers/search.py`: one request a line in, one answer a line out, both JSON.
//!
//! `{"load": {"name": "corpus", "kind": "f32", "k": 384, "rows": PATH, "queries": PATH, "pages": "huge"}}`,
//! `{"search": {"name": "corpus", "queries": 1, "best": 10, "by": "kernel", "threads": 2}}`, `{"read": {"name": "corpus", "threads": 2}}` and
//! `"machine"`. Each answer is what was asked for, or `{"error": …}`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{BufRead, Write};
use std::path::PathBuf;

use minilm_benches::machine::Machine;
use minilm_benches::scan::{By, Collection, Kind, Pages, Threads};
use minilm_kernels::Isa;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    Load {
        name: String,
        kind: Kind,
        k: usize,
        rows: PathBuf,
        queries: PathBuf,
        pages: Pages,
    },
    Search {
        name: String,
        queries: usize,
        best: usize,
        #[serde(default)]
        by: By,
        threads: usize,
    },
    Read {
        name: String,
        threads: usize,
    },
    Machine,
}

struct Server {
    isa: Isa,
    collections: HashMap<String, Collection>,
    /// By their number.
    threads: HashMap<usize, Threads>,
}

impl Server {
    fn answer(&mut self, line: &str) -> Result<Value, String> {
        let isa = self.isa;
        match serde_json::from_str(line).map_err(|error| error.to_string())? {
            Request::Load { name, kind, k, rows, queries, pages } => {
                let collection = Collection::open(kind, k, &rows, &queries, pages)
                    .map_err(|error| format!("{}: {error}", rows.display()))?;
                let answer = json!({"rows": collection.rows(), "bytes": collection.bytes()});
                self.collections.insert(name, collection);
                Ok(answer)
            }
            Request::Search { name, queries, best, by, threads } => {
                let (collection, threads) = self.get(&name, threads)?;
                let (taken, hits) = collection.search(isa, queries, best, by, threads)?;
                Ok(json!({"seconds": taken.as_secs_f64(), "hits": hits}))
            }
            Request::Read { name, threads } => {
                let (collection, threads) = self.get(&name, threads)?;
                Ok(json!({"seconds": collection.read(isa, threads).as_secs_f64()}))
            }
            Request::Machine => {
                let machine = serde_json::to_value(Machine::detect()).map_err(|error| error.to_string())?;
                Ok(json!({"isa": isa.name(), "machine": machine}))
            }
        }
    }

    fn get(&mut self, name: &str, threads: usize) -> Result<(&Collection, &Threads), String> {
        let threads = match self.threads.entry(threads) {
            Entry::Occupied(pool) => pool.into_mut(),
            Entry::Vacant(place) => place.insert(Threads::new(threads)?),
        };
        let collection =
            self.collections.get(name).ok_or_else(|| format!("nothing is loaded as {name:?}"))?;
        Ok((collection, threads))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let isa = Isa::from_env()?;
    let mut server = Server { isa, collections: HashMap::new(), threads: HashMap::new() };
    for line in std::io::stdin().lock().lines() {
        let answer = server.answer(&line?).unwrap_or_else(|error| json!({"error": error}));
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
