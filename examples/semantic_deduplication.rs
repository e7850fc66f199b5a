//! Leaves out what says the same as something before it.
//!
//! ```sh
//! cargo run --release -p minilm --example semantic_deduplication
//! cargo run --release -p minilm --example semantic_deduplication -- 0.9 < questions.txt > distinct.txt
//! ```
//!
//! Reads a text a line from standard input if there is an argument, the cosine from which on two texts say the same; else it
//! takes some questions of its own. Writes the texts that are left to standard output, and what they stand for to standard error.

use std::error::Error;
use std::io::BufRead;

use minilm::{EncodeOptions, ParaphraseMiningOptions, SentenceTransformer, paraphrase_mining};

const QUESTIONS: [&str; 10] = [
    "How do I reset my password?",
    "Where is my order?",
    "I forgot my password, what should I do?",
    "Can I pay by invoice?",
    "My parcel has not arrived yet. Where is it?",
    "How can I change my password when I don't remember it?",
    "Do you ship to Norway?",
    "Is it possible to pay on account?",
    "Where can I see where my order is?",
    "How do I delete my account?",
];

fn main() -> Result<(), Box<dyn Error>> {
    let (threshold, texts) = match std::env::args().nth(1) {
        Some(threshold) => (threshold.parse()?, std::io::stdin().lock().lines().collect::<Result<_, _>>()?),
        None => (0.65, QUESTIONS.map(str::to_owned).to_vec()),
    };
    let model = SentenceTransformer::load(minilm::DEFAULT_MODEL)?;

    // Each text with those that are most similar to it, in bounded memory: never all pairs at once.
    let options = ParaphraseMiningOptions::default().min_score(threshold);
    let pairs = paraphrase_mining(&model, &texts, &EncodeOptions::default(), &options)?;

    // What is paired belongs together, and so does what is paired with the same. The first text of a group stands for it.
    let mut group: Vec<usize> = (0..texts.len()).collect();
    for pair in &pairs {
        let (a, b) = (first_of(&mut group, pair.i), first_of(&mut group, pair.j));
        group[a.max(b)] = a.min(b);
    }
    for i in 0..texts.len() {
        match first_of(&mut group, i) {
            first if first == i => println!("{}", texts[i]),
            first => eprintln!("left out: {:?}, which says the same as {:?}", texts[i], texts[first]),
        }
    }
    Ok(())
}

/// The first text of the group that a text is in.
fn first_of(group: &mut [usize], mut i: usize) -> usize {
    while group[i] != i {
        group[i] = group[group[i]];
        i = group[i];
    }
    i
}
