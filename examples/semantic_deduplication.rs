//! Leaves out what says the same as something before it.
//!
//! ```sh
//! cargo run --release -p minilm --example semantic_deduplication
//! cargo run --release -p minilm --example semantic_deduplication -- 0.9 < questions.txt > distinct.txt
//! ```
//!
//! Reads a text a line from standard input if there is an argument, the cosine from which on two texts say the same; else it
//! takes some questions of its own. Writes the texts that are left to standard output, and what they stand for to standard error.
//!
//! Every text is compared with all that are left of those before it, so nothing that reaches the cosine is missed, however
//! many texts there are: 100,000 that are all different are 5 · 10⁹ comparisons. (`paraphrase_mining` would keep the best
//! `max_pairs` pairs alone, which are not all where many texts say the same.) What is held are the texts and their vectors,
//! 1.5 KB each.

use std::collections::HashSet;
use std::error::Error;
use std::io::BufRead;

use minilm::{
    EncodeOptions, SearchOptions, SentenceTransformer, SimilarityFunction, Vectors, dot_score,
    semantic_search,
};

/// How many texts are compared at once with all that are left of those before them.
const WINDOW: usize = 256;

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
        None => (0.6, QUESTIONS.map(str::to_owned).to_vec()),
    };
    // Equal lines say the same whatever their cosine, which rounding may leave a little below 1. The others, in their order:
    let (mut seen, mut distinct): (HashSet<&str>, Vec<&str>) = (HashSet::new(), Vec::new());
    for text in &texts {
        if seen.insert(text) {
            distinct.push(text);
        } else {
            eprintln!("left out: {text:?}, which was there before");
        }
    }

    let model = SentenceTransformer::load(minilm::DEFAULT_MODEL)?;
    let embeddings = model.encode_batch(&distinct, &EncodeOptions::default())?;
    let vectors = embeddings.vectors();

    // Vectors have length 1, so the dot product is the cosine.
    let search = SearchOptions::default().top_k(1).score_threshold(threshold);
    let search = search.score_function(SimilarityFunction::DotProduct);
    // The texts that are left, and their vectors.
    let (mut left, mut left_vectors): (Vec<usize>, Vec<f32>) = (Vec::new(), Vec::new());
    for first in (0..distinct.len()).step_by(WINDOW) {
        let window = vectors.range(first, distinct.len().min(first + WINDOW));
        let before = Vectors::new(&left_vectors, vectors.dimension())?;
        let nearest = semantic_search(window, before, &search)?;
        // And those within the window.
        let within = dot_score(window, window)?;
        let begin = left.len();
        for (i, nearest) in nearest.iter().enumerate() {
            let same = |&&other: &&usize| within.row(i)[other - first] >= threshold;
            let same =
                nearest.first().map(|hit| left[hit.corpus_id]).or(left[begin..].iter().find(same).copied());
            match same {
                Some(other) => {
                    eprintln!(
                        "left out: {:?}, which says the same as {:?}",
                        distinct[first + i],
                        distinct[other]
                    );
                }
                None => left.push(first + i),
            }
        }
        left[begin..].iter().for_each(|&i| left_vectors.extend_from_slice(vectors.row(i)));
    }
    left.iter().for_each(|&i| println!("{}", distinct[i]));
    Ok(())
}
