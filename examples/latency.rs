//! A service that answers at once: which of its known questions is a line from standard input closest to?
//!
//! ```sh
//! cargo run --release -p minilm --example latency < questions.txt
//! ```
//!
//! What a program does that has less than a millisecond for a text: it loads the model once, in int8 and with packed weights from
//! a cache file; it encodes a text before the first request comes, so that weights are in memory and threads are awake; it
//! encodes each text by itself, as soon as it is there; and it measures, because a mean hides what people wait for.
//! Each answer says how long it took; in the end there are the percentiles.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use minilm::{
    EncodeOptions, LoadOptions, PackedCache, Precision, SearchOptions, SentenceTransformer,
    SimilarityFunction, semantic_search,
};

const KNOWN: [&str; 6] = [
    "How do I reset my password?",
    "Where is my order?",
    "Which ways to pay are there?",
    "Which countries do you ship to?",
    "How do I return something?",
    "How do I delete my account?",
];

fn main() -> Result<(), Box<dyn Error>> {
    let options = LoadOptions::default().precision(Precision::Int8).packed_cache(PackedCache::Platform);
    let model = SentenceTransformer::load_with(minilm::DEFAULT_MODEL, &options)?;
    let known = model.encode_batch(&KNOWN, &EncodeOptions::default())?;
    // Vectors have length 1, so the dot product is the cosine. One thread is enough for six vectors.
    let search = SearchOptions::default().top_k(1).threads(1).score_function(SimilarityFunction::DotProduct);
    for _ in 0..10 {
        model.encode(KNOWN[0])?;
    }

    let mut times = Vec::new();
    let mut answers = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let begin = Instant::now();
        let vector = model.encode(&line)?;
        let hit = semantic_search(&vector, &known, &search)?[0][0];
        let time = begin.elapsed();
        times.push(time);
        writeln!(answers, "{:.3} {} ({} µs)", hit.score, KNOWN[hit.corpus_id], time.as_micros())?;
    }
    times.sort_unstable();
    let percentile = |p: usize| times.get((times.len() * p).div_ceil(100).saturating_sub(1));
    let shown =
        |time: Option<&Duration>| time.map_or("-".to_owned(), |time| format!("{} µs", time.as_micros()));
    eprintln!("{} texts: p50 {}, p99 {}", times.len(), shown(percentile(50)), shown(percentile(99)));
    Ok(())
}
